// app/verbs/reports.h -- `sallyport report`: the evidence that auditors ask for, each row with the id of the event that shows it.
#pragma once

#include <filesystem>
#include <string>

#include "app/verbs/console.h"
#include "app/verbs/text_keys.h"

namespace sallyport::app {

struct ReportOptions {
  std::filesystem::path journal;  ///< folder of journal files; empty: the gateway's
  std::string since;              ///< as for `events`
  std::string until;
  std::string principal;
  std::string target;
  bool unseal = false;  ///< privileged use: show what was run
  TextKeySource text_keys;
  bool unused = false;            ///< access review: only rights that were not used
};

/// Who may reach what by the policy in force, and when she last did. `event_id`: the login at the target that shows the last use,
/// or, where there was none, the change of policy that gave the right.
int run_access_review(const Common& common, const ReportOptions& options);
/// What was done with power over others: what was opened on targets, secrets that were lent, acts of administrators, looks at recordings.
int run_privileged_use(const Common& common, const ReportOptions& options);
/// Logins, tokens and second factors that did not succeed.
int run_auth_failures(const Common& common, const ReportOptions& options);

}  // namespace sallyport::app
