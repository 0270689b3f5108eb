#include "platform/crypto/ssh_wire.h"

#include <openssl/crypto.h>

namespace sallyport::crypto {

void SshReader::refuse() noexcept {
  failed_ = true;
  rest_ = {};
}

std::span<const std::byte> SshReader::raw(std::size_t count) noexcept {
  if (failed_ || count > rest_.size()) {
    refuse();
    return {};
  }
  const auto taken = rest_.first(count);
  rest_ = rest_.subspan(count);
  return taken;
}

std::uint8_t SshReader::u8() noexcept {
  const auto bytes = raw(1);
  return bytes.empty() ? std::uint8_t{0} : std::to_integer<std::uint8_t>(bytes[0]);
}

std::uint32_t SshReader::u32() noexcept {
  std::uint32_t value = 0;
  for (const std::byte byte : raw(4)) value = value << 8 | std::to_integer<std::uint32_t>(byte);
  return value;
}

std::uint64_t SshReader::u64() noexcept {
  std::uint64_t value = 0;
  for (const std::byte byte : raw(8)) value = value << 8 | std::to_integer<std::uint64_t>(byte);
  return value;
}

std::span<const std::byte> SshReader::string() noexcept { return raw(u32()); }

std::span<const std::byte> SshReader::mpint() noexcept {
  auto bytes = string();
  if (bytes.empty()) return bytes;
  if ((bytes[0] & std::byte{0x80}) != std::byte{0}) {
    refuse();
    return {};
  }
  if (bytes[0] == std::byte{0}) {
    if (bytes.size() == 1 || (bytes[1] & std::byte{0x80}) == std::byte{0}) {
      refuse();
      return {};
    }
    bytes = bytes.subspan(1);
  }
  return bytes;
}

SshWriter::~SshWriter() {
  if (!bytes_.empty()) OPENSSL_cleanse(bytes_.data(), bytes_.size());
}

SshWriter& SshWriter::u8(std::uint8_t value) {
  bytes_.push_back(std::byte{value});
  return *this;
}

SshWriter& SshWriter::u32(std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) bytes_.push_back(static_cast<std::byte>(value >> shift & 0xff));
  return *this;
}

SshWriter& SshWriter::u64(std::uint64_t value) {
  for (int shift = 56; shift >= 0; shift -= 8) bytes_.push_back(static_cast<std::byte>(value >> shift & 0xff));
  return *this;
}

SshWriter& SshWriter::raw(std::span<const std::byte> bytes) {
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  return *this;
}

SshWriter& SshWriter::string(std::span<const std::byte> bytes) {
  return u32(static_cast<std::uint32_t>(bytes.size())).raw(bytes);
}

SshWriter& SshWriter::mpint(std::span<const std::byte> magnitude) {
  while (!magnitude.empty() && magnitude[0] == std::byte{0}) magnitude = magnitude.subspan(1);
  const bool sign_byte = !magnitude.empty() && (magnitude[0] & std::byte{0x80}) != std::byte{0};
  u32(static_cast<std::uint32_t>(magnitude.size() + (sign_byte ? 1 : 0)));
  if (sign_byte) u8(0);
  return raw(magnitude);
}

}  // namespace sallyport::crypto
