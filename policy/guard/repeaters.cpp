// Programs that run a command once for each of many things: xargs, parallel, find, fd; and those that keep or type commands elsewhere.
#include <algorithm>
#include <cctype>

#include "policy/guard/argv_words.h"
#include "policy/guard/walk.h"
#include "policy/guard/wildcard.h"
#include "policy/guard/wrapper_table.h"

namespace sallyport::guard {
namespace {

/// Could find's test `-name`, `-path` or one of their kin pick the root itself? What is neither a letter nor `*` or `?` might.
bool finds(std::string_view test, std::string pattern, std::string root) {
  if (pattern.find_first_of("[\\") != std::string::npos) return true;
  while (root.size() > 1 && root.ends_with('/')) root.pop_back();
  if (test.ends_with("name") && test != "-wholename" && root != "/") root = root.substr(root.rfind('/') + 1);
  if (test.starts_with("-i"))
    for (std::string* text : {&pattern, &root})
      std::transform(text->begin(), text->end(), text->begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return wildcard_match(pattern, root, true);
}

/// What find prints, for the command that a pipe or a substitution hands it to: its roots, and below them the name it looks for or something unknown.
Output found_paths(const Argv& argv, std::vector<std::string> roots) {
  const std::string unknown(1, k_hole);
  if (roots.empty()) roots.emplace_back(".");
  std::string looked_for = unknown;
  bool is_root_found = true;
  for (std::size_t i = 1; i < argv.size(); ++i) {
    const std::string& word = argv[i];
    if (has_hole(word)) return unknown;
    if (word.starts_with("-exec") || word.starts_with("-ok") || word.starts_with("-fprint") ||
        is_one_of(word, {"-printf", "-ls", "-fls", "-o", "-or", ",", "-delete", "-files0-from"}))
      return unknown;
    if (i + 1 == argv.size()) break;
    if (is_one_of(argv[i - 1], {"!", "-not"})) continue;
    if (is_one_of(word, {"-name", "-iname", "-path", "-wholename", "-ipath"})) {
      is_root_found = is_root_found && std::any_of(roots.begin(), roots.end(), [&](const std::string& root) { return finds(word, argv[i + 1], root); });
      if (word == "-name" && argv[i + 1].find_first_of("*?[\\/") == std::string::npos) looked_for = argv[i + 1];
    } else if (word == "-type" && argv[i + 1].find('d') == std::string::npos) {
      is_root_found = false;
    } else if (word == "-mindepth" && argv[i + 1] != "0") {
      is_root_found = false;
    }
  }
  Output out;
  for (const std::string& root : roots) {
    if (is_root_found) out += root + "\n";
    out += root + (root.ends_with('/') ? "" : "/") + looked_for + "\n";
  }
  return out;
}

}  // namespace

bool Walk::repeater(const Command& command, Output& output) {
  const Argv& argv = command.argv;
  const std::string_view name = program_name(argv[0]);
  if (name == "xargs") {
    static constexpr Wrapper k_xargs{"xargs", "aEdIiLlnPs", "arg-file delimiter eof replace max-lines max-args max-procs max-chars", 0, false};
    std::size_t at = command_at(argv, k_xargs);
    // -i, -l and -e take no separate value.
    for (std::size_t i = 1; i < at && i < argv.size(); ++i) {
      if ((argv[i] == "-i" || argv[i] == "-l" || argv[i] == "-e") && i + 1 < argv.size()) at = std::min(at, i + 1);
    }
    const auto replace = option_value(argv, "-I", "--replace");
    const bool one_by_one = option_value(argv, "-n", "--max-args").has_value() || option_value(argv, "-L", "--max-lines").has_value();
    std::optional<std::string> input = command.input.text;
    if (const auto file = option_value(argv, "-a", "--arg-file")) {
      const KnownFile* known = find_file(*file);
      input = known != nullptr && known->is_content_known ? std::optional(known->content) : std::nullopt;
    }
    Argv words = at < argv.size() ? tail(argv, at) : Argv{"echo"};
    std::vector<std::string> items;
    if (input) {
      const bool by_line = replace.has_value();
      const auto delimiter = option_value(argv, "-d", "--delimiter");
      const bool zero = std::any_of(argv.begin(), argv.begin() + static_cast<std::ptrdiff_t>(std::min(at, argv.size())), [](const std::string& w) { return w == "-0" || w == "--null" || (w.size() > 1 && w[0] == '-' && w[1] != '-' && w.find('0') != std::string::npos); });
      std::string separators = by_line ? "\n" : " \t\n";
      if (zero) separators = std::string(1, '\0') + "\x7f\n";
      if (delimiter) separators = *delimiter == "\\n" ? "\n" : *delimiter;
      std::string item;
      for (const char c : *input + "\n") {
        if (separators.find(c) != std::string::npos || (c == '\n' && item.size() == input->size())) {
          if (!item.empty()) items.push_back(item);
          item.clear();
        } else if (c != '\'' && c != '"' && c != '\\') {
          item.push_back(c);
        }
      }
      if (!item.empty() && item != "\n") items.push_back(item);
    } else {
      items.emplace_back(1, k_hole);
    }
    Input nothing{Input::Kind::nothing, "", ""};
    const bool is_unknown = items.size() == 1 && items[0] == std::string(1, k_hole);
    if (replace) {
      std::size_t n = 0;
      for (const std::string& item : items) {
        if (++n > 64) break;
        Argv one = words;
        for (std::string& word : one) {
          for (std::size_t p = word.find(*replace); !replace->empty() && p != std::string::npos && word.size() < 4096; p = word.find(*replace, p + item.size())) word.replace(p, replace->size(), item);
        }
        output = run_argv(std::move(one), nothing, "xargs");
      }
    } else if (one_by_one && !is_unknown) {
      std::size_t n = 0;
      for (const std::string& item : items) {
        if (++n > 64) break;
        Argv one = words;
        one.push_back(item);
        output = run_argv(std::move(one), nothing, "xargs");
      }
    } else {
      // sh -c without text takes its text from the input.
      words.insert(words.end(), items.begin(), items.end());
      output = run_argv(std::move(words), nothing, "xargs");
    }
    return true;
  }
  if (name == "parallel" || name == "rush") {
    std::size_t at = 1;
    while (at < argv.size() && argv[at].starts_with('-')) {
      if (argv[at] == "-j" || argv[at] == "-a" || argv[at] == "-n" || argv[at] == "-N" || argv[at] == "--jobs" || argv[at] == "--block" || argv[at] == "--arg-file" || argv[at] == "-S" || argv[at] == "--colsep") ++at;
      ++at;
    }
    std::size_t colons = at;
    while (colons < argv.size() && !argv[colons].starts_with(":::")) ++colons;
    Argv words(argv.begin() + static_cast<std::ptrdiff_t>(std::min(at, argv.size())), argv.begin() + static_cast<std::ptrdiff_t>(std::min(colons, argv.size())));
    std::vector<std::string> items;
    for (std::size_t i = colons + 1; i < argv.size() && items.size() < 64; ++i) {
      if (!argv[i].starts_with(":::")) items.push_back(argv[i]);
    }
    if (items.empty() && command.input.text) {
      std::string line;
      for (const char c : *command.input.text + "\n") {
        if (c == '\n') {
          if (!line.empty()) items.push_back(line);
          line.clear();
        } else {
          line.push_back(c);
        }
      }
    }
    if (items.empty()) items.emplace_back(1, k_hole);
    for (const std::string& item : items) {
      std::string text = joined(words, 0);
      if (text.find("{}") != std::string::npos) {
        for (std::size_t p = text.find("{}"); p != std::string::npos && text.size() < 8192; p = text.find("{}", p + item.size())) text.replace(p, 2, plain(item));
      } else {
        text += (text.empty() ? "" : " ") + plain(item);
      }
      output = run_text(text, Input{Input::Kind::nothing, "", ""}, "parallel");
    }
    return true;
  }
  if (name == "find" || name == "gfind" || name == "bfs") {
    std::vector<std::string> roots;
    for (std::size_t i = 1; i < argv.size() && !argv[i].starts_with('-') && argv[i] != "(" && argv[i] != "!"; ++i) roots.push_back(argv[i]);
    std::string found = roots.empty() ? std::string(".") : roots[0];
    // What it finds: its root, and the name it looks for.
    std::string looked_for;
    for (std::size_t i = 1; i + 1 < argv.size(); ++i) {
      if (is_one_of(argv[i], {"-name", "-iname", "-path", "-wholename"})) looked_for = argv[i + 1];
      if (is_one_of(argv[i], {"-maxdepth"}) && argv[i + 1] == "0") looked_for = ".";
    }
    // find reads the pattern itself. One that begins with a wildcard names no file in particular.
    if (!looked_for.empty() && looked_for[0] != '*' && looked_for[0] != '?') {
      for (char& c : looked_for) c = c == '*' ? k_star : c == '?' ? k_any : c;
    }
    for (std::size_t i = 1; i < argv.size(); ++i) {
      if (!is_one_of(argv[i], {"-exec", "-execdir", "-ok", "-okdir"})) continue;
      Argv inner;
      for (++i; i < argv.size() && argv[i] != ";" && argv[i] != "+"; ++i) {
        std::string word = argv[i];
        const std::string path = looked_for == "." ? found : looked_for.empty() || looked_for == "*" ? found + "/" + std::string(1, k_hole) : found + "/" + looked_for;
        for (std::size_t p = word.find("{}"); p != std::string::npos && word.size() < 4096; p = word.find("{}", p + path.size())) word.replace(p, 2, path);
        inner.push_back(std::move(word));
      }
      if (!inner.empty()) output = run_argv(std::move(inner), Input{Input::Kind::nothing, "", ""}, "find -exec");
    }
    output = found_paths(argv, std::move(roots));
    return true;
  }
  if (name == "fd" || name == "fdfind") {
    for (std::size_t i = 1; i < argv.size(); ++i) {
      if (is_one_of(argv[i], {"-x", "-X", "--exec", "--exec-batch"})) {
        if (i + 1 < argv.size()) output = run_argv(tail(argv, i + 1), command.input, name);
        return i + 1 < argv.size();
      }
    }
    return false;
  }
  return false;
}

bool Walk::multiplexer(const Command& command, Output& output) {
  const Argv& argv = command.argv;
  const std::string_view name = program_name(argv[0]);
  if (is_one_of(name, {"tmux", "screen", "byobu", "dtach", "abduco", "zellij"})) {
    if (name == "tmux") {
      std::size_t at = 1;
      for (; at < argv.size(); ++at) {
        if (is_one_of(argv[at], {"new", "new-session", "new-window", "neww", "split-window", "splitw", "respawn-pane", "run-shell", "run", "if-shell", "if", "pipe-pane", "display-popup", "popup"})) break;
        if (is_one_of(argv[at], {"send-keys", "send"})) {
          Argv keys = tail(argv, at + 1);
          std::string text;
          for (std::size_t i = 0; i < keys.size(); ++i) {
            if (keys[i] == "-t") ++i;
            else if (keys[i] == "Enter" || keys[i] == "C-m" || keys[i] == "KPEnter") text += "\n";
            else if (!keys[i].starts_with('-')) text += plain(keys[i]);
          }
          output = run_text(text, Input{}, "tmux send-keys");
          return true;
        }
      }
      if (at >= argv.size()) return false;
      static constexpr Wrapper k_tmux{"tmux", "tsncxyFeLlp", "", 0, false};
      const std::size_t from = command_at(argv, k_tmux, at + 1);
      if (from < argv.size()) output = run_text(joined(argv, from), Input{}, "tmux");
      return true;
    }
    static constexpr Wrapper k_screen{"screen", "ScehpTtUX", "", 0, false};
    const std::size_t from = command_at(argv, k_screen);
    if (std::find(argv.begin(), argv.end(), "-X") != argv.end()) {
      if (from < argv.size() && is_one_of(argv[from], {"stuff", "exec"})) output = run_text(joined(argv, from + 1), Input{}, "screen stuff");
      return true;
    }
    if (from < argv.size()) output = run_argv(tail(argv, from), Input{}, name);
    return true;
  }
  return false;
}

bool Walk::tool_with_commands(const Command& command) {
  const Argv& argv = command.argv;
  const std::string_view name = program_name(argv[0]);
  // A prompt of its own whose language is not read here: what is typed at it is opaque.
  if (command.input.kind == Input::Kind::terminal && is_one_of(name, {"gdb", "lldb", "bc", "dc", "ed", "ftp", "lftp", "tftp", "gnuplot", "nslookup", "parted", "fdisk", "gdisk", "virsh", "smbclient", "mdb", "crash", "maxima", "zkCli.sh", "rclone", "jdb", "rpcclient"}) &&
      std::none_of(argv.begin() + 1, argv.end(), [](const std::string& word) { return is_one_of(word, {"-batch", "--batch", "-c", "-e", "-l", "--version", "--help", "-h", "copy", "sync", "ls", "list"}); })) {
    enters = Dialect::other;
  }
  if (name == "make" || name == "gmake") {
    for (const std::string& word : argv) {
      std::string recipe;
      if (word.starts_with("--eval=")) recipe = plain(word.substr(7));
      if (recipe.empty()) continue;
      const std::size_t colon = recipe.find_first_of(":;\n");
      if (colon != std::string::npos) (void)run_text(recipe.substr(recipe.find_first_not_of(" \t\n:;", colon) == std::string::npos ? recipe.size() : recipe.find_first_not_of(" \t\n:;", colon)), Input{}, "make --eval");
    }
    return true;
  }
  if (name == "git") {
    for (std::size_t i = 1; i + 1 < argv.size(); ++i) {
      if (argv[i] != "-c") continue;
      const std::string setting = plain(argv[i + 1]);
      const std::size_t equals = setting.find('=');
      if (equals == std::string::npos) continue;
      const std::string key = setting.substr(0, equals);
      std::string value = setting.substr(equals + 1);
      if (value.starts_with('!')) value.erase(0, 1);
      else if (key.starts_with("alias.")) continue;
      if (key.starts_with("alias.") || key == "core.pager" || key == "core.editor" || key.ends_with("sshCommand") || key == "core.fsmonitor" || key.starts_with("pager.")) (void)run_text(value, Input{}, "git -c");
    }
    return true;
  }
  if (is_one_of(name, {"vim", "vi", "nvim", "ex", "view", "rvim", "vimdiff", "gvim"})) {
    for (std::size_t i = 1; i < argv.size(); ++i) {
      std::string text;
      if ((argv[i] == "-c" || argv[i] == "--cmd") && i + 1 < argv.size()) text = plain(argv[++i]);
      else if (argv[i].starts_with('+') && argv[i].size() > 1) text = plain(argv[i].substr(1));
      const std::size_t bang = text.find('!');
      if (bang != std::string::npos && bang < 12) (void)run_text(text.substr(bang + 1), Input{}, "vim :!");
    }
    return true;
  }
  if (name == "gdb" || name == "lldb") {
    for (std::size_t i = 1; i + 1 < argv.size(); ++i) {
      if (!is_one_of(argv[i], {"-ex", "-eval-command", "--eval-command", "-iex", "-o"})) continue;
      const std::string text = plain(argv[i + 1]);
      if (text.starts_with('!')) (void)run_text(text.substr(1), Input{}, "gdb !");
      if (text.starts_with("shell ")) (void)run_text(text.substr(6), Input{}, "gdb shell");
    }
    return true;
  }
  return false;
}

}  // namespace sallyport::guard
