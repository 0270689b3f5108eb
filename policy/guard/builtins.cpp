// The shell's own commands that change what later words mean.
#include <algorithm>
#include <array>
#include <cctype>

#include "policy/guard/argv_words.h"
#include "policy/guard/decoders.h"
#include "policy/guard/walk.h"
#include "policy/guard/wildcard.h"

namespace sallyport::guard {
namespace {

std::vector<std::string> split_blanks(std::string_view text, std::string_view separators) {
  std::vector<std::string> out;
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t start = text.find_first_not_of(separators, at);
    if (start == std::string_view::npos) break;
    const std::size_t end = std::min(text.find_first_of(separators, start), text.size());
    out.emplace_back(text.substr(start, end - start));
    at = end;
  }
  return out;
}

bool is_program_folder(std::string_view path) {
  for (const std::string_view folder : {"/bin/", "/usr/bin/", "/sbin/", "/usr/sbin/", "/usr/local/bin/", "/usr/local/sbin/"}) {
    if (path.starts_with(folder)) return true;
  }
  return false;
}

}  // namespace

void Walk::declare(const Command& command) {
  bool is_array = false;
  bool is_associative = false;
  bool is_reference = false;
  char folds = 0;
  for (std::size_t i = 1; i < command.argv.size(); ++i) {
    const std::string& word = command.argv[i];
    if (word.starts_with('-')) {
      is_reference = is_reference || word.find('n') != std::string::npos;
      is_associative = is_associative || word.find('A') != std::string::npos;
      is_array = is_array || is_associative || word.find('a') != std::string::npos;
      for (const char c : word) folds = c == 'l' || c == 'u' ? c : folds;
      continue;
    }
    const std::size_t prefix = assignment_prefix(word);
    if (is_associative || folds != 0) {
      Variable& made = overlay_.variables.try_emplace(word.substr(0, prefix == 0 ? std::string::npos : prefix - 1), Variable()).first->second.emplace();
      made.is_array = is_array;
      made.is_associative = is_associative;
      made.folds = folds;
    }
    if (prefix == 0) continue;
    std::string_view name = std::string_view(word).substr(0, prefix - 1);
    std::string value = plain(std::string_view(word).substr(prefix));
    if (name.ends_with('+')) {
      name.remove_suffix(1);
      if (const Variable* before = find_variable(name); before != nullptr && !before->values.empty()) value = before->values[0] + value;
    }
    if (is_reference && command.argv[0] != "export" && command.argv[0] != "readonly") {
      if (const Variable* meant = find_variable(value); meant != nullptr && !meant->values.empty()) value = meant->values[0];
    }
    if (value.starts_with('(') && value.ends_with(')')) {
      if (!is_associative) set_array(name, split_blanks(std::string_view(value).substr(1, value.size() - 2), " \t\n"));  // else: read as it stands
    } else {
      set_variable(name, value);
      run_by_name(name, value);
    }
  }
}

