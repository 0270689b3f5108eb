// policy/authority/oidc_sign_on.h -- sign-ons by an OpenID provider: who waits for one, whom it names here, what it counts as.
//
// In a browser: code flow with PKCE (RFC 7636), bound to this one browser by a cookie of its own. From ssh: device flow (RFC 8628).
// The identity must name a principal that the policy has; nobody is made by signing on. Each attempt is an event.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "policy/authority/authority.h"
#include "policy/authority/directory_groups.h"
#include "policy/authority/identity_provider.h"
#include "policy/identity/login.h"

namespace sallyport::authority {

class OidcSignOn {
 public:
  using Word = policy::SignOnWord;
  using Told = std::function<void(Word)>;

  explicit OidcSignOn(Authority& authority) : authority_(authority) {}

  /// From now on there is one; reads what the configuration says about it. Errc::invalid.
  Result<void> use(std::unique_ptr<IdentityProvider> provider);
  /// The admin side ends; sign-ons that wait are over.
  void stop();
  [[nodiscard]] bool is_set_up() const noexcept { return provider_ != nullptr; }
  [[nodiscard]] bool has_web() const;
  [[nodiscard]] bool has_ssh() const;
  [[nodiscard]] bool ssh_first() const;

  // ---- ssh. One sign-on per session; what it waits for ends with it.
  /// `begun`, `refused` or `away`.
  void begin_device(const std::string& label, Told told);
  /// Comes after a few seconds at the latest, with `waiting` when nothing is known yet.
  void wait_device(const std::string& label, Told told);
  [[nodiscard]] std::chrono::milliseconds device_lasts(const std::string& label) const;

  // ---- a browser
  struct WebBegun {
    std::string address;  ///< of the provider
    std::string binding;  ///< for a cookie of this browser: the answer counts only beside it
  };
  struct WebProven {
    Word word;
    std::string web_session;  ///< not empty: a session that proves itself again
  };
  void begin_web(const IpAddress& source, const std::string& web_session, std::function<void(Result<WebBegun>)> done);
  /// What the browser brings from the provider. `error`: the provider's own word for a refusal.
  struct WebAnswer {
    std::string state;
    std::string code;
    std::string error;
    std::string issuer;   ///< RFC 9207; empty: not sent
    std::string binding;  ///< the cookie
  };
  void finish_web(const WebAnswer& answer, const IpAddress& source, std::function<void(WebProven)> done);
  [[nodiscard]] std::string sign_out_address() const { return provider_ ? provider_->sign_out_address() : std::string(); }

 private:
  struct Device;
  struct Pending {
    std::string binding_hash;
    std::string nonce;
    std::string verifier;
    std::string web_session;
    BootTime began{};
  };
  void poll(const std::string& label);
  void settle(const std::string& label, Word word);
  [[nodiscard]] bool is_alive(const std::string& label) const;
  void judge(const policy::OidcIdentity& identity, EventJson facts, Told told);
  [[nodiscard]] Result<std::string> principal_of(const policy::OidcIdentity& identity) const;
  [[nodiscard]] bool is_second_factor(const policy::OidcIdentity& identity) const;
  [[nodiscard]] Word refusal(EventJson facts, std::string_view code, std::string reason);
  [[nodiscard]] Word failure(EventJson facts, const Error& error);
  [[nodiscard]] std::string random_text() const;
  void sweep();

  Authority& authority_;
  std::unique_ptr<IdentityProvider> provider_;
  GroupMap groups_;
  std::map<std::string, std::shared_ptr<Device>> devices_;  ///< by session
  std::map<std::string, Pending> pending_;                  ///< by SHA-256 of the state
};

}  // namespace sallyport::authority
