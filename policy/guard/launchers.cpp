#include "policy/guard/launchers.h"

#include <algorithm>
#include <array>

#include "policy/guard/argv_words.h"
#include "policy/guard/wildcard.h"

namespace sallyport::guard {
namespace {

/// `PROGRAM [VERB] [options] [operands] COMMAND...`, or `... -- COMMAND...`.
struct Launcher {
  std::string_view name;
  std::string_view verb;    ///< empty: none
  std::string_view values;  ///< options that take the next word, blank-separated
  int operands = 0;
};
constexpr std::array k_launchers = {
    Launcher{"abduco", "", "-e", 1},
    Launcher{"dtach", "", "-e -r", 1},
    Launcher{"with-contenv", "", "", 0},
    Launcher{"s6-setuidgid", "", "", 1},
    Launcher{"s6-envdir", "", "", 1},
    Launcher{"envdir", "", "", 1},
    Launcher{"setuser", "", "", 1},
    Launcher{"envconsul", "", "-prefix -secret -config -consul-addr -vault-addr", 0},
    Launcher{"dotenv", "run", "-f -e --file --env-file", 0},
    Launcher{"dotenvx", "run", "-f --env-file", 0},
    Launcher{"infisical", "run", "--env --path --projectId", 0},
    Launcher{"teller", "run", "-c", 0},
    Launcher{"phase", "run", "--env", 0},
    Launcher{"sops", "exec-env", "", 1},
    Launcher{"consul", "lock", "-name -timeout", 1},
    Launcher{"etcdctl", "lock", "--ttl", 1},
    Launcher{"run-one", "", "", 0},
    Launcher{"run-this-one", "", "", 0},
    Launcher{"lckdo", "", "-w -W", 1},
    Launcher{"cronic", "", "", 0},
    Launcher{"cronitor", "exec", "", 1},
    Launcher{"retry", "", "-t --times -d --delay", 0},
    Launcher{"logsave", "", "", 1},
    Launcher{"systemd-socket-activate", "", "-l -E --listen --setenv", 0},
    Launcher{"dockerize", "", "-wait -timeout -template -stdout -stderr", 0},
    Launcher{"wait-for-it.sh", "", "-t -h -p", 1},
    Launcher{"wait-for-it", "", "-t -h -p", 1},
    Launcher{"mise", "exec", "", 0},
    Launcher{"mise", "x", "", 0},
    Launcher{"volta", "run", "--node --npm", 0},
    Launcher{"nvm", "exec", "", 1},
    Launcher{"rbenv", "exec", "", 0},
    Launcher{"pyenv", "exec", "", 0},
    Launcher{"conda", "run", "-n -p --name --prefix --cwd", 0},
    Launcher{"mamba", "run", "-n -p --name --prefix --cwd", 0},
    Launcher{"micromamba", "run", "-n -p --name --prefix --cwd", 0},
    Launcher{"mpirun", "", "-n -np -c -H --host -hostfile --hostfile -x", 0},
    Launcher{"mpiexec", "", "-n -np -c -H --host -hostfile --hostfile -x", 0},
    Launcher{"srun", "", "-n -N -c -p -A -J -t -w", 0},
    Launcher{"salloc", "", "-n -N -c -p -A -J -t -w", 0},
    Launcher{"bsub", "", "-q -n -J -o -e -R -W -P", 0},
    Launcher{"hwloc-bind", "", "", 1},
    Launcher{"nsys", "profile", "-o -t --trace --output", 0},
    Launcher{"ncu", "", "-o --set", 0},
    Launcher{"rr", "record", "", 0},
    Launcher{"memusage", "", "-d -p", 0},
    Launcher{"mprof", "run", "", 0},
    Launcher{"py-spy", "record", "-o -d -r -f", 0},
    Launcher{"samply", "record", "-o", 0},
    Launcher{"trace-cmd", "record", "-e -p -o", 0},
    Launcher{"perf", "record", "-o -e -F -c -g --output --event --freq", 0},
    Launcher{"perf", "stat", "-o -e -r -I --output --event --repeat", 0},
    Launcher{"perf", "trace", "-o -e", 0},
    Launcher{"uftrace", "record", "-d", 0},
    Launcher{"flatpak-spawn", "", "", 0},
    Launcher{"distrobox-host-exec", "", "", 0},
    Launcher{"toolbox", "run", "-c --container", 0},
    Launcher{"qemu-x86_64", "", "-L -cpu -E", 0},
    Launcher{"qemu-aarch64", "", "-L -cpu -E", 0},
    Launcher{"qemu-x86_64-static", "", "-L -cpu -E", 0},
    Launcher{"xdg-terminal-exec", "", "", 0},
    Launcher{"reflex", "", "-r -g -R", 0},
    Launcher{"onchange", "", "", 0},
    Launcher{"tcpserver", "", "-c -u -g -l", 2},
    Launcher{"elvish-run", "", "", 0},
    Launcher{"waitid", "", "", 0},
    Launcher{"multitime", "", "-n -s", 0},
    Launcher{"genie", "", "", 0},
    Launcher{"execlineb-run", "", "", 0},
    Launcher{"pkgx", "", "", 0},
};

/// Options of programs that take a text for a shell.
struct TextOption {
  std::string_view program;
  std::string_view option;  ///< with its dashes; its value follows, or stands behind `=`
};
constexpr std::array k_text_options = {
    TextOption{"nix-shell", "--run"},        TextOption{"nix-shell", "--command"}, TextOption{"nix", "-c"},
    TextOption{"tar", "-I"},                 TextOption{"tar", "-F"},              TextOption{"tar", "--use-compress-program"},
    TextOption{"tar", "--to-command"},       TextOption{"tar", "--info-script"},   TextOption{"tar", "--new-volume-script"},
    TextOption{"tar", "--rsh-command"},      TextOption{"tar", "--rmt-command"},   TextOption{"sort", "--compress-program"},
    TextOption{"mysql", "--pager"},          TextOption{"mariadb", "--pager"},     TextOption{"man", "-P"},
    TextOption{"man", "--pager"},            TextOption{"sbatch", "--wrap"},       TextOption{"stap", "-c"},
    TextOption{"bpftrace", "-c"},            TextOption{"dtrace", "-c"},           TextOption{"xterm", "-e"},
    TextOption{"tcpdump", "-z"},             TextOption{"split", "--filter"},      TextOption{"sg", "-c"},
    TextOption{"nodemon", "--exec"},         TextOption{"yt-dlp", "--exec"},       TextOption{"mutt", "-e"},
    TextOption{"chokidar", "-c"},            TextOption{"envconsul", "-exec"},     TextOption{"consul-template", "-exec"},
    TextOption{"fetchmail", "--mda"},        TextOption{"execlineb", "-c"},        TextOption{"rsync", "--rsync-path"},
    TextOption{"ansible", "-a"},             TextOption{"borg", "--rsh"},          TextOption{"restic", "--password-command"},
    TextOption{"git", "--exec"},             TextOption{"git", "--extcmd"},        TextOption{"git", "--tree-filter"},
    TextOption{"git", "--index-filter"},     TextOption{"git", "--msg-filter"},    TextOption{"git", "--env-filter"},
    TextOption{"git", "--commit-filter"},    TextOption{"git", "--parent-filter"}, TextOption{"git", "--tag-name-filter"},
    TextOption{"complete", "-C"},            TextOption{"compgen", "-C"},
};

template <typename Each>
void each_line(std::string_view text, const Each& each) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    each(text.substr(at, end - at));
    at = end + 1;
  }
}

