// platform/seal/mask.h -- values that must not be stored: recognised without being known.
//
// Of a value lent to the principal the vault tells its length, a rolling hash of its first bytes and a keyed hash of the
// whole: enough to recognise it when it comes by, not to know it. The key is new for each answer.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "platform/crypto/hash.h"
#include "platform/model/bytes.h"
#include "platform/model/secret.h"

namespace sallyport::seal {

constexpr std::size_t k_mask_window = 8;         ///< shorter values are not recognised by hash
constexpr std::size_t k_longest_masked = 1024;   ///< nor are longer ones

struct MaskValue {
  std::uint32_t length = 0;
  std::uint32_t window = 0;  ///< 24 bits
  crypto::Hash256 digest{};
};

/// Nothing when the value is too short or too long.
[[nodiscard]] std::optional<MaskValue> mask_value(ByteView key, ByteView value);

/// All values that one session masks. Immutable once made, shared by its streams.
class MaskSet {
 public:
  MaskSet() = default;
  /// `known`: values that this process holds itself (recognised to the byte, at any length from 4 on). `key` is that of `recognised`.
  MaskSet(std::vector<Secret> known, Secret key, std::vector<MaskValue> recognised);

  [[nodiscard]] bool empty() const noexcept { return known_.empty() && hashed_.empty(); }

  struct Span {
    std::size_t begin = 0, length = 0;
    enum class Why : std::uint8_t { login_password = 1, lent_value = 2, private_key = 3, access_key = 4 } why = Why::login_password;
  };
  /// More values, hashed with another key.
  void add(Secret key, std::vector<MaskValue> recognised, Span::Why why);
  /// Every value that stands whole in `bytes`, in order; and from where on `bytes` could be the beginning of one (bytes.size(): nowhere).
  std::size_t scan(ByteView bytes, std::vector<Span>& found) const;
  [[nodiscard]] bool is_in(ByteView bytes) const;
  /// `text` with every value replaced by asterisks.
  [[nodiscard]] std::string masked(std::string_view text) const;

 private:
  struct Hashed {
    Secret key;
    std::vector<MaskValue> values;               ///< by window
    std::vector<std::uint64_t> windows;          ///< a bit for each of 2^16 prefixes of windows that occur
    std::uint64_t base = 0, top = 0, mix = 0;    ///< of the rolling hash
    Span::Why why = Span::Why::lent_value;
  };
  static std::size_t scan_hashed(const Hashed& hashed, ByteView bytes, std::vector<Span>& found);

  std::vector<Secret> known_;
  std::vector<Hashed> hashed_;
};

}  // namespace sallyport::seal
