// Programs that run other programs: shells, sudo, env, xargs, find, containers' exec and some hundred more.
#include <algorithm>
#include <array>

#include "policy/guard/launchers.h"
#include "policy/guard/walk.h"
#include "policy/guard/wildcard.h"

namespace sallyport::guard {
namespace {

using Argv = std::vector<std::string>;

/// How a program that runs `PROGRAM ARGS...` is read: its options with a value, and how many operands stand before the command.
struct Wrapper {
  std::string_view name;
  std::string_view short_values;  ///< letters
  std::string_view long_values;   ///< blank-separated, without `--`
  int operands = 0;               ///< before the command
  bool assigns = false;           ///< NAME=value before the command
};
constexpr std::array k_wrappers = {
    Wrapper{"sudo", "ugpCcDhRrTtU", "user group prompt close-from chdir host chroot role type command-timeout other-user", 0, true},
    Wrapper{"doas", "uC", "", 0, true},
    Wrapper{"dzdo", "ugp", "user group", 0, true},
    Wrapper{"pbrun", "uh", "", 0, false},
    Wrapper{"pkexec", "", "user", 0, false},
    Wrapper{"run0", "ugD", "user group unit property chdir nice slice setenv background", 0, true},
    Wrapper{"env", "uCS", "unset chdir split-string", 0, true},
    Wrapper{"nice", "n", "adjustment", 0, false},
    Wrapper{"ionice", "cnptPu", "class classdata pid", 0, false},
    Wrapper{"chrt", "TPDp", "sched-runtime sched-period sched-deadline pid", 1, false},
    Wrapper{"taskset", "p", "pid", 1, false},
    Wrapper{"nohup", "", "", 0, false},
    Wrapper{"setsid", "", "", 0, false},
    Wrapper{"timeout", "sk", "signal kill-after", 1, false},
    Wrapper{"gtimeout", "sk", "signal kill-after", 1, false},
    Wrapper{"stdbuf", "ioe", "input output error", 0, false},
    Wrapper{"unbuffer", "", "", 0, false},
    Wrapper{"time", "fo", "format output", 0, false},
    Wrapper{"gtime", "fo", "format output", 0, false},
    Wrapper{"command", "", "", 0, false},
    Wrapper{"builtin", "", "", 0, false},
    Wrapper{"exec", "a", "", 0, false},
    Wrapper{"coproc", "", "", 0, false},
    Wrapper{"noglob", "", "", 0, false},
    Wrapper{"nocorrect", "", "", 0, false},
    Wrapper{"strace", "aeEIoOpPsSuUbX", "attach trace output user env string-limit", 0, false},
    Wrapper{"ltrace", "aeFlnopsSuwxXD", "output", 0, false},
    Wrapper{"unshare", "SGRwl", "propagation setgroups setuid setgid root wd map-user map-group map-users map-groups boottime monotonic load-interp", 0, false},
    Wrapper{"setpriv", "", "reuid regid groups inh-caps ambient-caps bounding-set securebits pdeathsig selinux-label apparmor-profile euid egid", 0, false},
    Wrapper{"chroot", "", "userspec groups", 1, false},
    Wrapper{"nsenter", "tSG", "target setuid setgid", 0, false},
    Wrapper{"systemd-run", "upMHEG", "unit property machine host on-calendar on-active on-boot uid gid nice setenv description slice working-directory service-type timer-property", 0, false},
    Wrapper{"systemd-inhibit", "", "what who why mode list", 0, false},
    Wrapper{"systemd-cat", "tp", "identifier priority", 0, false},
    Wrapper{"runuser", "ugGwscT", "user group supp-group shell command session-command whitelist-environment", 0, false},
    Wrapper{"capsh", "", "", 0, false},
    Wrapper{"numactl", "CNmplir", "cpunodebind physcpubind interleave membind preferred localalloc", 0, false},
    Wrapper{"prlimit", "po", "pid output", 0, false},
    Wrapper{"cpulimit", "lpe", "limit pid exe", 0, false},
    Wrapper{"cgexec", "g", "", 0, false},
    Wrapper{"choom", "np", "adjust pid", 0, false},
    Wrapper{"uclampset", "mMp", "", 0, false},
    Wrapper{"daemonize", "acepolu", "", 0, false},
    Wrapper{"daemon", "nuFlre", "name user pidfile", 0, false},
    Wrapper{"start-stop-daemon", "pxnucgkKN", "pidfile exec name user chuid group startas chdir", 0, false},
    Wrapper{"fakeroot", "ls", "lib faked", 0, false},
    Wrapper{"fakechroot", "", "", 0, false},
    Wrapper{"proot", "rbwqk", "rootfs bind cwd", 0, false},
    Wrapper{"firejail", "", "", 0, false},
    Wrapper{"dbus-run-session", "", "config-file", 0, false},
    Wrapper{"dbus-launch", "", "", 0, false},
    Wrapper{"xvfb-run", "nsefpl", "server-num server-args auth-file error-file xauth-protocol", 0, false},
    Wrapper{"rlwrap", "bfHpsCD", "", 0, false},
    Wrapper{"chronic", "", "", 0, false},
    Wrapper{"ifne", "", "", 0, false},
    Wrapper{"hyperfine", "wmMrpcnSLs", "warmup min-runs max-runs runs prepare setup cleanup", 0, false},
    Wrapper{"perf", "", "", 1, false},
    Wrapper{"valgrind", "", "", 0, false},
    Wrapper{"heaptrack", "o", "", 0, false},
    Wrapper{"catchsegv", "", "", 0, false},
    Wrapper{"eatmydata", "", "", 0, false},
    Wrapper{"faketime", "f", "", 1, false},
    Wrapper{"torsocks", "", "", 0, false},
    Wrapper{"torify", "", "", 0, false},
    Wrapper{"tsocks", "", "", 0, false},
    Wrapper{"proxychains", "f", "", 0, false},
    Wrapper{"proxychains4", "f", "", 0, false},
    Wrapper{"setarch", "", "", 0, false},
    Wrapper{"linux64", "", "", 0, false},
    Wrapper{"linux32", "", "", 0, false},
    Wrapper{"i386", "", "", 0, false},
    Wrapper{"busybox", "", "", 0, false},
    Wrapper{"toybox", "", "", 0, false},
    Wrapper{"bwrap", "", "ro-bind bind dev proc tmpfs chdir setenv unshare-user", 0, false},
    Wrapper{"softlimit", "adcfmopst", "", 0, false},
    Wrapper{"setuidgid", "", "", 1, false},
    Wrapper{"chpst", "uUbePnmdlLocfoprst", "", 0, false},
    Wrapper{"gosu", "", "", 1, false},
    Wrapper{"su-exec", "", "", 1, false},
    Wrapper{"setlock", "", "", 1, false},
    Wrapper{"tini", "pe", "", 0, false},
    Wrapper{"dumb-init", "r", "", 0, false},
    Wrapper{"catatonit", "", "", 0, false},
    Wrapper{"aws-vault", "d", "duration region", 2, false},
    Wrapper{"dotenv", "ef", "", 0, false},
    Wrapper{"with-lock-ex", "", "", 1, false},
    Wrapper{"sem", "jn", "jobs id", 0, false},
    Wrapper{"pee", "", "", 0, false},
    Wrapper{"pipexec", "", "", 0, false},
    Wrapper{"ssh-agent", "aEtP", "", 0, false},
    Wrapper{"script", "cIOBTmoE", "command log-in log-out log-io log-timing", 9, false},
    Wrapper{"bundle", "", "", 0, false},
    Wrapper{"setfattr-run", "", "", 0, false},
};

bool is_one_of(std::string_view name, std::initializer_list<std::string_view> names) { return std::find(names.begin(), names.end(), name) != names.end(); }

bool is_listed(std::string_view list, std::string_view word) {
  std::size_t at = 0;
  while (at < list.size()) {
    const std::size_t end = std::min(list.find(' ', at), list.size());
    if (list.substr(at, end - at) == word) return true;
    at = end + 1;
  }
  return false;
}

bool is_shell_name(std::string_view name) {
  return is_one_of(name, {"sh", "bash", "dash", "zsh", "ksh", "ash", "mksh", "ksh93", "rbash", "lksh", "yash", "posh", "fish", "csh", "tcsh", "pwsh", "elvish", "nu", "xonsh", "oil", "osh", "static-sh", "bash-static", "sash"});
}

/// As one word that the shell takes literally.
std::string shell_word(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') out += "'\\''";
    else out.push_back(c);
  }
  return out + "'";
}

std::string joined(const Argv& words, std::size_t from, std::size_t to = static_cast<std::size_t>(-1)) {
  std::string all;
  for (std::size_t i = from; i < words.size() && i < to; ++i) all += (i == from ? "" : " ") + plain(words[i]);
  return all;
}
Argv tail(const Argv& words, std::size_t from) { return from < words.size() ? Argv(words.begin() + static_cast<std::ptrdiff_t>(from), words.end()) : Argv(); }

/// Programs that are no wrappers: a shell started by them is an escape from what they are for.
bool is_escape(std::string_view nest) {
  for (const std::string_view wrapper : {"alias", "function", "eval", "sudo", "env", "nice", "nohup", "timeout", "time", "command", "exec", "builtin", "setsid", "stdbuf", "script", "tmux", "screen", "su -c", "sh -c", "bash -c", "$( )", "ionice",
                                         "taskset", "chrt", "unbuffer", "rlwrap", "ssh", "docker", "podman", "kubectl", "oc", "systemd-run", "systemd-inhibit", "dbus-run-session", "trap", "coproc", "runuser", "doas", "pkexec", "source"}) {
    if (nest.starts_with(wrapper)) return false;
  }
  return true;
}

/// Where the command of a wrapper begins; argv.size() when there is none.
std::size_t command_at(const Argv& argv, const Wrapper& spec, std::size_t from = 1) {
  int operands = spec.operands;
  std::size_t i = from;
  for (; i < argv.size(); ++i) {
    const std::string& word = argv[i];
    if (word == "--") {
      ++i;
      while (operands-- > 0 && i < argv.size()) ++i;
      return i;
    }
    if (word == "-" && spec.name == "env") continue;
    if (word.starts_with("--")) {
      if (word.find('=') == std::string::npos && is_listed(spec.long_values, std::string_view(word).substr(2))) ++i;
      continue;
    }
    if (word.size() > 1 && (word[0] == '-' || (word[0] == '+' && spec.name == "stdbuf"))) {
      // The first letter with a value takes the rest of the word, or the next one.
      for (std::size_t j = 1; j < word.size(); ++j) {
        if (spec.short_values.find(word[j]) != std::string_view::npos) {
          if (j + 1 == word.size()) ++i;
          break;
        }
      }
      continue;
    }
    if (spec.assigns && word.find('=') != std::string::npos && word[0] != '/' && word[0] != '=') continue;
    if (operands-- > 0) continue;
    return i;
  }
  return argv.size();
}

/// The value of an option given as `-x VALUE`, `-xVALUE`, `--long VALUE` or `--long=VALUE`.
std::optional<std::string> option_value(const Argv& argv, std::string_view short_name, std::string_view long_name = {}) {
  for (std::size_t i = 1; i < argv.size(); ++i) {
    const std::string& word = argv[i];
    if (!short_name.empty() && word == short_name && i + 1 < argv.size()) return argv[i + 1];
    if (!long_name.empty() && word == long_name && i + 1 < argv.size()) return argv[i + 1];
    if (!long_name.empty() && word.starts_with(std::string(long_name) + "=")) return word.substr(long_name.size() + 1);
    if (short_name.size() == 2 && word.size() > 2 && word.starts_with(short_name) && word[1] != '-') return word.substr(2);
  }
  return std::nullopt;
}

}  // namespace

