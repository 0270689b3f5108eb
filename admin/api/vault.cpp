// GET and POST /v1/seal, POST /v1/unseal, POST /v1/recordings/{session}/key and /consent, POST /v1/search/key
#include <openssl/crypto.h>

#include <boost/json.hpp>

#include "admin/api/call.h"
#include "admin/api/viewings.h"
#include "platform/crypto/base64.h"
#include "platform/crypto/hex.h"
#include "platform/crypto/ulid.h"
#include "platform/model/bytes.h"
#include "recorder/search/search_place.h"

namespace sallyport::admin {
namespace {

json::object object_of(const control::SealState& state) {
  return json::object{{"sealed", state.sealed()}, {"source", state.source()}, {"detail", state.detail()}};
}

}  // namespace

void serve_seal(const CallPtr& call) {
  if (call->request.method == "GET") {
    if (!call->may(policy::AdminRight::audit)) return;
    call->administration.status([call](const Result<authority::StatusReport>& status) {
      if (!status) return call->refuse(status.error());
      if (!status->vault_problem.empty()) return call->refuse(Error{Errc::unavailable, status->vault_problem});
      call->reply(json::object{{"sealed", status->sealed}, {"source", status->seal_source}});
    });
    return;
  }
  if (!call->may(policy::AdminRight::secret) || !call->body({})) return;
  call->administration.seal(call->who, [call](const Result<control::SealState>& state) {
    if (!state) return call->refuse(state.error());
    call->reply(object_of(*state));
  });
}

void serve_unseal(const CallPtr& call) {
  if (!call->may(policy::AdminRight::secret)) return;
  auto body = call->body({{"passphrase", Field::Type::text, false, 4096}});
  OPENSSL_cleanse(call->request.body.data(), call->request.body.size());
  call->request.body.clear();
  if (!body) return;
  Secret passphrase;
  if (json::value* given = body->if_contains("passphrase"); given != nullptr && given->is_string()) {
    auto& text = given->get_string();
    passphrase = Secret(std::string_view(text));
    OPENSSL_cleanse(text.data(), text.size());
  }
  call->administration.unseal(call->who, std::move(passphrase), [call](const Result<control::SealState>& state) {
    if (!state) return call->refuse(state.error(), state.error().code == Errc::denied ? "SP-7007" : "");
    call->reply(object_of(*state));
  });
}

namespace {

/// A refusal's detail may begin with its code in the catalogue.
std::string code_in(const Error& error) { return error.detail.starts_with("SP-") ? error.detail.substr(0, 7) : std::string(); }

}  // namespace

void serve_search(const CallPtr& call) {
  if (!call->may(policy::AdminRight::view)) return;
  if (call->parts.size() == 2) return call->viewings->search(call);
  if (call->parts.size() != 3 || call->parts[2] != "key") return call->refuse(Error{Errc::not_found, "POST to /v1/search or /v1/search/key"});
  const auto body = call->body({{"reason", Field::Type::text, false, 1024}});
  if (!body) return;
  const std::string reason = text_of(*body, "reason");
  if (reason.empty()) return call->refuse(Error{Errc::invalid, ""}, "SP-7005");
  // The index's key opens what is in the index; the database's password could also change it, so only this machine's root gets that.
  call->administration.search_access(call->who, reason, call->who.is_root, [call](const Result<Secret>& access) {
    if (!access) return call->refuse(access.error(), code_of_search(access.error()));
    json::object answer{{"key", crypto::to_hex(access->reveal().first(search::k_key_bytes))}};
    if (access->size() > search::k_key_bytes) answer["password"] = std::string(access->reveal_text().substr(search::k_key_bytes));
    call->reply(answer);
  });
}

void serve_recordings(const CallPtr& call) {
  if (call->request.method == "GET") return serve_recording_holds(call);
  if (is_recording_act(call)) return serve_recording_act(call);
  if (!call->may(policy::AdminRight::view)) return;
  if (call->parts.size() == 4 && call->parts[3] == "viewings" && crypto::is_ulid(call->parts[2])) return call->viewings->create(call);
  if (call->parts.size() != 4 || (call->parts[3] != "key" && call->parts[3] != "consent") || !crypto::is_ulid(call->parts[2]))
    return call->refuse(Error{Errc::not_found, "POST to /v1/recordings/SESSION/viewings, /key or /consent"});
  const bool consents = call->parts[3] == "consent";
  const auto body = consents ? call->body({{"reason", Field::Type::text, false, 1024}, {"principal", Field::Type::text, false, 255}})
                             : call->body({{"reason", Field::Type::text, false, 1024}, {"wrapped", Field::Type::text, true, 64 * 1024}, {"input", Field::Type::flag}});
  if (!body) return;
  const std::string reason = text_of(*body, "reason");
  if (reason.empty()) return call->refuse(Error{Errc::invalid, ""}, "SP-7005");
  if (consents) {
    const std::string principal = text_of(*body, "principal");
    if (principal.empty()) return call->refuse(Error{Errc::invalid, "`principal` says who may look at her own session"});
    call->administration.consent(call->who, call->parts[2], principal, reason, [call, principal](const Result<void>& given) {
      if (!given) return call->refuse(given.error(), code_in(given.error()));
      call->reply(json::object{{"session", call->parts[2]}, {"principal", principal}, {"consented", true}});
    });
    return;
  }
  const json::value* input = body->if_contains("input");
  auto wrapped = crypto::from_base64(text_of(*body, "wrapped"));
  if (!wrapped || wrapped->empty()) return call->refuse(Error{Errc::invalid, "`wrapped` must be the session's wrapped key, in base64"});
  call->administration.recording_key(call->who, call->parts[2], std::string(sallyport::text_of(*wrapped)), reason,
                                     input != nullptr && input->is_bool() && input->get_bool(), [call](const Result<Secret>& key) {
    // What does not open was given by the caller: no fault of ours.
    if (!key && key.error().code == Errc::corrupt) return call->refuse(Error{Errc::invalid, "`wrapped` is no wrapped key: " + key.error().detail});
    if (!key) return call->refuse(key.error(), code_in(key.error()));
    call->reply(json::object{{"session", call->parts[2]}, {"key", crypto::to_hex(key->reveal())}});
  });
}

}  // namespace sallyport::admin
