// recorder/shipping/object_store.h -- where finished parts of the journal rest.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "platform/crypto/hash.h"
#include "platform/model/bytes.h"
#include "platform/model/clock.h"
#include "platform/model/result.h"

namespace sallyport::recorder {

/// How long nobody may remove an object. A store that cannot hold it refuses the put (Errc::invalid).
struct ObjectKeep {
  std::optional<WallTime> until;  ///< whole seconds count
  bool compliance = false;        ///< not even the store's administrator may shorten it
  bool legal_hold = false;
};

struct ObjectFacts {
  std::uint64_t size = 0;
  std::optional<crypto::Hash256> sha256;  ///< where the store was told or knows it
  ObjectKeep keep;
};

/// A flat, write-once store of named blobs. Keys are 1 to 512 bytes of [A-Za-z0-9._-] and '/' between non-empty parts that do not
/// begin with a dot. Bodies are never inspected here. Calls block: they are made on a thread or process of their own, one at a time.
class ObjectStore {
 public:
  virtual ~ObjectStore() = default;
  /// Stores `body` under `key`; durable when it returns. Errc::conflict: the key exists with another body (objects are immutable; the same
  /// body again is success); Errc::invalid: not a key, or `keep` cannot be held; Errc::unavailable: try again later, the caller keeps its
  /// file; Errc::denied: the store refuses us, and trying again will not help before somebody has changed something.
  virtual Result<void> put(std::string_view key, ByteView body, const ObjectKeep& keep) = 0;
  Result<void> put(std::string_view key, ByteView body) { return put(key, body, ObjectKeep{}); }
  /// Errc::not_found, Errc::unavailable, Errc::denied.
  [[nodiscard]] virtual Result<Bytes> get(std::string_view key) = 0;
  /// At most `length` bytes from `offset`; fewer where the object ends, none behind its end.
  [[nodiscard]] virtual Result<Bytes> get_range(std::string_view key, std::uint64_t offset, std::uint64_t length) = 0;
  [[nodiscard]] virtual Result<ObjectFacts> head(std::string_view key) = 0;
  /// All keys that begin with `prefix`, sorted.
  [[nodiscard]] virtual Result<std::vector<std::string>> list(std::string_view prefix) = 0;
};

[[nodiscard]] bool is_object_key(std::string_view key) noexcept;

}  // namespace sallyport::recorder
