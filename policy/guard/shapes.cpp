// Fork bombs, endless loops, secrets printed by name, programs out of folders that anybody writes to.
#include "policy/guard/shapes.h"

#include <algorithm>
#include <cctype>

#include "policy/guard/argv_words.h"
#include "policy/guard/walk.h"

namespace sallyport::guard {
namespace {

std::string without_blanks(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c != ' ' && c != '\t' && c != '\n') out.push_back(c);
  }
  return out;
}

/// Ends a loop, or lets it wait.
bool is_pause(std::string_view name) {
  return is_one_of(name, {"break", "exit", "return", "sleep", "usleep", "read", "wait", "inotifywait", "select", "timeout", "kill"});
}

}  // namespace

bool is_fork_bomb(std::string_view name, std::string_view body) {
  const std::string flat = without_blanks(body);
  const std::string self(name);
  return flat.find(self + "|" + self) != std::string::npos || flat.find(self + "&" + self) != std::string::npos;
}

bool has_history_expansion(std::string_view text) {
  if (text.starts_with('^') && text.find('^', 1) != std::string_view::npos) return true;
  bool in_single = false;
  bool in_double = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\\' && !in_single) {
      ++i;
    } else if (c == '\'' && !in_double) {
      in_single = !in_single;
    } else if (c == '"' && !in_single) {
      in_double = !in_double;
    } else if (c == '!' && !in_single && i + 1 < text.size()) {
      const char next = text[i + 1];
      const bool is_designator = std::isalnum(static_cast<unsigned char>(next)) != 0 || std::string_view("!$?*-#:^/.\\").find(next) != std::string_view::npos;
      const bool is_parameter = i > 0 && (text[i - 1] == '$' || text[i - 1] == '{' || text[i - 1] == '[');
      if (is_designator && !is_parameter) return true;
    }
  }
  return false;
}

/// echo $PGPASSWORD: the value is not known here, its name says what it is.
void Walk::note_secret_variables(const std::vector<std::string_view>& words) {
  const std::string_view program = program_name(words[0]);
  if (program != "echo" && program != "printf" && program != "print") return;
  for (const std::string_view word : words) {
    for (std::size_t at = word.find('$'); at != std::string_view::npos; at = word.find('$', at + 1)) {
      std::size_t from = at + 1;
      if (from < word.size() && word[from] == '{') ++from;
      std::size_t end = from;
      while (end < word.size() && (word[end] == '_' || (word[end] >= 'A' && word[end] <= 'Z') || (word[end] >= '0' && word[end] <= '9'))) ++end;
      const std::string_view name = word.substr(from, end - from);
      const bool is_secret = [&] {
        for (const std::string_view part : {"PASSWORD", "PASSWD", "SECRET", "TOKEN", "API_KEY", "APIKEY", "ACCESS_KEY", "PRIVATE_KEY", "CREDENTIAL"}) {
          if (name.find(part) != std::string_view::npos) return true;
        }
        return false;
      }();
      if (!is_secret || find_variable(name) != nullptr) continue;
      Command made;
      made.argv = {"secret-variable", std::string(name)};
      emit(std::move(made));
    }
  }
}

void Walk::note_endless_loop(const Script& script, std::uint32_t condition, std::uint32_t body, std::size_t first) {
  const Node* asked = &script.nodes[condition];
  while (asked->kind == NodeKind::sequence && asked->children.size() == 1) asked = &script.nodes[asked->children[0]];
  if (asked->kind != NodeKind::simple || asked->words.size() != 1) return;
  if (asked->words[0] != ":" && asked->words[0] != "true" && asked->words[0] != "false") return;
  bool makes = false;
  // Started and not waited for, again and again. A pause among them would be one of the loop's own commands.
  if (body < script.nodes.size()) {
    const Node& each = script.nodes[body];
    const auto is_behind = [&](std::size_t i) { return i < each.in_background.size() && each.in_background[i]; };
    bool starts = false;
    bool pauses = false;
    for (std::size_t i = 0; i < each.children.size(); ++i) {
      const Node& item = script.nodes[each.children[i]];
      starts = starts || is_behind(i);
      pauses = pauses || (!is_behind(i) && (item.kind != NodeKind::simple || (!item.words.empty() && is_pause(program_name(item.words[0])))));
    }
    if (starts && !pauses) {
      Command made;
      made.argv = {"endless-loop"};
      return emit(std::move(made));
    }
  }
  for (std::size_t i = first; i < commands.size(); ++i) {
    const Command& command = commands[i];
    if (command.argv.empty()) continue;
    const std::string_view name = program_name(command.argv[0]);
    if (is_pause(name)) return;
    for (const std::string_view maker : {"mkdir", "mktemp", "fallocate", "dd", "truncate", "cp", "touch", "yes", "split", "tee"}) makes = makes || name == maker;
    for (const Redirect& r : command.redirects) makes = makes || (r.op.find('>') != std::string::npos && r.op.find('&') == std::string::npos && !r.target.starts_with("/dev/"));
  }
  if (!makes) return;
  Command made;
  made.argv = {"endless-loop"};
  emit(std::move(made));
}

