// recorder/replay/view_wire.h -- what the two sides of a viewing say to each other over one socket.
//
// One side (the caller) reads the journal, proves what it read and hands it on, still sealed. The other (the replay
// process: locked in, without files and network, one for each viewing) has the keys of this one session, opens, and sends
// back what is to be shown. Neither trusts the other's sizes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "platform/model/bytes.h"
#include "platform/model/result.h"
#include "platform/model/secret.h"
#include "recorder/replay/session_list.h"

namespace sallyport::replay {

enum class Part : std::uint8_t {
  // to the replay process
  job = 1,        ///< ViewJob as JSON, once and first
  key = 2,        ///< 32 bytes
  key_frame = 3,  ///< where to begin: see key_frame_part()
  settle = 4,     ///< an entry that settles typed lines, before all `entry` parts (only when the job asks for input)
  entry = 5,      ///< u8 whether the tag before is known, 16 bytes of it, the entry
  close = 6,      ///< no more will come
  // from the replay process
  out = 16,
  err = 17,
  screen = 18,    ///< a key frame that was made: see key_frame_part()
  line = 19,      ///< i64 wall, i64 boot, u64 sequence, u32 channel, i32 status (of a command; -1 unknown), u8 1 = a command line, text
  done = 20,      ///< four u64: bytes, hashed bytes, damaged, locked
  trouble = 21,   ///< u32 Errc, text; then nothing more
  // both ways, of a terminal: a step of a file transfer, JSON (gateway/ssh/terminal_files.h)
  file = 32,
};
constexpr std::size_t k_most_part = 4 * 1024 * 1024;

/// Blocking, whole parts. Errc::unavailable: the other side is gone; Errc::invalid: not a part.
Result<void> send_part(int fd, Part part, ByteView body);
struct ReceivedPart {
  Part part{};
  Bytes body;
};
[[nodiscard]] Result<std::optional<ReceivedPart>> receive_part(int fd);  ///< nothing: the other side closed
/// Takes one part off the front of `bytes` when it is whole. Errc::invalid.
[[nodiscard]] Result<std::optional<ReceivedPart>> take_part(Bytes& bytes);

struct ViewJob {
  enum class Kind { play, asciicast, text, json, streams, index, pcapng, frames };
  Kind kind = Kind::play;
  SessionSummary session;
  std::optional<std::uint32_t> channel;
  double speed = 1.0;
  std::int64_t idle_us = 0;       ///< 0: no limit
  bool follow = false;
  bool raw = false;
  bool with_input = false;
  std::int64_t at_boot_us = 0;    ///< play, frames: what came up to then is shown as one screen
  std::uint32_t columns = 80, rows = 24;  ///< of the channel at its beginning
};
[[nodiscard]] std::string job_text(const ViewJob& job);
[[nodiscard]] std::optional<ViewJob> parse_job(std::string_view text);

/// u32 channel, u64 sequence, i64 boot, u32 segment, sealed bytes.
struct KeyFrame;
[[nodiscard]] Bytes key_frame_part(const KeyFrame& frame);
[[nodiscard]] std::optional<KeyFrame> parse_key_frame(ByteView body);

}  // namespace sallyport::replay
