// policy/authority/event_texts.h -- command texts in events, sealed so that only the recording recipients read them.
//
// One key of the vault's serves for a day: its wrapped form is an event (`audit.text_key`) that stands in the journal before the first
// text under it. Where no key is to be had a text is left out and the event says so; it never stands in the clear.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "platform/seal/sealed_text.h"
#include "policy/authority/authority.h"

namespace sallyport::authority {

/// One thread.
class EventTexts {
 public:
  explicit EventTexts(Authority& authority) : authority_(authority) {}

  /// `next` at once while there is a key, else when the vault and the journal have answered: with a key, or without one. So many
  /// may wait (1,024) and no more: the others go on at once, without one.
  void when_ready(std::function<void()> next);
  /// What a field `sealed` of that event holds; `texts` is one JSON object. Empty: there is no key, the texts are withheld.
  [[nodiscard]] std::string seal(std::string_view event, std::string_view session, std::string_view texts);
  /// The recipients are others now: what comes next is not for the former ones.
  void forget();

 private:
  void ask();
  void take(const control::RecordingKey& made, unsigned asked);
  void done();

  Authority& authority_;
  std::unique_ptr<seal::TextKey> key_;
  WallTime since_{};
  bool asking_ = false;
  unsigned recipients_ = 0;  ///< how often they changed
  std::vector<std::function<void()>> waiting_;
};

}  // namespace sallyport::authority
