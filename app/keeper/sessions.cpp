#include "app/keeper/sessions.h"

#include <poll.h>

#include <array>
#include <vector>

namespace sallyport::app {
namespace {

constexpr std::array k_session_peers{control::PEER_AUTHORITY, control::PEER_VAULT, control::PEER_RECORDER};

bool is_hung_up(int fd) {
  pollfd asked{fd, 0, 0};
  return poll(&asked, 1, 0) > 0 && (asked.revents & (POLLHUP | POLLERR)) != 0;
}

}  // namespace

Fd& end_of(ServiceEnds& ends, control::Peer peer) {
  if (peer == control::PEER_AUTHORITY) return ends.authority;
  return peer == control::PEER_VAULT ? ends.vault : ends.recorder;
}

Sessions::~Sessions() {
  for (auto& [session, ends] : sessions_)
    for (const control::Peer peer : k_session_peers)
      if (end_of(ends, peer)) loop_.forget(end_of(ends, peer).get());
}

Result<void> Sessions::add(const std::string& session, ServiceEnds ends) {
  auto [entry, added] = sessions_.emplace(session, std::move(ends));
  if (!added) return fail(Errc::conflict, "session label " + session + " exists");
  for (const control::Peer peer : k_session_peers) {
    const Fd& end = end_of(entry->second, peer);
    if (!end) continue;
    const auto watched = loop_.watch(end.get(), 0, [this, session, peer](std::uint32_t) { on_hang_up(session, peer); });
    if (!watched) return tl::unexpected(watched.error());
  }
  return {};
}

void Sessions::on_hang_up(const std::string& session, control::Peer peer) {
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return;
  loop_.forget(end_of(found->second, peer).get());
  // A service that is down has not read the session's last words yet: they wait in this end until for_each_end.
  if (is_up_(peer)) drop_end(session, peer);
}

void Sessions::drop_end(const std::string& session, control::Peer peer) {
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return;
  ServiceEnds& ends = found->second;
  if (end_of(ends, peer)) loop_.forget(end_of(ends, peer).get());
  end_of(ends, peer).reset();
  if (peer == control::PEER_RECORDER) ends.ring.reset();
  if (!ends.authority && !ends.vault && !ends.recorder) sessions_.erase(found);
}

void Sessions::for_each_end(control::Peer peer, const std::function<void(const std::string&, int, int)>& give) {
  std::vector<std::string> over;
  for (auto& [session, ends] : sessions_) {
    const Fd& end = end_of(ends, peer);
    if (!end) continue;
    give(session, end.get(), ends.ring.get());
    if (is_hung_up(end.get())) over.push_back(session);
  }
  for (const std::string& session : over) drop_end(session, peer);
}

void Sessions::for_each(const std::function<void(const std::string&, const ServiceEnds&)>& look) const {
  for (const auto& [session, ends] : sessions_) look(session, ends);
}

}  // namespace sallyport::app
