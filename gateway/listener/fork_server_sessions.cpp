#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <utility>

#include "gateway/listener/fork_server.h"

namespace sallyport::gateway {
namespace {

constexpr Moment k_jump_outlives_by{5'000};
constexpr Moment k_between_renewals{1'000};

/// Signals by which an attacked or broken process dies; SIGKILL is ours, the operator's or the kernel's for lack of
/// memory.
bool is_crash(int signal) {
  return signal == SIGSYS || signal == SIGSEGV || signal == SIGBUS || signal == SIGILL || signal == SIGABRT ||
         signal == SIGFPE || signal == SIGTRAP;
}

std::uint64_t microseconds(const timeval& time) {
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000 + static_cast<std::uint64_t>(time.tv_usec);
}

}  // namespace

void ForkServer::reap() {
  for (;;) {
    int status = 0;
    rusage usage{};
    const pid_t pid = wait4(-1, &status, WNOHANG, &usage);
    if (pid > 0) {
      on_exit(pid, status, usage);
    } else if (pid == 0 || errno != EINTR) {
      return;
    }
  }
}

void ForkServer::on_exit(pid_t pid, int status, const rusage& usage) {
  const auto found = children_.find(pid);
  if (found == children_.end()) return;
  const ChildRecord child = std::move(found->second);
  children_.erase(found);
  pid_of_session_.erase(child.session);
  pid_of_ticket_.erase(child.ticket);
  admission_.forget(child.ticket);
  jump_rates_.erase(child.session);
  for (const auto& [other, record] : children_)
    if (record.outer_session == child.session) orphaned_jumps_.emplace_back(now() + k_jump_outlives_by, record.session);

  control::Envelope envelope;
  control::SessionExited& exited = *envelope.mutable_session_exited();
  exited.set_session(child.session);
  if (WIFEXITED(status)) exited.set_exit_code(WEXITSTATUS(status));
  if (WIFSIGNALED(status)) exited.set_signal(WTERMSIG(status));
  exited.set_killed_for(child.killed_for);
  exited.set_cpu_us(microseconds(usage.ru_utime) + microseconds(usage.ru_stime));
  authority_.send(std::move(envelope));
  if (WIFEXITED(status) && WEXITSTATUS(status) != 0) {
    ++counters_["failed"];
    note(os::LogEvent::session_ended, "session " + child.session + " ended with status " + std::to_string(WEXITSTATUS(status)));
  }
  if (WIFSIGNALED(status) && is_crash(WTERMSIG(status))) crashed(child, WTERMSIG(status));
}

void ForkServer::crashed(const ChildRecord& child, int signal) {
  ++counters_["crashed"];
  const Moment length = admission_.penalise_crash(source_of(child.peer.address), now());
  note(os::LogEvent::session_died, "session " + child.session + " from " + child.peer.address.str() + " died by signal " + std::to_string(signal) +
       "; its source waits " + std::to_string(length.count() / 1000) + " s");
  renew_why_ = "a session died by signal " + std::to_string(signal);
  plan_renewal(std::max(now(), started_at_ + k_between_renewals));
}

void ForkServer::kill_child(ChildRecord& child, std::string_view why) {
  if (child.killed_for.empty()) child.killed_for = why;
  // Not reaped yet, so the number is still this process.
  kill(child.pid, SIGKILL);
}

void ForkServer::kill_all(std::string_view why) {
  for (auto& [pid, child] : children_) kill_child(child, why);
}

/// A session that a listener before this one forked and that is nobody's child now. It is known by its name; the process descriptor is
/// opened before the name is looked at, so that the one that is judged is the one that is killed.
void ForkServer::kill_orphan(const std::string& session) {
  const std::string wanted = process_name_of(session);
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
    const std::string name = entry.path().filename().string();
    pid_t pid = 0;
    if (std::from_chars(name.data(), name.data() + name.size(), pid).ec != std::errc{} || pid <= 1 || children_.contains(pid)) continue;
    const Fd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    std::ifstream file(entry.path() / "comm");
    std::string comm;
    if (!process || !std::getline(file, comm) || comm != wanted) continue;
    // Another user's process of that name is out of our reach: the kernel refuses the signal.
    if (::syscall(SYS_pidfd_send_signal, process.get(), SIGKILL, nullptr, 0) == 0) note(os::LogEvent::session_killed, "session " + session + " of an earlier listener was killed");
    return;
  }
}

// ---------------------------------------------------------------- jumps

std::size_t ForkServer::jumps_of(const std::string& outer) const {
  const auto live = std::count_if(children_.begin(), children_.end(),
                                  [&](const auto& entry) { return entry.second.outer_session == outer; });
  const auto waiting = std::count_if(waiting_.begin(), waiting_.end(), [&](const Waiting& one) {
    return one.record.jump && one.record.jump->outer_session == outer;
  });
  return static_cast<std::size_t>(live + waiting);
}

/// A bucket of two seconds' worth, so that one command to many hosts does not stumble.
bool ForkServer::take_jump_token(const std::string& outer) {
  const double rate = static_cast<double>(config_->inner_rate);
  const Moment here = now();
  const auto [entry, is_new] = jump_rates_.try_emplace(outer, Bucket{2 * rate, here});
  Bucket& bucket = entry->second;
  bucket.tokens = std::min(2 * rate, bucket.tokens + rate * static_cast<double>((here - bucket.filled).count()) / 1000);
  bucket.filled = here;
  if (bucket.tokens < 1) return false;
  bucket.tokens -= 1;
  return true;
}

std::string ForkServer::jump_refusal(const control::SpawnInner& wanted) {
  if (draining_) return "the gateway is stopping";
  const bool is_web = wanted.outer_session().empty();
  if (is_web && !IpAddress::parse(wanted.peer_address())) return "no address of a browser";
  if (is_web) return children_.size() + waiting_.size() >= config_->max_sessions ? "too many sessions" : take_jump_token("") ? "" : "too many new browser terminals per second";
  if (!pid_of_session_.contains(wanted.outer_session())) return "the outer session is gone";
  if (jumps_of(wanted.outer_session()) >= config_->inner_live) return "too many jumps at once in this session";
  if (children_.size() + waiting_.size() >= config_->max_sessions) return "too many sessions";
  if (!take_jump_token(wanted.outer_session())) return "too many new jumps per second in this session";
  return {};
}

void ForkServer::spawn_inner(const control::Envelope& question, std::vector<Fd> descriptors) {
  const control::SpawnInner& wanted = question.spawn_inner();
  const std::string refusal = descriptors.size() != 1 ? "no connection came with it"
                              : !config_              ? "not configured yet"
                                                      : jump_refusal(wanted);
  if (!refusal.empty()) {
    ++counters_["refused_jump"];
    control::Envelope answer = control::failure_reply(question, Error{Errc::unavailable, refusal});
    answer.mutable_failure()->set_code("SP-5001");
    return authority_.send(std::move(answer));
  }
  Waiting waiting{WaitingRecord{}, std::move(descriptors.front())};
  fcntl(waiting.client.get(), F_SETFL, O_NONBLOCK);
  if (wanted.outer_session().empty()) {
    waiting.record.peer = Endpoint{*IpAddress::parse(wanted.peer_address()), static_cast<std::uint16_t>(wanted.peer_port())};
  } else {
    const ChildRecord& outer = children_.at(pid_of_session_.at(wanted.outer_session()));
    waiting.record.peer = outer.peer;
    waiting.record.local = outer.local;
  }
  waiting.record.deadline = now() + config_->kit_wait;
  JumpRecord jump{wanted.outer_session(), wanted.target(), static_cast<std::uint16_t>(wanted.port()), {}, question.call()};
  for (const std::string& blob : wanted.host_certificates()) jump.host_certificates.push_back(copy_of(bytes_of(blob)));
  waiting.record.jump = std::move(jump);
  waiting_.push_back(std::move(waiting));
}

}  // namespace sallyport::gateway
