#include "admin/api/idempotency.h"

#include <algorithm>

#include "platform/crypto/hash.h"
#include "platform/crypto/hex.h"
#include "platform/model/bytes.h"

namespace sallyport::admin {
namespace {

constexpr std::size_t k_most_kept = 2000;
constexpr std::size_t k_most_body = 64 * 1024;

}  // namespace

bool Idempotency::admit(const CallPtr& call) {
  const std::string key = call->request.header("idempotency-key");
  if (key.empty()) return true;
  if (key.size() > 255) {
    call->refuse(Error{Errc::invalid, "an Idempotency-Key is at most 255 bytes"});
    return false;
  }
  std::string whole = call->request.path + "\n";
  for (const auto& [name, value] : call->request.query) whole += name + "=" + value + "\n";
  whole += call->request.body;
  const std::string fingerprint = crypto::to_hex(crypto::sha256(bytes_of(whole)));
  const std::string name = call->who.token.empty() ? call->who.name : call->who.token;
  if (name.empty()) return true;
  Caller& caller = callers_[name];
  const auto found = caller.kept.find(key);
  if (found != caller.kept.end()) {
    const Kept& kept = *found->second;
    if (kept.fingerprint != fingerprint) {
      call->refuse_status(422, "SP-7001", "this Idempotency-Key was used for another request");
    } else if (!kept.answered) {
      call->refuse(Error{Errc::conflict, "the first request with this Idempotency-Key is still being worked on"});
    } else if (kept.has_secret) {
      call->refuse(Error{Errc::conflict, "it was done already; its answer held a secret, which is told once"});
    } else {
      net::HttpResponse again = kept.response;
      again.headers["Idempotency-Replayed"] = "true";
      call->answer(std::move(again));
    }
    return false;
  }
  auto fresh = std::make_shared<Kept>();
  fresh->fingerprint = fingerprint;
  // The key of a recording, a new token: told once, kept nowhere.
  constexpr std::string_view k_secret[] = {"recordings", "search", "events", "tokens", "invites", "secrets", "passkeys", "one-time-code", "recovery-codes"};
  fresh->has_secret = call->parts.size() > 1 && std::find(std::begin(k_secret), std::end(k_secret), call->parts[1]) != std::end(k_secret);
  caller.kept.emplace(key, fresh);
  caller.order.push_back(key);
  if (++size_ > k_most_kept) make_room();
  call->answer = [fresh, next = call->answer](net::HttpResponse response) {
    fresh->answered = true;
    if (!fresh->has_secret && response.body.size() <= k_most_body) fresh->response = response;
    if (response.status >= 400) fresh->has_secret = false;
    if (response.status >= 400) fresh->response = response;
    next(std::move(response));
  };
  return true;
}

void Idempotency::make_room() {
  const auto most =
      std::max_element(callers_.begin(), callers_.end(), [](const auto& a, const auto& b) { return a.second.order.size() < b.second.order.size(); });
  most->second.kept.erase(most->second.order.front());
  most->second.order.pop_front();
  if (most->second.order.empty()) callers_.erase(most);
  --size_;
}

}  // namespace sallyport::admin
