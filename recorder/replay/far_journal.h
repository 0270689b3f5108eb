// recorder/replay/far_journal.h -- journal files that are not on this machine (any more), read by ranges.
//
// What comes from there is as hostile as any file: frames carry checksums, and what is shown is proven against a signed
// checkpoint. A wrong byte makes a proof fail, never succeed.
#pragma once

#include <concepts>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "platform/model/bytes.h"
#include "platform/model/result.h"
#include "recorder/shipping/object_store.h"
#include "recorder/shipping/parcel.h"

namespace sallyport::replay {

/// A stretch of a journal file of which some lane is not in the store: its time to be kept may have ended.
struct StoreHole {
  std::uint64_t file = 0, from = 0, to = 0;
};

class FarJournal {
 public:
  virtual ~FarJournal() = default;
  /// The lowest number of a file there above `number`; 0: none.
  [[nodiscard]] virtual Result<std::uint64_t> file_after(std::uint64_t number) = 0;
  /// At most `length` bytes of that file; fewer where it ends for now, none behind its end. Bytes whose time to be kept is
  /// over are zeros. Errc::not_found: no such file there.
  [[nodiscard]] virtual Result<Bytes> read(std::uint64_t file, std::uint64_t offset, std::uint64_t length) = 0;
  /// What is not there of that file, as of now.
  [[nodiscard]] virtual Result<std::vector<StoreHole>> holes(std::uint64_t file) = 0;
};

/// A folder of journal files, and where to look for those that are not in it.
struct JournalPlace {
  JournalPlace() = default;
  template <class Path>
  requires std::convertible_to<const Path&, std::filesystem::path> JournalPlace(const Path& path, std::shared_ptr<FarJournal> elsewhere = nullptr)
      : folder(path), far(std::move(elsewhere)) {}
  operator const std::filesystem::path&() const noexcept { return folder; }
  [[nodiscard]] std::string string() const { return folder.string(); }
  [[nodiscard]] const char* c_str() const noexcept { return folder.c_str(); }
  [[nodiscard]] bool empty() const noexcept { return folder.empty(); }

  std::filesystem::path folder;
  std::shared_ptr<FarJournal> far;  ///< none: what is not in the folder is missing
};

/// The parcels of one node in an object store (docs/format/store.md) as files. Keeps a few MiB of what it read, and in `notes`
/// (a folder; may be empty) the names of the parcels of files that do not grow any more. One thread.
class StoreJournal final : public FarJournal {
 public:
  /// Makes the store when it is needed for the first time: most readers find all they want on the machine.
  using Open = std::function<Result<std::unique_ptr<recorder::ObjectStore>>()>;
  StoreJournal(Open open, std::string node, std::filesystem::path notes);
  [[nodiscard]] Result<std::uint64_t> file_after(std::uint64_t number) override;
  [[nodiscard]] Result<Bytes> read(std::uint64_t file, std::uint64_t offset, std::uint64_t length) override;
  [[nodiscard]] Result<std::vector<StoreHole>> holes(std::uint64_t file) override;

  struct Counts {
    std::uint64_t requests = 0, bytes = 0;
  };
  [[nodiscard]] Counts counts() const noexcept { return counts_; }

 private:
  /// What begins at one byte of a file: each lane's key.
  struct Span {
    recorder::ParcelSpan span;
    std::uint32_t lanes = 1;
    std::map<std::uint32_t, std::string> keys;
  };
  using Spans = std::map<std::uint64_t, Span>;
  [[nodiscard]] Result<const Spans*> spans_of(std::uint64_t file, std::uint64_t reach);
  [[nodiscard]] Result<Spans> list_spans(std::uint64_t file);
  [[nodiscard]] Result<const Bytes*> chunk(const Span& span, std::uint64_t offset, std::uint64_t length, std::uint64_t& begin);
  [[nodiscard]] Result<Bytes> whole_span(const Span& span);
  [[nodiscard]] std::filesystem::path note_of(std::uint64_t file) const;

  struct Chunk {
    std::uint64_t file = 0, begin = 0;
    Bytes bytes;
  };
  [[nodiscard]] Result<recorder::ObjectStore*> store();

  Open open_;
  std::unique_ptr<recorder::ObjectStore> store_;
  std::string node_;
  std::filesystem::path notes_;
  std::map<std::uint64_t, Spans> spans_;
  std::list<Chunk> chunks_;  ///< the newest first
  std::uint64_t chunk_bytes_ = 0;
  std::optional<std::pair<std::uint64_t, std::int64_t>> none_after_;  ///< no file above it, as of that moment
  Counts counts_;
};

}  // namespace sallyport::replay
