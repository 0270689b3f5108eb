// Any bytes as what the replay process is handed: its own parts, entries and key frames. Even bytes of the first one choose the kind of viewing.
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdint>
#include <span>
#include <thread>

#include "recorder/replay/view_wire.h"
#include "recorder/replay/viewing.h"

using namespace sallyport;
using namespace sallyport::replay;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2 || size > 65536) return 0;
  // The viewer leaves when it is handed nonsense; who hands it on must outlive that (app/verbs/playing.cpp does the same).
  static const auto ignored = ::signal(SIGPIPE, SIG_IGN);
  static_cast<void>(ignored);
  const ByteView bytes = std::as_bytes(std::span(data, size));
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return 0;
  std::thread reader([fd = ends[0]] {
    std::array<std::byte, 65536> buffer;
    while (::read(fd, buffer.data(), buffer.size()) > 0) {
    }
  });
  std::thread worker([fd = ends[1]] {
    (void)run_viewing(fd);
    ::shutdown(fd, SHUT_RDWR);
  });
  ViewJob job;
  job.kind = static_cast<ViewJob::Kind>(std::to_integer<unsigned>(bytes[0]) % 7);
  job.session.session = SessionId("01JC3W8Q5T3N6V9YB2K4M7P0RS");
  job.speed = 0;
  job.at_boot_us = (bytes[0] & std::byte{8}) != std::byte{0} ? 1'000'000 : 0;
  job.with_input = true;
  (void)send_part(ends[0], Part::job, bytes_of(job_text(job)));
  (void)send_part(ends[0], Part::key, bytes_of("0123456789abcdef0123456789abcdef"));
  for (ByteView rest = bytes.subspan(1); rest.size() >= 3;) {
    const std::size_t length = std::min<std::size_t>(std::to_integer<std::size_t>(rest[0]) | std::to_integer<std::size_t>(rest[1]) << 8, rest.size() - 3);
    if (!send_part(ends[0], static_cast<Part>(std::to_integer<unsigned>(rest[2]) % 8), rest.subspan(3, length))) break;
    rest = rest.subspan(3 + length);
  }
  ::shutdown(ends[0], SHUT_WR);
  worker.join();
  reader.join();
  ::close(ends[0]);
  ::close(ends[1]);
  (void)parse_job(text_of(bytes));
  return 0;
}
