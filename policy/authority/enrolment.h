// policy/authority/enrolment.h -- what people enrol themselves: remembered at the start, shown and changed over ssh, taken away by an admin.
//
// What is enrolled stands in the authority's database, secrets in the vault; the policy says what counts (policy/identity/enrolments.h).
// The parts: OwnKeys, OneTimeCodes (with recovery codes), PasskeyDesk, LoginCertificates, and InviteDesk for the first time.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "policy/authority/acts.h"
#include "policy/authority/self_text.h"

namespace sallyport::authority {

class EnrolmentDesk {
 public:
  template <class T>
  using Done = std::function<void(Result<T>)>;
  using Reply = std::function<void(SelfText)>;

  explicit EnrolmentDesk(Authority& authority) : authority_(authority) {}

  /// Rows of the database, at the start; what has expired is taken out of it.
  void remember(std::vector<EnrolmentRow> rows);
  /// Everything that this person enrolled herself: keys, code, recovery codes, certificates. Her live logins by them end.
  void remove_all(const Operator& who, const std::string& principal, Done<void> done);
  /// She was locked: certificates, remembered factors and web sessions end.
  void on_locked(const std::string& principal);

  /// `keys`, `enrol`, `recovery-codes`, `certificate` of somebody who is logged in over ssh; false: none of these verbs.
  bool ask(Session& session, const std::vector<std::string>& words, const Reply& reply);

 private:
  struct Words;
  void with_fresh_factor(Session& session, const Words& words, const Reply& reply, std::function<void()> go_on);
  void change_keys(Session& session, const Words& words, const Reply& reply);
  void enrol_totp(Session& session, const Words& words, const Reply& reply);
  [[nodiscard]] std::string list_keys(const std::string& principal) const;

  Authority& authority_;
};

}  // namespace sallyport::authority
