#include "policy/authority/acts.h"

#include <utility>

#include "platform/crypto/ulid.h"

namespace sallyport::authority {
namespace {

void add_who(EventJson& json, const Operator& who) {
  json.text("by", who.name).number("uid", who.uid).text("principal", who.principal).text("from", who.source);
  json.text("api_request", who.request).text("token", who.token).text("web_session", who.web_session);
}

}  // namespace

std::string outcome_name(std::string_view kind) {
  if (kind == "policy.apply") return "policy.applied";
  if (kind == "lock.set") return "lock.set";
  if (kind == "lock.remove") return "lock.removed";
  if (kind == "secret.put") return "secret.put";
  if (kind == "secret.delete") return "secret.deleted";
  if (kind == "secret.read") return "secret.value_read";
  if (kind == "vault.unseal") return "vault.unsealed";
  if (kind == "vault.seal") return "vault.sealed";
  if (kind == "audit.read_texts") return "audit.texts_read";
  if (kind == "recording.view") return "recording.viewed";
  if (kind == "recording.erase") return "recording.erased";
  if (kind == "recording.rewrap") return "recording.rewrapped";
  if (kind == "recording.read_key") return "recording.wrapped_key_read";
  if (kind == "recording.hold") return "recording.held";
  if (kind == "recording.release") return "recording.released";
  if (kind == "recording.consent") return "recording.consented";
  if (kind == "recording.search") return "recording.searched";
  if (kind == "session.end") return "session.end_ordered";
  if (kind == "session.message") return "session.message_sent";
  if (kind == "session.hold") return "session.held";
  if (kind == "session.release") return "session.released";
  if (kind == "request.create") return "request.created";
  if (kind == "request.approve") return "request.approved";
  if (kind == "request.deny") return "request.denied";
  if (kind == "request.cancel") return "request.cancelled";
  if (kind == "token.create") return "token.created";
  if (kind == "token.revoke") return "token.revoked";
  if (kind == "glass.add") return "glass.added";
  if (kind == "invite.create") return "invite.created";
  if (kind == "invite.revoke") return "invite.revoked";
  if (kind == "enrolment.complete") return "enrolment.completed";
  if (kind == "enrolment.change") return "enrolment.changed";
  if (kind == "certificate.issue") return "certificate.issued";
  if (kind == "enrolment.remove") return "enrolment.removed";
  return "admin.done";
}

Operator herself(const std::string& principal, const std::string& source) {
  Operator who;
  who.name = principal;
  who.principal = principal;
  who.source = source;
  return who;
}

bool Operator::has_scope(std::string_view scope) const {
  if (scopes.empty()) return true;
  std::string_view rest = scopes;
  while (!rest.empty()) {
    const auto space = rest.find(' ');
    if (rest.substr(0, space) == scope) return true;
    rest = space == std::string_view::npos ? std::string_view{} : rest.substr(space + 1);
  }
  return false;
}

void run_act(Authority& authority, const Operator& who, const std::string& kind, const EventJson& details, Effect effect,
             std::function<void(Result<void>)> done) {
  if (who.dry_run) return done({});
  Intent intent;
  intent.id = crypto::make_ulid(authority.clock, authority.random);
  intent.kind = kind;
  intent.opened_us = authority.now_us();
  EventJson json = details;
  json.text("act", kind).text("intent", intent.id);
  add_who(json, who);
  intent.json = json.str();
  const std::string id = intent.id;
  const std::string text = intent.json;
  authority.store->open_intent(std::move(intent), [&authority, id, kind, text, details, who, effect = std::move(effect),
                                                    done = std::move(done)](const Result<void>& opened) {
    if (!opened) return done(tl::unexpected(opened.error()));
    authority.journal.append(
        "admin.intended", text, {},
        [&authority, id, kind, details, who, effect, done](Result<Appended> stored) {
          if (!stored) {
            authority.store->close_intent(id, [](const Result<void>&) {});
            return done(fail(Errc::unavailable, "no audit, no change: " + stored.error().detail));
          }
          if (!authority.journal.blocked().empty()) {
            authority.store->close_intent(id, [](const Result<void>&) {});
            return done(fail(Errc::conflict, authority.journal.reason()));
          }
          effect(id, stored->sequence, [&authority, id, kind, details, who, done](Result<EventJson> outcome) {
            EventJson result = outcome ? *outcome : details;
            result.text("intent", id);
            add_who(result, who);
            if (!outcome) result.text("act", kind).text("why", outcome.error().detail);
            authority.journal.append(
                outcome ? outcome_name(kind) : "admin.failed", result.str(), {},
                [&authority, id, done, outcome](const Result<Appended>& written) {
                  // Without its outcome in the journal the intent stays open and is closed at the next start.
                  if (written) authority.store->close_intent(id, [](const Result<void>&) {});
                  done(outcome ? Result<void>() : Result<void>(tl::unexpected(outcome.error())));
                },
                true, id);
          });
        },
        true);
  });
}

}  // namespace sallyport::authority
