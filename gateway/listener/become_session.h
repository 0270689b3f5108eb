// gateway/listener/become_session.h -- the child's first steps after the fork.
#pragma once

#include "gateway/listener/kit.h"
#include "gateway/ssh/session_handover.h"

namespace sallyport::gateway {

using ServeSession = int (*)(SessionHandover&&);

/// "s-" and the random end of the label: what `ps` shows, and how a listener finds a session that another one forked.
[[nodiscard]] std::string process_name_of(const std::string& session);

struct ChildPlan {
  Kit kit;
  SessionHandover handover;  ///< client and everything that is no descriptor; the links and the ring come from the kit
  int null_device = -1;      ///< becomes 0, 1 and 2
  bool keep_log = false;     ///< tracing builds: 2 stays
};

/// Only in a just forked child. Puts the descriptors in their places (3 client, 4 authority, 5 vault, 6 recorder), maps
/// the ring, closes everything else, serves, and ends the process with what `serve` gives. Exit status 70: this set-up
/// failed.
[[noreturn]] void become_session(ChildPlan&& plan, ServeSession serve);

}  // namespace sallyport::gateway