bool Walk::run_file(const std::string& path, std::vector<std::string> arguments, const Command& command, std::string_view how, Output& output) {
  const std::string name = plain(path);
  if (is_one_of(name, {"/dev/stdin", "/dev/fd/0", "/proc/self/fd/0", "-"})) {
    if (command.input.text) {
      output = run_text(*command.input.text, Input{}, std::string(how) + " < data");
    } else if (command.input.kind != Input::Kind::terminal) {
      note(Opaque::unseen_input, "a shell runs data that cannot be seen", joined(command.argv, 0));
    }
    return true;
  }
  const KnownFile* file = find_file(name);
  if (file != nullptr && file->is_content_known) {
    const std::optional<std::vector<std::string>> outer = overlay_.arguments;
    overlay_.arguments = std::move(arguments);
    const std::string content = file->content;
    if (content == std::string(1, k_hole)) {
      note(Opaque::unseen_input, "this runs what was fetched or made here and cannot be seen", name);
    } else {
      std::string_view body = content;
      bool is_shell = true;
      if (body.starts_with("#!")) {
        const std::string_view first = body.substr(2, body.find('\n') - 2);
        std::string interpreter;
        std::size_t at = 0;
        while (at < first.size()) {
          const std::size_t end = std::min(first.find(' ', at), first.size());
          const std::string_view part = program_name(first.substr(at, end - at));
          if (!part.empty() && part != "env" && !part.starts_with('-')) {
            interpreter = std::string(part);
            break;
          }
          at = end + 1;
        }
        is_shell = interpreter.empty() || is_shell_name(interpreter);
        if (!is_shell) output = run_code(interpreter, body, command.input, interpreter);
      } else if (body.starts_with("\x7f" "ELF")) {
        is_shell = false;
        note(Opaque::unseen_input, "a program that was made in this session", name);
      }
      if (is_shell) output = run_text(content, command.input, how);
    }
    overlay_.arguments = outer;
    return true;
  }
  note(Opaque::unseen_file, file != nullptr ? "the content of this file was not seen" : "the content of this script was not seen", name);
  return true;
}