/// The text between the first quotes behind `from`; a backquote may close with a quote, as in m4.
std::string quoted_text(std::string_view text, std::size_t from) {
  const std::size_t open = text.find_first_of("\"'`", from);
  if (open == std::string_view::npos) return {};
  const std::size_t close = text.find_first_of(text[open] == '"' ? "\"" : "'`", open + 1);
  return close == std::string_view::npos ? std::string() : std::string(text.substr(open + 1, close - open - 1));
}

/// What a program is given to read: a known file, or its input.
std::optional<std::string> given_text(Walk& walk, const Command& command, std::string_view path) {
  if (path.empty() || path == "-" || path == "/dev/stdin") return command.input.kind == Input::Kind::terminal ? std::nullopt : command.input.text;
  const KnownFile* file = walk.find_file(path);
  return file != nullptr && file->is_content_known ? std::optional(file->content) : std::nullopt;
}

void run_recipes(Walk& walk, std::string_view text) {
  each_line(text, [&](std::string_view line) {
    if (const std::size_t call = line.find("$(shell "); call != std::string_view::npos) (void)walk.run_text(line.substr(call + 8, line.rfind(')') - call - 8), Input{}, "make");
    std::size_t from = std::string_view::npos;
    if (line.starts_with('\t')) {
      from = 1;
    } else if (const std::size_t colon = line.find(':'); colon != std::string_view::npos) {
      from = line.find(';', colon);
      if (from != std::string_view::npos) ++from;
    }
    if (from == std::string_view::npos) return;
    while (from < line.size() && std::string_view("@-+ \t").find(line[from]) != std::string_view::npos) ++from;
    if (from < line.size()) (void)walk.run_text(line.substr(from), Input{}, "make");
  });
}

