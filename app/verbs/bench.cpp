#include "app/verbs/bench.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <map>
#include <sstream>
#include <vector>

#include "app/verbs/exit_codes.h"
#include "platform/crypto/random.h"
#include "platform/os/fd.h"

namespace sallyport::app {
namespace {

namespace json = boost::json;
using Seconds = std::chrono::duration<double>;
using MonotonicClock = std::chrono::steady_clock;

constexpr int k_echo_timeout_ms = 5000;
constexpr std::size_t k_block = 256 * 1024;

struct Running {
  pid_t pid = -1;
  Fd in;   ///< its standard input
  Fd out;  ///< its standard output
};

std::vector<std::string> words_of(const std::string& line) {
  std::istringstream in(line);
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

Result<Running> start_ssh(const std::string& line, const std::vector<std::string>& before_host, const std::string& remote_command) {
  std::vector<std::string> words = words_of(line);
  if (words.empty()) return fail(Errc::invalid, "an empty ssh command line");
  words.insert(words.begin() + 1, before_host.begin(), before_host.end());
  words.push_back(remote_command);
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  int to_child[2];
  int from_child[2];
  if (pipe2(to_child, O_CLOEXEC) != 0 || pipe2(from_child, O_CLOEXEC) != 0) return fail(Errc::unavailable, "pipe");
  Running running{fork(), Fd(to_child[1]), Fd(from_child[0])};
  const Fd child_in(to_child[0]);
  const Fd child_out(from_child[1]);
  if (running.pid < 0) return fail(Errc::unavailable, "fork");
  if (running.pid == 0) {
    dup2(child_in.get(), 0);
    dup2(child_out.get(), 1);
    execvp(argv[0], argv.data());
    _exit(127);
  }
  return running;
}

bool finish(Running& running) {
  running.in.reset();
  running.out.reset();
  int status = 0;
  waitpid(running.pid, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

Result<double> one_setup(const std::string& line) {
  const auto began = MonotonicClock::now();
  auto ssh = start_ssh(line, {}, "true");
  if (!ssh) return tl::unexpected(ssh.error());
  if (!finish(*ssh)) return fail(Errc::unavailable, "`" + line + " true` failed");
  return Seconds(MonotonicClock::now() - began).count();
}

/// Completed set-ups per second with `parallel` at once.
Result<double> setups_per_second(const std::string& line, int parallel) {
  const int in_all = parallel * 4;
  const auto began = MonotonicClock::now();
  int started = 0;
  int running = 0;
  int failed = 0;
  while (started < in_all || running > 0) {
    if (started < in_all && running < parallel) {
      auto ssh = start_ssh(line, {}, "true");
      if (!ssh) return tl::unexpected(ssh.error());
      ++started;
      ++running;
      continue;
    }
    int status = 0;
    if (waitpid(-1, &status, 0) > 0) {
      --running;
      failed += WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : 1;
    }
  }
  if (failed > 0) return fail(Errc::unavailable, std::to_string(failed) + " of " + std::to_string(in_all) + " parallel set-ups failed");
  return in_all / Seconds(MonotonicClock::now() - began).count();
}

Result<double> download(const std::string& line, int mib) {
  auto ssh = start_ssh(line, {}, "head -c " + std::to_string(mib) + "M /dev/urandom");
  if (!ssh) return tl::unexpected(ssh.error());
  const auto began = MonotonicClock::now();
  std::vector<char> block(k_block);
  std::uint64_t got = 0;
  for (ssize_t n = 0; (n = ::read(ssh->out.get(), block.data(), block.size())) > 0;) got += static_cast<std::uint64_t>(n);
  const double seconds = Seconds(MonotonicClock::now() - began).count();
  if (!finish(*ssh) || got != static_cast<std::uint64_t>(mib) * 1024 * 1024) return fail(Errc::unavailable, "the download was cut short");
  return mib / seconds;
}

Result<double> upload(const std::string& line, int mib) {
  auto ssh = start_ssh(line, {}, "cat >/dev/null");
  if (!ssh) return tl::unexpected(ssh.error());
  std::vector<std::byte> block(k_block);
  crypto::system_random().fill(block);
  const auto began = MonotonicClock::now();
  for (std::size_t left = static_cast<std::size_t>(mib) * 1024 * 1024; left > 0;) {
    const ssize_t n = ::write(ssh->in.get(), block.data(), std::min(left, block.size()));
    if (n <= 0) break;
    left -= static_cast<std::size_t>(n);
  }
  if (!finish(*ssh)) return fail(Errc::unavailable, "the upload failed");
  return mib / Seconds(MonotonicClock::now() - began).count();
}

Result<bool> read_one(const Fd& fd) {
  pollfd waiting{fd.get(), POLLIN, 0};
  if (poll(&waiting, 1, k_echo_timeout_ms) <= 0) return fail(Errc::unavailable, "no echo within 5 s");
  char byte = 0;
  if (::read(fd.get(), &byte, 1) != 1) return fail(Errc::unavailable, "the terminal session ended");
  return byte == 'k';
}

/// Seconds from writing one byte into a pty session until it is back.
Result<std::vector<double>> echoes(const std::string& line, int keys) {
  auto ssh = start_ssh(line, {"-tt"}, "stty raw -echo; printf k; exec cat");
  if (!ssh) return tl::unexpected(ssh.error());
  std::vector<double> samples;
  Result<bool> started = false;
  while (started && !*started) started = read_one(ssh->out);  // whatever a profile prints first
  Result<void> outcome;
  if (!started) outcome = tl::unexpected(started.error());
  for (int i = 0; i < keys && outcome; ++i) {
    poll(nullptr, 0, 10);  // a fast typist
    const auto began = MonotonicClock::now();
    if (::write(ssh->in.get(), "k", 1) != 1) outcome = fail(Errc::unavailable, "the terminal session ended");
    else if (auto back = read_one(ssh->out); !back) outcome = tl::unexpected(back.error());
    samples.push_back(Seconds(MonotonicClock::now() - began).count());
  }
  kill(ssh->pid, SIGTERM);
  finish(*ssh);
  if (!outcome) return tl::unexpected(outcome.error());
  return samples;
}

double quantile(std::vector<double> samples, double at) {
  std::sort(samples.begin(), samples.end());
  return samples[std::min(samples.size() - 1, static_cast<std::size_t>(at * static_cast<double>(samples.size())))];
}

/// value[measure] for one way.
using Measured = std::map<std::string, double>;

Result<Measured> measure(const std::string& line, const BenchOptions& options) {
  Measured measured;
  const auto keep = [&measured](const std::string& name, const Result<double>& value) -> Result<void> {
    if (!value) return tl::unexpected(value.error());
    measured[name] = *value;
    return {};
  };
  if (auto kept = keep("connections per second, " + std::to_string(options.parallel) + " at once", setups_per_second(line, options.parallel)); !kept)
    return tl::unexpected(kept.error());
  if (auto kept = keep("down MiB/s", download(line, options.mib)); !kept) return tl::unexpected(kept.error());
  if (auto kept = keep("up MiB/s", upload(line, options.mib)); !kept) return tl::unexpected(kept.error());
  auto samples = echoes(line, options.keys);
  if (!samples) return tl::unexpected(samples.error());
  measured["echo p50 ms"] = quantile(*samples, 0.5) * 1e3;
  measured["echo p99 ms"] = quantile(*samples, 0.99) * 1e3;
  return measured;
}

std::string rounded(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f", value);
  return text;
}

}  // namespace

int run_bench(const Common& common, const BenchOptions& options) {
  signal(SIGPIPE, SIG_IGN);
  std::map<std::string, std::vector<double>> setups;
  // In turn, so that a noisy moment of the machine hits both.
  for (int round = 0; round < options.rounds; ++round) {
    for (const std::string& line : {options.direct, options.gateway}) {
      auto seconds = one_setup(line);
      if (!seconds) return report(seconds.error());
      setups[line].push_back(*seconds);
    }
  }
  auto direct = measure(options.direct, options);
  if (!direct) return report(fail_in("direct", direct.error()).value());
  auto gateway = measure(options.gateway, options);
  if (!gateway) return report(fail_in("gateway", gateway.error()).value());
  for (const auto& [line, way] : {std::pair{options.direct, &*direct}, std::pair{options.gateway, &*gateway}}) {
    (*way)["set-up p50 ms"] = quantile(setups[line], 0.5) * 1e3;
    (*way)["set-up p99 ms"] = quantile(setups[line], 0.99) * 1e3;
  }
  json::array rows;
  for (const auto& [name, value] : *direct) {
    const double through = (*gateway)[name];
    rows.push_back(json::object{{"measure", name}, {"direct", rounded(value)}, {"gateway", rounded(through)}, {"ratio", rounded(value > 0 ? through / value : 0)}});
  }
  print_rows(common, rows, {{"MEASURE", "measure"}, {"DIRECT", "direct"}, {"GATEWAY", "gateway"}, {"RATIO", "ratio"}}, "");
  return k_exit_ok;
}

}  // namespace sallyport::app
