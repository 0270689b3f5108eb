// app/verbs/bench.h -- `sallyport bench`: what a gateway costs against a direct connection, measured with the user's own ssh.
#pragma once

#include <string>

#include "app/verbs/console.h"

namespace sallyport::app {

struct BenchOptions {
  std::string direct;   ///< ssh command line to the target itself, such as "ssh -p 22 deploy@host"
  std::string gateway;  ///< the same target through the gateway
  int rounds = 20;      ///< set-ups, one after another
  int parallel = 8;     ///< set-ups at once
  int mib = 64;         ///< moved each way
  int keys = 200;       ///< keystrokes
};

/// Measures set-up time, set-ups per second, throughput each way and keystroke echo; both ways in turn, so that they share the machine's
/// mood. The target needs sh, head, cat and stty.
int run_bench(const Common& common, const BenchOptions& options);

}  // namespace sallyport::app
