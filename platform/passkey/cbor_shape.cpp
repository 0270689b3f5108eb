#include "platform/passkey/cbor_shape.h"

#include <cstddef>
#include <cstdint>

namespace sallyport::passkey {
namespace {

constexpr unsigned k_most_depth = 8;
constexpr unsigned k_longest_info = 27;  ///< 28 to 30 mean nothing, 31 is a length that is not said

/// Takes one item away.
bool take_item(std::string_view& data, unsigned depth) noexcept {
  if (data.empty() || depth == 0) return false;
  const auto first = static_cast<unsigned char>(data.front());
  data.remove_prefix(1);
  const unsigned info = first & 31U;
  if (info > k_longest_info) return false;
  std::uint64_t value = info;
  if (info >= 24) {
    const std::size_t size = std::size_t{1} << (info - 24);
    if (data.size() < size) return false;
    value = 0;
    for (const char byte : data.substr(0, size)) value = value << 8 | static_cast<unsigned char>(byte);
    data.remove_prefix(size);
  }
  std::uint64_t inside = 0;
  switch (first >> 5U) {
    case 2:
    case 3:  // bytes, text
      if (value > data.size()) return false;
      data.remove_prefix(static_cast<std::size_t>(value));
      return true;
    case 4:
      inside = value;
      break;
    case 5:
      if (value > data.size()) return false;
      inside = value * 2;
      break;
    case 6:
      inside = 1;
      break;
    default:
      return true;  // numbers
  }
  if (inside > data.size()) return false;  // each of them takes a byte at least
  for (; inside > 0; --inside)
    if (!take_item(data, depth - 1)) return false;
  return true;
}

}  // namespace

bool is_whole_cbor(std::string_view data) noexcept {
  while (!data.empty())
    if (!take_item(data, k_most_depth)) return false;
  return true;
}

}  // namespace sallyport::passkey
