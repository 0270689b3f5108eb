// Who may look at a recording or search in them: a reason, a second auditor for one's own, and the keys that open them.
#include "policy/authority/administration.h"

#include <openssl/crypto.h>

#include <utility>

namespace sallyport::authority {
namespace {

using Outcome = std::function<void(Result<EventJson>)>;

/// Takes the key out of the vault's answer, of which nothing is left.
auto keep_key(const std::shared_ptr<Secret>& key, const EventJson& details, const Outcome& outcome) {
  return [key, details, outcome](Result<control::Received> answer) {
    if (!answer) return outcome(tl::unexpected(answer.error()));
    std::string* bytes = answer->envelope.mutable_recording_key()->mutable_key();
    *key = Secret(std::string_view(*bytes));
    OPENSSL_cleanse(bytes->data(), bytes->size());
    outcome(details);
  };
}

/// When the outcome stands in the journal.
auto give_key(const std::shared_ptr<Secret>& key, std::function<void(Result<Secret>)> done) {
  return [key, done = std::move(done)](const Result<void>& result) {
    if (!result) return done(tl::unexpected(result.error()));
    done(std::move(*key));
  };
}

}  // namespace

void Administration::recording_key(const Operator& who, const std::string& session, std::string wrapped, const std::string& reason, bool input,
                                   Done<Secret> done) {
  if (reason.empty()) return done(fail(Errc::invalid, "a reason is needed to view a recording"));
  if (input && !may(who, policy::AdminRight::input)) return refuse_look(who, session, reason, "SP-4202", std::move(done));
  find_session(session, [this, who, session, wrapped = std::move(wrapped), reason, input, done = std::move(done)](const Result<SessionRow>& row) mutable {
    // Root has no principal of its own; a session that this node does not know is nobody's here.
    const std::string self = who.principal.empty() ? who.name : who.principal;
    if (row && row->principal == self) {
      const auto consent = consents_.find({session, self});
      if (consent == consents_.end() || consent->second < authority_.now()) return refuse_look(who, session, reason, "SP-4201", std::move(done));
    }
    unwrap_for(who, session, std::move(wrapped), reason, input, std::move(done));
  });
}

void Administration::refuse_look(const Operator& who, const std::string& session, const std::string& reason, std::string_view code, Done<Secret> done) {
  EventJson json;
  json.text("session", session).text("reason", reason).text("by", who.name).number("uid", who.uid).text("principal", who.principal);
  json.text("decision", "deny").text("code", code);
  authority_.journal.append("recording.look_refused", json.str(), {},
                            [done = std::move(done), code = std::string(code)](Result<Appended>) { done(fail(Errc::denied, code)); });
}

void Administration::consent(const Operator& who, const std::string& session, const std::string& principal, const std::string& reason, Done<void> done) {
  const std::string self = who.principal.empty() ? who.name : who.principal;
  if (self == principal) return done(fail(Errc::denied, "SP-4203"));
  EventJson details;
  details.text("session", session).text("for", principal).text("reason", reason);
  with_intent(
      who, "recording.consent", details,
      [this, session, principal, details](const std::string&, std::uint64_t, const std::function<void(Result<EventJson>)>& outcome) {
        std::erase_if(consents_, [&](const auto& known) { return known.second < authority_.now(); });
        consents_[{session, principal}] = authority_.now() + k_consent_lasts;
        outcome(details);
      },
      std::move(done));
}

void Administration::search_key(const Operator& who, const std::string& reason, Done<Secret> done) {
  if (reason.empty()) return done(fail(Errc::invalid, "a reason is needed to search recordings"));
  auto key = std::make_shared<Secret>();
  EventJson details;
  details.text("reason", reason);
  with_intent(
      who, "recording.search", details,
      [this, who, reason, key, details](const std::string&, std::uint64_t, const std::function<void(Result<EventJson>)>& outcome) {
        control::Envelope question;
        question.mutable_search_key_ask()->set_reason(reason);
        question.mutable_search_key_ask()->set_principal(who.principal.empty() ? who.name : who.principal);
        authority_.vault.ask(std::move(question), keep_key(key, details, outcome));
      },
      give_key(key, std::move(done)));
}

void Administration::unwrap_for(const Operator& who, const std::string& session, std::string wrapped, const std::string& reason, bool input,
                                Done<Secret> done) {
  auto key = std::make_shared<Secret>();
  EventJson details;
  details.text("session", session).text("reason", reason);
  if (input) details.flag("input", true);
  with_intent(
      who, "recording.view", details,
      [this, who, session, wrapped = std::move(wrapped), reason, key, details](const std::string&, std::uint64_t,
                                                                               const std::function<void(Result<EventJson>)>& outcome) {
        control::Envelope question;
        auto* body = question.mutable_unwrap_recording_key();
        body->set_session(session);
        body->set_wrapped(wrapped);
        body->set_reason(reason);
        body->set_principal(who.principal.empty() ? who.name : who.principal);
        authority_.vault.ask(std::move(question), keep_key(key, details, outcome));
      },
      give_key(key, std::move(done)));
}

}  // namespace sallyport::authority
