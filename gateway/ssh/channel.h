// gateway/ssh/channel.h -- one SSH channel as the relay sees it: a half towards the client, a half towards the target.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "gateway/ssh/first_bytes.h"
#include "gateway/ssh/stream_filter.h"
#include "gateway/ssh/stream_mask.h"
#include "gateway/ssh/typed_lines.h"
#include "platform/crypto/hash.h"
#include "platform/model/bytes.h"

namespace sallyport::gateway {

enum class Side { client, target };
[[nodiscard]] constexpr Side other(Side side) noexcept { return side == Side::client ? Side::target : Side::client; }

/// Bytes a peer may send us on one channel before we take some off; the bound of what we buffer per direction.
inline constexpr std::uint32_t k_window = 1024 * 1024;
inline constexpr std::uint32_t k_max_packet = 32 * 1024;  ///< RFC 4254 section 5.2, what we announce
inline constexpr std::size_t k_most_channels = 512;       ///< open at once in one session
inline constexpr std::size_t k_most_queued_requests = 256;

/// One leg's end of a channel (RFC 4254 section 5).
struct Half {
  bool open = false;
  bool pending = false;               ///< we asked the peer to open it, no answer yet
  std::uint32_t peer_id = 0;          ///< the number the peer gave it
  std::uint32_t our_window = 0;       ///< what the peer may still send
  std::uint32_t peer_window = 0;      ///< what we may still send
  std::uint32_t peer_max_packet = 0;
  std::uint32_t foreign = 0;          ///< bytes to the other side that did not come out of this window
  std::uint32_t to_credit = 0;        ///< taken off but not yet told by WINDOW_ADJUST
  bool got_eof = false, sent_eof = false;
  bool got_close = false, sent_close = false;
  [[nodiscard]] bool is_done() const noexcept { return !pending && (!open || (got_close && sent_close)); }
};

/// What travels in order through a channel in one direction.
struct Item {
  enum class Kind { data, request, eof, close };
  Kind kind = Kind::data;
  std::uint32_t extended = 0;         ///< data: 0 or the data type code (1 = stderr)
  Bytes bytes;                        ///< data, or the request's payload after want_reply
  std::size_t taped = 0;              ///< bytes of data that stand in the ring
  std::size_t done = 0;               ///< bytes of data already sent on
  std::string request;
  bool want_reply = false;
  bool recorded = false;              ///< all of it stands in the ring, the last part under `sequence`
  std::uint64_t sequence = 0;
  std::uint32_t credit = 0;           ///< window bytes of the source this item stands for
};

/// How a stream of a channel is recorded: in full, or by running hash while it moves bulk.
struct StreamTape {
  std::uint64_t total = 0;            ///< bytes so far
  std::uint64_t full = 0;             ///< of them recorded in full
  bool hashing = false;
  std::uint64_t hash_start = 0;
  std::uint64_t hash_bytes = 0;
  std::optional<crypto::Sha256> hash;
  std::int64_t rate_since_us = 0;     ///< begin of the second in which `rate_bytes` were counted
  std::uint64_t rate_bytes = 0;
  bool fast = false;
  std::unique_ptr<StreamMask> mask;   ///< made when there is something to keep out
  std::size_t planned = 0;            ///< bytes that the mask's present steps stand for
};

struct ChannelGuard;

enum class ChannelKind { session, tunnel_out, tunnel_in, agent, x11, jump };

struct Channel {
  std::uint32_t id = 0;               ///< our number, the same on both legs
  ChannelKind kind = ChannelKind::session;
  Side opener = Side::client;
  std::string program;                ///< shell, exec, sftp, scp, rsync, subsystem name, tunnel ...
  Half client;
  Half target;
  std::deque<Item> to_target;
  std::deque<Item> to_client;
  std::size_t to_target_bytes = 0;
  std::size_t to_client_bytes = 0;
  bool held = false;                  ///< waits for the authority: nothing moves to the target
  bool parked = false;                ///< held before the target is dialled: an approval is waited for
  bool wait_shown = false;            ///< the person reads that she waits
  bool local = false;                 ///< served by ourselves: menu, self service, refusals
  bool decided = false;               ///< a program was allowed on it (a second one is refused)
  bool pty = false;
  bool record_content = true;
  bool too_bulky = false;             ///< the role ends it where others would be recorded by hash
  bool sniff_first_bytes = false;     ///< tunnel: a protocol that leads onward ends it
  bool onward_alert = false;          ///< or is only reported
  bool onward_approve = false;        ///< or held until a person agrees
  bool onward_asked = false;          ///< which is waited for now
  FirstBytes first_bytes;
  std::string term;
  Bytes pty_request;                  ///< of a local channel, as the client sent it
  std::uint32_t columns = 80, rows = 24, x_pixels = 0, y_pixels = 0;
  std::uint64_t full_recording_bytes = 0;
  int bulk = 0;                       ///< control::BulkMode
  TypedLines typed;
  std::deque<TypedLines::Verdict> unsettled;
  StreamTape in, out, err;
  std::uint64_t bytes_in = 0, bytes_out = 0;
  std::int32_t exit_status = -1;
  std::string exit_signal;
  bool closed_reported = false;
  std::unique_ptr<StreamFilter> filter;
  std::vector<std::string> refusals_shown;  ///< codes of refused files that the person has read here
  std::shared_ptr<ChannelGuard> guard;   ///< the role has guard rules: gateway/ssh/guard_gate.h
  /// For each forwarded request with want_reply: who gets the answer (true: the source, false: nobody, we asked).
  std::deque<bool> replies_from_target;
  std::deque<bool> replies_from_client;
  std::function<void(std::span<const std::byte>)> local_input;

  [[nodiscard]] Half& half(Side side) noexcept { return side == Side::client ? client : target; }
  [[nodiscard]] std::deque<Item>& queue_to(Side side) noexcept { return side == Side::client ? to_client : to_target; }
  [[nodiscard]] std::size_t& queued_bytes_to(Side side) noexcept { return side == Side::client ? to_client_bytes : to_target_bytes; }
};

}  // namespace sallyport::gateway
