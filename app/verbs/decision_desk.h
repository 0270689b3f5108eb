// app/verbs/decision_desk.h -- past decisions made again for the admin side, in a process of its own.
//
// `sallyport decision-desk`, started by the admin API for one plan with a socket as descriptor 3 (recorder/replay/view_wire.h frames
// both ways): one job comes in, {journal, since_us, seconds, files}, and what differs goes back. It has a bounded time and a low
// priority; whatever a journal or a draft holds, the authority is not held up.
#pragma once

#include <string>

namespace sallyport::app {

/// `journal`: given by the keeper, who started it as the recorder's user; it reads that one, whatever the job says, and writes nothing.
/// Gives the exit status.
int run_decision_desk(const std::string& journal);

}  // namespace sallyport::app
