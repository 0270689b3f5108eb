// Fork bombs, endless loops, secrets printed by name, programs out of folders that anybody writes to.
#include "policy/guard/shapes.h"

#include <algorithm>
#include <cctype>

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

void Walk::note_endless_loop(const Script& script, std::uint32_t condition, std::size_t first) {
  const Node* asked = &script.nodes[condition];
  while (asked->kind == NodeKind::sequence && asked->children.size() == 1) asked = &script.nodes[asked->children[0]];
  if (asked->kind != NodeKind::simple || asked->words.size() != 1) return;
  if (asked->words[0] != ":" && asked->words[0] != "true" && asked->words[0] != "false") return;
  bool makes = false;
  for (std::size_t i = first; i < commands.size(); ++i) {
    const Command& command = commands[i];
    if (command.argv.empty()) continue;
    const std::string_view name = program_name(command.argv[0]);
    for (const std::string_view pause : {"break", "exit", "return", "sleep", "usleep", "read", "wait", "inotifywait", "select", "timeout", "kill"}) {
      if (name == pause) return;
    }
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
  for (const std::string_view folder : {"/tmp/", "/var/tmp/", "/dev/shm/"}) {
    if (!path.starts_with(folder)) continue;
    const std::string_view rest = std::string_view(path).substr(folder.size());
    if (rest.empty() || (rest.find('/') != std::string_view::npos && rest.find("/.") == std::string_view::npos && !rest.starts_with('.'))) return;
    Command made;
    made.argv = {"run-from-open-folder", path};
    emit(std::move(made));
    return;
  }
}

}  // namespace sallyport::guard