// /tmp/x, /dev/shm/.y: nobody knows who put it there. Deeper folders are builds and environments.
void Walk::note_open_folder(std::string_view word) {
  if (word.find('/') == std::string_view::npos) return;
  const std::string path = absolute(word);
  for (std::string_view folder : {std::string_view("/tmp/"), std::string_view("/var/tmp/"), std::string_view("/dev/shm/"), std::string_view("/run/user/"), std::string_view("/run/lock/")}) {
    if (!path.starts_with(folder)) continue;
    std::string_view rest = std::string_view(path).substr(folder.size());
    if (folder == "/run/user/") rest.remove_prefix(std::min(rest.find('/') + 1, rest.size()));
    if (rest.empty() || (rest.find('/') != std::string_view::npos && rest.find("/.") == std::string_view::npos && !rest.starts_with('.'))) return;
    Command made;
    made.argv = {"run-from-open-folder", path};
    emit(std::move(made));
    return;
  }
}

/// curl -d "$(cat file)": what was read goes out, although no file is named where uploads name theirs.
void Walk::note_upload(const std::vector<std::string_view>& words) {
  if (!is_one_of(program_name(words[0]), {"curl", "wget", "http", "https", "xh", "httpie"})) return;
  const auto reads_file = [](std::string_view word) {
    for (const std::string_view sign : {"$(<", "$(cat ", "`cat ", "$(base64 ", "`base64 ", "$(tar ", "$(gzip ", "$(xxd ", "$(od ", "$(head ", "$(tail ", "$(sed ", "$(awk ", "$(grep ", "$(openssl ", "$(sort ", "$(strings "}) {
      const std::size_t at = word.find(sign);
      // Not a header with a token: what stands between the option and it is data.
      if (at != std::string_view::npos) return true;
    }
    return false;
  };
  bool sends = false;
  bool is_remote = false;
  for (std::size_t i = 1; i < words.size(); ++i) {
    const std::string_view word = words[i];
    const std::size_t scheme = word.find("://");
    if (scheme != std::string_view::npos) {
      const std::string_view host = word.substr(scheme + 3);
      is_remote = is_remote || !(host.starts_with("localhost") || host.starts_with("127.") || host.starts_with("[::1]"));
    }
    const bool is_data = is_one_of(words[i - 1], {"-d", "--data", "--data-raw", "--data-binary", "--data-urlencode", "--data-ascii", "-F", "--form", "--form-string", "--json", "--post-data", "--body-data"}) ||
                         word.starts_with("--data") || word.starts_with("--post-data=") || word.starts_with("--json=") || (word.starts_with("-d") && word.size() > 2);
    sends = sends || ((is_data || scheme != std::string_view::npos) && reads_file(word));
  }
  if (!sends || !is_remote) return;
  Command made;
  made.argv = {"code-uploads", "file"};
  emit(std::move(made));
}

/// The same question to one host after the other: a scan, whatever asks it.
void Walk::note_sweep() {
  constexpr std::size_t k_hosts = 16;
  std::set<std::string> hosts;
  for (const Command& command : commands) {
    if (command.argv.size() < 2 || !is_one_of(program_name(command.argv[0]), {"ping", "ping6", "arping", "fping", "nc", "ncat", "telnet", "traceroute", "nbtscan", "snmpget", "snmpwalk"})) continue;
    for (std::size_t i = 1; i < command.argv.size(); ++i) {
      if (command.argv[i].find('.') != std::string::npos || command.argv[i].find(':') != std::string::npos) hosts.insert(command.argv[i]);
    }
  }
  if (hosts.size() < k_hosts) return;
  Command made;
  made.argv = {"host-sweep", *hosts.begin()};
  emit(std::move(made));
}

}  // namespace sallyport::guard
