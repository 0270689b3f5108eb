#include "policy/authority/text_keys.h"

#include <openssl/crypto.h>

#include <memory>
#include <utility>

#include "platform/crypto/base64.h"
#include "platform/model/bytes.h"
#include "platform/seal/sealed_text.h"

namespace sallyport::authority {

void read_text_key(Authority& authority, const Operator& who, std::string_view wrapped, const std::string& reason, std::function<void(Result<Secret>)> done) {
  if (reason.empty()) return done(fail(Errc::invalid, "a reason is needed to read the texts of events"));
  auto cms = crypto::from_base64(wrapped);
  if (!cms || cms->empty()) return done(fail(Errc::invalid, "`wrapped` must be a wrapped key of event texts, in base64"));
  auto key = std::make_shared<Secret>();
  EventJson details;
  details.text("key", seal::text_key_id(*cms)).text("reason", reason);
  run_act(
      authority, who, "audit.read_texts", details,
      [&authority, who, reason, key, details, cms = std::string(text_of(ByteView(*cms)))](const std::string&, std::uint64_t,
                                                                                          const std::function<void(Result<EventJson>)>& outcome) {
        control::Envelope question;
        auto* body = question.mutable_unwrap_recording_key();
        body->set_wrapped(cms);
        body->set_reason(reason);
        body->set_principal(who.principal.empty() ? who.name : who.principal);
        authority.vault.ask(std::move(question), [key, details, outcome](Result<control::Received> answer) {
          if (!answer) return outcome(tl::unexpected(answer.error()));
          std::string* bytes = answer->envelope.mutable_recording_key()->mutable_key();
          *key = Secret(std::string_view(*bytes));
          OPENSSL_cleanse(bytes->data(), bytes->size());
          outcome(details);
        });
      },
      [key, done = std::move(done)](const Result<void>& result) {
        if (!result) return done(tl::unexpected(result.error()));
        done(std::move(*key));
      });
}

}  // namespace sallyport::authority
