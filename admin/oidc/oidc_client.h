// admin/oidc/oidc_client.h -- what is said to an OpenID provider, and what of its answers is believed.
//
// Blocking, for the helper process and for `sallyport doctor`. Every answer is bounded (256 KiB) and comes by a deadline; no redirect
// is followed, no proxy asked. Discovery and keys are remembered for an hour; a key id that is not known fetches the keys anew, at
// most once a minute.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "admin/oidc/oidc_options.h"
#include "platform/crypto/json_web_token.h"
#include "platform/model/clock.h"
#include "policy/authority/identity_provider.h"

namespace sallyport::admin {

/// What the discovery document says (OpenID Connect Discovery 1.0), as far as it is used.
struct OidcMetadata {
  std::string authorization_endpoint;
  std::string token_endpoint;
  std::string jwks_uri;
  std::string device_endpoint;       ///< empty: no device flow
  std::string end_session_endpoint;  ///< empty: none
  bool secret_in_body = false;       ///< it takes the client's secret there only
};

/// Errc::denied: not the issuer's, or an address in it is not one that we would talk to.
[[nodiscard]] Result<OidcMetadata> parse_oidc_metadata(std::string_view json, const OidcOptions& options);

class OidcClient {
 public:
  OidcClient(OidcOptions options, const Clock& clock);

  [[nodiscard]] Result<OidcMetadata> metadata();
  [[nodiscard]] Result<std::string> web_address(const std::string& state, const std::string& nonce, const std::string& challenge, bool again);
  /// Where a browser signs out of the provider and comes back to our page; empty: nowhere.
  [[nodiscard]] std::string sign_out_address() const;
  [[nodiscard]] Result<policy::OidcIdentity> redeem(const std::string& code, const std::string& verifier, const std::string& nonce, bool again);
  [[nodiscard]] Result<authority::DeviceGrant> begin_device();
  [[nodiscard]] Result<authority::DevicePoll> poll_device(const std::string& device_code);
  /// How many keys of the provider could be used now.
  [[nodiscard]] Result<std::size_t> count_keys();

 private:
  struct Answer {
    long status = 0;
    std::string body;
  };
  [[nodiscard]] Result<Answer> exchange(const std::string& url, const std::optional<std::string>& form, bool as_client);
  [[nodiscard]] Result<Answer> post_as_client(const std::string& url, std::string form);
  [[nodiscard]] Result<const crypto::TokenKeys*> keys(bool anew);
  [[nodiscard]] Result<policy::OidcIdentity> identity_in(const std::string& answer, const std::string& nonce, std::optional<std::int64_t> max_age);

  OidcOptions options_;
  const Clock& clock_;
  std::optional<OidcMetadata> metadata_;
  BootTime metadata_at_{};
  std::optional<crypto::TokenKeys> keys_;
  BootTime keys_at_{};
  std::optional<BootTime> fetched_anew_;
};

}  // namespace sallyport::admin
