// app/verbs/viewing_desk.h -- one viewing for the admin side: reads and proves the journal, has a replay process open it.
//
// `sallyport viewing-desk`, started by the admin API with a socket as descriptor 3. It says what recorder/replay/view_wire.h frames:
// jobs (JSON) and the key come in; out (bytes of an answer), done (JSON) or trouble go back, one of the last two for each job. A new job
// ends the one at hand. The admin side never opens a seal itself: the key is handed on, and the plaintext is made in the locked-in
// replay process.
#pragma once

#include <string>
#include <vector>

namespace sallyport::app {

/// `fixed`: journal, rings, checkpoint key and index, given by the keeper, who started it as the recorder's user: it reads these, whatever
/// a job says, and writes below the index only. A fifth: the file of the search index where that is elsewhere; then below its folder, too.
/// Empty: the job says where they are. Gives the exit status.
int run_viewing_desk(const std::vector<std::string>& fixed);

}  // namespace sallyport::app
