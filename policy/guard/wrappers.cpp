// Programs that run the program their arguments name: sudo, env, containers' exec and some hundred more.
#include <algorithm>

#include "policy/guard/argv_words.h"
#include "policy/guard/launchers.h"
#include "policy/guard/walk.h"
#include "policy/guard/wildcard.h"
#include "policy/guard/wrapper_table.h"

namespace sallyport::guard {
namespace {

/// As one word that the shell takes literally.
std::string shell_word(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') out += "'\\''";
    else out.push_back(c);
  }
  return out + "'";
}

}  // namespace

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

  if (launcher(*this, command, output) || repeater(command, output) || multiplexer(command, output)) return true;
  if (tool_with_commands(command)) return false;

  // ---- ways of their own
  if (name == "env") {
    for (std::size_t i = 1; i < argv.size(); ++i) {
      const std::string& word = argv[i];
      std::string text;
      // One word is split; those behind it stay as they are.
      std::size_t rest = i + 2;
      const bool in_next =
          word == "-S" || word == "--split-string" || (word.size() > 2 && word[0] == '-' && word[1] != '-' && word[1] != 'S' && word.back() == 'S');
      if (in_next && i + 1 < argv.size()) text = plain(argv[i + 1]);
      else if (word.starts_with("-S") && word.size() > 2) text = word.substr(2), rest = i + 1;
      else if (word.starts_with("--split-string=")) text = word.substr(15), rest = i + 1;
      if (!text.empty()) {
        for (; rest < argv.size(); ++rest) text += " " + shell_word(plain(argv[rest]));
        output = run_text(text, command.input, "env -S");
        return true;
      }
      if (!word.starts_with('-') && word.find('=') == std::string::npos) break;
    }
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
    static constexpr Wrapper k_entr{"entr", "", "", 0, false};  // its options take no values
    const std::size_t at = command_at(argv, name == "entr" ? k_entr : k_watch);
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
    if (name == "runuser" && (option_value(argv, "-u", "--user"))) return run_from(command_at(argv, *find_wrapper(name)));
    if (name == "sg" && argv.size() > 2) {
      output = run_text(plain(argv[2]), command.input, "sg");
      return true;
    }
    starts_shell(name);
    return true;
  }
  if (name == "sudo" || name == "doas" || name == "dzdo" || name == "pkexec" || name == "run0") {
    const Wrapper* spec = find_wrapper(name);
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
    static constexpr Wrapper k_container{"docker", "uewvpmhlacnPf",
                                         "user env workdir volume publish name network memory cpus hostname label entrypoint mount restart env-file add-host "
                                         "device pid user cap-add cap-drop security-opt ulimit platform ip log-driver log-opt index",
                                         1, false};
    return run_from(command_at(argv, k_container, verb + 1)) || false;
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
  const Wrapper* spec = find_wrapper(name);
  if (spec == nullptr) return false;
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
