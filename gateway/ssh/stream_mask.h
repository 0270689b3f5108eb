// gateway/ssh/stream_mask.h -- keeps values that must not be stored out of one recorded stream, across its pieces.
//
// What passes to the client or the target is never touched: this decides only how bytes are written down. What could be
// the beginning of a value is stored under a key of its own (seal::EntryKind::held) before it is released, like a typed
// line; when it turns out to be one, the key is destroyed and asterisks are written instead, else the key is written.
// Not recognised: values cut by other bytes (escape sequences, line breaks), encoded ones (base64, hex, compressed), lent
// values under 8 bytes, and of a lent value that comes in pieces up to 7 bytes at its beginning.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "platform/model/bytes.h"
#include "platform/seal/mask.h"

namespace sallyport::gateway {

class StreamMask {
 public:
  /// One thing to write, in order.
  struct Step {
    enum class Kind {
      clear,   ///< `bytes` as data
      note,    ///< that `length` bytes at `offset` are asterisks
      hold,    ///< `bytes` under a key of their own
      reveal,  ///< write the key of the piece held at `offset`
      drop,    ///< destroy it; then goes on as `instead`
      instead, ///< write `bytes` (asterisks) for what it held
    };
    Kind kind = Kind::clear;
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
    std::uint8_t why = 0;  ///< seal::MaskSet::Span::Why
    Bytes bytes;
  };

  /// Plans how the stream's next bytes are written; the steps are appended. `patterns`: private keys and access keys as well.
  /// `offset` is where the stream stands, held bytes included. True: no step was made, these bytes are written as they are; what
  /// cannot be written now is given to keep().
  [[nodiscard]] bool plan(const seal::MaskSet& set, ByteView data, bool patterns, std::uint64_t offset);
  /// Makes a step of bytes that plan() let pass.
  void keep(ByteView data);
  /// The stream is over: what is held was no value.
  void finish();
  /// Steps that are still to be done; the caller takes them off the front.
  [[nodiscard]] std::deque<Step>& steps() noexcept { return steps_; }
  /// Whether something is held or the last bytes matter: then the stream must go through plan() although the set is empty.
  [[nodiscard]] bool is_busy() const noexcept { return !held_.empty() || !steps_.empty(); }

 private:
  struct Held {
    std::uint64_t offset = 0;
    Bytes bytes;
    std::vector<std::uint8_t> marks;  ///< of patterns
  };
  void mark_patterns(ByteView bytes, std::vector<std::uint8_t>& why);
  void remember(ByteView bytes);
  void pass(ByteView data);

  std::deque<Step> steps_;
  std::vector<Held> held_;
  Bytes before_;             ///< the last bytes that are written already
  std::uint64_t offset_ = 0; ///< of the next byte

  // Patterns
  std::string tail_;         ///< the last bytes, in lower case
  bool in_key_ = false;
  std::size_t key_bytes_ = 0;
  int dashes_ = 0;
  int access_skip_ = -1, access_left_ = 0;
  bool access_assigned_ = false;
};

}  // namespace sallyport::gateway
