// policy/authority/identity_provider.h -- an OpenID provider as the authority sees it.
//
// What the provider sends is read elsewhere (admin/oidc, in a process of its own); here come only words that were checked there:
// signature, issuer, audience, times, nonce. Implemented above this floor and set in SignOn when one is configured.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "platform/model/result.h"
#include "policy/identity/oidc_token.h"

namespace sallyport::authority {

/// RFC 8628 section 3.2.
struct DeviceGrant {
  std::string device_code;  ///< a secret between us and the provider
  std::string user_code;
  std::string address;       ///< where to enter it
  std::string full_address;  ///< with the code in it; may be empty
  std::chrono::seconds expires{600};
  std::chrono::seconds interval{5};
};

struct DevicePoll {
  enum class State { pending, slow_down, refused, expired, proven };
  State state = State::pending;
  policy::OidcIdentity identity;  ///< proven
};

/// Each answer comes once, within a bounded time. Errc::unavailable: the provider is away or busy; Errc::denied: what it sent is not
/// accepted, or it refused; `detail` is for operators. One thread.
class IdentityProvider {
 public:
  template <class T>
  using Done = std::function<void(Result<T>)>;

  virtual ~IdentityProvider() = default;
  /// Where to send the browser. `again`: the person has to show herself anew.
  virtual void begin_web(const std::string& state, const std::string& nonce, const std::string& challenge, bool again, Done<std::string> done) = 0;
  virtual void redeem(const std::string& code, const std::string& verifier, const std::string& nonce, bool again, Done<policy::OidcIdentity> done) = 0;
  virtual void begin_device(Done<DeviceGrant> done) = 0;
  virtual void poll_device(const std::string& device_code, Done<DevicePoll> done) = 0;
  /// Where the browser may sign out of the provider as well; empty: it offers nothing of the kind, or was never asked.
  [[nodiscard]] virtual std::string sign_out_address() const = 0;
};

}  // namespace sallyport::authority
