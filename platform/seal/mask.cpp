#include "platform/seal/mask.h"

#include <algorithm>
#include <cstring>

#include "platform/crypto/hmac.h"
#include "platform/seal/entry.h"

namespace sallyport::seal {
namespace {

constexpr std::size_t k_shortest_known = 4;

struct Rolling {
  std::uint64_t base = 0, top = 0, mix = 0;
};

/// Two odd numbers from the key; `top` is base^(window - 1).
Rolling rolling_of(ByteView key) {
  const auto digest = crypto::hmac_sha256(key, bytes_of("sallyport mask window v1"));
  Rolling rolling{get_number<std::uint64_t>(digest.data()) | 1, 1, get_number<std::uint64_t>(digest.data() + 8) | 1};
  for (std::size_t i = 1; i < k_mask_window; ++i) rolling.top *= rolling.base;
  return rolling;
}

std::uint64_t byte_value(std::byte byte) { return std::to_integer<std::uint64_t>(byte) + 1; }

std::uint32_t folded(std::uint64_t hash, std::uint64_t mix) { return static_cast<std::uint32_t>((hash * mix) >> 40); }

}  // namespace

std::optional<MaskValue> mask_value(ByteView key, ByteView value) {
  if (value.size() < k_mask_window || value.size() > k_longest_masked) return std::nullopt;
  const Rolling rolling = rolling_of(key);
  std::uint64_t hash = 0;
  for (const std::byte byte : value.first(k_mask_window)) hash = hash * rolling.base + byte_value(byte);
  return MaskValue{static_cast<std::uint32_t>(value.size()), folded(hash, rolling.mix), crypto::hmac_sha256(key, value)};
}

MaskSet::MaskSet(std::vector<Secret> known, Secret key, std::vector<MaskValue> recognised) : known_(std::move(known)) {
  std::erase_if(known_, [](const Secret& value) { return value.size() < k_shortest_known; });
  add(std::move(key), std::move(recognised), Span::Why::lent_value);
}

void MaskSet::add(Secret key, std::vector<MaskValue> recognised, Span::Why why) {
  std::erase_if(recognised, [](const MaskValue& value) { return value.length < k_mask_window || value.length > k_longest_masked; });
  if (recognised.empty()) return;
  std::sort(recognised.begin(), recognised.end(), [](const MaskValue& a, const MaskValue& b) { return a.window < b.window; });
  const Rolling rolling = rolling_of(key.reveal());
  Hashed hashed{std::move(key), std::move(recognised), std::vector<std::uint64_t>(1024), rolling.base, rolling.top, rolling.mix, why};
  for (const MaskValue& value : hashed.values) hashed.windows[(value.window >> 8) >> 6] |= 1ULL << ((value.window >> 8) & 63);
  hashed_.push_back(std::move(hashed));
}

std::size_t MaskSet::scan_hashed(const Hashed& hashed, ByteView bytes, std::vector<Span>& found) {
  std::size_t open = bytes.size();
  std::uint64_t hash = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i >= k_mask_window) hash -= byte_value(bytes[i - k_mask_window]) * hashed.top;
    hash = hash * hashed.base + byte_value(bytes[i]);
    if (i + 1 < k_mask_window) continue;
    const std::uint32_t window = folded(hash, hashed.mix);
    if ((hashed.windows[(window >> 8) >> 6] >> ((window >> 8) & 63) & 1) == 0) continue;
    const std::size_t begin = i + 1 - k_mask_window;
    for (auto at = std::lower_bound(hashed.values.begin(), hashed.values.end(), window, [](const MaskValue& value, std::uint32_t wanted) { return value.window < wanted; });
         at != hashed.values.end() && at->window == window; ++at) {
      if (begin + at->length > bytes.size()) open = std::min(open, begin);
      else if (crypto::equal_constant_time(crypto::hmac_sha256(hashed.key.reveal(), bytes.subspan(begin, at->length)), at->digest))
        found.push_back({begin, at->length, hashed.why});
    }
  }
  return open;
}

std::size_t MaskSet::scan(ByteView bytes, std::vector<Span>& found) const {
  std::size_t open = bytes.size();
  const std::string_view text = sallyport::text_of(bytes);
  for (const Secret& value : known_) {
    const std::string_view wanted = value.reveal_text();
    for (std::size_t at = text.find(wanted); at != std::string_view::npos; at = text.find(wanted, at + wanted.size()))
      found.push_back({at, wanted.size(), Span::Why::login_password});
    const std::size_t most = std::min(wanted.size() - 1, text.size());
    for (std::size_t length = most; length > 0; --length)
      if (text.ends_with(wanted.substr(0, length))) {
        open = std::min(open, text.size() - length);
        break;
      }
  }
  if (bytes.size() >= k_mask_window)
    for (const Hashed& hashed : hashed_) open = std::min(open, scan_hashed(hashed, bytes, found));
  std::sort(found.begin(), found.end(), [](const Span& a, const Span& b) { return a.begin < b.begin; });
  return open;
}

bool MaskSet::is_in(ByteView bytes) const {
  std::vector<Span> found;
  scan(bytes, found);
  return !found.empty();
}

std::string MaskSet::masked(std::string_view text) const {
  std::string result(text);
  std::vector<Span> found;
  scan(bytes_of(text), found);
  for (const Span& span : found) std::fill_n(result.begin() + static_cast<std::ptrdiff_t>(span.begin), span.length, '*');
  return result;
}

}  // namespace sallyport::seal
