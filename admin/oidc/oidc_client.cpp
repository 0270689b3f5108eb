#include "admin/oidc/oidc_client.h"

#include <curl/curl.h>

#include <algorithm>
#include <boost/json.hpp>
#include <memory>
#include <utility>

#include "platform/crypto/base64.h"
#include "platform/model/bytes.h"
#include "platform/model/json_text.h"

namespace sallyport::admin {
namespace {

namespace json = boost::json;

constexpr std::size_t k_most_answer = 256 * 1024;
constexpr long k_connect_ms = 3000;
constexpr long k_request_ms = 6000;
constexpr std::chrono::hours k_remember{1};
constexpr std::chrono::minutes k_keys_anew{1};
constexpr std::int64_t k_shown_again_s = 60;  ///< who was asked to show herself anew did so just now

struct FreeCurl {
  void operator()(CURL* curl) const noexcept { curl_easy_cleanup(curl); }
};
struct FreeList {
  void operator()(curl_slist* list) const noexcept { curl_slist_free_all(list); }
};

struct Received {
  std::string body;
  bool too_much = false;
};

size_t take(char* data, size_t size, size_t count, void* to) {
  auto& received = *static_cast<Received*>(to);
  if (received.body.size() + size * count > k_most_answer) {
    received.too_much = true;
    return 0;
  }
  received.body.append(data, size * count);
  return size * count;
}

std::string escaped(std::string_view text) {
  char* out = curl_easy_escape(nullptr, text.data(), static_cast<int>(text.size()));
  std::string copy(out == nullptr ? "" : out);
  curl_free(out);
  return copy;
}

std::string form_of(std::initializer_list<std::pair<std::string_view, std::string_view>> fields) {
  std::string form;
  for (const auto& [name, value] : fields)
    if (!value.empty()) form += (form.empty() ? "" : "&") + std::string(name) + "=" + escaped(value);
  return form;
}

std::optional<json::object> object_in(std::string_view text) {
  json::error_code error;
  json::value value = json::parse(text, error);
  if (error || !value.is_object()) return std::nullopt;
  return std::move(value.get_object());
}

std::string text_in(const json::object& object, std::string_view name, std::size_t most = 2048) {
  const json::value* value = object.if_contains(name);
  return value != nullptr && value->is_string() && value->get_string().size() <= most ? std::string(std::string_view(value->get_string())) : std::string();
}

std::int64_t number_in(const json::object& object, std::string_view name, std::int64_t fallback) {
  const json::value* value = object.if_contains(name);
  return value != nullptr && value->is_int64() ? value->get_int64() : fallback;
}

/// Codes are typed by a person who reads them off a terminal.
bool is_readable(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

std::string error_in(std::string_view body) {
  const auto object = object_in(body);
  return object ? text_in(*object, "error", 100) : std::string();
}

}  // namespace

Result<OidcMetadata> parse_oidc_metadata(std::string_view text, const OidcOptions& options) {
  const auto object = object_in(text);
  if (!object) return fail(Errc::denied, "the provider's discovery document is no JSON object");
  if (const std::string issuer = text_in(*object, "issuer"); issuer != options.issuer)
    return fail(Errc::denied, "the discovery document is of `" + printable(issuer) + "`, oidc.issuer is `" + options.issuer + "`");
  OidcMetadata found;
  struct Wanted {
    const char* name;
    std::string& to;
    bool must;
  };
  for (const Wanted& one : {Wanted{"authorization_endpoint", found.authorization_endpoint, true}, Wanted{"token_endpoint", found.token_endpoint, true},
                            Wanted{"jwks_uri", found.jwks_uri, true}, Wanted{"device_authorization_endpoint", found.device_endpoint, false},
                            Wanted{"end_session_endpoint", found.end_session_endpoint, false}}) {
    one.to = text_in(*object, one.name);
    if (one.to.empty() && !one.must) continue;
    if (auto right = check_oidc_url(one.to, options.plain_loopback); !right)
      return fail(Errc::denied, "the discovery document's " + std::string(one.name) + " `" + printable(one.to) + "` " + right.error().detail);
  }
  if (const json::value* ways = object->if_contains("token_endpoint_auth_methods_supported"); ways != nullptr && ways->is_array()) {
    const auto& list = ways->get_array();
    const auto offers = [&](const char* way) { return std::any_of(list.begin(), list.end(), [&](const json::value& one) { return one == way; }); };
    found.secret_in_body = offers("client_secret_post") && !offers("client_secret_basic");
  }
  return found;
}

OidcClient::OidcClient(OidcOptions options, const Clock& clock) : options_(std::move(options)), clock_(clock) {}

Result<OidcClient::Answer> OidcClient::exchange(const std::string& url, const std::optional<std::string>& form, bool as_client) {
  const std::unique_ptr<CURL, FreeCurl> curl(curl_easy_init());
  if (!curl) return fail(Errc::unavailable, "no memory for a request");
  Received received;
  std::unique_ptr<curl_slist, FreeList> headers(curl_slist_append(nullptr, "Accept: application/json"));
  curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_PROTOCOLS_STR, options_.plain_loopback ? "https,http" : "https");
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_CONNECTTIMEOUT_MS, k_connect_ms);
  curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT_MS, k_request_ms);
  curl_easy_setopt(curl.get(), CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(curl.get(), CURLOPT_PROXY, "");
  curl_easy_setopt(curl.get(), CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, take);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &received);
  if (!options_.ca_file.empty()) curl_easy_setopt(curl.get(), CURLOPT_CAINFO, options_.ca_file.c_str());
  if (form) {
    curl_easy_setopt(curl.get(), CURLOPT_POSTFIELDSIZE, static_cast<long>(form->size()));
    curl_easy_setopt(curl.get(), CURLOPT_COPYPOSTFIELDS, form->c_str());
  }
  if (as_client) {
    // RFC 6749 section 2.3.1: both are form-encoded before they are put together.
    const std::string both = escaped(options_.client_id) + ":" + escaped(options_.client_secret.reveal_text());
    headers.reset(curl_slist_append(headers.release(), ("Authorization: Basic " + crypto::to_base64(bytes_of(both))).c_str()));
  }
  curl_easy_setopt(curl.get(), CURLOPT_HTTPHEADER, headers.get());
  const CURLcode code = curl_easy_perform(curl.get());
  if (received.too_much) return fail(Errc::denied, url + " sent more than 256 KiB");
  if (code != CURLE_OK) return fail(Errc::unavailable, url + ": " + curl_easy_strerror(code));
  Answer answer;
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &answer.status);
  answer.body = std::move(received.body);
  if (answer.status >= 500 || answer.status == 429) return fail(Errc::unavailable, url + " answered with " + std::to_string(answer.status));
  return answer;
}