/// Lines and calls by which another language asks for a shell.
void run_escapes(Walk& walk, std::string_view text, std::string_view how) {
  each_line(text, [&](std::string_view line) {
    while (line.starts_with(' ') || line.starts_with('\t')) line.remove_prefix(1);
    if (line.starts_with('!') && line.size() > 1) (void)walk.run_text(line.substr(1), Input{}, how);
    if (line.starts_with("exec ") || line.starts_with("system ")) {
      const std::string inner = quoted_text(line, 0);
      (void)walk.run_text(line.starts_with("system ") && !inner.empty() ? std::string_view(inner) : line.substr(line.find(' ') + 1), Input{}, how);
    }
  });
  for (const std::string_view call : {std::string_view("syscmd("), std::string_view("system("), std::string_view("shell(")}) {
    if (const std::size_t at = text.find(call); at != std::string_view::npos) {
      std::string inner = quoted_text(text, at);
      if (inner.empty()) inner = std::string(text.substr(at + call.size(), text.find(')', at) - at - call.size()));
      (void)walk.run_text(inner, Input{}, how);
    }
  }
}

void run_editor_text(Walk& walk, std::string_view text) {
  while (!text.empty() && (text.front() == ':' || text.front() == ' ')) text.remove_prefix(1);
  const std::size_t blank = text.find_first_of(" \t");
  const std::string_view word = text.substr(0, blank);
  const std::string_view rest = blank == std::string_view::npos ? std::string_view() : text.substr(blank + 1);
  if (word == "lua") (void)walk.run_code("lua", rest, Input{}, "vim");
  if (is_one_of(word, {"py", "py3", "python", "python3", "pythonx", "pyx"})) (void)walk.run_code("python3", rest, Input{}, "vim");
  if (word == "ruby" || word == "perl") (void)walk.run_code(word, rest, Input{}, "vim");
  if (is_one_of(word, {"term", "terminal"}) && !rest.empty()) (void)walk.run_text(rest, Input{}, "vim");
  if (const std::size_t call = text.find("system"); call != std::string_view::npos) (void)walk.run_text(quoted_text(text, call), Input{}, "vim");
  if (const std::size_t call = text.find("delete("); call != std::string_view::npos) {
    if (const std::string path = quoted_text(text, call); !path.empty()) (void)walk.run_argv({"rm", "-rf", path}, Input{}, "vim");
  }
}

void walk_secret_search(Walk& walk, std::string part) {
  Command made;
  made.argv = {"secret-variable", std::move(part)};
  walk.emit(std::move(made));
}

/// A temporary file's name, so that what is written to it and read again is the same file.
Output temporary(Walk& walk, const Argv& argv) {
  bool is_folder = false;
  for (const std::string& word : argv) is_folder = is_folder || word == "-d" || word == "--directory";
  for (char n = 'a'; n <= 'z'; ++n) {
    const std::string path = std::string("/tmp/tmp.mktemp") + n;
    if (walk.find_file(path) != nullptr) continue;
    if (!is_folder) walk.write_file(path, "", false);
    return path + "\n";
  }
  return std::string(1, k_hole);
}

}  // namespace

