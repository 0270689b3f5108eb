#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "gateway/listener/fork_server.h"
#include "gateway/listener/proxy_protocol.h"
#include "platform/model/messages.h"

namespace sallyport::gateway {
namespace {

constexpr int k_accepts_per_turn = 32;
constexpr std::size_t k_most_proxied = 256;
constexpr std::size_t k_most_kits_per_request = 16;

std::uint64_t random_number() {
  std::uint64_t value = 0;
  // Only an early boot or a signal could make this short; a predictable choice of a victim is then no harm.
  static_cast<void>(getrandom(&value, sizeof value, 0) == static_cast<ssize_t>(sizeof value));
  return value;
}

std::optional<Endpoint> local_end(int socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) return std::nullopt;
  return endpoint_of(address);
}

bool is_out_of_resources(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

}  // namespace

void ForkServer::accept_from(const Socket& socket) {
  for (int i = 0; i < k_accepts_per_turn && accepts(); ++i) {
    sockaddr_storage from{};
    socklen_t size = sizeof from;
    Fd client(accept4(socket.fd.get(), reinterpret_cast<sockaddr*>(&from), &size, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!client) {
      if (is_out_of_resources(errno)) {
        note(os::LogEvent::listener_accept_failed, std::string("accept: ") + std::strerror(errno));
        accept_not_before_ = now() + Moment(100);
      }
      if (errno == EINTR || errno == ECONNABORTED || errno == EPROTO) continue;
      return;
    }
    const auto peer = endpoint_of(from);
    const auto local = local_end(client.get());
    if (!peer || !local) continue;
    ++counters_["accepted"];
    const int on = 1;
    setsockopt(client.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const auto& listed = config_->proxy_peers;
    const bool is_proxy = std::any_of(listed.begin(), listed.end(),
                                      [&](const Network& network) { return network.contains(peer->address); });
    if (!is_proxy && !socket.proxy_only) {
      arrive(std::move(client), *peer, *local);
    } else if (is_proxy && proxied_.size() < k_most_proxied) {
      Waiting waiting{WaitingRecord{}, std::move(client)};
      waiting.record.peer = *peer;
      waiting.record.local = *local;
      waiting.record.reads_proxy = true;
      waiting.record.deadline = now() + config_->proxy_wait;
      proxied_.push_back(std::move(waiting));
    } else {
      ++counters_["refused_proxy"];
    }
  }
}

void ForkServer::read_proxy_headers(const std::vector<int>& readable) {
  for (auto one = proxied_.begin(); one != proxied_.end();) {
    const bool ready = std::find(readable.begin(), readable.end(), one->client.get()) != readable.end();
    one = ready && read_proxy_header(*one) ? proxied_.erase(one) : std::next(one);
  }
}

bool ForkServer::read_proxy_header(Waiting& waiting) {
  std::string& bytes = waiting.record.proxy_bytes;
  for (;;) {
    const ProxyParse parse = parse_proxy_header(bytes_of(bytes));
    if (parse.result == ProxyParse::Result::refused) {
      ++counters_["refused_proxy"];
      note(os::LogEvent::listener_proxy_refused, "PROXY header from " + waiting.record.peer.address.str() + " refused: " + std::string(parse.why));
      return true;
    }
    if (parse.result == ProxyParse::Result::complete) {
      arrive(std::move(waiting.client), parse.header.client.value_or(waiting.record.peer),
             parse.header.local.value_or(waiting.record.local));
      return true;
    }
    // Never beyond the header: what follows is the session's to read.
    std::array<char, k_max_proxy_header> buffer;
    const ssize_t n = recv(waiting.client.get(), buffer.data(), parse.wanted - bytes.size(), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (n <= 0) return true;
    bytes.append(buffer.data(), static_cast<std::size_t>(n));
  }
}

void ForkServer::arrive(Fd client, const Endpoint& peer, const Endpoint& local) {
  if (children_.size() + waiting_.size() + held_.size() >= config_->max_sessions) {
    ++counters_["refused_full"];
    return refuse(std::move(client), "SP-5001");
  }
  const Ticket ticket = ++last_ticket_;
  const Admitted admitted = admission_.admit(ticket, source_of(peer.address), now(), random_number());
  if (admitted.answer == Admitted::Answer::refused) {
    ++counters_["refused_penalty"];
    return refuse(std::move(client), "SP-5003");
  }
  if (admitted.victim) end_unproven(*admitted.victim);
  Waiting waiting{WaitingRecord{}, std::move(client)};
  waiting.record.ticket = ticket;
  waiting.record.peer = peer;
  waiting.record.local = local;
  waiting.record.not_before = admitted.not_before;
  waiting.record.deadline = std::max(now(), admitted.not_before) + config_->kit_wait;
  if (admitted.not_before <= now()) return waiting_.push_back(std::move(waiting));
  ++counters_["held"];
  held_.push_back(std::move(waiting));
}

/// The line before the identification string that RFC 4253 section 4.2 allows; ssh -v shows it.
void ForkServer::refuse(Fd client, std::string_view code) {
  const std::string line = render(make_notice(code)) + "\r\n";
  static_cast<void>(::send(client.get(), line.data(), line.size(), MSG_DONTWAIT | MSG_NOSIGNAL) == 0);
  shutdown(client.get(), SHUT_WR);
}

void ForkServer::end_unproven(Ticket ticket) {
  ++counters_["dropped"];
  const auto child = pid_of_ticket_.find(ticket);
  if (child != pid_of_ticket_.end()) return kill_child(children_.at(child->second), "too many unproven connections");
  for (auto* list : {&waiting_, &held_})
    std::erase_if(*list, [ticket](const Waiting& one) { return one.record.ticket == ticket; });
}

/// While kits come nobody in the queue is refused: who is behind a flood of others is served when her turn comes. Each kit takes one from
/// the queue, which is short (k_most_waiting), so that the wait has an end all the same.
Moment ForkServer::give_up_at(const Waiting& waiting) const { return std::max(waiting.record.deadline, kit_came_ + config_->kit_wait); }

void ForkServer::serve_waiting() {
  const Moment here = now();
  for (auto one = held_.begin(); one != held_.end();) {
    if (one->record.not_before <= here) waiting_.push_back(std::move(*one));
    one = one->record.not_before <= here ? held_.erase(one) : std::next(one);
  }
  std::deque<Waiting> still;
  while (!waiting_.empty()) {
    Waiting one = std::move(waiting_.front());
    waiting_.pop_front();
    const bool can_start = !kits_.empty() && authority_.is_open();
    if (can_start) {
      Kit kit = std::move(kits_.front());
      kits_.pop_front();
      launch(std::move(one), std::move(kit));
    } else if (give_up_at(one) <= here) {
      ++counters_["refused_no_kit"];
      admission_.forget(one.record.ticket);
      if (one.record.jump) {
        control::Envelope answer;
        answer.set_call(one.record.jump->call);
        answer.set_reply(true);
        answer.mutable_failure()->set_errc(static_cast<std::uint32_t>(Errc::unavailable));
        answer.mutable_failure()->set_detail("no session kit in time");
        answer.mutable_failure()->set_code("SP-5004");
        authority_.send(std::move(answer));
      }
      refuse(std::move(one.client), "SP-5004");
    } else {
      still.push_back(std::move(one));
    }
  }
  waiting_ = std::move(still);
}

void ForkServer::launch(Waiting waiting, Kit kit) {
  const WaitingRecord& record = waiting.record;
  const pid_t pid = fork();
  if (pid == 0) {
    ChildPlan plan;
    plan.null_device = null_device_.get();
    plan.keep_log = hooks_.keep_log;
    SessionHandover& handover = plan.handover;
    handover.client = std::move(waiting.client);
    handover.peer_address = record.peer.address.str();
    handover.peer_port = record.peer.port;
    handover.local_address = record.local.address.str();
    handover.local_port = record.local.port;
    if (record.jump) {
      handover.outer_session = record.jump->outer_session;
      handover.inner_target = record.jump->target;
      handover.inner_port = record.jump->port;
      handover.inner_host_certificates = record.jump->host_certificates;
    }
    handover.program = &program_;
    handover.options = &config_->session;
    plan.kit = std::move(kit);
    become_session(std::move(plan), hooks_.serve);
  }
  if (pid < 0) {
    note(os::LogEvent::listener_fork_failed, std::string("fork: ") + std::strerror(errno));
    ++counters_["refused_no_fork"];
    kits_.push_front(std::move(kit));
    admission_.forget(record.ticket);
    return refuse(std::move(waiting.client), "SP-5004");
  }
  ++counters_["sessions"];
  ChildRecord child{pid,         kit.session,  record.ticket,
                    record.peer, record.local, record.jump ? record.jump->outer_session : "",
                    false,       {}};
  control::Envelope envelope;
  if (record.jump && record.jump->call != 0) {
    envelope.set_call(record.jump->call);
    envelope.set_reply(true);
  }
  control::SessionStarted& started = *envelope.mutable_session_started();
  started.set_session(child.session);
  started.set_peer_address(child.peer.address.str());
  started.set_peer_port(child.peer.port);
  started.set_local_address(child.local.address.str());
  started.set_local_port(child.local.port);
  started.set_outer_session(child.outer_session);
  started.set_started_us(clock_.wall().time_since_epoch().count());
  started.set_pid(pid);
  if (record.jump) started.set_inner_target(record.jump->target);
  authority_.send(std::move(envelope));
  pid_of_session_[child.session] = pid;
  if (child.ticket != 0) pid_of_ticket_[child.ticket] = pid;
  children_[pid] = std::move(child);
}

void ForkServer::ask_for_kits() {
  const Moment here = now();
  if (!is_ready() || draining_ || here < kits_not_before_) return;
  if (kits_asked_ > 0 && here - kits_asked_at_ >= Moment(1000))
    kits_asked_ = 0;  // lost, or the keeper was busy: ask again
  const std::size_t there = kits_.size() + kits_asked_;
  if (there >= config_->kits_low + waiting_.size()) return;
  const std::size_t count = std::min(config_->kits_high + waiting_.size() - there, k_most_kits_per_request);
  kits_asked_ += count;
  kits_asked_at_ = here;
  control::Envelope envelope;
  envelope.set_call(here.count() > 0 ? static_cast<std::uint64_t>(here.count()) : 1);
  envelope.mutable_kit_request()->set_count(static_cast<std::uint32_t>(count));
  keeper_.send(std::move(envelope));
}

}  // namespace sallyport::gateway
