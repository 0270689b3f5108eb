// Shells that a text starts: with a text of their own, a file, their input, or a person.
#include <algorithm>

#include "policy/guard/argv_words.h"
#include "policy/guard/walk.h"

namespace sallyport::guard {
namespace {

bool is_shell_name(std::string_view name) {
  return is_one_of(name, {"sh", "bash", "dash", "zsh", "ksh", "ash", "mksh", "ksh93", "rbash", "lksh", "yash", "posh", "fish", "csh", "tcsh", "pwsh", "elvish", "nu", "xonsh", "oil", "osh", "static-sh", "bash-static", "sash"});
}

/// These lend a shell their own standing; nobody opens a shell of her own with them.
bool is_odd_wrapper(std::string_view nest) {
  return is_one_of(nest, {"taskset", "ionice", "rlwrap", "chrt", "stdbuf", "setsid", "flock", "xargs", "timeout", "setarch", "numactl", "unbuffer", "logsave", "nohup", "time", "strace", "ltrace", "systemd-inhibit", "dbus-run-session", "choom", "prlimit", "uclampset", "cpulimit", "catchsegv", "hyperfine", "perf",
                          "valgrind", "faketime", "torsocks", "proxychains", "proxychains4", "tsocks", "firejail", "schedtool", "softlimit", "chpst", "pidnsenv"});
}

/// Programs that are no wrappers: a shell started by them is an escape from what they are for.
bool is_escape(std::string_view nest) {
  for (const std::string_view wrapper : {"alias", "function", "eval", "sudo", "env", "nice", "nohup", "timeout", "time", "command", "exec", "builtin", "setsid", "stdbuf", "script", "tmux", "screen", "su -c", "sh -c", "bash -c", "$( )", "ionice",
                                         "taskset", "chrt", "unbuffer", "rlwrap", "ssh", "docker", "podman", "kubectl", "oc", "systemd-run", "systemd-inhibit", "dbus-run-session", "trap", "coproc", "runuser", "doas", "pkexec", "source"}) {
    if (nest.starts_with(wrapper)) return false;
  }
  return true;
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
    case Input::Kind::nothing:
      if (!nest_.empty() && nest_.back() == "xargs" && argv.size() == 1) {  // -a leaves the terminal to it
        Command escape;
        escape.argv = {"shell-escape", nest_.back(), std::string(name)};
        emit(std::move(escape));
      }
      break;
    case Input::Kind::terminal:
      note(Opaque::nested_shell, "a shell inside the shell", joined(argv, 0));
      enters = Dialect::shell;
      // A shell out of another program: not how anybody opens one. By its whole path through `env` or `nice`: nor that.
      if (!nest_.empty() && (is_escape(nest_.back()) || is_odd_wrapper(nest_.back()) || (argv[0].starts_with('/') && is_one_of(nest_.back(), {"env", "nice", "command", "exec", "builtin"})))) {
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

}  // namespace sallyport::guard
