#include "app/verbs/target.h"

#include <sys/wait.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>

#include "app/verbs/admin_client.h"
#include "app/verbs/ansible_inventory.h"
#include "app/verbs/exit_codes.h"
#include "platform/crypto/ssh_public_key.h"
#include "platform/os/fd.h"

namespace sallyport::app {
namespace {

namespace json = boost::json;

constexpr std::size_t k_most_scan_output = 64 * 1024;

struct ScannedKey {
  std::string line;  ///< "ssh-ed25519 AAAA..."
  std::string fingerprint;
};

bool is_plain(const std::string& text, std::string_view more) {
  for (const char c : text)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && more.find(c) == std::string_view::npos) return false;
  return !text.empty() && text.front() != '-';
}

/// Standard output of a program, bounded; its stderr is dropped.
Result<std::string> output_of(const std::vector<std::string>& argv) {
  int ends[2];
  if (pipe(ends) != 0) return fail(Errc::internal, "pipe");
  Fd reading(ends[0]);
  Fd writing(ends[1]);
  std::vector<std::string> texts = argv;
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  const pid_t pid = fork();
  if (pid < 0) return fail(Errc::unavailable, "fork");
  if (pid == 0) {
    dup2(writing.get(), 1);
    if (std::freopen("/dev/null", "w", stderr) == nullptr) _exit(126);
    execvp(pointers[0], pointers.data());
    _exit(127);
  }
  writing.reset();
  std::string out;
  char buffer[4096];
  for (ssize_t n = 0; out.size() < k_most_scan_output && (n = ::read(reading.get(), buffer, sizeof buffer)) > 0;)
    out.append(buffer, static_cast<std::size_t>(n));
  reading.reset();
  int status = 0;
  waitpid(pid, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 127) return fail(Errc::unavailable, argv.front() + " is missing: apt-get install openssh-client");
  return out;
}

bool is_address(const std::string& text) { return is_plain(text, ".:-_") && !text.starts_with('-'); }

/// Takes `HOST:PORT` and `[IPV6]:PORT` apart: people copy addresses that way.
Result<void> take_port(TargetOptions& options) {
  std::string& address = options.address;
  const std::size_t colon = address.rfind(':');
  const bool is_bracketed = address.starts_with('[');
  if (!is_bracketed && (colon == std::string::npos || address.find(':') != colon)) return {};
  std::string host = address.substr(0, colon);
  int port = options.port;
  if (is_bracketed && address.ends_with(']')) {
    host = address;
  } else {
    const std::string digits = colon == std::string::npos ? "" : address.substr(colon + 1);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (error != std::errc() || end != digits.data() + digits.size() || port < 1 || port > 65535) return fail(Errc::invalid, "`" + address + "`: expected HOST, HOST:PORT or [IPV6]:PORT");
    if (options.port != TargetOptions().port && options.port != port) return fail(Errc::invalid, "`" + address + "` and --port " + std::to_string(options.port) + " name two ports");
  }
  if (is_bracketed) {
    if (!host.ends_with(']')) return fail(Errc::invalid, "`" + address + "`: expected HOST, HOST:PORT or [IPV6]:PORT");
    host = host.substr(1, host.size() - 2);
  }
  address = host;
  options.port = port;
  return {};
}

Result<std::vector<ScannedKey>> scan(const std::string& address, int port) {
  if (!is_address(address)) return fail(Errc::invalid, "`" + address + "` is not a host name or address");
  auto text = output_of({"ssh-keyscan", "-T", "5", "-p", std::to_string(port), "-t", "ed25519,ecdsa,rsa", address});
  if (!text) return tl::unexpected(text.error());
  std::vector<ScannedKey> keys;
  std::istringstream lines(*text);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t space = line.find(' ');
    if (line.empty() || line.front() == '#' || space == std::string::npos) continue;
    auto key = crypto::SshPublicKey::parse_line(line.substr(space + 1));
    if (key) keys.push_back({key->line(), key->fingerprint()});
  }
  if (keys.empty()) return fail(Errc::unavailable, "no SSH server answered at " + address + " port " + std::to_string(port) + " within 5 s");
  return keys;
}

std::string flow_list(const std::vector<std::string>& items) {
  std::string out;
  for (const std::string& item : items) out += (out.empty() ? "\"" : ", \"") + item + "\"";
  return "[" + out + "]";
}

