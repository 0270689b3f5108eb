// gateway/ssh/sftp_pending.h -- requests that went to the target and were not answered yet.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace sallyport::gateway::sftp {

inline constexpr std::size_t k_most_pending = 4096;
inline constexpr std::uint32_t k_no_file = UINT32_MAX;

/// What a path operation was about; told with its result.
struct PathFacts {
  std::string operation;
  std::string path;
  std::string other;      ///< the second path of a rename, link or copy
  std::uint32_t flags = 0;
};

struct Pending {
  std::uint32_t id = 0;
  std::uint8_t type = 0;              ///< the request's packet type; 0: the slot is free
  bool own = false;                   ///< the gate asked it itself: the client must not see the answer
  std::uint32_t file = k_no_file;     ///< slot in OpenFiles
  std::uint64_t offset = 0;
  std::uint32_t length = 0;
  std::unique_ptr<PathFacts> facts;   ///< only for operations that are told one by one
};

/// By request id; open addressing, so that a READ or WRITE in flight costs no allocation.
class PendingTable {
 public:
  PendingTable() : slots_(64) {}

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool is_full() const noexcept { return size_ >= k_most_pending; }
  [[nodiscard]] Pending* find(std::uint32_t id) noexcept;
  /// Not when full, and never twice the same id.
  void put(Pending pending);
  /// The entry of `id`, which must be there.
  [[nodiscard]] Pending take(std::uint32_t id);
  [[nodiscard]] std::vector<Pending> take_all();

 private:
  [[nodiscard]] std::size_t home_of(std::uint32_t id) const noexcept { return (id * 2654435761u) & (slots_.size() - 1); }
  void insert(Pending pending);

  std::vector<Pending> slots_;  // the size is a power of two
  std::size_t size_ = 0;
};

}  // namespace sallyport::gateway::sftp
