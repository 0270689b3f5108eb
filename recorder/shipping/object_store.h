// recorder/shipping/object_store.h -- where finished parts of the journal rest.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "platform/model/bytes.h"
#include "platform/model/result.h"

namespace sallyport::recorder {

/// A flat, write-once store of named blobs. Keys are 1 to 512 bytes of [A-Za-z0-9._-] and '/' between non-empty parts that do not
/// begin with a dot. Bodies are never inspected here. Calls block: they are made on a thread of their own, one at a time.
class ObjectStore {
 public:
  virtual ~ObjectStore() = default;
  /// Stores `body` under `key`; durable when it returns. Errc::conflict: the key exists (objects are immutable);
  /// Errc::invalid: not a key; Errc::unavailable: try again later, the caller keeps its file.
  virtual Result<void> put(std::string_view key, ByteView body) = 0;
  /// Errc::not_found, Errc::unavailable.
  [[nodiscard]] virtual Result<Bytes> get(std::string_view key) = 0;
  /// All keys that begin with `prefix`, sorted.
  [[nodiscard]] virtual Result<std::vector<std::string>> list(std::string_view prefix) = 0;
};

[[nodiscard]] bool is_object_key(std::string_view key) noexcept;

}  // namespace sallyport::recorder
