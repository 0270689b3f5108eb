#include "vault/switchboard.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace sallyport::vault {
namespace {

constexpr std::size_t k_most_waiting = 256;
constexpr int k_messages_in_a_row = 32;  // one loud peer must not keep the others waiting

}  // namespace

Result<std::unique_ptr<Switchboard>> Switchboard::make() {
  Fd epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return fail(Errc::unavailable, std::string("epoll: ") + std::strerror(errno));
  return std::unique_ptr<Switchboard>(new Switchboard(std::move(epoll)));
}

Result<LineId> Switchboard::add(std::shared_ptr<Line> line) {
  const int fd = line->fd();
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) return fail(Errc::invalid, "a line without a usable descriptor");
  const LineId id = ++last_;
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = id;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return fail(Errc::unavailable, std::string("epoll: ") + std::strerror(errno));
  lines_.emplace(id, std::move(line));
  return id;
}

Result<LineId> Switchboard::add_link(Fd socket, OnMessage on_message, OnGone on_gone) {
  auto line = std::make_shared<Line>();
  line->link = control::Link(std::move(socket));
  line->on_message = std::move(on_message);
  line->on_gone = std::move(on_gone);
  return add(std::move(line));
}

Result<LineId> Switchboard::add_stream(Fd socket, OnBytes on_bytes) {
  auto line = std::make_shared<Line>();
  line->stream = std::move(socket);
  line->on_bytes = std::move(on_bytes);
  return add(std::move(line));
}

void Switchboard::watch(LineId id, const Line& line, bool writable) {
  epoll_event event{};
  event.events = EPOLLIN;
  if (writable) event.events |= EPOLLOUT;
  event.data.u64 = id;
  epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, line.fd(), &event);
}

bool Switchboard::send(LineId id, control::Envelope envelope, std::vector<Fd> descriptors) {
  if (id == reading_) {
    answers_.push_back({std::move(envelope), std::move(descriptors)});
    return true;
  }
  const auto found = lines_.find(id);
  if (found == lines_.end()) return false;
  const std::shared_ptr<Line> line = found->second;
  if (line->waiting.empty()) {
    std::vector<int> numbers;
    numbers.reserve(descriptors.size());
    for (const Fd& fd : descriptors) numbers.push_back(fd.get());
    const auto sent = line->link.send(envelope, numbers);
    if (sent) return true;
    if (sent.error().code != Errc::unavailable) {
      drop(id);
      return false;
    }
    watch(id, *line, true);
  }
  if (line->waiting.size() >= k_most_waiting) {
    drop(id);
    return false;
  }
  line->waiting.push_back({std::move(envelope), std::move(descriptors)});
  return true;
}

bool Switchboard::send_bytes(LineId id, ByteView bytes) {
  const auto found = lines_.find(id);
  if (found == lines_.end()) return false;
  return ::send(found->second->stream.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
}

void Switchboard::flush(LineId id) {
  const auto found = lines_.find(id);
  if (found == lines_.end()) return;
  const std::shared_ptr<Line> line = found->second;
  while (!line->waiting.empty()) {
    Waiting& first = line->waiting.front();
    std::vector<int> numbers;
    for (const Fd& fd : first.descriptors) numbers.push_back(fd.get());
    const auto sent = line->link.send(first.envelope, numbers);
    if (!sent && sent.error().code == Errc::unavailable) return;
    if (!sent) return drop(id);
    line->waiting.pop_front();
  }
  watch(id, *line, false);
}

/// The keeper holds duplicates of the sessions' links: closing ours alone would leave it in the epoll set, hung up for ever.
void Switchboard::forget(const Line& line) { epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, line.fd(), nullptr); }

void Switchboard::close(LineId id) {
  const auto found = lines_.find(id);
  if (found == lines_.end()) return;
  forget(*found->second);
  lines_.erase(found);
}

void Switchboard::drop(LineId id) {
  const auto found = lines_.find(id);
  if (found == lines_.end()) return;
  const std::shared_ptr<Line> line = found->second;
  forget(*line);
  lines_.erase(found);
  if (line->on_gone) line->on_gone(id);
  if (line->on_bytes) line->on_bytes({});
}

/// What answers several messages that came together goes out together: whoever asked is woken once.
void Switchboard::read_link(LineId id) {
  reading_ = id;
  read_messages(id);
  reading_ = 0;
  for (Waiting& answer : std::exchange(answers_, {})) send(id, std::move(answer.envelope), std::move(answer.descriptors));
}

void Switchboard::read_messages(LineId id) {
  for (int i = 0; i < k_messages_in_a_row; ++i) {
    const auto found = lines_.find(id);
    if (found == lines_.end()) return;
    const std::shared_ptr<Line> line = found->second;
    auto received = line->link.receive();
    if (!received) return drop(id);
    if (!*received) return;
    line->on_message(id, std::move(**received));
  }
}

void Switchboard::read_stream(LineId id) {
  const auto found = lines_.find(id);
  if (found == lines_.end()) return;
  const std::shared_ptr<Line> line = found->second;
  std::array<std::byte, 16 * 1024> buffer;
  const ssize_t size = ::recv(line->stream.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (size <= 0) return drop(id);
  line->on_bytes(ByteView(buffer).first(static_cast<std::size_t>(size)));
}

void Switchboard::after(std::chrono::milliseconds delay, std::function<void()> then) {
  timers_.emplace(std::chrono::steady_clock::now() + delay, std::move(then));
}

void Switchboard::run_timers() {
  const auto now = std::chrono::steady_clock::now();
  while (!timers_.empty() && timers_.begin()->first <= now) {
    const auto then = std::move(timers_.begin()->second);
    timers_.erase(timers_.begin());
    then();
  }
}

int Switchboard::wait_ms() const {
  if (timers_.empty()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(timers_.begin()->first - std::chrono::steady_clock::now());
  return static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 60'000));
}

void Switchboard::run() {
  std::array<epoll_event, 64> events;
  while (!stopping_) {
    const int count = epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), wait_ms());
    for (int i = 0; i < count && !stopping_; ++i) {
      const epoll_event& event = events[static_cast<std::size_t>(i)];
      const LineId id = event.data.u64;
      if ((event.events & EPOLLOUT) != 0) flush(id);
      const auto found = lines_.find(id);
      if (found == lines_.end() || (event.events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0) continue;
      if (found->second->stream) {
        read_stream(id);
      } else {
        read_link(id);
      }
    }
    run_timers();
  }
}

}  // namespace sallyport::vault