/// cp /bin/rm x, ln -s /bin/rm x: x is rm from now on. The same for files whose content is known.
void Walk::remember_copies(const Command& command) {
  const std::string_view name = program_name(command.argv[0]);
  if (name == "dd") {
    std::string from;
    std::string to;
    for (const std::string& word : command.argv) {
      if (word.starts_with("if=")) from = word.substr(3);
      if (word.starts_with("of=")) to = word.substr(3);
    }
    if (from.empty() && !to.empty() && command.input.text) write_file(to, *command.input.text, false);
    if (from.empty() || to.empty()) return;
    if (const KnownFile* file = find_file(from)) {
      overlay_.files[absolute(to)] = KnownFile(*file);
    } else if (is_program_folder(absolute(from))) {
      overlay_.files[absolute(to)] = KnownFile{{}, {}, std::string(program_name(from)), false, false};
    }
    return;
  }
  if (name == "tee" || name == "sponge") {
    const bool appends = std::find(command.argv.begin(), command.argv.end(), "-a") != command.argv.end() || std::find(command.argv.begin(), command.argv.end(), "--append") != command.argv.end();
    for (std::size_t i = 1; i < command.argv.size(); ++i) {
      if (!command.argv[i].starts_with('-')) write_file(command.argv[i], command.input.text.value_or(std::string(1, k_hole)), appends);
    }
    return;
  }
  if (name == "cat" && command.argv.size() == 2 && is_program_folder(absolute(command.argv[1]))) {
    for (const Redirect& r : command.redirects) {
      if (r.op == ">" && r.fd == 1) overlay_.files[absolute(r.target)] = KnownFile{{}, {}, std::string(program_name(command.argv[1])), false, false};
    }
    return;
  }
  if (name == "curl" || name == "wget" || name == "fetch" || name == "aria2c" || name == "lwp-download" || name == "http") {
    // What is fetched is not seen.
    std::string to;
    std::string url;
    bool named_by_url = name == "wget" || name == "aria2c" || name == "fetch" || name == "lwp-download";
    for (std::size_t i = 1; i < command.argv.size(); ++i) {
      const std::string& word = command.argv[i];
      const auto value_of = [&](std::string_view flag) -> bool {
        if (word == flag && i + 1 < command.argv.size()) {
          to = command.argv[++i];
          return true;
        }
        if (flag.size() == 2 && word.size() > 2 && word.starts_with(flag)) {
          to = word.substr(2);
          return true;
        }
        if (flag.starts_with("--") && word.starts_with(std::string(flag) + "=")) {
          to = word.substr(flag.size() + 1);
          return true;
        }
        return false;
      };
      if (name == "wget" ? value_of("-O") || value_of("--output-document") : value_of("-o") || value_of("--output") || value_of("--out")) continue;
      if (name == "curl" && (word == "--remote-name" || (word.starts_with('-') && !word.starts_with("--") && word.find('O') != std::string::npos))) named_by_url = true;
      if (!word.starts_with('-') && word.find('.') != std::string::npos) {
        if (!url.empty() && name == "lwp-download") to = word;
        else url = word;
      }
    }
    if (to.empty() && named_by_url && !url.empty()) {
      to = url.substr(0, url.find('?'));
      to = std::string(program_name(to));
    }
    if (!to.empty() && to != "-") write_file(to, std::string(1, k_hole), false);
    return;
  }
  if (name != "cp" && name != "mv" && name != "ln" && name != "install" && name != "gcp") return;
  std::vector<std::string> operands;
  for (std::size_t i = 1; i < command.argv.size(); ++i) {
    if (!command.argv[i].starts_with('-')) operands.push_back(command.argv[i]);
  }
  if (operands.size() < 2 || operands.size() > 8) return;
  std::string to = operands.back();
  for (std::size_t i = 0; i + 1 < operands.size(); ++i) {
    const std::string& from = operands[i];
    const std::string resolved = absolute(from);
    std::string place = to;
    if (to.ends_with('/') || to == "." || operands.size() > 2) place = to + "/" + std::string(program_name(from));
    if (has_hole(place)) continue;
    if (const KnownFile* file = find_file(from)) {
      overlay_.files[absolute(place)] = KnownFile(*file);
    } else if (is_program_folder(resolved) && place != from) {
      overlay_.files[absolute(place)] = KnownFile{{}, {}, std::string(program_name(resolved)), false, false};
      if (!to.ends_with('/') && (to == "/tmp" || to == "." || to == "/dev/shm")) {
        overlay_.files[absolute(to + "/" + std::string(program_name(from)))] = KnownFile{{}, {}, std::string(program_name(resolved)), false, false};
      }
    }
  }
}

void Walk::look_into_names(std::string_view expression) {
  for (std::size_t at = 0; at < expression.size();) {
    const std::size_t start = at;
    while (at < expression.size() && (std::isalnum(static_cast<unsigned char>(expression[at])) != 0 || expression[at] == '_')) ++at;
    if (at == start) {
      ++at;
      continue;
    }
    const Variable* known = find_variable(expression.substr(start, at - start));
    if (known == nullptr || !spend(8)) continue;
    const std::vector<std::string> values = known->values;
    for (const std::string& value : values) look_into_subscript(value);
  }
}

void Walk::look_into_subscript(std::string_view name) {
  const std::size_t open = name.find('[');
  if (open == std::string_view::npos || name.find_first_of("$`", open) == std::string_view::npos) return;
  (void)expand_here_document(name.substr(open));
}

