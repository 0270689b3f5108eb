#include "policy/authority/event_texts.h"

#include <openssl/crypto.h>

#include <utility>

#include "platform/crypto/base64.h"
#include "platform/model/bytes.h"

namespace sallyport::authority {
namespace {

constexpr std::chrono::hours k_key_serves{24};
constexpr std::size_t k_most_waiting = 1024;

}  // namespace

void EventTexts::when_ready(std::function<void()> next) {
  const bool is_old = key_ && authority_.clock.wall() - since_ > k_key_serves;
  if (key_) {
    if (is_old) ask();  // it goes on serving until the next one stands in the journal
    return next();
  }
  if (waiting_.size() >= k_most_waiting) return next();  // without its texts
  waiting_.push_back(std::move(next));
  ask();
}

void EventTexts::ask() {
  if (std::exchange(asking_, true)) return;
  control::Envelope question;
  question.mutable_recording_key_request();
  authority_.vault.ask(std::move(question), [this, asked = recipients_](Result<control::Received> answer) {
    if (!answer || !answer->envelope.has_recording_key()) return done();
    control::RecordingKey& made = *answer->envelope.mutable_recording_key();
    take(made, asked);
    OPENSSL_cleanse(made.mutable_key()->data(), made.mutable_key()->size());
  });
}

void EventTexts::take(const control::RecordingKey& made, unsigned asked) {
  if (made.key().size() != crypto::k_aead_key_size || made.wrapped().empty()) return done();
  auto fresh = std::make_shared<std::unique_ptr<seal::TextKey>>(
      std::make_unique<seal::TextKey>(Secret(std::string_view(made.key())), seal::text_key_id(bytes_of(made.wrapped()))));
  EventJson json;
  json.text("key", (*fresh)->id()).text("recipients", made.recipients()).text("wrapped", crypto::to_base64(bytes_of(made.wrapped())));
  authority_.journal.append(std::string(seal::k_text_key_event), json.str(), {}, [this, fresh, asked](const Result<Appended>& stored) {
    if (stored && asked == recipients_) {
      key_ = std::move(*fresh);
      since_ = authority_.clock.wall();
    }
    const bool is_late = stored && asked != recipients_;
    done();
    if (is_late && !key_) ask();
  });
}

void EventTexts::done() {
  asking_ = false;
  for (const std::function<void()>& next : std::exchange(waiting_, {})) next();
}

std::string EventTexts::seal(std::string_view event, std::string_view session, std::string_view texts) {
  return key_ ? key_->seal(event, session, texts) : std::string();
}

void EventTexts::forget() {
  ++recipients_;
  key_.reset();
}

}  // namespace sallyport::authority
