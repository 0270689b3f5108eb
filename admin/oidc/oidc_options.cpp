#include "admin/oidc/oidc_options.h"

#include <curl/curl.h>

#include <algorithm>
#include <boost/json.hpp>
#include <fstream>
#include <memory>
#include <sstream>

#include "policy/authority/directory_groups.h"

namespace sallyport::admin {
namespace {

namespace json = boost::json;

struct FreeUrl {
  void operator()(CURLU* url) const noexcept { curl_url_cleanup(url); }
};
using UrlHandle = std::unique_ptr<CURLU, FreeUrl>;

std::string part_of(CURLU* url, CURLUPart part) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, 0) != CURLUE_OK) return {};
  std::string copy(text);
  curl_free(text);
  return copy;
}

Result<Secret> read_secret(const std::string& path) {
  if (path.empty()) return Secret();
  std::ifstream in(path, std::ios::binary);
  std::string text;
  std::getline(in, text);
  if (!in && text.empty()) return fail(Errc::invalid, "oidc.client_secret_file: " + path + " cannot be read");
  while (!text.empty() && (text.back() == '\r' || text.back() == '\n')) text.pop_back();
  if (text.empty() || text.size() > 1024) return fail(Errc::invalid, "oidc.client_secret_file: " + path + ": one line of at most 1024 characters");
  return Secret(std::string_view(text));
}

}  // namespace

Result<void> check_oidc_url(const std::string& url, bool plain_loopback) {
  const UrlHandle parsed(curl_url());
  const bool has_blank = std::any_of(url.begin(), url.end(), [](char c) { return c <= ' ' || c == '\x7f' || c == '"' || c == '<' || c == '>'; });
  if (has_blank || url.size() > 2048 || curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK) return fail(Errc::invalid, "is no address");
  const std::string scheme = part_of(parsed.get(), CURLUPART_SCHEME), host = part_of(parsed.get(), CURLUPART_HOST);
  if (!part_of(parsed.get(), CURLUPART_USER).empty() || !part_of(parsed.get(), CURLUPART_FRAGMENT).empty() || host.empty())
    return fail(Errc::invalid, "must be an address without user and fragment");
  if (scheme == "https") return {};
  const bool here = host == "localhost" || host == "127.0.0.1" || host == "[::1]";
  if (scheme == "http" && here && plain_loopback) return {};
  return fail(Errc::invalid, scheme == "http" && here ? "must be https:// (oidc.plain_loopback allows http:// to this machine)" : "must be https://");
}

Secret OidcOptions::job() const {
  const std::string text = json::serialize(json::object{{"do", "options"},
                                                        {"issuer", issuer},
                                                        {"client_id", client_id},
                                                        {"client_secret", std::string(client_secret.reveal_text())},
                                                        {"redirect_uri", redirect_uri},
                                                        {"ca_file", ca_file},
                                                        {"plain_loopback", plain_loopback},
                                                        {"scopes", scopes},
                                                        {"name_claim", name_claim},
                                                        {"groups_claim", groups_claim},
                                                        {"max_age", max_age.count()}});
  return Secret(std::string_view(text));
}

Result<OidcOptions> OidcOptions::from_job(std::string_view text) {
  json::error_code error;
  const json::value value = json::parse(text, error);
  if (error || !value.is_object()) return fail(Errc::invalid, "no options");
  const json::object& object = value.get_object();
  const auto get = [&](std::string_view name) {
    const json::value* one = object.if_contains(name);
    return one != nullptr && one->is_string() ? std::string(std::string_view(one->get_string())) : std::string();
  };
  OidcOptions options;
  options.issuer = get("issuer");
  options.client_id = get("client_id");
  options.client_secret = Secret(get("client_secret"));
  options.redirect_uri = get("redirect_uri");
  options.ca_file = get("ca_file");
  options.scopes = get("scopes");
  options.name_claim = get("name_claim");
  options.groups_claim = get("groups_claim");
  const json::value* plain = object.if_contains("plain_loopback");
  options.plain_loopback = plain != nullptr && plain->is_bool() && plain->get_bool();
  const json::value* age = object.if_contains("max_age");
  options.max_age = std::chrono::seconds(age != nullptr && age->is_int64() ? age->get_int64() : 0);
  return options;
}

Result<std::optional<OidcOptions>> read_oidc_options(const Settings& settings) {
  OidcOptions options;
  options.issuer = settings.text("oidc_issuer");
  if (options.issuer.empty()) return std::optional<OidcOptions>();
  options.client_id = settings.text("oidc_client_id");
  if (options.client_id.empty()) return fail(Errc::invalid, "oidc.client_id: write the name by which the provider knows this gateway");
  options.plain_loopback = settings.text("oidc_plain_loopback") == "true";
  if (auto right = check_oidc_url(options.issuer, options.plain_loopback); !right) return fail(Errc::invalid, "oidc.issuer: `" + options.issuer + "` " + right.error().detail);
  if (options.issuer.find('?') != std::string::npos) return fail(Errc::invalid, "oidc.issuer: `" + options.issuer + "` must have no query");
  options.redirect_uri = settings.text("oidc_redirect_uri");
  if (!options.redirect_uri.empty()) {
    auto right = check_oidc_url(options.redirect_uri, false);
    if (right && (!options.redirect_uri.ends_with(k_oidc_callback) || options.redirect_uri.find('?') != std::string::npos))
      right = fail(Errc::invalid, "must end with " + std::string(k_oidc_callback));
    if (!right) return fail(Errc::invalid, "oidc.redirect_uri: `" + options.redirect_uri + "` " + right.error().detail);
  }
  auto secret = read_secret(settings.text("oidc_client_secret_file"));
  if (!secret) return tl::unexpected(secret.error());
  options.client_secret = std::move(*secret);
  options.ca_file = settings.text("oidc_ca_file");
  if (!options.ca_file.empty() && !std::ifstream(options.ca_file)) return fail(Errc::invalid, "oidc.ca_file: " + options.ca_file + " cannot be read");
  bool has_openid = false;
  for (const std::string& scope : settings.list("oidc_scopes")) {
    options.scopes += (options.scopes.empty() ? "" : " ") + scope;
    has_openid = has_openid || scope == "openid";
  }
  if (!has_openid) return fail(Errc::invalid, "oidc.scopes: `openid` must be among them");
  options.name_claim = settings.text("oidc_principal_claim", "preferred_username");
  options.groups_claim = settings.text("oidc_groups_claim", "groups");
  options.max_age = std::chrono::duration_cast<std::chrono::seconds>(settings.duration("oidc_max_age_ms", std::chrono::hours(8)));
  if (auto groups = authority::GroupMap::parse(settings.list("oidc_group_map")); !groups) return fail(Errc::invalid, "oidc.group_map: " + groups.error().detail);
  return std::optional<OidcOptions>(std::move(options));
}

}  // namespace sallyport::admin
