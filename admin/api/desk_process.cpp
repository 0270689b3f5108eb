#include "admin/api/desk_process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>
#include <cstring>
#include <deque>
#include <optional>
#include <utility>

#include "platform/model/bytes.h"
#include "platform/seal/entry.h"
#include "recorder/replay/view_wire.h"

namespace sallyport::admin {
namespace {

using replay::Part;

constexpr int k_socket = 3;
constexpr int k_extra = 4;

}  // namespace

struct DeskProcess::State : std::enable_shared_from_this<State> {
  State(boost::asio::io_context& io, Fd socket, pid_t child) : stream(io, socket.release()), pid(child) {}

  struct Job {
    Out out;
    Done done;
  };

  void send(Part part, ByteView body) {
    Bytes framed(5);
    seal::put_number(framed.data(), static_cast<std::uint32_t>(body.size()));
    framed[4] = static_cast<std::byte>(part);
    framed.insert(framed.end(), body.begin(), body.end());
    unsent += framed.size();
    waiting.push_back(std::move(framed));
    if (waiting.size() == 1) write();
  }

  void write() {
    boost::asio::async_write(stream, boost::asio::buffer(waiting.front()), [self = shared_from_this()](const boost::system::error_code& error, std::size_t) {
      if (self->over) return;
      if (error) return self->lose();
      self->unsent -= self->waiting.front().size();
      self->waiting.pop_front();
      if (!self->waiting.empty()) self->write();
    });
  }

  void read() {
    if (reading || held || over) return;
    reading = true;
    stream.async_read_some(boost::asio::buffer(buffer), [self = shared_from_this()](const boost::system::error_code& error, std::size_t size) {
      self->reading = false;
      if (self->over) return;
      if (error) return self->lose();
      self->received.insert(self->received.end(), self->buffer.begin(), self->buffer.begin() + static_cast<std::ptrdiff_t>(size));
      self->take();
      self->read();
    });
  }

  void take() {
    while (!over) {
      auto part = replay::take_part(received);
      if (!part) return lose();
      if (!*part) return;
      const ByteView body((**part).body);
      if (jobs.empty()) return lose();
      switch ((**part).part) {
        case Part::out:
          if (const Out out = jobs.front().out) out(text_of(body));
          break;
        case Part::file:
          if (!file) return lose();
          file(text_of(body));
          break;
        case Part::done: finish(std::string(text_of(body))); break;
        case Part::trouble: {
          if (body.size() < 4) return lose();
          const auto code = seal::get_number<std::uint32_t>(body.data());
          finish(fail(code >= 1 && code <= static_cast<std::uint32_t>(Errc::internal) ? static_cast<Errc>(code) : Errc::internal, std::string(text_of(body.subspan(4)))));
          break;
        }
        default: return lose();
      }
    }
  }

  void finish(Result<std::string> how) {
    const Job job = std::move(jobs.front());
    jobs.pop_front();
    if (job.done) job.done(std::move(how));
  }

  void lose() {
    if (std::exchange(over, true)) return;
    const auto self = shared_from_this();
    boost::system::error_code ignored;
    stream.close(ignored);
    for (const Job& job : std::exchange(jobs, {}))
      if (job.done) job.done(fail(Errc::unavailable, "the helper process ended unexpectedly"));
  }

  boost::asio::posix::stream_descriptor stream;
  pid_t pid;
  std::array<std::byte, 65536> buffer{};
  Bytes received;
  std::deque<Bytes> waiting;
  std::size_t unsent = 0;
  std::deque<Job> jobs;
  Out file;
  bool reading = false, held = false, over = false;
};

DeskProcess::DeskProcess(std::shared_ptr<State> state) : state_(std::move(state)) {}

DeskProcess::~DeskProcess() {
  state_->over = true;
  state_->jobs.clear();
  boost::system::error_code ignored;
  state_->stream.close(ignored);
  if (state_->pid < 0) return;  // somebody else's child: it ends as its socket does
  kill(state_->pid, SIGKILL);
  while (waitpid(state_->pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

Result<std::unique_ptr<DeskProcess>> DeskProcess::start(boost::asio::io_context& io, const char* verb, const Fd& extra) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return fail(Errc::unavailable, std::string("a socket for ") + verb + ": " + std::strerror(errno));
  Fd ours(ends[0]);
  // Above the numbers that are given out below, so that one dup2 cannot overwrite the other's source.
  const Fd theirs(fcntl(ends[1], F_DUPFD_CLOEXEC, k_extra + 1));
  ::close(ends[1]);
  const Fd handed(extra ? fcntl(extra.get(), F_DUPFD_CLOEXEC, k_extra + 1) : -1);
  if (!theirs || (extra && !handed)) return fail(Errc::unavailable, std::string("a descriptor for ") + verb + ": " + std::strerror(errno));
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  for (int fd = 0; fd < k_socket; ++fd) posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
  posix_spawn_file_actions_adddup2(&actions, theirs.get(), k_socket);
  if (handed) posix_spawn_file_actions_adddup2(&actions, handed.get(), k_extra);
  posix_spawn_file_actions_addclosefrom_np(&actions, handed ? k_extra + 1 : k_socket + 1);
  std::string program("sallyport"), word(verb);
  std::array<char*, 3> arguments{program.data(), word.data(), nullptr};
  std::array<char*, 1> environment{nullptr};
  pid_t pid = -1;
  const int spawned = posix_spawn(&pid, "/proc/self/exe", &actions, nullptr, arguments.data(), environment.data());
  posix_spawn_file_actions_destroy(&actions);
  if (spawned != 0) return fail(Errc::unavailable, std::string("starting ") + verb + ": " + std::strerror(spawned));
  fcntl(ours.get(), F_SETFL, O_NONBLOCK);
  auto process = std::unique_ptr<DeskProcess>(new DeskProcess(std::make_shared<State>(io, std::move(ours), pid)));
  process->state_->read();
  return process;
}

Result<std::unique_ptr<DeskProcess>> DeskProcess::start(boost::asio::io_context& io, const char* verb, const Starter& starter) {
  if (!starter) return start(io, verb);
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return fail(Errc::unavailable, std::string("a socket for ") + verb + ": " + std::strerror(errno));
  Fd ours(ends[0]);
  const Fd theirs(ends[1]);
  fcntl(ours.get(), F_SETFL, O_NONBLOCK);
  starter(verb, theirs.get());
  auto process = std::unique_ptr<DeskProcess>(new DeskProcess(std::make_shared<State>(io, std::move(ours), -1)));
  process->state_->read();
  return process;
}

void DeskProcess::ask(std::string_view job, Out out, Done done) {
  if (state_->over) {
    if (done) done(fail(Errc::unavailable, "the helper process has ended"));
    return;
  }
  state_->jobs.push_back({std::move(out), std::move(done)});
  state_->send(Part::job, bytes_of(job));
}

void DeskProcess::say(Part part, ByteView body) {
  if (!state_->over) state_->send(part, body);
}

void DeskProcess::give_key(const Secret& key) { say(Part::key, key.reveal()); }

void DeskProcess::on_file(Out file) { state_->file = std::move(file); }

bool DeskProcess::is_over() const noexcept { return state_->over; }

std::size_t DeskProcess::unsent() const noexcept { return state_->unsent; }

void DeskProcess::hold(bool held) {
  state_->held = held;
  state_->read();
}

}  // namespace sallyport::admin
