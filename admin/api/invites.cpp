// GET, POST /v1/invites, DELETE /v1/invites/{id}, GET, DELETE /v1/enrolments/{principal}, POST /v1/certificates
#include <boost/json.hpp>

#include "admin/api/call.h"
#include "policy/authority/sign_on.h"

namespace sallyport::admin {
namespace {

json::object object_of(const authority::Invite& invite) {
  return json::object{{"id", invite.id}, {"principal", invite.principal}, {"by", invite.by}, {"expires", utc_text(invite.expires)}};
}

/// Nothing, and answered, when it is no duration. An absent one is zero.
std::optional<std::chrono::seconds> lasts_of(const CallPtr& call, const json::object& body) {
  const std::string text = text_of(body, "lasts");
  if (text.empty()) return std::chrono::seconds(0);
  const auto parsed = parse_lasts(text);
  if (parsed) return *parsed;
  call->refuse_with(parsed.error(), "SP-7001", json::array{json::object{{"pointer", "/lasts"}, {"message", parsed.error().detail}}});
  return std::nullopt;
}

}  // namespace

void serve_invites(const CallPtr& call) {
  auto& desk = call->administration.authority().sign_on->invites;
  const std::string& method = call->request.method;
  if (!call->may(policy::AdminRight::policy)) return;
  if (call->parts.size() == 2 && method == "GET") {
    json::array rows;
    for (const authority::Invite& invite : desk.open()) rows.push_back(object_of(invite));
    return call->reply(json::object{{"invites", std::move(rows)}});
  }
  if (call->parts.size() == 2 && method == "POST") {
    const auto body = call->body({{"principal", Field::Type::text, true, 63}, {"lasts", Field::Type::text, false, 32}});
    if (!body) return;
    const auto lasts = lasts_of(call, *body);
    if (!lasts) return;
    return desk.make(call->who, text_of(*body, "principal"), *lasts, [call](const Result<std::shared_ptr<authority::InviteMade>>& made) {
      if (!made) return call->refuse(made.error());
      json::object out = object_of((*made)->invite);
      if (call->who.dry_run) out["dry_run"] = true;
      else out["code"] = std::string((*made)->code.reveal_text());
      // Behind the #, which no browser sends to anybody: neither in a log nor in a Referer.
      const std::string origin = call->administration.authority().settings.text("admin_origin");
      if (!call->who.dry_run && !origin.empty()) out["link"] = origin + "/invited#" + std::string((*made)->code.reveal_text());
      call->reply(out, 201);
    });
  }
  if (call->parts.size() != 3 || method == "POST") return call->refuse(Error{Errc::not_found, "there is nothing at " + call->request.path});
  const auto open = desk.open();
  const auto found = std::find_if(open.begin(), open.end(), [&](const authority::Invite& one) { return one.id == call->parts[2]; });
  if (found == open.end()) return call->refuse(Error{Errc::not_found, "no open invite " + call->parts[2]});
  if (method == "GET") return call->reply(object_of(*found));
  if (!call->body({})) return;
  desk.revoke(call->who, found->id, [call, id = found->id](const Result<void>& gone) {
    if (!gone) return call->refuse(gone.error());
    call->reply(json::object{{"id", id}, {"revoked", !call->who.dry_run}});
  });
}

void serve_enrolments(const CallPtr& call) {
  auto& sign_on = *call->administration.authority().sign_on;
  const bool deletes = call->request.method == "DELETE";
  // Everybody may look at her own; what others enrolled is for auditors. Taking it away is like a lock.
  const bool is_hers = call->parts.size() == 3 && !call->who.principal.empty() && call->parts[2] == call->who.principal;
  if (call->parts.size() != 3) return call->refuse(Error{Errc::not_found, "there is nothing at " + call->request.path});
  if (deletes ? !call->may(policy::AdminRight::lock) : !is_hers && !call->may(policy::AdminRight::audit)) return;
  const std::string principal = call->parts[2];
  if (call->administration.snapshot().find_principal(principal) == nullptr) return call->refuse(Error{Errc::not_found, "there is no principal " + principal});
  if (deletes) {
    if (!call->body({})) return;
    return sign_on.enrolment.remove_all(call->who, principal, [call, principal](const Result<void>& gone) {
      if (!gone) return call->refuse(gone.error());
      call->reply(json::object{{"principal", principal}, {"removed", !call->who.dry_run}});
    });
  }
  json::array keys;
  for (const policy::LoginKey& key : sign_on.enrolled.keys_of(principal))
    keys.push_back(json::object{{"algorithm", key.algorithm}, {"fingerprint", key.fingerprint}, {"comment", key.comment}});
  json::array passkeys;
  for (const policy::Passkey& one : sign_on.enrolled.passkeys_of(principal)) passkeys.push_back(json::object{{"name", one.name}, {"enrolled", utc_text(one.enrolled)}});
  json::array certificates;
  for (const auto& [serial, one] : sign_on.enrolled.certificates())
    if (one.principal == principal)
      certificates.push_back(json::object{{"serial", std::to_string(serial)}, {"fingerprint", one.fingerprint}, {"issued", utc_text(one.issued)}, {"expires", utc_text(one.expires)}, {"revoked", one.revoked}});
  call->reply(json::object{{"principal", principal},
                           {"keys", std::move(keys)},
                           {"totp", !sign_on.enrolled.totp_of(principal).empty()},
                           {"passkeys", std::move(passkeys)},
                           {"recovery_codes", sign_on.codes.recovery_left(principal)},
                           {"certificates", std::move(certificates)}});
}

void serve_certificates(const CallPtr& call) {
  auto& sign_on = *call->administration.authority().sign_on;
  if (call->parts.size() != 2) return call->refuse(Error{Errc::not_found, "there is nothing at " + call->request.path});
  const auto body = call->body({{"public_key", Field::Type::text, true, 8192}, {"lasts", Field::Type::text, false, 32}, {"source", Field::Type::text, false, 64}});
  if (!body) return;
  const auto lasts = lasts_of(call, *body);
  if (!lasts) return;
  // A token proves no factor: whoever holds one would turn it into a login.
  const authority::WebSession* session = call->who.web_session.empty() ? nullptr : sign_on.web.find(call->who.web_session);
  if (session == nullptr) return call->refuse(Error{Errc::denied, "a certificate is given to a person who has just logged in in the browser, or over ssh: ssh PRINCIPAL@gateway certificate"}, "SP-9309");
  if (call->who.dry_run) return call->reply(json::object{{"dry_run", true}}, 201);
  sign_on.certificates.certify(call->who.principal, text_of(*body, "public_key"), *lasts, text_of(*body, "source"), session->factors,
                               [call](const Result<std::string>& line) {
                                 if (!line) return call->refuse(line.error(), line.error().code == Errc::denied ? "SP-9309" : std::string_view());
                                 call->reply(json::object{{"certificate", *line}}, 201);
                               });
}

}  // namespace sallyport::admin