Result<std::string> entry_of(const TargetOptions& options, const std::vector<std::string>& host_keys) {
  if (!is_plain(options.name, "._-")) return fail(Errc::invalid, "`" + options.name + "` cannot be a target's name: letters, digits, `.`, `_` and `-`");
  std::string text = "targets:\n  - name: " + options.name + "\n    address: \"" + options.address + "\"\n    port: " + std::to_string(options.port) + "\n";
  if (options.address == "localhost" || options.address == "::1" || options.address.starts_with("127.")) text += "    allow_networks: [loopback]\n";
  std::string labels;
  for (const std::string& label : options.labels) {
    const std::size_t equals = label.find('=');
    if (equals == std::string::npos || !is_plain(label.substr(0, equals), "._-") || !is_plain(label.substr(equals + 1), "._-"))
      return fail(Errc::invalid, "label `" + label + "`: expected KEY=VALUE");
    labels += (labels.empty() ? "" : ", ") + label.substr(0, equals) + ": \"" + label.substr(equals + 1) + "\"";
  }
  if (!labels.empty()) text += "    labels: {" + labels + "}\n";
  text += "    host_keys: " + flow_list(host_keys) + "\n    accounts:\n";
  for (const std::string& account : options.accounts) {
    if (!is_plain(account, "._-")) return fail(Errc::invalid, "`" + account + "` is not an account name");
    text += "      - {name: " + account + ", credentials: [certificate]}\n";
  }
  return text;
}

}  // namespace

int run_target_scan(const Common& common, TargetOptions options) {
  if (auto taken = take_port(options); !taken) return report(taken.error());
  auto keys = scan(options.address, options.port);
  if (!keys) return report(keys.error());
  json::array rows;
  for (const ScannedKey& key : *keys)
    rows.push_back(json::object{{"type", key.line.substr(0, key.line.find(' '))}, {"fingerprint", key.fingerprint}, {"key", key.line}});
  print_rows(common, rows, {{"TYPE", "type"}, {"FINGERPRINT", "fingerprint"}, {"KEY", "key"}}, "");
  if (common.format == Format::table)
    std::fprintf(stderr, "Whoever answered at %s said so. Compare with the machine's console: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub\n",
                 options.address.c_str());
  return k_exit_ok;
}

int run_target_add(TargetOptions options) {
  if (auto taken = take_port(options); !taken) return report(taken.error());
  if (!is_address(options.address)) return usage_error("`" + options.address + "` is not a host name or address");
  std::vector<std::string> host_keys = options.host_keys;
  for (const std::string& line : host_keys)
    if (!crypto::SshPublicKey::parse_line(line)) return usage_error("`" + line + "` is not a public key line");
  if (host_keys.empty()) {
    auto keys = scan(options.address, options.port);
    if (!keys) return report(keys.error());
    for (const ScannedKey& key : *keys) {
      std::fprintf(stderr, "%s  %s\n", key.fingerprint.c_str(), key.line.substr(0, key.line.find(' ')).c_str());
      host_keys.push_back(key.line);
    }
    if (!options.yes) {
      if (isatty(STDIN_FILENO) == 0) return usage_error("say --yes to trust the keys above, or give --host-key");
      std::fprintf(stderr, "Are these the machine's keys (compare with its console)? [y/N] ");
      std::string answer;
      if (!std::getline(std::cin, answer) || (answer != "y" && answer != "yes")) return k_exit_interrupted;
    }
  }
  auto entry = entry_of(options, host_keys);
  if (!entry) return report(entry.error());
  if (options.folder.empty()) {
    std::printf("%s", entry->c_str());
    return k_exit_ok;
  }
  const auto file = std::filesystem::path(options.folder) / ("target-" + options.name + ".yaml");
  if (std::filesystem::exists(file))
    return report(Error{Errc::conflict, file.string() + " exists: change it there (`sallyport target scan ADDRESS` shows new host keys)"});
  std::ofstream out(file);
  out << *entry;
  out.close();
  if (!out) return report(Error{Errc::unavailable, file.string() + " cannot be written"});
  std::printf("%s\nnext  sallyport plan -f %s\n      sallyport apply -f %s\n      sallyport target setup %s\n", file.c_str(), options.folder.c_str(), options.folder.c_str(),
              options.name.c_str());
  return k_exit_ok;
}

namespace {

/// Entries of an import by their target's name.
std::map<std::string, std::string> entries_in(const std::string& text) {
  std::map<std::string, std::string> entries;
  std::string name;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    constexpr std::string_view k_begin = "  - name: ";
    if (line.starts_with(k_begin)) name = line.substr(k_begin.size());
    if (!name.empty()) entries[name] += line + "\n";
  }
  return entries;
}

struct ImportNews {
  std::string text;  ///< "+ web1", "~ web2", "- web3"
  bool nothing = true;
};

ImportNews compare_imports(const std::string& before, const std::string& after) {
  const auto old_entries = entries_in(before);
  const auto new_entries = entries_in(after);
  ImportNews news;
  for (const auto& [name, entry] : new_entries) {
    const auto old = old_entries.find(name);
    if (old == old_entries.end()) news.text += "+ " + name + "\n";
    else if (old->second != entry) news.text += "~ " + name + "\n";
  }
  for (const auto& [name, entry] : old_entries)
    if (!new_entries.contains(name)) news.text += "- " + name + "\n";
  news.nothing = before == after;
  return news;
}

}  // namespace