bool Walk::builtin(const Command& command, Output& output) {
  const std::vector<std::string>& argv = command.argv;
  const std::string& name = argv[0];
  const auto is = [&](std::initializer_list<std::string_view> names) { return std::find(names.begin(), names.end(), name) != names.end(); };
  if (name.empty() || name.find('/') != std::string::npos) return false;
  // These take names, and bash expands what stands between the brackets of a name.
  if (is({"test", "[", "printf", "read", "mapfile", "readarray", "unset", "let", "declare", "typeset", "local", "export", "readonly", "wait"}))
    for (std::size_t i = 1; i < argv.size(); ++i) look_into_subscript(argv[i]);
  switch (name[0]) {
    case ':':
    case 't':
    case 'f':
    case '[':
      if (is({":", "true", "false", "test", "["})) {
        output.clear();
        return true;
      }
      break;
    default: break;
  }
  if (is({"cd", "pushd"})) {
    std::string to = home();
    for (std::size_t i = 1; i < argv.size(); ++i) {
      if (!argv[i].starts_with('-') || argv[i] == "-") to = plain(argv[i]);
    }
    if (to == "-" || has_hole(to)) {
      overlay_.cwd = std::string();
    } else if (to.starts_with('/') || !cwd().empty()) {
      overlay_.cwd = absolute(to);
    } else if (clean_path(to).starts_with("..")) {
      overlay_.cwd = std::string();
    }
    output.clear();
    return true;
  }
  if (name == "popd") {
    overlay_.cwd = std::string();
    output.clear();
    return true;
  }
  if (is({"export", "declare", "typeset", "local", "readonly"})) {
    declare(command);
    output.clear();
    return true;
  }
  if (name == "unset") {
    for (std::size_t i = 1; i < argv.size(); ++i) {
      if (argv[i].starts_with('-')) continue;
      overlay_.variables[argv[i]] = std::nullopt;
      overlay_.functions.erase(argv[i]);
    }
    output.clear();
    return true;
  }
  if (name == "alias") {
    for (std::size_t i = 1; i < argv.size(); ++i) {
      const std::size_t equals = argv[i].find('=');
      if (equals != std::string::npos && equals > 0) overlay_.aliases[argv[i].substr(0, equals)] = plain(std::string_view(argv[i]).substr(equals + 1));
    }
    output.clear();
    return true;
  }
  if (name == "unalias") {
    for (std::size_t i = 1; i < argv.size(); ++i) overlay_.aliases[argv[i]] = std::nullopt;
    return true;
  }
  if (name == "set") {
    std::size_t i = 1;
    while (i < argv.size() && (argv[i].starts_with('-') || argv[i].starts_with('+')) && argv[i] != "--" && argv[i] != "-") {
      if (argv[i].size() > 1 && argv[i].find('o') != std::string::npos) ++i;
      ++i;
    }
    if (i < argv.size() && (argv[i] == "--" || argv[i] == "-")) {
      ++i;
      overlay_.arguments = std::vector<std::string>(argv.begin() + static_cast<std::ptrdiff_t>(std::min(i, argv.size())), argv.end());
    } else if (i < argv.size()) {
      overlay_.arguments = std::vector<std::string>(argv.begin() + static_cast<std::ptrdiff_t>(i), argv.end());
    }
    output.clear();
    return true;
  }
  if (name == "shift") {
    std::vector<std::string> left = arguments();
    const std::size_t by = argv.size() > 1 && argv[1].size() == 1 && argv[1][0] >= '0' && argv[1][0] <= '9' ? static_cast<std::size_t>(argv[1][0] - '0') : 1;
    left.erase(left.begin(), left.begin() + static_cast<std::ptrdiff_t>(std::min(by, left.size())));
    overlay_.arguments = std::move(left);
    output.clear();
    return true;
  }
  if (is({"read", "readarray", "mapfile"})) {
    std::vector<std::string> names;
    bool is_array = name != "read";
    for (std::size_t i = 1; i < argv.size(); ++i) {
      const std::string& word = argv[i];
      if (word.starts_with('-') && word.size() > 1) {
        if (word.find('a') != std::string::npos && name == "read") is_array = true;
        if (std::string_view("pdnNtuiOscC").find(word.back()) != std::string_view::npos && word.back() != 's') ++i;
        continue;
      }
      names.push_back(word);
    }
    if (names.empty()) names.emplace_back(is_array ? "MAPFILE" : "REPLY");
    std::string line(1, k_hole);
    if (command.input.text) {
      const std::size_t from = std::min(*command.input.consumed, command.input.text->size());
      const std::size_t to = name == "read" ? std::min(command.input.text->find('\n', from), command.input.text->size()) : command.input.text->size();
      line = command.input.text->substr(from, to - from);
      *command.input.consumed = std::min(to + 1, command.input.text->size());
    }
    std::string separators = name == "read" ? " \t\n" : "\n";
    for (const auto& [variable, value] : command.assignments) {
      if (variable == "IFS" && name == "read") separators = value;
    }
    if (const Variable* ifs = find_variable("IFS"); ifs != nullptr && !ifs->values.empty() && separators == " \t\n" && name == "read") separators = ifs->values[0];
    std::vector<std::string> words = split_blanks(line, separators);
    if (is_array) {
      set_array(names[0], std::move(words));
    } else {
      for (std::size_t i = 0; i < names.size(); ++i) {
        std::string value;
        if (i + 1 == names.size()) {
          if (names.size() == 1 && !separators.empty()) {
            const std::size_t start = line.find_first_not_of(separators);
            value = start == std::string::npos ? std::string() : line.substr(start, line.find_last_not_of(separators) - start + 1);
          } else if (names.size() == 1) {
            value = line;
          } else {
            for (std::size_t j = i; j < words.size(); ++j) value += (j == i ? "" : " ") + words[j];
          }
        } else if (i < words.size()) {
          value = words[i];
        }
        if (line.size() == 1 && line[0] == k_hole) value = line;
        set_variable(names[i], std::move(value));
      }
    }
    output.clear();
    return true;
  }
  if (name == "printf" && argv.size() > 3 && argv[1] == "-v") {
    std::vector<std::string> rest = argv;
    rest.erase(rest.begin() + 1, rest.begin() + 3);
    set_variable(argv[2], filter_output(*this, rest, std::nullopt).value_or(std::string(1, k_hole)));
    if (const Variable* made = find_variable(argv[2]); argv[2].starts_with("HIST") && made != nullptr && !made->values.empty()) {
      Command seen;
      seen.assignments.emplace_back(argv[2], made->values[0]);
      seen.is_assignment = true;
      emit(std::move(seen));
    }
    output.clear();
    return true;
  }
  if (name == "eval") {
    std::size_t from = 1;
    if (argv.size() > 1 && argv[1] == "--") from = 2;
    const std::string text = joined(argv, from);
    if (text.empty()) {
      output.clear();
      return true;
    }
    output = run_text(text, command.input, "eval");
    return true;
  }
  if (is({".", "source"})) {
    if (argv.size() < 2) return true;
    std::size_t from = argv[1] == "--" && argv.size() > 2 ? 2 : 1;
    std::vector<std::string> rest(argv.begin() + static_cast<std::ptrdiff_t>(from) + 1, argv.end());
    if (rest.empty()) rest = arguments();
    (void)run_file(argv[from], std::move(rest), command, "source", output);
    return true;
  }
  if (name == "trap") {
    std::size_t i = 1;
    while (i < argv.size() && argv[i].starts_with('-') && argv[i].size() > 1) ++i;
    if (i + 1 < argv.size() && !argv[i].empty() && argv[i] != "-") (void)run_text(argv[i], Input{}, "trap");
    output.clear();
    return true;
  }
  if (name == "hash") {
    for (std::size_t i = 1; i + 2 < argv.size(); ++i) {
      if (argv[i] == "-p") overlay_.aliases[argv[i + 2]] = argv[i + 1];
    }
    return true;
  }
  if (is({"let", "getopts", "shopt", "umask", "ulimit", "complete", "compgen", "return", "exit", "break", "continue", "wait", "jobs", "fg", "bg", "disown",
          "times", "type", "dirs", "logout", "suspend", "caller", "bind", "enable", "history", "fc", "help", "unlimit"})) {
    if (name != "type" && name != "history" && name != "fc" && name != "compgen") output.clear();
    const auto only_asks = [&] {  // bind -P, bind -q complete; `set` changes how lines are shown and completed
      for (std::size_t i = 1; i < argv.size(); ++i) {
        if (argv[i] == "-q" || argv[i] == "-m") ++i;
        else if (!is_one_of(argv[i], {"-l", "-p", "-P", "-s", "-S", "-v", "-V", "-X"}) && !argv[i].starts_with("set ")) return false;
      }
      return true;
    };
    if (name == "bind" && !only_asks()) {
      note(Opaque::hidden_command, "a key is bound to something that is not typed", joined(argv, 0));
    }
    if (name == "fc" && std::find(argv.begin(), argv.end(), "-l") == argv.end()) note(Opaque::history, "fc runs a command out of the history", joined(argv, 0));
    return name != "type";
  }
  return false;
}

}  // namespace sallyport::guard
