#include "platform/seal/sealed_text.h"

#include <openssl/crypto.h>

#include <algorithm>

#include "platform/crypto/base64.h"
#include "platform/crypto/hash.h"
#include "platform/crypto/hex.h"

namespace sallyport::seal {
namespace {

constexpr std::size_t k_id_digits = 16;
constexpr std::size_t k_around = crypto::k_aead_nonce_size + crypto::k_aead_tag_size;

}  // namespace

Secret text_key_content(const Secret& key) {
  Bytes content(k_text_key_words.size() + key.size());
  const ByteView words = bytes_of(k_text_key_words);
  std::copy(words.begin(), words.end(), content.begin());
  std::copy(key.reveal().begin(), key.reveal().end(), content.begin() + static_cast<std::ptrdiff_t>(words.size()));
  Secret all{ByteView(content)};
  OPENSSL_cleanse(content.data(), content.size());
  return all;
}

std::optional<Secret> text_key_in(const Secret& content) {
  if (content.size() != k_text_key_words.size() + crypto::k_aead_key_size || !content.reveal_text().starts_with(k_text_key_words)) return std::nullopt;
  return Secret(content.reveal().subspan(k_text_key_words.size()));
}

std::string text_key_id(ByteView wrapped) { return crypto::to_hex(ByteView(crypto::sha256(wrapped)).first(k_id_digits / 2)); }

std::string_view text_key_of(std::string_view sealed) noexcept {
  return sealed.size() > k_id_digits && sealed[k_id_digits] == ':' ? sealed.substr(0, k_id_digits) : std::string_view{};
}

std::string TextKey::bound_to(std::string_view event, std::string_view session) const {
  return std::string(k_text_key_words) + id_ + "\n" + std::string(event) + "\n" + std::string(session) + "\n";
}

std::string TextKey::seal(std::string_view event, std::string_view session, std::string_view text) {
  const crypto::Nonce nonce = crypto::nonce_of(sealed_++);
  Bytes whole(text.size() + k_around);
  std::copy(nonce.begin(), nonce.end(), whole.begin());
  const std::string bound = bound_to(event, session);
  std::byte* const body = whole.data() + nonce.size();
  cipher_.seal(nonce, bytes_of(bound), bytes_of(text), body, std::span<std::byte, crypto::k_aead_tag_size>(body + text.size(), crypto::k_aead_tag_size));
  return id_ + ":" + crypto::to_base64(whole);
}

std::optional<std::string> TextKey::open(std::string_view event, std::string_view session, std::string_view sealed) {
  if (text_key_of(sealed) != id_) return std::nullopt;
  const auto whole = crypto::from_base64(sealed.substr(k_id_digits + 1));
  if (!whole || whole->size() < k_around) return std::nullopt;
  crypto::Nonce nonce{};
  std::copy_n(whole->begin(), nonce.size(), nonce.begin());
  const ByteView body = ByteView(*whole).subspan(nonce.size(), whole->size() - k_around);
  const std::string bound = bound_to(event, session);
  Bytes plain(body.size());
  if (!cipher_.open(nonce, bytes_of(bound), body, std::span<const std::byte, crypto::k_aead_tag_size>(body.data() + body.size(), crypto::k_aead_tag_size),
                    plain.data()))
    return std::nullopt;
  return std::string(text_of(ByteView(plain)));
}

std::optional<std::string> TextKeys::open(std::string_view event, std::string_view session, std::string_view sealed) {
  const auto found = known_.find(text_key_of(sealed));
  if (found == known_.end()) return std::nullopt;
  Known& known = found->second;
  if (!std::exchange(known.asked, true) && unwrap_)
    if (const auto key = unwrap_(known.wrapped)) known.key.emplace(*key, found->first);
  return known.key ? known.key->open(event, session, sealed) : std::nullopt;
}

}  // namespace sallyport::seal
