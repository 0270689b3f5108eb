// app/verbs/recording_acts.h -- what is done to a recording as a whole: its key erased or wrapped anew, legal hold.
#pragma once

#include <functional>
#include <string>

#include "app/verbs/recordings.h"
#include "recorder/shipping/store_options.h"

namespace sallyport::app {

struct RecordingActOptions {
  Common common;
  RecordingPlace place;
  std::string session;
  std::string reason;
  std::string file;  ///< of `wrapped-key`
  bool all = false;  ///< of `rewrap`: every session
  /// POST /v1/search/key: what is erased is taken out of the search index, too.
  std::function<Result<std::string>(const std::string& reason)> ask_search_key;
  /// The object store, when there is one, and the node's name in it. `write`: with the credential that may set holds.
  std::function<Result<recorder::OpenedStore>(recorder::StoreUse use)> open_store;
  std::string node;
};

int run_erase(const RecordingActOptions& options);
int run_rewrap(const RecordingActOptions& options);
int run_wrapped_key(const RecordingActOptions& options);
/// `on`: sets a hold, else ends it: at the gateway, and at every object in the store that has entries of the session.
int run_hold(const RecordingActOptions& options, bool on);
int run_holds(const RecordingActOptions& options);

}  // namespace sallyport::app