int run_target_import(const TargetOptions& options) {
  std::ostringstream text;
  if (options.inventory == "-") {
    text << std::cin.rdbuf();
  } else {
    std::ifstream in(options.inventory, std::ios::binary);
    text << in.rdbuf();
    if (!in) return report(Error{Errc::not_found, options.inventory + " cannot be read"});
  }
  auto hosts = parse_inventory(text.str());
  if (!hosts) return report(hosts.error());
  if (hosts->empty()) return report(Error{Errc::not_found, "the inventory has no host that is reached by SSH"});
  for (const auto* lines : {&options.host_keys, &options.host_cas})
    for (const std::string& line : *lines)
      if (!crypto::SshPublicKey::parse_line(line)) return usage_error("`" + line + "` is not a public key line");
  if (!options.scan && options.host_cas.empty()) return usage_error("how are the machines known? --host-ca LINE, or --scan (and --yes, once you compared)");
  if (options.scan && !options.yes && options.host_cas.empty()) return usage_error("--scan trusts whoever answers: say --yes to do so");
  std::string out = "targets:\n";
  for (const InventoryHost& host : *hosts) {
    if (!is_plain(host.name, "._-")) return report(Error{Errc::invalid, "`" + host.name + "` cannot be a target's name: letters, digits, `.`, `_` and `-`"});
    if (!is_address(host.address)) return report(Error{Errc::invalid, host.name + ": `" + host.address + "` is not a host name or address"});
    out += "  - name: " + host.name + "\n    address: \"" + host.address + "\"\n    port: " + std::to_string(host.port) + "\n    labels: {inventory: ansible";
    for (const std::string& group : host.groups) {
      if (!is_plain(group, "._-")) return report(Error{Errc::invalid, "`" + group + "` cannot be a label"});
      out += ", group_" + group + ": \"yes\"";
    }
    out += "}\n";
    if (options.scan) {
      auto keys = scan(host.address, host.port);
      if (!keys) return report(Error{keys.error().code, host.name + ": " + keys.error().detail});
      std::vector<std::string> lines;
      for (const ScannedKey& key : *keys) {
        std::fprintf(stderr, "%s %s\n", host.name.c_str(), key.fingerprint.c_str());
        lines.push_back(key.line);
      }
      out += "    host_keys: " + flow_list(lines) + "\n";
    }
    if (!options.host_cas.empty()) out += "    host_cas: " + flow_list(options.host_cas) + "\n";
    std::vector<std::string> accounts = options.accounts;
    if (accounts.empty() && !host.user.empty()) accounts = {host.user};
    if (accounts.empty()) return report(Error{Errc::invalid, host.name + ": the inventory names no ansible_user; give --account"});
    out += "    accounts:\n";
    for (const std::string& account : accounts) {
      if (!is_plain(account, "._-")) return report(Error{Errc::invalid, "`" + account + "` is not an account name"});
      out += "      - {name: " + account + ", credentials: [certificate]}\n";
    }
  }
  if (options.folder.empty()) {
    std::printf("%s", out.c_str());
    return k_exit_ok;
  }
  const auto present = std::filesystem::path(options.folder) / "inventory.yaml";
  std::ostringstream before;
  if (std::ifstream in(present, std::ios::binary); in) before << in.rdbuf();
  const ImportNews news = compare_imports(before.str(), out);
  std::printf("%s", news.text.c_str());
  if (news.nothing || options.dry_run) {
    std::printf("%s: %zu targets, %s\n", present.c_str(), hosts->size(), news.nothing ? "nothing to change" : "nothing was written");
    return k_exit_ok;
  }
  // Made whole or not at all; an import replaces the one before it, so that machines that are gone are gone.
  const auto file = std::filesystem::path(options.folder) / "inventory.yaml";
  const auto fresh = std::filesystem::path(options.folder) / ".inventory.yaml.new";
  std::ofstream to(fresh);
  to << out;
  to.close();
  std::error_code error;
  if (to) std::filesystem::rename(fresh, file, error);
  if (!to || error) return report(Error{Errc::unavailable, file.string() + " cannot be written"});
  std::printf("%s: %zu targets\nnext  sallyport plan -f %s\n", file.c_str(), hosts->size(), options.folder.c_str());
  return k_exit_ok;
}

int run_target_setup(const Common& common, const TargetOptions& options) {
  auto client = AdminClient::find(common);
  if (!client) return report(client.error());
  auto answer = client->get("/v1/targets/" + segment_of(options.name) + "/setup");
  if (!answer) return report(answer.error());
  const json::object* object = answer->if_object();
  const json::value* text = object == nullptr ? nullptr : object->if_contains("text");
  if (text == nullptr || !text->is_string()) return report(Error{Errc::corrupt, "the gateway's answer has no text"});
  std::printf("%s", text->get_string().c_str());
  return k_exit_ok;
}

}  // namespace sallyport::app
