// GET, POST, DELETE /v1/own-keys, GET, POST /v1/one-time-code, POST /v1/recovery-codes: what a person enrols herself, beside passkeys
#include <algorithm>
#include <boost/json.hpp>

#include "admin/api/factor_answers.h"
#include "policy/authority/sign_on.h"

namespace sallyport::admin {
namespace {

/// False, and answered with 403, for a token or a local account: whoever holds one would make a login of it.
bool is_herself(const CallPtr& call) {
  if (!call->who.web_session.empty()) return true;
  call->refuse_with(Error{Errc::denied, ""}, "SP-9315", {});
  return false;
}

/// "SHA256:a/b+c" has no place in a path: "a_b-c".
std::string id_of(const policy::LoginKey& key) {
  std::string id = key.fingerprint.substr(key.fingerprint.find(':') + 1);
  std::replace(id.begin(), id.end(), '/', '_');
  std::replace(id.begin(), id.end(), '+', '-');
  return id;
}

json::object object_of(const policy::LoginKey& key, bool counts) {
  return json::object{
      {"id", id_of(key)}, {"algorithm", key.algorithm}, {"fingerprint", key.fingerprint}, {"comment", printable(key.comment)}, {"counts", counts}};
}

json::object keys_of(const CallPtr& call) {
  const auto& sign_on = *call->administration.authority().sign_on;
  const policy::Principal* person = call->administration.snapshot().find_principal(call->who.principal);
  json::array mine;
  json::array given;
  if (person != nullptr) {
    for (const policy::LoginKey& key : sign_on.enrolled.keys_of(call->who.principal))
      mine.push_back(object_of(key, sign_on.enrolled.find_key(call->administration.snapshot(), *person, key.blob) != nullptr));
    for (const policy::LoginKey& key : person->keys) given.push_back(object_of(key, true));
  }
  return json::object{{"items", std::move(mine)}, {"in_policy", std::move(given)}, {"may_enrol", person != nullptr && policy::may_enrol(*person, "keys")}};
}

}  // namespace

void serve_own_keys(const CallPtr& call) {
  auto& sign_on = *call->administration.authority().sign_on;
  const std::string& method = call->request.method;
  if (method == "POST") {
    if (call->parts.size() != 2) return call->refuse(Error{Errc::not_found, "there is nothing at " + call->request.path});
    const auto body = call->body({{"public_key", Field::Type::text, true, 8192}});
    if (!body || !is_herself(call)) return;
    return sign_on.keys.add(call->who, text_of(*body, "public_key"), [call](const Result<std::string>& added) {
      if (!added) return refuse_coded(call, added.error());
      call->reply(json::object{{"fingerprint", *added}, {"dry_run", call->who.dry_run}}, 201);
    });
  }
  if (call->parts.size() == 2 && method == "GET") return call->reply(keys_of(call));
  if (call->parts.size() != 3) return call->refuse_status(405, "SP-7009", "name the key: /v1/own-keys/ID", {{"Allow", "GET,POST"}});
  const auto& hers = sign_on.enrolled.keys_of(call->who.principal);
  const auto found = std::find_if(hers.begin(), hers.end(), [&](const policy::LoginKey& one) { return id_of(one) == call->parts[2]; });
  if (found == hers.end()) return call->refuse(Error{Errc::not_found, "you have enrolled no such key; keys of the policy are changed there"});
  if (method == "GET") return call->reply(object_of(*found, true));
  if (!call->body({}) || !is_herself(call)) return;
  sign_on.keys.remove(call->who, std::string(found->fingerprint), [call](const Result<void>& gone) {
    if (!gone) return refuse_coded(call, gone.error());
    call->reply(json::object{{"id", call->parts[2]}, {"removed", !call->who.dry_run}});
  });
}

void serve_one_time_code(const CallPtr& call) {
  auto& codes = call->administration.authority().sign_on->codes;
  const bool confirms = call->parts.size() == 3 && call->parts[2] == "confirm";
  if (call->parts.size() > 2 && !confirms) return call->refuse(Error{Errc::not_found, "there is nothing at " + call->request.path});
  if (call->request.method == "GET") {
    if (confirms) return call->refuse_status(405, "SP-7009", call->request.path + " takes POST", {{"Allow", "POST"}});
    const policy::Principal* person = call->administration.snapshot().find_principal(call->who.principal);
    const bool in_policy = person != nullptr && !person->totp_secret.empty();
    const bool enrolled = !call->administration.authority().sign_on->enrolled.totp_of(call->who.principal).empty();
    return call->reply(json::object{{"enrolled", enrolled},
                                    {"in_policy", in_policy},
                                    {"may_enrol", codes.may_enrol(call->who.principal).has_value()},
                                    {"recovery_codes", codes.recovery_left(call->who.principal)}});
  }
  const auto body = confirms ? call->body({{"code", Field::Type::text, true, 16}}) : call->body({});
  if (!body || !is_herself(call)) return;
  if (call->who.dry_run) {
    if (const auto may = codes.may_enrol(call->who.principal); !may) return refuse_coded(call, may.error());
    return call->reply(json::object{{"dry_run", true}}, 201);
  }
  if (!confirms) {
    return codes.begin(call->who, [call](const Result<authority::ShownSecret>& shown) {
      if (!shown) return refuse_coded(call, shown.error());
      reply_once(call, shown_code(shown->uri), 201);
    });
  }
  codes.confirm(call->who, text_of(*body, "code"), [call](const Result<std::string>& recovery) {
    if (!recovery) return refuse_coded(call, recovery.error());
    reply_once(call, json::object{{"enrolled", true}, {"recovery_codes", lines_of(*recovery)}}, 201);
  });
}

void serve_recovery_codes(const CallPtr& call) {
  if (call->parts.size() != 2) return call->refuse(Error{Errc::not_found, "there is nothing at " + call->request.path});
  if (!call->body({}) || !is_herself(call)) return;
  auto& codes = call->administration.authority().sign_on->codes;
  codes.renew_recovery(call->who, [call](const Result<std::string>& lines) {
    if (!lines) return refuse_coded(call, lines.error());
    if (call->who.dry_run) return call->reply(json::object{{"dry_run", true}}, 201);
    reply_once(call, json::object{{"recovery_codes", lines_of(*lines)}}, 201);
  });
}

}  // namespace sallyport::admin
