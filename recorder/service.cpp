#include "recorder/service.h"

#include <sys/resource.h>

#include <csignal>

#include "recorder/recorder.h"

namespace sallyport::recorder {

int run_service(Fd keeper_link) {
  // A full disk or a file size limit is an error of write(2), not the end of the process.
  std::signal(SIGXFSZ, SIG_IGN);
  std::signal(SIGPIPE, SIG_IGN);
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
    files.rlim_cur = files.rlim_max;  // one link per session
    ::setrlimit(RLIMIT_NOFILE, &files);
  }
  Recorder recorder(std::move(keeper_link), system_clock(), crypto::system_random());
  return recorder.run();
}

}  // namespace sallyport::recorder
