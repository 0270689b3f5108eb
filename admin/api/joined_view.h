// admin/api/joined_view.h -- what a moderator's terminal shows of the session she joined: its recording, as it grows.
//
// The same helper as for viewings (viewing-desk) proves and opens the recording; looking is an event of its own, with her reason.
#pragma once

#include <memory>
#include <string>

#include "admin/api/desk_process.h"
#include "policy/authority/administration.h"
#include "policy/authority/moderation.h"

namespace sallyport::admin {

/// `place`: a job of the kind `open` as JSON, without its session. One thread. Gives the terminal bytes of the session's channels to `out`; `over` says why it cannot go on, or nothing at the end.
[[nodiscard]] std::shared_ptr<authority::Watching> join_view(authority::Administration& administration, const std::string& place, const authority::Operator& who,
                                                             const std::string& session, const std::string& reason, authority::WatchOut out, authority::WatchOver over);

}  // namespace sallyport::admin
