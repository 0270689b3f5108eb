// Plays keystroke scripts through a LineGuard into a real shell on a pty, over a delay line with jitter and split packets,
// and says what was judged. One script a line, JSON: id, shell, history, setup, steps [{send, wait_for}], deny_must_fire.
//
//   guard_replay [--delay MS]... [--only ID] [--trace] SCRIPTS.jsonl
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <random>
#include <regex>
#include <set>

#include "gateway/ssh/line_guard.h"

namespace {

using namespace sallyport;
using gateway::LineGuard;
namespace json = boost::json;

std::int64_t now_us() {
  return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Bytes (or a probe, when empty) under way in one direction: later ones never overtake earlier ones.
class DelayLine {
 public:
  DelayLine(std::int64_t delay_us, std::mt19937& random) : delay_(delay_us), random_(random) {}
  void put(std::string bytes) {
    while (!bytes.empty()) {
      std::size_t length = bytes.size();
      if (delay_ > 0 && length > 1) length = 1 + std::uniform_int_distribution<std::size_t>(0, length - 1)(random_);
      add(bytes.substr(0, length));
      bytes.erase(0, length);
    }
  }
  void put_probe() { add(""); }
  std::optional<std::string> take(std::int64_t now) {
    if (queue_.empty() || queue_.front().first > now) return std::nullopt;
    std::string out = std::move(queue_.front().second);
    queue_.pop_front();
    return out;
  }
  [[nodiscard]] std::int64_t next() const { return queue_.empty() ? INT64_MAX : queue_.front().first; }

 private:
  void add(std::string bytes) {
    const std::int64_t jitter = delay_ == 0 ? 0 : std::uniform_int_distribution<std::int64_t>(-delay_ / 4, delay_ / 4)(random_);
    last_ = std::max(last_, now_us() + delay_ + jitter);
    queue_.emplace_back(last_, std::move(bytes));
  }
  std::int64_t delay_;
  std::mt19937& random_;
  std::int64_t last_ = 0;
  std::deque<std::pair<std::int64_t, std::string>> queue_;
};

struct Played {
  std::vector<std::string> judged;  ///< "deny text"
  std::vector<std::string> ran;
  std::vector<std::int64_t> waits;
  bool denied = false;
  bool stuck = false;
  std::string end;
};

using MakeHooks = std::function<LineGuard::Hooks()>;

Played play(const json::object& script, std::int64_t rtt_ms, const MakeHooks& make_hooks, bool trace) {
  Played result;
  std::mt19937 random(20261122U + static_cast<unsigned>(rtt_ms));
  const std::string shell(script.at("shell").as_string());
  char folder[] = "/tmp/guard-replay-XXXXXX";
  if (mkdtemp(folder) == nullptr) std::exit(2);
  const std::string home = folder;
  std::string setup;
  if (const auto* found = script.if_contains("setup"); found != nullptr) setup = found->as_string();
  {
    std::ofstream history(home + "/history");
    if (const auto* list = script.if_contains("history"); list != nullptr)
      for (const auto& line : list->as_array()) history << std::string_view(line.as_string()) << "\n";
  }
  int master = -1;
  winsize size{24, 80, 0, 0};
  const pid_t child = forkpty(&master, nullptr, nullptr, &size);
  if (child == 0) {
    if (chdir(folder) != 0) _exit(3);
    clearenv();
    setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
    setenv("HOME", folder, 1);
    setenv("TERM", "xterm-256color", 1);
    setenv("LANG", "C.UTF-8", 1);
    setenv("LESSHISTFILE", "-", 1);
    setenv("PS1", "$ ", 1);
    setenv("PS2", "> ", 1);
    setenv("PROMPT", "$ ", 1);
    setenv("HISTFILE", (home + "/history").c_str(), 1);
    setenv("SAVEHIST", "100", 1);
    setenv("HISTSIZE", "100", 1);
    if (setup == "EDITOR=true") setenv("EDITOR", "true", 1);
    if (shell == "bash") execlp("bash", "bash", "--norc", "--noprofile", "-i", nullptr);
    if (shell == "zsh") execlp("zsh", "zsh", "-f", "-i", nullptr);
    execlp(shell.c_str(), shell.c_str(), "-i", nullptr);
    _exit(127);
  }
  fcntl(master, F_SETFL, O_NONBLOCK);

  DelayLine to_target(rtt_ms * 500, random);
  DelayLine to_client(rtt_ms * 500, random);
  LineGuard::Hooks hooks = make_hooks();
  const auto inner_ran = hooks.ran;
  hooks.ran = [&result, inner_ran](std::string_view text, guard::Dialect dialect) {
    result.ran.emplace_back(text);
    inner_ran(text, dialect);
  };
  hooks.judged = [&](const LineGuard::Judged& judged) {
    result.judged.push_back(std::string(guard::name_of(judged.verdict)) + " " + judged.text);
    if (!judged.went_on) result.denied = true;
    if (trace)
      std::cerr << "    judged " << guard::name_of(judged.verdict) << " [" << judged.rule << "] " << judged.reason << " text=" << judged.text << "\n";
  };
  LineGuard guard(std::move(hooks), 80, 24);
  terminal::Screen client({.columns = 80, .rows = 24});
  std::string since_send;
  const auto act = [&](LineGuard::Actions& actions) {
    if (!actions.to_target.empty()) to_target.put(std::string(text_of(actions.to_target)));
    if (actions.probe) to_target.put_probe();
    if (!actions.to_client.empty()) {
      client.feed(actions.to_client);
      since_send += actions.to_client;
      if (trace) std::cerr << "    note " << actions.to_client;
    }
    if (actions.end) result.end = actions.end->code + " " + actions.end->why;
    actions = {};
  };
  // Runs the world until `done` or the deadline.
  const auto run = [&](std::int64_t until, const std::function<bool()>& done) {
    for (;;) {
      LineGuard::Actions actions;
      std::int64_t now = now_us();
      while (auto bytes = to_target.take(now)) {
        if (bytes->empty()) {
          to_client.put_probe();
        } else if (write(master, bytes->data(), bytes->size()) < 0 && trace) {
          std::cerr << "    write failed\n";
        }
      }
      char buffer[4096];
      for (;;) {
        const ssize_t got = read(master, buffer, sizeof buffer);
        if (got <= 0) break;
        to_client.put(std::string(buffer, static_cast<std::size_t>(got)));
      }
      now = now_us();
      while (auto bytes = to_client.take(now)) {
        if (bytes->empty()) {
          guard.probe_answered(now, actions);
        } else {
          guard.shown(bytes_of(*bytes), now, actions);
          client.feed(*bytes);
          since_send += *bytes;
        }
        act(actions);
      }
      if (guard.wake_at() != 0 && guard.wake_at() <= now) {
        guard.tick(now, actions);
        act(actions);
      }
      if (done && done()) return true;
      if (now >= until || !result.end.empty()) return false;
      std::int64_t next = std::min({until, to_target.next(), to_client.next()});
      if (guard.wake_at() != 0) next = std::min(next, guard.wake_at());
      pollfd waiting{master, POLLIN, 0};
      const std::int64_t wait = std::clamp<std::int64_t>((next - now_us() + 999) / 1000, 0, 50);
      poll(&waiting, 1, static_cast<int>(wait));
      if ((waiting.revents & POLLHUP) != 0 && (waiting.revents & POLLIN) == 0) {
        if (now >= until) return false;
        usleep(1000);
      }
    }
  };
  const std::int64_t patience = 5'000'000 + rtt_ms * 20'000;
  const auto row_matches = [&](const std::regex& pattern) {
    const auto cursor = client.cursor();
    return std::regex_search(client.text({cursor.line, 0}, cursor), pattern) || std::regex_search(since_send, pattern);
  };
  std::regex prompt("\\$ $");
  run(now_us() + patience, [&] { return std::regex_search(client.text({client.cursor().line, 0}, client.cursor()), prompt); });
  for (const auto& step_value : script.at("steps").as_array()) {
    const auto& step = step_value.as_object();
    const std::string send(step.at("send").as_string());
    const std::string wait_for(step.at("wait_for").as_string());
    since_send.clear();
    if (trace) std::cerr << "  send " << json::serialize(step.at("send")) << "\n";
    LineGuard::Actions actions;
    std::size_t at = 0;
    while (at < send.size()) {
      std::size_t length = send.size() - at;
      if (rtt_ms > 0) length = 1 + std::uniform_int_distribution<std::size_t>(0, length - 1)(random);
      guard.typed(bytes_of(std::string_view(send).substr(at, length)), now_us(), actions);
      act(actions);
      at += length;
    }
    if (wait_for.empty()) {
      run(now_us() + 30'000, nullptr);
    } else {
      const std::regex pattern(wait_for);
      // The held key must have had its verdict before a prompt that was there all along counts.
      run(now_us() + 60'000, nullptr);
      if (!run(now_us() + patience, [&] { return !since_send.empty() && guard.held_bytes() == 0 && row_matches(pattern); })) {
        result.stuck = true;
        if (trace) std::cerr << "    no " << wait_for << " in: " << client.line_text(client.cursor().line) << "\n";
      }
    }
    if (trace)
      for (std::uint64_t line = client.top(); line < client.top() + 24; ++line)
        if (const std::string text = client.line_text(line); !text.empty()) std::cerr << "    |" << text << "\n";
  }
  run(now_us() + 600'000 + rtt_ms * 4000, nullptr);
  kill(-child, SIGKILL);
  kill(child, SIGKILL);
  close(master);
  waitpid(child, nullptr, 0);
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
  return result;
}

}  // namespace

LineGuard::Hooks make_guard_hooks();

int main(int argc, char** argv) {
  std::vector<std::int64_t> delays;
  std::string only, file;
  bool trace = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--delay" && i + 1 < argc) delays.push_back(std::stol(argv[++i]));
    else if (argument == "--only" && i + 1 < argc) only = argv[++i];
    else if (argument == "--trace") trace = true;
    else file = argument;
  }
  if (delays.empty()) delays = {0, 20, 100, 400};
  std::ifstream in(file);
  if (!in) {
    std::cout << "skipped: " << (file.empty() ? "SALLYPORT_PTY_SCRIPTS names no more keystroke scripts" : "there is no " + file) << "\n";
    return 77;
  }
  int wrong = 0, scripts = 0, must = 0, denied = 0;
  std::vector<std::int64_t> waits;
  for (std::string line; std::getline(in, line);) {
    if (line.empty()) continue;
    const json::object script = json::parse(line).as_object();
    const std::string id(script.at("id").as_string());
    const std::string shell(script.at("shell").as_string());
    if (access(("/usr/bin/" + shell).c_str(), X_OK) != 0 && access(("/bin/" + shell).c_str(), X_OK) != 0) {
      std::cout << "skipped: " << id << ", no " << shell << " on this machine\n";
      continue;
    }
    if (!only.empty() && id != only) continue;
    const bool must_fire = script.at("deny_must_fire").as_bool();
    ++scripts;
    std::set<bool> seen;
    for (const std::int64_t delay : delays) {
      const Played result = play(script, delay, [&] { return make_guard_hooks(); }, trace);
      seen.insert(result.denied);
      const bool right = result.denied == must_fire;
      if (must_fire) ++must;
      if (must_fire && result.denied) ++denied;
      if (!right) ++wrong;
      std::cout << (right ? "ok   " : "WRONG") << " " << id << " " << std::string_view(script.at("family").as_string()) << " " << delay << " ms"
                << (result.denied ? " denied" : " passed") << (result.stuck ? " (a wait ran out)" : "") << (result.end.empty() ? "" : " end: " + result.end);
      for (const std::string& text : result.judged) std::cout << " | " << json::serialize(json::value(text));
      std::cout << std::endl;
    }
    if (seen.size() > 1) std::cout << "WRONG " << id << " verdicts differ between delays" << std::endl;
    if (seen.size() > 1) ++wrong;
  }
  std::cout << scripts << " scripts, " << delays.size() << " delays: " << denied << " of " << must << " must-fire runs denied, " << wrong << " wrong" << std::endl;
  return wrong == 0 ? 0 : 1;
}
