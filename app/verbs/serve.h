// app/verbs/serve.h -- the verbs that are processes: serve, and the services that only the keeper starts.
#pragma once

#include <string>

#include "app/verbs/console.h"

namespace sallyport::app {

struct ServeOptions {
  int handover = -1;  ///< of an upgrade
};

/// `sallyport serve`: the keeper. Returns when it was told to stop.
int run_serve(const Common& common, const ServeOptions& options);

/// `sallyport service NAME`: vault, authority or recorder on the control link at descriptor 3.
int run_service(const std::string& name);

/// `sallyport upgrade`: asks the running keeper to execute this program's file anew.
int run_upgrade(const Common& common);

/// Absolute path of this program's file, as it was when it started.
[[nodiscard]] std::string own_path();

}  // namespace sallyport::app
