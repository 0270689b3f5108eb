// platform/crypto/hash.h -- SHA-256 and SHA-512, incremental and in one go.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <string_view>

#include "platform/model/bytes.h"

struct evp_md_ctx_st;

namespace sallyport::crypto {

using Hash256 = std::array<std::byte, 32>;
using Hash512 = std::array<std::byte, 64>;

namespace detail {
struct DigestContextFree {
  void operator()(evp_md_ctx_st* context) const noexcept;
};
using DigestContext = std::unique_ptr<evp_md_ctx_st, DigestContextFree>;
}  // namespace detail

/// Takes bytes as they come. finish() gives the digest and starts anew; no allocation after construction.
/// Copyable: a copy goes on from the same state (a running hash can be asked without ending it).
class Sha256 {
 public:
  Sha256();
  Sha256(const Sha256& other);
  Sha256& operator=(const Sha256& other);
  Sha256(Sha256&&) noexcept = default;
  Sha256& operator=(Sha256&&) noexcept = default;
  ~Sha256() = default;

  Sha256& update(ByteView bytes) noexcept;
  Sha256& update(std::string_view text) noexcept { return update(bytes_of(text)); }
  [[nodiscard]] Hash256 finish() noexcept;

 private:
  detail::DigestContext context_;
};

class Sha512 {
 public:
  Sha512();
  Sha512& update(ByteView bytes) noexcept;
  [[nodiscard]] Hash512 finish() noexcept;

 private:
  detail::DigestContext context_;
};

[[nodiscard]] Hash256 sha256(ByteView bytes) noexcept;
[[nodiscard]] Hash256 sha256(std::string_view text) noexcept;
[[nodiscard]] Hash512 sha512(ByteView bytes) noexcept;

/// Same length and same content, in time that depends on the length alone.
[[nodiscard]] bool equal_constant_time(ByteView left, ByteView right) noexcept;

}  // namespace sallyport::crypto
