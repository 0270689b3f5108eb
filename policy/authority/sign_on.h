// policy/authority/sign_on.h -- what ssh logins, the web and the command line share about proving who one is.
#pragma once

#include "policy/authority/directory_desk.h"
#include "policy/authority/enrolment.h"
#include "policy/authority/factor_checks.h"
#include "policy/authority/invites.h"
#include "policy/authority/login_certificates.h"
#include "policy/authority/oidc_sign_on.h"
#include "policy/authority/one_time_codes.h"
#include "policy/authority/own_keys.h"
#include "policy/authority/passkeys.h"
#include "policy/authority/web_sessions.h"
#include "policy/identity/enrolments.h"
#include "policy/identity/factor_memory.h"

namespace sallyport::authority {

struct SignOn {
  explicit SignOn(Authority& authority) : checks(authority), web(authority), keys(authority), codes(authority), certificates(authority), invites(authority), enrolment(authority), oidc(authority), passkeys(authority), directory(std::make_unique<DirectoryDesk>(authority)) {}

  policy::Enrolments enrolled;  ///< before everything that points to it
  policy::FactorMemory memory;
  FactorChecks checks;
  WebSessions web;
  OwnKeys keys;
  OneTimeCodes codes;
  LoginCertificates certificates;
  InviteDesk invites;
  EnrolmentDesk enrolment;
  OidcSignOn oidc;
  PasskeyDesk passkeys;
  std::unique_ptr<DirectoryDesk> directory;
};

}  // namespace sallyport::authority
