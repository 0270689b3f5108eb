// recorder/replay/session_opener.h -- opens the sealed entries of one session with its session key.
//
// Entries are given in order, each once. Follows the ratchet of docs/format/journal.md section 3 and keeps no key it no
// longer needs but the lines'. Whatever comes in is hostile: sizes are bounded, segments may only grow by one.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <utility>

#include "platform/crypto/aead.h"
#include "platform/crypto/zstd.h"
#include "platform/model/result.h"
#include "platform/model/secret.h"
#include "recorder/replay/frames.h"

namespace sallyport::replay {

/// The keys of typed lines, by (channel, line) and the sequence at which they were written.
class LineKeys {
 public:
  void add(std::uint32_t channel, std::uint64_t line, std::uint64_t sequence, Secret key);
  void add_dropped(std::uint32_t channel, std::uint64_t line, std::uint64_t sequence, std::uint64_t bytes);

  struct Fate {
    const Secret* key = nullptr;  ///< null: the line was dropped
    std::uint64_t dropped_bytes = 0;
  };
  /// What became of that line after `sequence`; nothing when it was never settled.
  [[nodiscard]] std::optional<Fate> after(std::uint32_t channel, std::uint64_t line, std::uint64_t sequence) const;

 private:
  struct Settled {
    Secret key;
    std::uint64_t dropped_bytes = 0;
  };
  std::map<std::pair<std::uint32_t, std::uint64_t>, std::map<std::uint64_t, Settled>> lines_;
};

class SessionOpener {
 public:
  /// Errc::invalid when the key is not 32 bytes.
  [[nodiscard]] static Result<SessionOpener> make(const seal::Label& label, const Secret& session_key);

  struct Opened {
    ByteView body;  ///< plain and decompressed; valid until the next call
  };
  /// Takes the session's next entry. `previous` is the tag of the entry before (zeros for the first). Plain entries come back
  /// as they are, with their tag checked. Errc::corrupt: seal, tag or compression is wrong, or the segment impossible.
  /// A typed entry is opened with its line's key when `lines` has it, else Errc::sealed.
  [[nodiscard]] Result<Opened> open(const StoredEntry& entry, const crypto::Tag& previous, const LineKeys* lines);

 private:
  explicit SessionOpener(const seal::Label& label) : label_(label) {}
  Result<void> move_to(std::uint32_t segment);
  Result<ByteView> decompress(ByteView frame);

  seal::Label label_;
  Secret chain_;  ///< of the segment after the present one
  std::optional<crypto::Aes256Gcm> cipher_;
  std::uint32_t segment_ = 0;
  Bytes plain_;
  Bytes unpacked_;
  std::optional<crypto::ZstdDecompressor> zstd_;
};

/// Whether the tag of an entry that is not sealed is right.
[[nodiscard]] bool plain_tag_is_right(const seal::Label& label, const StoredEntry& entry, const crypto::Tag& previous);

}  // namespace sallyport::replay
