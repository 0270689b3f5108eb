// gateway/listener/saved_state.h -- what the fork server carries through an exec of itself.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "gateway/listener/admission.h"
#include "gateway/listener/endpoint.h"
#include "gateway/ssh/session_handover.h"
#include "platform/model/result.h"
#include "platform/os/fd.h"

namespace sallyport::gateway {

/// A session process that was forked and not reaped yet.
struct ChildRecord {
  std::int32_t pid = 0;
  std::string session;
  Ticket ticket = 0;  ///< 0: not counted (a jump)
  Endpoint peer;
  Endpoint local;
  std::string outer_session;
  bool proven = false;
  std::string killed_for;  ///< why we killed it; empty: we did not
};

/// The inner end of a jump that waits for its session.
struct JumpRecord {
  std::string outer_session;
  std::string target;
  std::uint16_t port = 0;
  std::vector<Bytes> host_certificates;
  std::uint64_t call = 0;  ///< of the authority's SpawnInner
};

/// An accepted connection that waits for its PROXY header or for a kit.
struct WaitingRecord {
  Ticket ticket = 0;
  int client = -1;  ///< descriptor number; the owner is elsewhere
  Endpoint peer;
  Endpoint local;
  Moment not_before{};  ///< held back until then
  Moment deadline{};
  bool reads_proxy = false;
  std::string proxy_bytes;
  std::optional<JumpRecord> jump;
};

struct KitRecord {
  std::string session;
  std::vector<int> descriptors;  ///< authority, vault, recorder, ring
};

struct SocketRecord {
  int descriptor = -1;
  std::string address;
  bool proxy_only = false;
};

struct SavedState {
  std::string settings;
  int authority = -1;  ///< -1: no link at the moment
  Ticket last_ticket = 0;
  std::uint64_t generation = 0;
  std::vector<SocketRecord> sockets;
  std::vector<KitRecord> kits;
  std::vector<WaitingRecord> waiting;
  std::vector<ChildRecord> children;
  std::map<IpAddress, Admission::Penalty> penalties;
  std::map<std::string, std::uint64_t> counters;
  std::vector<std::string> unsent_to_authority;  ///< encoded envelopes, oldest first
};

[[nodiscard]] Bytes encode(const SavedState& state);
/// Errc::corrupt when the bytes are not what encode() wrote.
[[nodiscard]] Result<SavedState> decode_state(ByteView bytes);

/// A sealed memfd that survives an exec (no close-on-exec), and back.
[[nodiscard]] Result<Fd> write_state(const SavedState& state);
[[nodiscard]] Result<SavedState> read_state(const Fd& file);

}  // namespace sallyport::gateway
