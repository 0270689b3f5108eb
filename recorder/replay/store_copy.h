// recorder/replay/store_copy.h -- the journal of a node, put together again from an object store (docs/format/store.md).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "platform/crypto/note.h"
#include "platform/model/result.h"
#include "recorder/replay/far_journal.h"
#include "recorder/shipping/object_store.h"

namespace sallyport::replay {

struct StoreCopy {
  std::filesystem::path folder;  ///< journal files, as the node has them
  std::uint64_t parcels = 0;
  std::uint64_t bytes = 0;       ///< fetched now
  std::vector<StoreHole> holes;
  std::vector<std::string> missing;   ///< stretches of which nothing is there, in words
  std::vector<crypto::Note> checkpoints;  ///< those that stand as objects of their own; not verified
};

/// The nodes that have shipped into that store.
[[nodiscard]] Result<std::vector<std::string>> nodes_in(recorder::ObjectStore& store);

/// Fetches what `folder` does not hold yet. With `fresh` nothing that is there already is trusted. Errc::not_found: no journal of `node` there.
/// Errc::corrupt: an object is not what its name says.
[[nodiscard]] Result<StoreCopy> fetch_journal(recorder::ObjectStore& store, const std::string& node, const std::filesystem::path& folder, bool fresh);

/// Where copies are kept between two looks: $XDG_CACHE_HOME/sallyport/store/HASH.
[[nodiscard]] std::filesystem::path usual_copy_folder(const std::string& url, const std::string& node);

}  // namespace sallyport::replay