bool launcher(Walk& walk, const Command& command, Output& output) {
  const Argv& argv = command.argv;
  const std::string_view name = program_name(argv[0]);
  if (name == "mktemp") {
    output = temporary(walk, argv);
    return true;
  }
  for (const TextOption& one : k_text_options) {
    if (one.program != name) continue;
    for (std::size_t i = 1; i < argv.size(); ++i) {
      if (argv[i] == one.option && i + 1 < argv.size()) (void)walk.run_text(plain(argv[i + 1]), Input{}, name);
      else if (one.option.starts_with("--") && argv[i].size() > one.option.size() && argv[i].starts_with(one.option) && argv[i][one.option.size()] == '=') (void)walk.run_text(plain(argv[i].substr(one.option.size() + 1)), Input{}, name);
    }
  }
  const std::string_view producer = command.input.kind == Input::Kind::pipe ? program_name(std::string_view(command.input.producer).substr(0, command.input.producer.find(' '))) : std::string_view();
  if (is_one_of(name, {"grep", "egrep", "fgrep", "rg", "awk", "sed"}) && is_one_of(producer, {"history", "env", "printenv", "set", "export", "declare", "fc", "compgen"}) && argv.size() > 1) {
    std::string wanted;
    for (std::size_t i = 1; i < argv.size(); ++i) {
      for (const char c : plain(argv[i])) wanted.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c);
      wanted.push_back(' ');
    }
    for (const std::string_view part : {"pass", "secret", "token", "api_key", "apikey", "aws_", "credential", "private"}) {
      if (wanted.find(part) == std::string::npos) continue;
      walk_secret_search(walk, std::string(part));
      break;
    }
    return false;
  }
  if (name == "openssl" && argv.size() > 1 && argv[1] == "s_client" && is_one_of(producer, {"tar", "cat", "gzip", "zip", "base64", "gpg", "xz", "zstd", "pg_dump", "mysqldump", "dd", "cpio"})) {
    Command made;
    made.argv = {"code-uploads", "openssl"};
    walk.emit(std::move(made));
    return false;
  }
  if (name == "xargs") {
    for (std::size_t i = 1; i + 1 < argv.size(); ++i) {
      if (argv[i] == "-a" || argv[i] == "--arg-file") (void)walk.run_argv({"cat", argv[i + 1]}, Input{Input::Kind::nothing, "", ""}, "xargs -a");
    }
    return false;
  }
  if (name == "make" || name == "gmake") {
    for (std::size_t i = 1; i < argv.size(); ++i) {
      std::string path;
      if (is_one_of(argv[i], {"-f", "--file", "--makefile"}) && i + 1 < argv.size()) path = argv[i + 1];
      else if (argv[i].starts_with("-f") && argv[i].size() > 2) path = argv[i].substr(2);
      else if (argv[i].starts_with("--file=") || argv[i].starts_with("--makefile=")) path = argv[i].substr(argv[i].find('=') + 1);
      if (path.empty()) continue;
      if (const auto text = given_text(walk, command, path)) run_recipes(walk, *text);
    }
    return false;
  }
  if (is_one_of(name, {"dc", "m4", "gnuplot", "ed", "red", "expect", "ftp", "mail", "octave", "octave-cli", "maxima"})) {
    std::string path;
    for (std::size_t i = 1; i < argv.size(); ++i) {
      if (is_one_of(argv[i], {"-e", "--expression", "-c", "--eval"}) && i + 1 < argv.size()) run_escapes(walk, plain(argv[++i]), name);
      else if (!argv[i].starts_with('-') && name != "ed" && name != "red") path = argv[i];
    }
    if (const auto text = given_text(walk, command, path)) {
      run_escapes(walk, *text, name);
      if (name == "ed" || name == "red") each_line(*text, [&](std::string_view line) {  // e FILE, r FILE, w FILE
        if (line.size() < 3 || line[1] != ' ' || line[2] == '!') return;
        if (is_one_of(line.substr(0, 1), {"e", "E", "r"})) (void)walk.run_argv(Argv{"cat", std::string(line.substr(2))}, Input{}, name);
        if (is_one_of(line.substr(0, 1), {"w", "W"})) (void)walk.run_argv(Argv{"tee", std::string(line.substr(2))}, Input{}, name);
      });
    }
    return false;
  }
  if (name == "gdb" || name == "lldb") {
    if (const auto text = given_text(walk, command, {})) each_line(*text, [&](std::string_view line) {
      for (const std::string_view word : {"shell ", "!", "platform shell "})
        if (line.starts_with(word)) (void)walk.run_text(line.substr(word.size()), Input{}, name);
    });
    return false;
  }
  if (is_one_of(name, {"vim", "vi", "nvim", "ex", "view", "rvim", "gvim", "vimdiff"})) {
    for (std::size_t i = 1; i < argv.size(); ++i) {
      if (is_one_of(argv[i], {"-c", "--cmd"}) && i + 1 < argv.size()) run_editor_text(walk, plain(argv[++i]));
      else if (argv[i].starts_with('+') && argv[i].size() > 1) run_editor_text(walk, plain(std::string_view(argv[i]).substr(1)));
      else if (is_one_of(argv[i], {"-S", "-s", "-u", "-l"}) && i + 1 < argv.size()) {
        const auto text = given_text(walk, command, argv[i + 1]);
        if (text && argv[i] == "-l") (void)walk.run_code("lua", *text, Input{}, "nvim");
        else if (text) each_line(*text, [&](std::string_view line) {
          while (line.starts_with(':')) line.remove_prefix(1);
          if (line.starts_with('!')) (void)walk.run_text(line.substr(1), Input{}, "vim");
          else run_editor_text(walk, line);
        });
      }
    }
    return false;
  }
  if (name == "less" || name == "more") {
    for (const std::string& word : argv) {
      const std::size_t bang = word.find('!');
      if (word.starts_with('+') && bang != std::string::npos && bang < 4) (void)walk.run_text(plain(std::string_view(word).substr(bang + 1)), Input{}, "less");
    }
    return false;
  }
  if (name == "cmake" && argv.size() > 2) {
    if (argv[1] == "-E" && is_one_of(argv[2], {"rm", "remove", "remove_directory"})) {
      Argv words{"rm", "-rf"};
      for (std::size_t i = 3; i < argv.size(); ++i) {
        if (!argv[i].starts_with('-')) words.push_back(argv[i]);
      }
      (void)walk.run_argv(std::move(words), Input{}, "cmake -E");
    }
    const auto script = std::find(argv.begin(), argv.end(), "-P");
    if (script != argv.end() && script + 1 != argv.end()) {
      if (const auto text = given_text(walk, command, *(script + 1))) {
        for (const std::string_view call : {std::string_view("REMOVE_RECURSE"), std::string_view("REMOVE"), std::string_view("COMMAND")}) {
          const std::size_t at = text->find(call);
          if (at == std::string::npos) continue;
          const std::string inner = text->substr(at + call.size(), text->find(')', at) - at - call.size());
          (void)walk.run_text(call == "COMMAND" ? inner : "rm -rf" + inner, Input{}, "cmake -P");
          break;
        }
      }
    }
    return false;
  }
  if (name == "git") {
    if (std::find(argv.begin(), argv.end(), "config") != argv.end() && plain(argv.back()).starts_with('!')) (void)walk.run_text(plain(argv.back()).substr(1), Input{}, "git config");
    for (std::size_t i = 1; i + 1 < argv.size(); ++i) {
      if (argv[i] == "rebase" || argv[i] == "difftool") {
        for (std::size_t k = i + 1; k + 1 < argv.size(); ++k) {
          if (argv[k] == "-x") (void)walk.run_text(plain(argv[k + 1]), Input{}, "git -x");
        }
        break;
      }
      const bool is_foreach = argv[i] == "submodule" && argv[i + 1] == "foreach";
      const bool is_bisect = argv[i] == "bisect" && argv[i + 1] == "run";
      if (!is_foreach && !is_bisect) continue;
      std::size_t from = i + 2;
      while (from < argv.size() && argv[from].starts_with("--")) ++from;
      if (is_bisect) (void)walk.run_argv(tail(argv, from), Input{}, "git bisect run");
      else if (from < argv.size()) (void)walk.run_text(plain(argv[from]), Input{}, "git submodule foreach");
      break;
    }
    return false;
  }
  if (name.starts_with("python") && argv.size() > 3 && argv[1] == "-m" && argv[2] == "timeit") {
    for (std::size_t i = 3; i < argv.size(); ++i) {
      if (!argv[i].starts_with('-')) (void)walk.run_code("python3", plain(argv[i]), Input{}, "timeit");
    }
    return true;
  }
  for (const Launcher& one : k_launchers) {
    if (one.name != name) continue;
    std::size_t at = 1;
    if (!one.verb.empty()) {
      if (argv.size() < 3 || argv[1] != one.verb) continue;
      at = 2;
    }
    int operands = one.operands;
    const auto dashes = std::find(argv.begin() + static_cast<std::ptrdiff_t>(at), argv.end(), "--");
    if (dashes != argv.end()) {
      at = static_cast<std::size_t>(dashes - argv.begin()) + 1;
    } else {
      for (; at < argv.size(); ++at) {
        if (argv[at].starts_with('-') && argv[at].size() > 1) {
          if (is_listed(one.values, argv[at])) ++at;
          continue;
        }
        if (operands-- <= 0) break;
      }
    }
    if (at >= argv.size()) return false;
    output = walk.run_argv(tail(argv, at), command.input, name);
    return true;
  }
  return false;
}

}  // namespace sallyport::guard
