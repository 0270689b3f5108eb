// app/verbs/terminal_desk.h -- the SSH client behind one terminal in a browser.
//
// `sallyport terminal-desk`, started by the admin API with its socket as descriptor 3 and one end of a socketpair as descriptor 4, on
// whose other end the listener's session process serves. Framed as recorder/replay/view_wire.h has it: the job `key` (answer: the
// public key that was made for this terminal), then the job `begin` (user, columns, rows), whose `out` is what the terminal shows
// and whose `done` says how it ended; meanwhile `entry` is what was typed and `settle` a new size (u32 columns, u32 rows).
// Locks itself in when the keys with the session process are agreed, before it logs in: no byte of a target is read outside.
#pragma once

namespace sallyport::app {

/// Gives the exit status.
int run_terminal_desk();

}  // namespace sallyport::app
