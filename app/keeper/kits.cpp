#include "app/keeper/kits.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "platform/control/link.h"
#include "platform/crypto/random.h"
#include "platform/crypto/ulid.h"
#include "platform/model/clock.h"
#include "platform/seal/ring.h"

namespace sallyport::app {
namespace {

Result<Fd> make_ring(const RingPlace& place, const SessionId& session) {
  const auto path = ring_path(place, session.str());
  auto ring = seal::create_ring_file(path.string(), session, place.bytes);
  if (!ring || place.owner_uid == ~0U || fchown(ring->get(), place.owner_uid, place.owner_gid) == 0) return ring;
  const std::string why = std::strerror(errno);
  unlink(path.c_str());
  return fail(Errc::unavailable, "ring " + path.string() + ": " + why);
}

}  // namespace

std::filesystem::path ring_path(const RingPlace& place, const std::string& session) {
  return place.directory / (session + ".ring");
}

Result<Kit> make_kit(const RingPlace& place) {
  Kit kit;
  const SessionId session = crypto::make_session_id(system_clock(), crypto::system_random());
  kit.session = session.str();
  auto authority = control::Link::make_pair();
  auto vault = control::Link::make_pair();
  auto recorder = control::Link::make_pair();
  for (const auto* pair : {&authority, &vault, &recorder})
    if (!*pair) return tl::unexpected(pair->error());
  auto ring = make_ring(place, session);
  if (!ring) return tl::unexpected(ring.error());
  kit.client = {std::move(authority->first), std::move(vault->first), std::move(recorder->first)};
  kit.service = {std::move(authority->second), std::move(vault->second), std::move(recorder->second), std::move(*ring)};
  return kit;
}

}  // namespace sallyport::app
