#include "app/verbs/viewing_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "platform/seal/entry.h"

namespace sallyport::app {
namespace {

using replay::Part;
using seal::get_number;

constexpr int k_socket = 3;  ///< in the replay process
constexpr std::size_t k_long_queue = 512 * 1024;
constexpr std::size_t k_line_head = 33;

}  // namespace

ViewingProcess::ViewingProcess(ViewingProcess&& other) noexcept
    : socket_(std::move(other.socket_)), pid_(std::exchange(other.pid_, -1)), handlers_(std::move(other.handlers_)), queue_(std::move(other.queue_)),
      received_(std::move(other.received_)), queue_begin_(other.queue_begin_), over_(other.over_), played_(other.played_), error_(std::move(other.error_)) {}

ViewingProcess::~ViewingProcess() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

Result<ViewingProcess> ViewingProcess::start(const replay::ViewJob& job, const Secret& key, Handlers handlers) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return fail(Errc::unavailable, std::string("a socket for the viewing: ") + std::strerror(errno));
  Fd ours(ends[0]), theirs(ends[1]);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  for (int fd = 0; fd < k_socket; ++fd) posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
  posix_spawn_file_actions_adddup2(&actions, theirs.get(), k_socket);
  posix_spawn_file_actions_addclosefrom_np(&actions, k_socket + 1);
  std::array<char, 10> name{"sallyport"};
  std::array<char, 15> verb{"replay-process"};
  std::array<char*, 3> arguments{name.data(), verb.data(), nullptr};
  std::array<char*, 1> environment{nullptr};
  pid_t pid = -1;
  const int spawned = posix_spawn(&pid, "/proc/self/exe", &actions, nullptr, arguments.data(), environment.data());
  posix_spawn_file_actions_destroy(&actions);
  if (spawned != 0) return fail(Errc::unavailable, std::string("starting the replay process: ") + std::strerror(spawned));
  ViewingProcess process(std::move(ours), pid, std::move(handlers));
  fcntl(process.socket_.get(), F_SETFL, O_NONBLOCK);
  process.send(Part::job, bytes_of(replay::job_text(job)));
  process.send(Part::key, key.reveal());
  return process;
}

bool ViewingProcess::end(Error error) {
  over_ = true;
  if (!error_) error_ = std::move(error);
  return false;
}

bool ViewingProcess::send(Part part, ByteView body) {
  if (over_) return false;
  std::array<std::byte, 5> head{};
  seal::put_number(head.data(), static_cast<std::uint32_t>(body.size()));
  head[4] = static_cast<std::byte>(part);
  queue_.insert(queue_.end(), head.begin(), head.end());
  queue_.insert(queue_.end(), body.begin(), body.end());
  while (!over_ && queue_.size() - queue_begin_ > k_long_queue) pump(1000);
  return !over_;
}

bool ViewingProcess::send_entry(const replay::StoredEntry& entry, const std::optional<crypto::Tag>& previous, bool settles) {
  Bytes body(17);
  if (previous) {
    body[0] = std::byte{1};
    std::copy(previous->begin(), previous->end(), body.begin() + 1);
  }
  body.insert(body.end(), entry.whole.begin(), entry.whole.end());
  return send(settles ? Part::settle : Part::entry, body);
}

bool ViewingProcess::pump(int milliseconds) {
  if (over_) return false;
  if (handlers_.interrupted && handlers_.interrupted()) return end({Errc::cancelled, "interrupted"});
  pollfd wait{socket_.get(), static_cast<short>(POLLIN | (queue_begin_ < queue_.size() ? POLLOUT : 0)), 0};
  if (poll(&wait, 1, milliseconds) < 0 && errno != EINTR) return end({Errc::internal, "poll"});
  if ((wait.revents & POLLOUT) != 0) {
    const ssize_t sent = ::send(socket_.get(), queue_.data() + queue_begin_, queue_.size() - queue_begin_, MSG_NOSIGNAL);
    if (sent > 0) queue_begin_ += static_cast<std::size_t>(sent);
    // A process that has shown all that was wanted no longer reads: what it said last still counts.
    if (sent < 0 && errno != EAGAIN && errno != EINTR) queue_begin_ = queue_.size();
    if (queue_begin_ == queue_.size()) {
      queue_.clear();
      queue_begin_ = 0;
    }
  }
  if ((wait.revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
    std::array<std::byte, 65536> buffer;
    const ssize_t got = ::read(socket_.get(), buffer.data(), buffer.size());
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
      if (played_) {
        over_ = true;
        return false;
      }
      return end({Errc::internal, "the replay process ended unexpectedly"});
    }
    if (got > 0) received_.insert(received_.end(), buffer.begin(), buffer.begin() + got);
    for (;;) {
      auto part = replay::take_part(received_);
      if (!part) return end(part.error());
      if (!*part) break;
      if (!handle(**part)) return false;
    }
  }
  return !over_;
}

bool ViewingProcess::handle(const replay::ReceivedPart& part) {
  const ByteView body(part.body);
  switch (part.part) {
    case Part::out:
    case Part::err: {
      const auto& sink = part.part == Part::out ? handlers_.out : handlers_.err;
      if (sink && !sink(text_of(body))) return end({Errc::cancelled, "nobody reads any more"});
      return true;
    }
    case Part::screen:
      if (auto frame = replay::parse_key_frame(body); frame && handlers_.screen) handlers_.screen(std::move(*frame));
      return true;
    case Part::line: {
      if (body.size() < k_line_head || !handlers_.line) return true;
      ViewedLine line;
      line.when = {get_number<std::int64_t>(body.data()), get_number<std::int64_t>(&body[8]), get_number<std::uint64_t>(&body[16])};
      line.channel = get_number<std::uint32_t>(&body[24]);
      line.status = get_number<std::int32_t>(&body[28]);
      line.is_command = body[32] != std::byte{0};
      line.text = text_of(body.subspan(k_line_head));
      handlers_.line(line);
      return true;
    }
    case Part::done:
      if (body.size() != 32) return end({Errc::internal, "the replay process said nonsense"});
      played_ = replay::Played{get_number<std::uint64_t>(body.data()), get_number<std::uint64_t>(&body[8]), get_number<std::uint64_t>(&body[16]),
                               get_number<std::uint64_t>(&body[24])};
      over_ = true;
      return false;
    case Part::trouble: {
      if (body.size() < 4) return end({Errc::internal, "the replay process said nonsense"});
      const auto code = get_number<std::uint32_t>(body.data());
      return end({code >= 1 && code <= static_cast<std::uint32_t>(Errc::internal) ? static_cast<Errc>(code) : Errc::internal, std::string(text_of(body.subspan(4)))});
    }
    case Part::job:
    case Part::key:
    case Part::key_frame:
    case Part::settle:
    case Part::entry:
    case Part::file:
    case Part::close: break;
  }
  return end({Errc::internal, "the replay process said nonsense"});
}

Result<replay::Played> ViewingProcess::finish() {
  send(Part::close, {});
  while (pump(1000)) {
  }
  if (played_ && !error_) return *played_;
  return tl::unexpected(error_.value_or(Error{Errc::internal, "the replay process ended unexpectedly"}));
}

}  // namespace sallyport::app
