// principal invite | invites | enrolled | forget, login
#include <fcntl.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <boost/json.hpp>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "app/verbs/admin_client.h"
#include "app/verbs/exit_codes.h"
#include "app/verbs/verb.h"
#include "platform/os/fd.h"

extern char** environ;

namespace sallyport::app {
namespace {

namespace json = boost::json;
namespace fs = std::filesystem;

struct InviteOptions {
  std::string principal;
  std::string lasts;
  std::string id;
};

struct LoginOptions {
  std::string where;  ///< engineer@gateway
  unsigned port = 22;
  std::string key;
  std::string identity;
  std::string lasts;
  std::string from;
  std::string code;
  bool agent = false;
  bool sso = false;
  std::vector<std::string> ssh_options;
};

/// Runs a program of this machine; what it says on standard output when `out` is given. The rest is the person's terminal.
Result<int> run_program(std::vector<std::string> words, std::string* out) {
  int ends[2] = {-1, -1};
  if (out != nullptr && ::pipe2(ends, O_CLOEXEC) != 0) return fail(Errc::unavailable, "no pipe");
  Fd read_end(ends[0]);
  Fd write_end(ends[1]);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  if (out != nullptr) posix_spawn_file_actions_adddup2(&actions, write_end.get(), STDOUT_FILENO);
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_t pid = 0;
  const int failed = ::posix_spawnp(&pid, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  write_end.reset();
  if (failed != 0) return fail(Errc::not_found, words[0] + " cannot be run: is the OpenSSH client installed?");
  constexpr std::size_t k_most = 64 * 1024;
  std::array<char, 4096> buffer{};
  while (out != nullptr) {
    const ssize_t got = ::read(read_end.get(), buffer.data(), buffer.size());
    if (got <= 0 || out->size() > k_most) break;
    out->append(buffer.data(), static_cast<std::size_t>(got));
  }
  read_end.reset();
  int status = 0;
  if (::waitpid(pid, &status, 0) != pid) return fail(Errc::unavailable, words[0] + " was lost");
  return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

Result<void> write_certificate(const fs::path& path, const std::string& text) {
  const fs::path fresh = path.string() + ".new";
  std::ofstream file(fresh, std::ios::trunc);
  file << text;
  file.close();
  std::error_code error;
  if (file) fs::rename(fresh, path, error);
  if (!file || error) return fail(Errc::unavailable, path.string() + ": cannot be written");
  return {};
}

Result<std::string> read_line(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line) || line.empty()) return fail(Errc::not_found, path.string() + ": cannot be read");
  return line;
}

int run_login(const LoginOptions& options) {
  const auto at = options.where.find('@');
  if (at == std::string::npos || at == 0 || at + 1 == options.where.size())
    return report(Error{Errc::invalid, "write sallyport login PRINCIPAL@gateway"});
  const char* home = std::getenv("HOME");
  if (options.key.empty() && home == nullptr) return report(Error{Errc::invalid, "name the key: --key FILE"});
  const fs::path key = options.key.empty() ? fs::path(home) / ".ssh" / "id_sallyport" : fs::path(options.key);
  std::error_code error;
  if (!fs::exists(key, error)) {
    fs::create_directories(key.parent_path(), error);
    const auto made = run_program({"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "sallyport login", "-f", key.string()}, nullptr);
    if (!made) return report(made.error());
    if (*made != 0) return report(Error{Errc::unavailable, "ssh-keygen could not make " + key.string()});
  }
  const auto line = read_line(key.string() + ".pub");
  if (!line) return report(line.error());
  std::vector<std::string> words{"ssh", "-T", "-p", std::to_string(options.port), "-l", options.where.substr(0, at)};
  if (!options.identity.empty()) words.insert(words.end(), {"-i", options.identity});
  // The identity provider is asked over keyboard-interactive; no key shall answer before it.
  if (options.sso) words.insert(words.end(), {"-o", "PubkeyAuthentication=no", "-o", "PreferredAuthentications=keyboard-interactive"});
  for (const std::string& one : options.ssh_options) words.insert(words.end(), {"-o", one});
  words.insert(words.end(), {"--", options.where.substr(at + 1), "certificate", *line});
  for (const auto& [flag, value] : {std::pair{"--for", &options.lasts}, std::pair{"--from", &options.from}, std::pair{"--code", &options.code}})
    if (!value->empty()) words.insert(words.end(), {flag, *value});
  std::string certificate;
  const auto status = run_program(std::move(words), &certificate);
  if (!status) return report(status.error());
  if (*status != 0) return *status;  // ssh and the gateway have said why
  if (certificate.find("-cert-v01@openssh.com ") == std::string::npos) return report(Error{Errc::invalid, "the gateway sent no certificate"});
  const fs::path beside = key.string() + "-cert.pub";
  if (auto written = write_certificate(beside, certificate); !written) return report(written.error());
  if (options.agent) {
    const auto added = run_program({"ssh-add", "-q", key.string()}, nullptr);
    if (!added) return report(added.error());
    if (*added != 0) return report(Error{Errc::unavailable, "ssh-add refused: does an agent run?"});
  }
  std::printf("%s\nFrom now on: ssh -i %s %s\n", beside.c_str(), key.c_str(), options.where.c_str());
  return k_exit_ok;
}

int with_gateway(const Common& common, const std::function<Result<json::value>(AdminClient&)>& ask) {
  auto client = AdminClient::find(common);
  if (!client) return report(client.error());
  const auto answer = ask(*client);
  if (!answer) return report(answer.error());
  if (const json::object* object = answer->if_object()) print_object(common, *object);
  return k_exit_ok;
}

int list_invites(const Common& common) {
  auto client = AdminClient::find(common);
  if (!client) return report(client.error());
  const auto answer = client->get("/v1/invites");
  if (!answer) return report(answer.error());
  print_rows(common, answer->at("invites").as_array(), {{"ID", "id"}, {"PRINCIPAL", "principal"}, {"BY", "by"}, {"EXPIRES", "expires"}}, "no invite is open");
  return k_exit_ok;
}

}  // namespace

void add_sign_on_verbs(CLI::App& app, Common& common, Outcome& outcome) {
  static InviteOptions options;
  static LoginOptions login_options;
  CLI::App& principal = add_verb(app, "principal", "Invite people to enrol their keys and one-time codes.",
                                 "  sallyport principal invite engineer\n  sallyport principal invites\n  sallyport principal enrolled engineer\n  sallyport principal forget engineer\n");
  principal.require_subcommand(1);
  CLI::App& invite = add_verb(principal, "invite", "Make an invite; its code is shown once.", "  sallyport principal invite engineer --for 24h\n");
  invite.add_option("name", options.principal, "a person of the policy with `enrol`")->required();
  invite.add_option("--for", options.lasts, "24h by default, at most 7d");
  invite.callback([&] {
    json::object body{{"principal", options.principal}};
    if (!options.lasts.empty()) body.emplace("lasts", options.lasts);
    outcome.status = with_gateway(common, [&](AdminClient& client) { return client.send("POST", "/v1/invites", body); });
  });
  add_verb(principal, "invites", "Show open invites; never their codes.", "  sallyport principal invites\n").callback([&] { outcome.status = list_invites(common); });
  CLI::App& uninvite = add_verb(principal, "uninvite", "Take an invite back.", "  sallyport principal uninvite 01K...\n");
  uninvite.add_option("id", options.id)->required();
  uninvite.callback([&] { outcome.status = with_gateway(common, [&](AdminClient& client) { return client.send("DELETE", "/v1/invites/" + segment_of(options.id), nullptr); }); });
  CLI::App& enrolled = add_verb(principal, "enrolled", "Show what somebody enrolled herself.", "  sallyport principal enrolled engineer -o json\n");
  enrolled.add_option("name", options.principal)->required();
  enrolled.callback([&] { outcome.status = with_gateway(common, [&](AdminClient& client) { return client.get("/v1/enrolments/" + segment_of(options.principal)); }); });
  CLI::App& forget = add_verb(principal, "forget", "Take away all that somebody enrolled: lost phone, lost laptop.", "  sallyport principal forget engineer\n");
  forget.add_option("name", options.principal)->required();
  forget.callback([&] { outcome.status = with_gateway(common, [&](AdminClient& client) { return client.send("DELETE", "/v1/enrolments/" + segment_of(options.principal), nullptr); }); });

  CLI::App& login = add_verb(app, "login", "Get a short-lived certificate for plain ssh, by whatever factors the gateway asks for.",
                             "  sallyport login engineer@gateway\n  sallyport login engineer@gateway -p 2222 --for 1h --from here --agent\n  sallyport login engineer@gateway --sso\n");
  login.add_option("where", login_options.where, "PRINCIPAL@gateway")->required();
  login.add_option("-p,--port", login_options.port, "port of the gateway")->check(CLI::Range(1, 65535));
  login.add_option("--key", login_options.key, "the key to certify, made when missing (default: ~/.ssh/id_sallyport)");
  login.add_option("-i,--identity", login_options.identity, "the key that you log in with now");
  login.add_option("--for", login_options.lasts, "how long it lasts, within the gateway's limit");
  login.add_option("--from", login_options.from, "good from this network only; `here`: from where you are");
  login.add_option("--code", login_options.code, "one-time code, when the login itself asks for none");
  login.add_flag("--sso", login_options.sso, "sign on at the identity provider, by a browser of any machine");
  login.add_flag("--agent", login_options.agent, "put it into the agent as well");
  login.add_option("--ssh-option", login_options.ssh_options, "an -o option of ssh(1); may be repeated");
  login.callback([&] { outcome.status = run_login(login_options); });
}

}  // namespace sallyport::app