Result<OidcClient::Answer> OidcClient::post_as_client(const std::string& url, std::string form) {
  const bool has_secret = options_.client_secret.size() != 0;
  const bool in_body = has_secret && metadata_ && metadata_->secret_in_body;
  form += "&client_id=" + escaped(options_.client_id);
  if (in_body) form += "&client_secret=" + escaped(options_.client_secret.reveal_text());
  return exchange(url, form, has_secret && !in_body);
}

Result<OidcMetadata> OidcClient::metadata() {
  if (metadata_ && clock_.boot() - metadata_at_ < k_remember) return *metadata_;
  std::string base = options_.issuer;
  while (base.ends_with('/')) base.pop_back();
  auto answer = exchange(base + "/.well-known/openid-configuration", std::nullopt, false);
  if (!answer) return tl::unexpected(answer.error());
  if (answer->status != 200) return fail(Errc::unavailable, base + "/.well-known/openid-configuration answered with " + std::to_string(answer->status));
  auto found = parse_oidc_metadata(answer->body, options_);
  if (!found) return found;
  metadata_ = *found;
  metadata_at_ = clock_.boot();
  return *metadata_;
}

Result<const crypto::TokenKeys*> OidcClient::keys(bool anew) {
  const BootTime now = clock_.boot();
  if (!anew && keys_ && now - keys_at_ < k_remember) return &*keys_;
  if (anew) {
    // Whoever can make us read tokens must not make us fetch keys at will.
    if (fetched_anew_ && now - *fetched_anew_ < k_keys_anew) return fail(Errc::denied, "the token: its key is not known, and the keys were fetched less than a minute ago");
    fetched_anew_ = now;
  }
  auto about = metadata();
  if (!about) return tl::unexpected(about.error());
  auto answer = exchange(about->jwks_uri, std::nullopt, false);
  if (!answer) return tl::unexpected(answer.error());
  if (answer->status != 200) return fail(Errc::unavailable, about->jwks_uri + " answered with " + std::to_string(answer->status));
  auto parsed = crypto::TokenKeys::parse(answer->body);
  if (!parsed) return fail(Errc::denied, parsed.error().detail);
  keys_ = std::move(*parsed);
  keys_at_ = now;
  return &*keys_;
}

