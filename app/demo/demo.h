// app/demo/demo.h -- `sallyport demo`: a gateway, three sshd targets, four principals; everything in one throw-away directory.
#pragma once

#include <string>

namespace sallyport::app {

struct DemoOptions {
  int port = 0;       ///< of the gateway; 0: a free one
  bool keep = false;  ///< leave the directory behind
};

/// Serves until Ctrl-C, then removes every process and file of its own. 7 when a program that it needs is missing.
int run_demo(const DemoOptions& options);

}  // namespace sallyport::app
