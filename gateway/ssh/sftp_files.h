// gateway/ssh/sftp_files.h -- the handles that a target gave out, and what passed through each.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "gateway/ssh/path_rules.h"
#include "gateway/ssh/transfer_evidence.h"

namespace sallyport::gateway::sftp {

/// Above it OPEN and OPENDIR are refused; sftp-server's own limit is the target's count of descriptors, mostly 1,024.
inline constexpr std::size_t k_most_open = 1024;

struct OpenFile {
  explicit OpenFile(EvidenceBudget& budget) : up(budget), down(budget) {}

  std::string handle;
  std::string path;
  std::uint32_t flags = 0;
  bool is_directory = false;
  bool for_up = false, for_down = false;   ///< what OPEN asked for
  bool may_up = true, may_down = true;     ///< what the rules say now
  TransferEvidence up, down;
  std::string up_result = "ok", down_result = "ok";
  std::optional<std::uint64_t> known_size;  ///< from STAT or FSTAT
  std::optional<std::uint64_t> eof_at;      ///< the lowest offset at which the target answered EOF
  std::optional<std::uint64_t> set_size;    ///< by FSETSTAT, after the last WRITE
  bool foreign_change = false;              ///< changed by other means than WRITE (copy-data)
  std::uint64_t entries = 0;                ///< of a directory
  std::uint32_t in_flight = 0;              ///< requests without an answer that name this file
  bool is_closing = false, is_closed = false;
  std::string close_result;

  [[nodiscard]] bool is_up_complete() const;
  [[nodiscard]] bool is_down_complete() const;
};

/// Slots are stable numbers; a slot is free again after release().
class OpenFiles {
 public:
  explicit OpenFiles(EvidenceBudget& budget) : budget_(&budget) {}

  [[nodiscard]] std::uint32_t find(std::string_view handle);  ///< k_no_file: there is none
  [[nodiscard]] OpenFile& at(std::uint32_t slot) { return *slots_[slot]; }
  [[nodiscard]] std::uint32_t add(std::string_view handle);
  /// The handle means nothing any more; the file itself stays until release().
  void forget_handle(std::uint32_t slot);
  void release(std::uint32_t slot);
  [[nodiscard]] std::vector<std::uint32_t> all() const;
  [[nodiscard]] std::size_t size() const noexcept { return slots_.size() - free_.size(); }

 private:
  struct TextHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept { return std::hash<std::string_view>{}(text); }
  };

  EvidenceBudget* budget_;
  std::deque<std::optional<OpenFile>> slots_;
  std::vector<std::uint32_t> free_;
  std::unordered_map<std::string, std::uint32_t, TextHash, std::equal_to<>> by_handle_;
};

}  // namespace sallyport::gateway::sftp