Result<std::size_t> OidcClient::count_keys() {
  auto known = keys(false);
  if (!known) return tl::unexpected(known.error());
  return (*known)->size();
}

Result<policy::OidcIdentity> OidcClient::identity_in(const std::string& answer, const std::string& nonce, std::optional<std::int64_t> max_age) {
  const auto object = object_in(answer);
  if (!object) return fail(Errc::denied, "the token endpoint's answer is no JSON object");
  const std::string token = text_in(*object, "id_token", crypto::k_most_token_bytes);
  if (token.empty()) return fail(Errc::denied, "the token endpoint sent no ID token");
  auto known = keys(false);
  if (!known) return tl::unexpected(known.error());
  auto verified = (*known)->verify(token);
  if (!verified && verified.error().code == Errc::not_found) {
    known = keys(true);
    if (!known) return tl::unexpected(known.error());
    verified = (*known)->verify(token);
  }
  if (!verified) return fail(Errc::denied, verified.error().detail);
  policy::OidcExpected expected;
  expected.issuer = options_.issuer;
  expected.client = options_.client_id;
  expected.nonce = nonce;
  expected.access_token = text_in(*object, "access_token", crypto::k_most_token_bytes);
  expected.name_claim = options_.name_claim;
  expected.groups_claim = options_.groups_claim;
  expected.now = std::chrono::duration_cast<std::chrono::seconds>(clock_.wall().time_since_epoch()).count();
  expected.max_age = max_age;
  return policy::check_id_token(*verified, expected);
}

Result<std::string> OidcClient::web_address(const std::string& state, const std::string& nonce, const std::string& challenge, bool again) {
  auto about = metadata();
  if (!about) return tl::unexpected(about.error());
  const std::string age = again ? "0" : options_.max_age.count() > 0 ? std::to_string(options_.max_age.count()) : "";
  const std::string query = form_of({{"response_type", "code"}, {"client_id", options_.client_id}, {"redirect_uri", options_.redirect_uri}, {"scope", options_.scopes}, {"state", state},
                                     {"nonce", nonce}, {"code_challenge", challenge}, {"code_challenge_method", "S256"}, {"max_age", age}, {"prompt", again ? "login" : ""}});
  return about->authorization_endpoint + (about->authorization_endpoint.find('?') == std::string::npos ? "?" : "&") + query;
}

std::string OidcClient::sign_out_address() const {
  if (!metadata_ || metadata_->end_session_endpoint.empty()) return {};
  const std::string page = options_.redirect_uri.substr(0, options_.redirect_uri.size() - k_oidc_callback.size()) + "/";
  const std::string& there = metadata_->end_session_endpoint;
  return there + (there.find('?') == std::string::npos ? "?" : "&") + form_of({{"client_id", options_.client_id}, {"post_logout_redirect_uri", page}});
}

