// platform/crypto/ssh_wire.h -- the data types of RFC 4251 section 5, read and written with bounds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include "platform/model/bytes.h"

namespace sallyport::crypto {

/// Reads one value after the other. The first value that does not fit makes the reader fail for good: every later
/// getter gives zero or an empty view, so that a parser may read all its fields and ask ok() or finished() once.
/// Views point into the input, which must outlive them.
class SshReader {
 public:
  explicit SshReader(std::span<const std::byte> input) noexcept : rest_(input) {}
  explicit SshReader(std::string_view input) noexcept : rest_(bytes_of(input)) {}

  std::uint8_t u8() noexcept;
  std::uint32_t u32() noexcept;
  std::uint64_t u64() noexcept;
  bool boolean() noexcept { return u8() != 0; }
  std::span<const std::byte> raw(std::size_t count) noexcept;
  std::span<const std::byte> string() noexcept;   ///< uint32 length, then that many bytes
  std::string_view text() noexcept { return text_of(string()); }
  /// A non-negative integer as big-endian bytes without leading zeros; a negative or non-minimal one fails.
  std::span<const std::byte> mpint() noexcept;

  [[nodiscard]] bool ok() const noexcept { return !failed_; }
  [[nodiscard]] bool at_end() const noexcept { return rest_.empty(); }
  [[nodiscard]] bool finished() const noexcept { return !failed_ && rest_.empty(); }  ///< all read, nothing left over
  [[nodiscard]] std::span<const std::byte> rest() const noexcept { return rest_; }
  void refuse() noexcept;  ///< the caller found a value that cannot be: fail from here on

 private:
  std::span<const std::byte> rest_;
  bool failed_ = false;
};

/// Appends one value after the other to a buffer of its own, which is wiped at the end. A writer that shall hold secrets
/// is given its whole capacity in front: a buffer that grows leaves a copy behind.
class SshWriter {
 public:
  SshWriter() = default;
  explicit SshWriter(std::size_t capacity) { bytes_.reserve(capacity); }
  SshWriter(SshWriter&&) = default;
  SshWriter& operator=(SshWriter&&) = delete;
  SshWriter(const SshWriter&) = delete;
  ~SshWriter();

  SshWriter& u8(std::uint8_t value);
  SshWriter& u32(std::uint32_t value);
  SshWriter& u64(std::uint64_t value);
  SshWriter& boolean(bool value) { return u8(value ? 1 : 0); }
  SshWriter& raw(std::span<const std::byte> bytes);
  SshWriter& string(std::span<const std::byte> bytes);
  SshWriter& string(std::string_view text) { return string(bytes_of(text)); }
  SshWriter& string(const char* text) { return string(std::string_view(text)); }
  SshWriter& string(const SshWriter& inner) { return string(inner.view()); }
  /// `magnitude` big-endian; leading zeros are dropped, a sign byte is added when needed.
  SshWriter& mpint(std::span<const std::byte> magnitude);

  [[nodiscard]] std::span<const std::byte> view() const noexcept { return bytes_; }
  [[nodiscard]] std::size_t size() const noexcept { return bytes_.size(); }
  [[nodiscard]] Bytes take() noexcept { return std::move(bytes_); }

 private:
  Bytes bytes_;
};

}  // namespace sallyport::crypto
