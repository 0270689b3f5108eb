// recorder/local_files.h -- which journal files may leave this machine's disk: those that are in the object store, old enough or too
// many, and under no legal hold. What is removed is named in the log first.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "platform/model/clock.h"
#include "platform/model/result.h"

namespace sallyport::recorder {

struct LocalKeep {
  std::uint64_t bytes = 0;           ///< so much of the journal stays; 0: all of it
  std::chrono::milliseconds time{0};  ///< so long a file stays after its last byte; 0: for ever
};

class LocalFiles {
 public:
  /// `holds_file` keeps who is under legal hold; it need not exist.
  LocalFiles(std::string journal_dir, std::string holds_file);

  /// An event of the authority, as it goes into the journal: recording.held and recording.released change the holds.
  /// True: they changed. Errc::unavailable: that could not be kept.
  [[nodiscard]] Result<bool> take_event(std::string_view name, std::string_view json);
  [[nodiscard]] std::vector<std::string> held_sessions() const;

  struct Doomed {
    std::uint64_t file = 0, bytes = 0;
  };
  /// Whole files before `shipped_file`, oldest first. The newest two always stay.
  [[nodiscard]] std::vector<Doomed> due(const LocalKeep& keep, std::uint64_t shipped_file, WallTime now) const;
  Result<void> remove(std::uint64_t file) const;

 private:
  struct Range {
    std::uint64_t first = 0, last = 0;  ///< journal files that hold entries of it; last 0: it may still grow
  };
  [[nodiscard]] bool is_held(std::uint64_t file) const;
  [[nodiscard]] Result<void> save() const;

  std::string journal_dir_;
  std::string holds_file_;
  std::map<std::string, Range> holds_;
};

}  // namespace sallyport::recorder
