// policy/authority/targets.h -- from "I want my target" to a connected socket and the credentials for it.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "policy/authority/authority.h"
#include "policy/authority/dialer.h"

namespace sallyport::authority {

/// OpenTarget: decide, journal the intent, dial, have the certificate signed for the key that the session just made, hand
/// over. CredentialRequest: only after the session has named a host key that is in its grant, and only what was granted.
class Targets {
 public:
  explicit Targets(Authority& authority) : authority_(authority) {}

  void on_open(Session& session, const control::Envelope& question);
  void on_credential(Session& session, const control::Envelope& question);
  void on_outcome(Session& session, const control::TargetOutcome& outcome);
  /// Goes on once the vault has said what was lent to the session's principal, or that it cannot (then `mask` is null).
  void when_masked(Session& session, std::function<void()> next);

 private:
  struct Opening;
  void judge(Session& session, const std::shared_ptr<Opening>& opening);
  void wait(const std::shared_ptr<Opening>& opening);
  void dial_target(const std::shared_ptr<Opening>& opening);
  void on_dialled(const std::shared_ptr<Opening>& opening, DialResult result);
  void sign(const std::shared_ptr<Opening>& opening, std::vector<std::string> principals);
  void grant(const std::shared_ptr<Opening>& opening, std::string certificate);
  void refuse(Opening& opening, const Notice& notice);
  void lend_key(Session& session, const control::Envelope& question);
  /// Tells the session by which hashes it recognises what was lent to its principal.
  void send_mask_values(const std::string& label);
  static void take_mask_values(Session& session, const Result<control::Received>& answer);
  void lend_password(Session& session, const control::Envelope& question);
  /// Writes `lease.asked` and goes on when it stands; answers the question with a failure when it does not.
  void with_lease(Session& session, const control::Envelope& question, std::string kind, std::string secret,
                  std::function<void(Session&)> go_on);
  /// Is this the key, or a certificate, that the grant pinned?
  [[nodiscard]] Result<void> check_host_key(const Grant& grant, const std::string& blob) const;

  Authority& authority_;
};

}  // namespace sallyport::authority
