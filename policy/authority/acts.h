// policy/authority/acts.h -- acts of people that change something: intent, effect, outcome, each in the journal.
#pragma once

#include <functional>
#include <string>

#include "policy/authority/authority.h"

namespace sallyport::authority {

/// Who acts.
struct Operator {
  std::uint32_t uid = 0;
  std::string name;       ///< of the account on this machine, or of the principal
  bool is_root = false;   ///< root or the gateway's own account: everything
  std::string principal;  ///< else: rights come from this principal's roles
  std::string source;     ///< address that she comes from; empty: this machine
  std::string request;    ///< id of the API request, for the audit log
  std::string token;      ///< id of the token that was shown
  std::string scopes;     ///< of that token; empty: no limit of its own
  std::string web_session;  ///< id of the browser's session that she uses
  bool dry_run = false;   ///< only say what would be done
  [[nodiscard]] bool has_scope(std::string_view scope) const;
};

/// Somebody about herself, without a browser's session.
[[nodiscard]] Operator herself(const std::string& principal, const std::string& source);

/// The intent stands in the database and, durable, in the journal before `effect` is called; the outcome is journalled
/// before `done`. With `who.dry_run` neither happens: `done` is told at once. `effect` calls the function it is given once, with the outcome's fields or the error.
/// A crash in between is closed at the next start (Administration::close_open_intents).
using Effect = std::function<void(const std::string& intent, std::uint64_t sequence, std::function<void(Result<EventJson>)> outcome)>;
void run_act(Authority& authority, const Operator& who, const std::string& kind, const EventJson& details, Effect effect,
             std::function<void(Result<void>)> done);

/// The name of an act's outcome in the audit log: "policy.apply" -> "policy.applied".
[[nodiscard]] std::string outcome_name(std::string_view kind);

}  // namespace sallyport::authority
