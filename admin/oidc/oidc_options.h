// admin/oidc/oidc_options.h -- the section `oidc:` of the configuration, checked.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "platform/model/result.h"
#include "platform/model/secret.h"
#include "platform/model/settings.h"

namespace sallyport::admin {

inline constexpr std::string_view k_oidc_callback = "/v1/login/oidc/callback";

struct OidcOptions {
  std::string issuer;         ///< as the provider writes it itself
  std::string client_id;
  Secret client_secret;       ///< empty: a public client, PKCE alone
  std::string redirect_uri;   ///< empty: no browsers
  std::string ca_file;        ///< PEM; empty: the machine's
  bool plain_loopback = false;  ///< http:// to this machine is good enough
  std::string scopes;         ///< with blanks between
  std::string name_claim;
  std::string groups_claim;
  std::chrono::seconds max_age{0};  ///< how long ago the person may have shown herself to the provider; 0: any time

  /// For the helper process, the secret included.
  [[nodiscard]] Secret job() const;
  [[nodiscard]] static Result<OidcOptions> from_job(std::string_view json);
};

/// Nothing when no provider is configured. Errc::invalid names the setting, and what to write.
[[nodiscard]] Result<std::optional<OidcOptions>> read_oidc_options(const Settings& settings);

/// Errc::invalid: neither https:// nor, with `plain_loopback`, http:// to an address of this machine; or with a user, a fragment, a blank.
[[nodiscard]] Result<void> check_oidc_url(const std::string& url, bool plain_loopback);

}  // namespace sallyport::admin
