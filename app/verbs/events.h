// app/verbs/events.h -- the audit log, read from the journal's files: all of it, with or without a running gateway.
#pragma once

#include <string>

#include "app/verbs/recordings.h"
#include "app/verbs/text_keys.h"

namespace sallyport::app {

struct EventsOptions {
  Common common;
  RecordingPlace place;
  std::string session;    ///< its beginning is enough
  std::string name;       ///< "auth.succeeded", or a beginning such as "auth."
  std::string principal;
  std::string target;
  std::string code;       ///< SP-...
  std::string since;      ///< 2026-11-22T08:00:00Z, or how long ago: 90s, 30m, 8h, 7d
  bool denied = false;    ///< only refusals
  bool alarms = false;    ///< only alarms
  bool follow = false;    ///< go on with what is written now
  bool unseal = false;    ///< show the texts of commands, which are sealed to the recording recipients
  TextKeySource text_keys;
  std::size_t limit = 100;  ///< the newest so many; 0: all
};
/// Prints oldest first. Shows what stands there; `verify` proves that nothing is missing.
int run_events(const EventsOptions& options);

}  // namespace sallyport::app
