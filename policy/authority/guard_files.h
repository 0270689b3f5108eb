// policy/authority/guard_files.h -- which files a principal wrote on a target within the last day, for the command guard.
//
// A script that came by sftp or scp, or that was made with a here-document, is judged by its contents when a later session of the
// same principal runs it. Kept in memory only, bounded, wiped when dropped; after a restart of the authority such a script is what
// any other is: opaque.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <string>
#include <string_view>

#include "platform/control/control.pb.h"
#include "platform/model/clock.h"

namespace sallyport::authority {

class GuardFileTable {
 public:
  static constexpr std::size_t k_most_places = 4096;        ///< principal and target
  static constexpr std::size_t k_most_files = 128;          ///< of one place
  static constexpr std::size_t k_most_text = 16 * 1024;     ///< of one file; of larger ones path, hash and size
  static constexpr std::size_t k_most_place_text = 256 * 1024;
  static constexpr std::size_t k_most_all_text = 16 * 1024 * 1024;
  static constexpr std::chrono::hours k_life{24};

  GuardFileTable() = default;
  GuardFileTable(const GuardFileTable&) = delete;
  GuardFileTable& operator=(const GuardFileTable&) = delete;
  ~GuardFileTable();

  void note(std::string_view principal, std::string_view target, const control::GuardFile& file, WallTime now);
  /// What is known for a new channel.
  void tell(std::string_view principal, std::string_view target, WallTime now, control::ChannelAnswer& answer);
  [[nodiscard]] std::size_t text_bytes() const noexcept { return text_; }

 private:
  struct File {
    std::string sha256;
    std::uint64_t size = 0;
    std::string text;
    bool text_known = false;
    WallTime at{};
  };
  struct Place {
    std::map<std::string, File, std::less<>> files;
    std::size_t text = 0;
    std::list<std::string>::iterator turn;
  };

  void forget(Place& place, std::map<std::string, File, std::less<>>::iterator file);
  void drop_old(Place& place, WallTime now);
  void drop_oldest(Place& place);
  void drop_place(std::map<std::string, Place, std::less<>>::iterator place);

  std::map<std::string, Place, std::less<>> places_;
  std::list<std::string> turns_;  ///< the place that was touched last in front
  std::size_t text_ = 0;
};

}  // namespace sallyport::authority
