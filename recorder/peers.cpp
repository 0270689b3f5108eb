#include "recorder/peers.h"

#include <sys/epoll.h>

#include <cerrno>
#include <cstring>

namespace sallyport::recorder {

Result<PeerId> Peers::add(control::Peer kind, std::string session, Fd socket) {
  const bool is_session = kind == control::PEER_SESSION;
  if (is_session) {
    if (const auto old = sessions_.find(session); old != sessions_.end()) remove(old->second);
  } else if (const auto old = services_.find(kind); old != services_.end()) {
    remove(old->second);
  }
  auto peer = std::make_unique<Peer>();
  peer->id = ++last_id_;
  peer->kind = kind;
  peer->session = std::move(session);
  peer->link = control::Link(std::move(socket));
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = peer->id;
  if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, peer->link.native(), &event) != 0)
    return fail(Errc::unavailable, std::string("epoll: ") + std::strerror(errno));
  const PeerId id = peer->id;
  if (is_session) sessions_[peer->session] = id;
  else services_[kind] = id;
  peers_[id] = std::move(peer);
  return id;
}

void Peers::remove(PeerId id) {
  const auto found = peers_.find(id);
  if (found == peers_.end()) return;
  Peer& peer = *found->second;
  ::epoll_ctl(epoll_, EPOLL_CTL_DEL, peer.link.native(), nullptr);
  if (peer.kind == control::PEER_SESSION) {
    if (const auto entry = sessions_.find(peer.session); entry != sessions_.end() && entry->second == id) sessions_.erase(entry);
  } else if (const auto entry = services_.find(peer.kind); entry != services_.end() && entry->second == id) {
    services_.erase(entry);
  }
  peers_.erase(found);
}

Peer* Peers::find(PeerId id) noexcept {
  const auto found = peers_.find(id);
  return found == peers_.end() ? nullptr : found->second.get();
}

Peer* Peers::service(control::Peer kind) noexcept {
  const auto found = services_.find(kind);
  return found == services_.end() ? nullptr : find(found->second);
}

Peer* Peers::session(const std::string& label) noexcept {
  const auto found = sessions_.find(label);
  return found == sessions_.end() ? nullptr : find(found->second);
}

void Peers::want_out(Peer& peer, bool wanted) {
  if (peer.wants_out == wanted) return;
  peer.wants_out = wanted;
  epoll_event event{};
  event.events = wanted ? EPOLLIN | EPOLLOUT : EPOLLIN;
  event.data.u64 = peer.id;
  ::epoll_ctl(epoll_, EPOLL_CTL_MOD, peer.link.native(), &event);
}

bool Peers::say(Peer& peer, control::Envelope envelope) {
  if (peer.waiting.empty()) {
    const auto sent = peer.link.send(envelope);
    if (sent || sent.error().code == Errc::cancelled) return true;  // a closed peer is seen when it is read
    if (sent.error().code != Errc::unavailable) return false;
  }
  if (envelope.has_ring_space()) {
    for (auto& waiting : peer.waiting) {
      if (!waiting.has_ring_space() || waiting.ring_space().durable() != envelope.ring_space().durable()) continue;
      waiting = std::move(envelope);
      return true;
    }
  }
  if (peer.waiting.size() >= (peer.kind == control::PEER_SESSION ? k_most_waiting_session : k_most_waiting)) return false;
  peer.waiting.push_back(std::move(envelope));
  want_out(peer, true);
  return true;
}

bool Peers::flush(Peer& peer) {
  while (!peer.waiting.empty()) {
    const auto sent = peer.link.send(peer.waiting.front());
    if (!sent && sent.error().code == Errc::unavailable) return true;
    if (!sent) return false;
    peer.waiting.pop_front();
  }
  want_out(peer, false);
  return true;
}

}  // namespace sallyport::recorder
