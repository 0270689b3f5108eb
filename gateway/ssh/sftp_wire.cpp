#include "gateway/ssh/sftp_wire.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace sallyport::gateway::sftp {
namespace {

[[nodiscard]] std::uint32_t u32_at(std::span<const std::byte> bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) value = value << 8 | std::to_integer<std::uint32_t>(bytes[at + i]);
  return value;
}

}  // namespace

std::string status_name(std::uint32_t code) {
  static constexpr std::array<std::string_view, 9> k_names{"ok", "eof", "no_such_file", "permission_denied", "failure",
                                                            "bad_message", "no_connection", "connection_lost", "op_unsupported"};
  return code < k_names.size() ? std::string(k_names[code]) : fmt::format("code_{}", code);
}

std::string flag_names(std::uint32_t flags) {
  static constexpr std::array<std::string_view, 6> k_names{"read", "write", "append", "creat", "trunc", "excl"};
  std::string text;
  for (std::size_t i = 0; i < k_names.size(); ++i) {
    if ((flags >> i & 1u) == 0) continue;
    if (!text.empty()) text += ',';
    text += k_names[i];
  }
  return text;
}

/// Bytes of the part that must be whole before anything can be decided; 0: no packet can begin so. The answer is final
/// once it is not above start.size().
std::size_t Packets::wanted(std::span<const std::byte> start) const {
  if (start.size() < 5) return 5;
  const std::size_t length = u32_at(start, 0);
  if (length < 1 || length > k_longest_packet) return 0;
  const std::size_t whole = 4 + length;
  if (std::to_integer<std::uint8_t>(start[4]) != bulk_type_) return whole;
  if (whole < 13) return 0;
  if (bulk_type_ == k_data) return 13;  // length, type, id, length of the contents
  if (start.size() < 13) return 13;
  const std::size_t handle = u32_at(start, 9);
  const std::size_t header = 13 + handle + 12;  // then the handle, offset, length of the contents
  return handle > k_longest_handle || header > whole ? 0 : header;
}

Packets::Step Packets::give(std::span<const std::byte> whole) {
  view_ = whole;
  if (std::to_integer<std::uint8_t>(whole[4]) != bulk_type_) return Step::packet;
  body_left_ = 4 + u32_at(whole, 0) - whole.size();
  // A bulk packet holds its contents and nothing else.
  return u32_at(whole, whole.size() - 4) == body_left_ ? Step::bulk_header : Step::broken;
}

Packets::Step Packets::next(std::span<const std::byte>& input) {
  if (held_is_given_) {
    held_.clear();
    held_is_given_ = false;
    if (held_.capacity() > 64 * 1024) Bytes().swap(held_);
  }
  if (body_left_ > 0) {
    if (input.empty()) return Step::need_more;
    view_ = input.first(std::min(body_left_, input.size()));
    input = input.subspan(view_.size());
    body_left_ -= view_.size();
    return Step::bulk_body;
  }
  if (held_.empty()) {
    if (input.empty()) return Step::need_more;
    const std::size_t size = wanted(input);
    if (size == 0) return Step::broken;
    if (size <= input.size()) {
      const auto whole = input.first(size);
      input = input.subspan(size);
      return give(whole);
    }
  }
  for (;;) {
    const std::size_t size = wanted(held_);
    if (size == 0) return Step::broken;
    if (size <= held_.size()) {
      held_is_given_ = true;
      return give(held_);
    }
    const std::size_t take = std::min(size - held_.size(), input.size());
    if (take == 0) return Step::need_more;
    held_.insert(held_.end(), input.begin(), input.begin() + static_cast<std::ptrdiff_t>(take));
    input = input.subspan(take);
  }
}

}  // namespace sallyport::gateway::sftp
