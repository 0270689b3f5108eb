// platform/seal/sealed_text.h -- texts of audit events that only the recording recipients read (docs/format/journal.md section 6).
//
// A key serves one process for about a day: it is wrapped to the recipients once, the wrapped key is an event of its own, and each
// text costs one AES-256-GCM. What is sealed is one JSON object; its fields belong where `sealed` stands.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "platform/crypto/aead.h"
#include "platform/model/bytes.h"
#include "platform/model/secret.h"

namespace sallyport::seal {

/// Name of the event that carries a wrapped text key: `key` (its id), `wrapped` (base64), `recipients`.
constexpr std::string_view k_text_key_event = "audit.text_key";

/// What is wrapped begins with these words, so that no key of a recording passes for one of texts, nor the other way round.
constexpr std::string_view k_text_key_words = "sallyport audit texts 1\n";
/// The words and then the 32 bytes.
[[nodiscard]] Secret text_key_content(const Secret& key);
/// Nothing: it is something else.
[[nodiscard]] std::optional<Secret> text_key_in(const Secret& content);

/// How events name a wrapped key: the first 16 hexadecimal digits of its SHA-256.
[[nodiscard]] std::string text_key_id(ByteView wrapped);
/// The key that a sealed text names; empty: it is none.
[[nodiscard]] std::string_view text_key_of(std::string_view sealed) noexcept;

/// One thread. A process seals with a key that nobody else seals with: nonces are counted.
class TextKey {
 public:
  TextKey(const Secret& key, std::string id) : id_(std::move(id)), cipher_(key.reveal()) {}
  [[nodiscard]] const std::string& id() const noexcept { return id_; }

  /// "ID:BASE64" of nonce, text and tag. A text is bound to the name and the session of its event.
  [[nodiscard]] std::string seal(std::string_view event, std::string_view session, std::string_view text);
  /// Nothing: of another key, another event or session, or changed.
  [[nodiscard]] std::optional<std::string> open(std::string_view event, std::string_view session, std::string_view sealed);

 private:
  [[nodiscard]] std::string bound_to(std::string_view event, std::string_view session) const;

  std::string id_;
  crypto::Aes256Gcm cipher_;
  std::uint64_t sealed_ = 0;
};

}  // namespace sallyport::seal
