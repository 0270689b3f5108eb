#include "policy/guard/wrapper_table.h"

#include <algorithm>
#include <array>

namespace sallyport::guard {
namespace {

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
    Wrapper{"ltrace", "aeFlnopsuwxXD", "output", 0, false},
    Wrapper{"unshare", "SGRwl", "propagation setgroups setuid setgid root wd map-user map-group map-users map-groups boottime monotonic load-interp", 0, false},
    Wrapper{"setpriv", "", "reuid regid groups inh-caps ambient-caps bounding-set securebits pdeathsig selinux-label apparmor-profile euid egid", 0, false},
    Wrapper{"chroot", "", "userspec groups", 1, false},
    Wrapper{"nsenter", "tSG", "target setuid setgid", 0, false},
    Wrapper{"systemd-run", "upMHEG",
            "unit property machine host on-calendar on-active on-boot uid gid nice setenv description slice working-directory service-type timer-property", 0,
            false},
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
    Wrapper{"runcon", "tulr", "type user role range", 0, false},
    Wrapper{"setarch", "", "", 0, false},
    Wrapper{"linux64", "", "", 0, false},
    Wrapper{"linux32", "", "", 0, false},
    Wrapper{"i386", "", "", 0, false},
    Wrapper{"busybox", "", "", 0, false},
    Wrapper{"toybox", "", "", 0, false},
    Wrapper{"bwrap", "", "ro-bind bind dev proc tmpfs chdir setenv unshare-user", 0, false},
    Wrapper{"tsp", "LNDES", "", 0, false},
    Wrapper{"lockrun", "LST", "lockfile sleep", 0, false},
    Wrapper{"solo", "", "", 0, false},
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

}  // namespace

const Wrapper* find_wrapper(std::string_view name) {
  const auto* found = std::find_if(k_wrappers.begin(), k_wrappers.end(), [&](const Wrapper& w) { return w.name == name; });
  return found == k_wrappers.end() ? nullptr : &*found;
}

std::size_t command_at(const Argv& argv, const Wrapper& spec, std::size_t from) {
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
    if (spec.name == "setarch" && i == from && is_one_of(word, {"x86_64", "i386", "i486", "i586", "i686", "linux32", "linux64", "x86", "amd64", "aarch64", "arm64", "uname26"})) continue;
    if (operands-- > 0) continue;
    return i;
  }
  return argv.size();
}

std::optional<std::string> option_value(const Argv& argv, std::string_view short_name, std::string_view long_name) {
  for (std::size_t i = 1; i < argv.size(); ++i) {
    const std::string& word = argv[i];
    if (!short_name.empty() && word == short_name && i + 1 < argv.size()) return argv[i + 1];
    if (!long_name.empty() && word == long_name && i + 1 < argv.size()) return argv[i + 1];
    if (!long_name.empty() && word.starts_with(std::string(long_name) + "=")) return word.substr(long_name.size() + 1);
    if (short_name.size() == 2 && word.size() > 2 && word.starts_with(short_name) && word[1] != '-') return word.substr(2);
  }
  return std::nullopt;
}

}  // namespace sallyport::guard
