#include "app/keeper/channel.h"

#include <fcntl.h>
#include <sys/epoll.h>

#include <utility>

namespace sallyport::app {

Channel::Channel(Loop& loop, Fd socket, Handler handler, Closed closed)
    : loop_(loop), link_(std::move(socket)), handler_(std::move(handler)), closed_(std::move(closed)) {
  const auto watched = loop_.watch(link_.native(), EPOLLIN, [this](std::uint32_t events) { on_event(events); });
  if (!watched) link_.close();  // the next send or the service's heartbeat finds it
}

Channel::~Channel() {
  if (link_.is_open()) loop_.forget(link_.native());
}

void Channel::send(control::Envelope envelope, std::span<const int> descriptors) {
  if (queue_.empty()) {
    const auto sent = link_.send(envelope, descriptors);
    if (sent || sent.error().code != Errc::unavailable) return;  // a peer that is gone is noticed by on_event
  }
  Waiting waiting{std::move(envelope), {}};
  for (const int descriptor : descriptors) waiting.descriptors.emplace_back(fcntl(descriptor, F_DUPFD_CLOEXEC, 3));
  queue_.push_back(std::move(waiting));
  static_cast<void>(loop_.change(link_.native(), EPOLLIN | EPOLLOUT));
}

void Channel::flush() {
  while (!queue_.empty()) {
    std::vector<int> descriptors;
    for (const Fd& descriptor : queue_.front().descriptors) descriptors.push_back(descriptor.get());
    const auto sent = link_.send(queue_.front().envelope, descriptors);
    if (!sent && sent.error().code == Errc::unavailable) return;
    queue_.pop_front();
  }
  static_cast<void>(loop_.change(link_.native(), EPOLLIN));
}

void Channel::on_event(std::uint32_t events) {
  if ((events & EPOLLOUT) != 0) flush();
  // At most a batch per wake-up, so that one talkative service does not starve the others.
  for (int i = 0; i < 64; ++i) {
    auto received = link_.receive();
    if (!received) {
      const Closed closed = closed_;
      closed(received.error());  // usually destroys this channel
      return;
    }
    if (!*received) return;
    handler_(std::move(**received));
  }
}

}  // namespace sallyport::app
