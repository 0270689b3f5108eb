// policy/authority/sign_on.h -- what ssh logins, the web and the command line share about proving who one is.
#pragma once

#include "policy/authority/enrolment.h"
#include "policy/authority/factor_checks.h"
#include "policy/authority/web_sessions.h"
#include "policy/identity/enrolments.h"
#include "policy/identity/factor_memory.h"

namespace sallyport::authority {

struct SignOn {
  explicit SignOn(Authority& authority) : checks(authority), web(authority), enrolment(authority) {}

  policy::Enrolments enrolled;  ///< before everything that points to it
  policy::FactorMemory memory;
  FactorChecks checks;
  WebSessions web;
  EnrolmentDesk enrolment;
};

}  // namespace sallyport::authority
