// gateway/ssh/sftp_wire.h -- numbers of SFTP version 3 (draft-ietf-secsh-filexfer-02) and how its packets are cut.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "platform/model/bytes.h"

namespace sallyport::gateway::sftp {

enum Type : std::uint8_t {
  k_init = 1, k_version = 2, k_open = 3, k_close = 4, k_read = 5, k_write = 6, k_lstat = 7, k_fstat = 8, k_setstat = 9,
  k_fsetstat = 10, k_opendir = 11, k_readdir = 12, k_remove = 13, k_mkdir = 14, k_rmdir = 15, k_realpath = 16, k_stat = 17,
  k_rename = 18, k_readlink = 19, k_symlink = 20, k_status = 101, k_handle = 102, k_data = 103, k_name = 104, k_attrs = 105,
  k_extended = 200, k_extended_reply = 201,
};

enum Status : std::uint32_t {
  k_ok = 0, k_eof = 1, k_no_such_file = 2, k_permission_denied = 3, k_failure = 4, k_bad_message = 5, k_no_connection = 6,
  k_connection_lost = 7, k_op_unsupported = 8,
};

enum OpenFlag : std::uint32_t { k_for_read = 1, k_for_write = 2, k_append = 4, k_creat = 8, k_trunc = 16, k_excl = 32 };

constexpr std::uint32_t k_attr_size = 1;
constexpr std::size_t k_longest_packet = 256 * 1024 + 1024;  ///< OpenSSH's limit of 256 KiB, and room for headers
constexpr std::size_t k_longest_handle = 256;
constexpr std::size_t k_longest_path = 4096;                 ///< PATH_MAX; no target we know takes a longer one

[[nodiscard]] std::string status_name(std::uint32_t code);
[[nodiscard]] std::string flag_names(std::uint32_t flags);

/// Cuts one direction into packets. Whole packets are given as one view; the one bulk type (WRITE or DATA) is given as a
/// header and then as pieces of its body, as they come. Copies only what is split between two inputs.
class Packets {
 public:
  enum class Step {
    need_more,
    packet,       ///< view(): the whole packet, length field included
    bulk_header,  ///< view(): everything before the contents; body_left() bytes follow
    bulk_body,    ///< view(): the next piece of the contents
    broken,
  };

  explicit Packets(std::uint8_t bulk_type) : bulk_type_(bulk_type) {}

  /// Takes from the front of `input`. The view is good until the next call and while the input lives.
  [[nodiscard]] Step next(std::span<const std::byte>& input);
  [[nodiscard]] std::span<const std::byte> view() const noexcept { return view_; }
  [[nodiscard]] std::size_t body_left() const noexcept { return body_left_; }

 private:
  [[nodiscard]] std::size_t wanted(std::span<const std::byte> start) const;
  Step give(std::span<const std::byte> whole);

  std::uint8_t bulk_type_;
  Bytes held_;
  bool held_is_given_ = false;
  std::size_t body_left_ = 0;
  std::span<const std::byte> view_;
};

}  // namespace sallyport::gateway::sftp