Result<policy::OidcIdentity> OidcClient::redeem(const std::string& code, const std::string& verifier, const std::string& nonce, bool again) {
  auto about = metadata();
  if (!about) return tl::unexpected(about.error());
  auto answer = post_as_client(about->token_endpoint, form_of({{"grant_type", "authorization_code"}, {"code", code}, {"redirect_uri", options_.redirect_uri}, {"code_verifier", verifier}}));
  if (!answer) return tl::unexpected(answer.error());
  if (answer->status != 200) return fail(Errc::denied, "the token endpoint answered with " + std::to_string(answer->status) + " " + printable(error_in(answer->body)));
  std::optional<std::int64_t> max_age;
  if (options_.max_age.count() > 0) max_age = options_.max_age.count();
  if (again) max_age = k_shown_again_s;
  return identity_in(answer->body, nonce, max_age);
}

Result<authority::DeviceGrant> OidcClient::begin_device() {
  auto about = metadata();
  if (!about) return tl::unexpected(about.error());
  if (about->device_endpoint.empty()) return fail(Errc::unavailable, "the provider has no device flow (device_authorization_endpoint)");
  auto answer = post_as_client(about->device_endpoint, form_of({{"scope", options_.scopes}}));
  if (!answer) return tl::unexpected(answer.error());
  const auto object = object_in(answer->body);
  if (answer->status != 200 || !object) return fail(Errc::denied, "the device endpoint answered with " + std::to_string(answer->status) + " " + printable(error_in(answer->body)));
  authority::DeviceGrant grant;
  grant.device_code = text_in(*object, "device_code", 1024);
  grant.user_code = text_in(*object, "user_code", 64);
  grant.address = text_in(*object, "verification_uri", 300);
  grant.full_address = text_in(*object, "verification_uri_complete", 300);
  if (grant.device_code.empty() || !is_readable(grant.user_code)) return fail(Errc::denied, "the device endpoint sent no code");
  if (auto right = check_oidc_url(grant.address, options_.plain_loopback); !right) return fail(Errc::denied, "the device endpoint's verification_uri " + right.error().detail);
  if (!grant.full_address.empty() && !check_oidc_url(grant.full_address, options_.plain_loopback)) grant.full_address.clear();
  grant.expires = std::chrono::seconds(std::clamp<std::int64_t>(number_in(*object, "expires_in", 600), 10, 1800));
  grant.interval = std::chrono::seconds(std::clamp<std::int64_t>(number_in(*object, "interval", 5), 1, 60));
  return grant;
}

Result<authority::DevicePoll> OidcClient::poll_device(const std::string& device_code) {
  using State = authority::DevicePoll::State;
  auto about = metadata();
  if (!about) return tl::unexpected(about.error());
  auto answer = post_as_client(about->token_endpoint, form_of({{"grant_type", "urn:ietf:params:oauth:grant-type:device_code"}, {"device_code", device_code}}));
  if (!answer) return tl::unexpected(answer.error());
  authority::DevicePoll poll;
  if (answer->status == 200) {
    auto identity = identity_in(answer->body, "", std::nullopt);
    if (!identity) return tl::unexpected(identity.error());
    poll.state = State::proven;
    poll.identity = std::move(*identity);
    return poll;
  }
  const std::string error = error_in(answer->body);
  if (error == "authorization_pending") poll.state = State::pending;
  else if (error == "slow_down") poll.state = State::slow_down;
  else if (error == "access_denied") poll.state = State::refused;
  else if (error == "expired_token") poll.state = State::expired;
  else return fail(Errc::denied, "the token endpoint answered with " + std::to_string(answer->status) + " " + printable(error));
  return poll;
}

}  // namespace sallyport::admin