bool Walk::shell_program(const Command& command, Output& output) {
  const Argv& argv = command.argv;
  const std::string_view name = program_name(argv[0]);
  const bool is_itself = name == "exe" && argv[0].starts_with("/proc/");
  if (!is_itself && !is_shell_name(name.starts_with('-') ? name.substr(1) : name)) return false;
  bool wants_text = false;
  bool reads_input = false;
  bool is_interactive = false;
  std::size_t i = 1;
  for (; i < argv.size(); ++i) {
    const std::string& word = argv[i];
    if (word == "--" || word == "-") {
      ++i;
      break;
    }
    if (word.starts_with("--")) {
      if (word == "--rcfile" || word == "--init-file") {
        if (i + 1 < argv.size()) (void)run_file(argv[i + 1], {}, command, "--rcfile", output);
        ++i;
      }
      if (word == "--version" || word == "--help") return true;
      if (word == "--command" || word == "--commands") wants_text = true;
      continue;
    }
    if (word.size() < 2 || (word[0] != '-' && word[0] != '+')) break;
    if (word == "-Command" || word == "-command") {
      wants_text = true;
      continue;
    }
    if (word[0] == '-') {
      wants_text = wants_text || word.find('c') != std::string::npos;
      reads_input = reads_input || word.find('s') != std::string::npos;
      is_interactive = is_interactive || word.find('i') != std::string::npos;
      if (word.find('n') != std::string::npos && word.size() == 2) return true;  // only checks the syntax
    }
    if (word.back() == 'o' || word.back() == 'O') ++i;
  }
  const auto set_arguments = [&](std::size_t from) {
    std::vector<std::string> rest = tail(argv, from);
    return rest;
  };
  if (wants_text) {
    if (i >= argv.size()) return true;
    const std::optional<std::vector<std::string>> outer = overlay_.arguments;
    overlay_.arguments = set_arguments(i + 2);
    const Overlay before = saved();
    if (i + 1 < argv.size()) set_variable("0", argv[i + 1]);
    output = run_text(plain(argv[i]), command.input, std::string(name) + " -c");
    leave(before);
    overlay_.arguments = outer;
    return true;
  }
  if (i < argv.size() && !reads_input) {
    const Overlay before = saved();
    (void)run_file(argv[i], set_arguments(i + 1), command, std::string(name), output);
    leave(before);
    return true;
  }
  const std::optional<std::vector<std::string>> outer = overlay_.arguments;
  if (reads_input) overlay_.arguments = set_arguments(i);
  const Overlay before = saved();
  switch (command.input.kind) {
    case Input::Kind::nothing: break;
    case Input::Kind::terminal:
      note(Opaque::nested_shell, "a shell inside the shell", joined(argv, 0));
      enters = Dialect::shell;
      // A shell out of another program: not how anybody opens one.
      if (!nest_.empty() && is_escape(nest_.back())) {
        Command escape;
        escape.argv = {"shell-escape", nest_.back(), std::string(name)};
        emit(std::move(escape));
      }
      break;
    case Input::Kind::channel:
      note(Opaque::unseen_input, "a shell that reads its commands from the connection", joined(argv, 0));
      enters = Dialect::shell;
      break;
    default:
      for (const std::string_view decoder : {"base64", "base32", "basenc", "b64decode", "xxd", "uudecode", "openssl", "gzip", "gunzip", "zcat"}) {
        if (command.input.kind != Input::Kind::pipe || !std::string_view(command.input.producer).starts_with(decoder)) continue;
        Command decoded;
        decoded.argv = {"shell-runs-decoded", std::string(decoder)};
        emit(std::move(decoded));
      }
      if (!nest_.empty() && is_escape(nest_.back()) && command.input.kind == Input::Kind::pipe) {
        Command escape;
        escape.argv = {"shell-escape", nest_.back(), std::string(name)};
        emit(std::move(escape));
      }
      if (command.input.text && *command.input.text != std::string(1, k_hole)) {
        output = run_text(*command.input.text, Input{Input::Kind::nothing, "", ""}, std::string(name) + " < data");
      } else {
        note(Opaque::unseen_input, "a shell runs data that cannot be seen", joined(argv, 0));
      }
  }
  leave(before);
  overlay_.arguments = outer;
  (void)is_interactive;
  return true;
}

