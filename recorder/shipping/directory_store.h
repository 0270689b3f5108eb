// recorder/shipping/directory_store.h -- an ObjectStore in a folder, for one machine and for tests.
#pragma once

#include <string>

#include "recorder/shipping/object_store.h"

namespace sallyport::recorder {

/// Key "a/b" is the file ROOT/a/b. A body is written beside its place, synced and then linked there, so that an object is
/// whole or not there at all.
class DirectoryStore final : public ObjectStore {
 public:
  explicit DirectoryStore(std::string root) : root_(std::move(root)) {}

  using ObjectStore::put;
  /// Holds no object by itself: a `keep` with a time or a legal hold is refused.
  Result<void> put(std::string_view key, ByteView body, const ObjectKeep& keep) override;
  [[nodiscard]] Result<Bytes> get(std::string_view key) override;
  [[nodiscard]] Result<Bytes> get_range(std::string_view key, std::uint64_t offset, std::uint64_t length) override;
  [[nodiscard]] Result<ObjectFacts> head(std::string_view key) override;
  [[nodiscard]] Result<std::vector<std::string>> list(std::string_view prefix) override;

 private:
  std::string root_;
};

}  // namespace sallyport::recorder
