// app/verbs/viewing_desk.h -- one viewing for the admin side: reads and proves the journal, has a replay process open it.
//
// `sallyport viewing-desk`, started by the admin API with a socket as descriptor 3. It says what recorder/replay/view_wire.h frames:
// jobs (JSON) and the key come in; out (bytes of an answer), done (JSON) or trouble go back, one of the last two for each job. A new job
// ends the one at hand. The admin side never opens a seal itself: the key is handed on, and the plaintext is made in the locked-in
// replay process.
#pragma once

namespace sallyport::app {

/// Gives the exit status.
int run_viewing_desk();

}  // namespace sallyport::app
