// policy/access/policy_test.h -- one of the `tests:` of a policy.
#pragma once

#include <string>

#include "policy/access/request.h"

namespace sallyport::policy {

/// One expectation that a policy has of itself. Without `at` it is judged on 2024-01-01 (a Monday) at 12:00 UTC, so that it gives the
/// same answer every day.
struct PolicyTest {
  std::string name;
  AccessRequest request;
  std::string expect;  ///< allow, deny, ask
  std::string code;    ///< of the refusal; empty: any
  Place place;
  std::string pointer;
};

}  // namespace sallyport::policy
