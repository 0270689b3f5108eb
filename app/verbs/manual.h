// app/verbs/manual.h -- the manual pages, made of the command line's own help so that they cannot say anything else.
#pragma once

#include <string>

namespace CLI {
class App;
}

namespace sallyport::app {

/// Writes sallyport.1 and one sallyport-VERB.1 for each verb into `folder`, which is made when it is not there. Nothing in them
/// depends on the machine or the day.
int write_manual(const CLI::App& app, const std::string& folder);

}  // namespace sallyport::app
