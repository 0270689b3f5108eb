// platform/seal/sealed_text.h -- texts of audit events that only the recording recipients read (docs/format/journal.md section 6).
//
// A key serves one process for about a day: it is wrapped to the recipients once, the wrapped key is an event of its own, and each
// text costs one AES-256-GCM. What is sealed is one JSON object; its fields belong where `sealed` stands.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

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

/// The keys of texts that are read in the order of their events. Each is asked for once, when the first text needs it.
class TextKeys {
 public:
  /// Opens a wrapped key, base64 as its event has it; nothing: who asks may not, or cannot.
  using Unwrap = std::function<std::optional<Secret>(std::string_view wrapped)>;

  explicit TextKeys(Unwrap unwrap = {}) : unwrap_(std::move(unwrap)) {}
  /// What an event k_text_key_event says.
  void note(std::string_view id, std::string_view wrapped) { known_.try_emplace(std::string(id), Known{std::string(wrapped), {}, false}); }
  /// Nothing: its key is not to be had, or it is of another event or session, or changed.
  [[nodiscard]] std::optional<std::string> open(std::string_view event, std::string_view session, std::string_view sealed);

 private:
  struct Known {
    std::string wrapped;
    std::optional<TextKey> key;
    bool asked = false;
  };
  Unwrap unwrap_;
  std::map<std::string, Known, std::less<>> known_;  ///< by id
};

}  // namespace sallyport::seal