bool Walk::wrapper(const Command& command, Output& output) {
  const Argv& argv = command.argv;
  const std::string_view name = program_name(argv[0]);
  const auto starts_shell = [&](std::string_view how) {
    if (command.input.text && command.input.kind != Input::Kind::terminal) {
      output = run_text(*command.input.text, Input{}, how);
    } else if (command.input.kind == Input::Kind::terminal) {
      note(Opaque::nested_shell, "a shell inside the shell", joined(argv, 0));
      enters = Dialect::shell;
    } else {
      note(Opaque::unseen_input, "a shell runs data that cannot be seen", joined(argv, 0));
      if (command.input.kind == Input::Kind::channel) enters = Dialect::shell;
    }
  };
  // Which part of the arguments is a command, then the same road for all.
  const auto run_from = [&](std::size_t at) {
    if (at < argv.size()) output = run_argv(tail(argv, at), command.input, name);
    return at < argv.size();
  };

  if (launcher(*this, command, output)) return true;

  // ---- ways of their own
  if (name == "env") {
    for (std::size_t i = 1; i < argv.size(); ++i) {
      const std::string& word = argv[i];
      std::string text;
      // One word is split; those behind it stay as they are.
      std::size_t rest = i + 2;
      if ((word == "-S" || word == "--split-string") && i + 1 < argv.size()) text = plain(argv[i + 1]);
      else if (word.starts_with("-S") && word.size() > 2) text = word.substr(2), rest = i + 1;
      else if (word.starts_with("--split-string=")) text = word.substr(15), rest = i + 1;
      else if (word.size() > 2 && word[0] == '-' && word[1] != '-' && word.back() == 'S' && i + 1 < argv.size()) text = plain(argv[i + 1]);
      if (!text.empty()) {
        for (; rest < argv.size(); ++rest) text += " " + shell_word(plain(argv[rest]));
        output = run_text(text, command.input, "env -S");
        return true;
      }
      if (!word.starts_with('-') && word.find('=') == std::string::npos) break;
    }
  }
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
    output = std::string(1, k_hole);
    return true;
  }
  if (name == "fd" || name == "fdfind") {
    for (std::size_t i = 1; i < argv.size(); ++i) {
      if (is_one_of(argv[i], {"-x", "-X", "--exec", "--exec-batch"})) return run_from(i + 1);
    }
    return false;
  }
  if (name == "flock") {
    static constexpr Wrapper k_flock{"flock", "wE", "timeout wait conflict-exit-code", 1, false};
    for (std::size_t i = 1; i + 1 < argv.size(); ++i) {
      if (argv[i] == "-c" || argv[i] == "--command") {
        output = run_text(plain(argv[i + 1]), command.input, "flock -c");
        return true;
      }
    }
    return run_from(command_at(argv, k_flock));
  }
  if (name == "watch" || name == "viddy" || name == "entr" || name == "watchexec" || name == "nodemon") {
    static constexpr Wrapper k_watch{"watch", "nqw", "interval equexit exec watch exts", 0, false};
    const std::size_t at = command_at(argv, k_watch);
    if (at < argv.size()) output = run_text(joined(argv, at), Input{Input::Kind::nothing, "", ""}, name);
    return at < argv.size();
  }
  if (name == "script") {
    if (const auto text = option_value(argv, "-c", "--command")) {
      output = run_text(plain(*text), command.input, "script -c");
      return true;
    }
    for (std::size_t i = 1; i + 1 < argv.size(); ++i) {  // script -qc 'cmd'
      if (argv[i].size() > 2 && argv[i][0] == '-' && argv[i][1] != '-' && argv[i].back() == 'c') {
        output = run_text(plain(argv[i + 1]), command.input, "script -c");
        return true;
      }
    }
    return true;
  }
  if (is_one_of(name, {"su", "runuser", "sg", "newgrp", "login", "ksu", "beesu", "sesu"})) {
    auto text = option_value(argv, "-c", "--command");
    if (!text) text = option_value(argv, {}, "--session-command");
    for (std::size_t i = 1; !text && i + 1 < argv.size(); ++i) {
      if (argv[i].size() > 2 && argv[i][0] == '-' && argv[i][1] != '-' && argv[i].back() == 'c') text = argv[i + 1];
    }
    if (text) {
      output = run_text(plain(*text), command.input, std::string(name) + " -c");
      return true;
    }
    if (name == "runuser" && (option_value(argv, "-u", "--user"))) return run_from(command_at(argv, *std::find_if(k_wrappers.begin(), k_wrappers.end(), [](const Wrapper& w) { return w.name == "runuser"; })));
    if (name == "sg" && argv.size() > 2) {
      output = run_text(plain(argv[2]), command.input, "sg");
      return true;
    }
    starts_shell(name);
    return true;
  }
  if (name == "sudo" || name == "doas" || name == "dzdo" || name == "pkexec" || name == "run0") {
    const auto spec = std::find_if(k_wrappers.begin(), k_wrappers.end(), [&](const Wrapper& w) { return w.name == name; });
    const std::size_t at = command_at(argv, *spec);
    const bool shell = std::any_of(argv.begin(), argv.begin() + static_cast<std::ptrdiff_t>(std::min(at, argv.size())), [](const std::string& w) {
      return w == "-i" || w == "-s" || w == "--login" || w == "--shell" || (w.size() > 2 && w[0] == '-' && w[1] != '-' && (w.back() == 'i' || w.back() == 's') && w.find_first_not_of("nHESkbAis-") == std::string::npos);
    });
    if (at >= argv.size()) {
      if (shell || (name == "run0" || name == "pkexec" || name == "doas")) starts_shell(name);
      return true;
    }
    if (shell) {
      output = run_text(joined(argv, at), command.input, name);
      return true;
    }
    return run_from(at);
  }
  if (is_one_of(name, {"docker", "podman", "nerdctl", "kubectl", "oc", "crictl", "lxc", "ctr", "k3s", "microk8s", "docker-compose", "podman-compose"})) {
    // kubectl exec POD -- CMD; docker exec [opts] NAME CMD; docker run [opts] IMAGE CMD
    std::size_t verb = 1;
    while (verb < argv.size() && !is_one_of(argv[verb], {"exec", "run", "rsh", "debug"})) ++verb;
    if (verb >= argv.size()) return false;
    const auto dashes = std::find(argv.begin() + static_cast<std::ptrdiff_t>(verb), argv.end(), "--");
    if (dashes != argv.end()) return run_from(static_cast<std::size_t>(dashes - argv.begin()) + 1);
    if (name == "kubectl" && argv[verb] != "exec") return false;
    static constexpr Wrapper k_container{"docker", "uewvpmhlacntPf", "user env workdir volume publish name network memory cpus hostname label entrypoint mount restart env-file add-host device pid user cap-add cap-drop security-opt ulimit platform ip log-driver log-opt index", 1, false};
    return run_from(command_at(argv, k_container, verb + 1)) || false;
  }
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
  if (is_one_of(name, {"at", "batch"}) || name == "crontab") {
    if (command.input.text && *command.input.text != std::string(1, k_hole)) {
      std::string text = *command.input.text;
      if (name == "crontab") {
        // Five fields or @when, then the command.
        std::string lines;
        std::size_t at = 0;
        while (at < text.size()) {
          const std::size_t end = std::min(text.find('\n', at), text.size());
          std::string line = text.substr(at, end - at);
          at = end + 1;
          int fields = line.starts_with('@') ? 1 : 5;
          std::size_t p = 0;
          while (fields-- > 0 && p < line.size()) {
            p = std::min(line.find_first_of(" \t", p), line.size());
            p = std::min(line.find_first_not_of(" \t", p), line.size());
          }
          lines += line.substr(p) + "\n";
        }
        text = lines;
      }
      (void)run_text(text, Input{Input::Kind::nothing, "", ""}, name);
    }
    return true;
  }
  if (name == "make" || name == "gmake") {
    for (const std::string& word : argv) {
      std::string recipe;
      if (word.starts_with("--eval=")) recipe = plain(word.substr(7));
      if (recipe.empty()) continue;
      const std::size_t colon = recipe.find_first_of(":;\n");
      if (colon != std::string::npos) (void)run_text(recipe.substr(recipe.find_first_not_of(" \t\n:;", colon) == std::string::npos ? recipe.size() : recipe.find_first_not_of(" \t\n:;", colon)), Input{}, "make --eval");
    }
    return false;
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
    return false;
  }
  if (is_one_of(name, {"vim", "vi", "nvim", "ex", "view", "rvim", "vimdiff", "gvim"})) {
    for (std::size_t i = 1; i < argv.size(); ++i) {
      std::string text;
      if ((argv[i] == "-c" || argv[i] == "--cmd") && i + 1 < argv.size()) text = plain(argv[++i]);
      else if (argv[i].starts_with('+') && argv[i].size() > 1) text = plain(argv[i].substr(1));
      const std::size_t bang = text.find('!');
      if (bang != std::string::npos && bang < 12) (void)run_text(text.substr(bang + 1), Input{}, "vim :!");
    }
    return false;
  }
  if (name == "gdb" || name == "lldb") {
    for (std::size_t i = 1; i + 1 < argv.size(); ++i) {
      if (!is_one_of(argv[i], {"-ex", "-eval-command", "--eval-command", "-iex", "-o"})) continue;
      const std::string text = plain(argv[i + 1]);
      if (text.starts_with('!')) (void)run_text(text.substr(1), Input{}, "gdb !");
      if (text.starts_with("shell ")) (void)run_text(text.substr(6), Input{}, "gdb shell");
    }
    return false;
  }
  if (is_one_of(name, {"npx", "pnpx", "bunx"}) || ((name == "npm" || name == "pnpm" || name == "yarn") && argv.size() > 1 && is_one_of(argv[1], {"exec", "x", "dlx"}))) {
    if (const auto text = option_value(argv, "-c", "--call")) {
      output = run_text(plain(*text), command.input, name);
      return true;
    }
    const std::size_t from = name.ends_with('x') && name != "x" ? 1 : 2;
    static constexpr Wrapper k_npx{"npx", "p", "package", 0, false};
    return run_from(command_at(argv, k_npx, from));
  }
  if (argv.size() > 2 && ((name == "cmake" && argv[1] == "-E" && argv[2] == "env") || (is_one_of(name, {"bundle", "poetry", "pipenv", "pdm", "uv", "rye", "hatch", "mise", "asdf", "direnv", "op", "doppler", "chamber", "envchain"}) && is_one_of(argv[1], {"exec", "run"})))) {
    static constexpr Wrapper k_runner{"run", "pep", "env python with", 0, true};
    return run_from(command_at(argv, k_runner, name == "cmake" ? 3 : name == "direnv" || name == "chamber" || name == "envchain" ? 3 : 2));
  }
  if (name == "ip" && argv.size() > 4) {
    const auto exec = std::find(argv.begin(), argv.end(), "exec");
    if (exec != argv.end() && std::find(argv.begin(), exec, "netns") != exec && exec + 2 < argv.end()) return run_from(static_cast<std::size_t>(exec - argv.begin()) + 2);
    return false;
  }
  if (name.starts_with("ld-linux") || name.starts_with("ld-musl") || name == "ld.so" || (name.starts_with("ld-") && name.find(".so") != std::string_view::npos)) {
    static constexpr Wrapper k_loader{"ld.so", "", "library-path preload argv0 audit inhibit-rpath", 0, false};
    return run_from(command_at(argv, k_loader));
  }
  if (name == "ssh" || name == "rsh" || name == "mosh") {
    static constexpr Wrapper k_ssh{"ssh", "BbcDEeFIiJLlmOopQRSWw", "ssh port predict", 1, false};
    const std::size_t at = command_at(argv, k_ssh);
    if (at < argv.size()) output = run_text(joined(argv, at), command.input, name);
    output = std::string(1, k_hole);
    return true;
  }
  if (name == "expect" || name == "autoexpect") {
    const std::optional<std::string> code = option_value(argv, "-c") ? option_value(argv, "-c") : command.input.kind == Input::Kind::here_document || command.input.kind == Input::Kind::pipe ? command.input.text : std::nullopt;
    if (code) {
      std::string text = plain(*code);
      for (std::size_t p = text.find("spawn "); p != std::string::npos; p = text.find("spawn ", p + 6)) {
        const std::size_t end = std::min(text.find_first_of(";\n", p), text.size());
        (void)run_text(text.substr(p + 6, end - p - 6), Input{}, "expect spawn");
      }
      return true;
    }
    return false;
  }

  // ---- the plain ones
  const auto spec = std::find_if(k_wrappers.begin(), k_wrappers.end(), [&](const Wrapper& w) { return w.name == name; });
  if (spec == k_wrappers.end()) return false;
  if (name == "command" && argv.size() > 1 && (argv[1] == "-v" || argv[1] == "-V")) {
    output = filter_output(*this, argv, std::nullopt).value_or(std::string(1, k_hole));
    return true;
  }
  if (name == "exec" && argv.size() == 1) return true;
  std::size_t at = command_at(argv, *spec);
  if (name == "perf" && !(argv.size() > 1 && is_one_of(argv[1], {"stat", "record", "trace"}))) return false;
  if (name == "capsh") {
    for (std::size_t i = 1; i + 1 < argv.size(); ++i) {
      if (argv[i] == "-c") (void)run_text(plain(argv[i + 1]), Input{}, "capsh -c");
    }
    if (std::find(argv.begin(), argv.end(), "--") != argv.end()) starts_shell("capsh");
    return true;
  }
  if (name == "start-stop-daemon") {
    auto program = option_value(argv, "-x", "--exec");
    if (!program) program = option_value(argv, "-a", "--startas");
    if (program) {
      Argv inner{*program};
      const auto dashes = std::find(argv.begin(), argv.end(), "--");
      if (dashes != argv.end()) inner.insert(inner.end(), dashes + 1, argv.end());
      output = run_argv(std::move(inner), command.input, name);
    }
    return true;
  }
  if (name == "setarch" && at < argv.size() && is_one_of(argv[at], {"x86_64", "i686", "linux32", "linux64", "i386", "aarch64"})) ++at;
  if (name == "aws-vault" && !(argv.size() > 1 && argv[1] == "exec")) return false;
  if (at >= argv.size()) {
    if (name == "ssh-agent") {  // prints settings for eval
      output.clear();
      return true;
    }
    if (is_one_of(name, {"unshare", "chroot", "nsenter", "setarch", "linux32", "linux64", "fakeroot", "proot"})) starts_shell(name);
    return is_one_of(name, {"nice", "time", "nohup", "env"}) ? false : true;
  }
  const bool keeps_output = is_one_of(name, {"hyperfine", "pee", "sem"});
  if (keeps_output) {
    for (std::size_t i = at; i < argv.size(); ++i) (void)run_text(plain(argv[i]), command.input, name);
    return true;
  }
  output = run_argv(tail(argv, at), command.input, name);
  return true;
}

}  // namespace sallyport::guard
