#include "gateway/listener/outbox.h"

#include <chrono>
#include <utility>

namespace sallyport::gateway {

void Outbox::use(Fd socket) {
  link_ = control::Link(std::move(socket));
  flush();
}

void Outbox::send(control::Envelope envelope) {
  if (waiting_.size() >= most_waiting_) waiting_.pop_front();
  waiting_.push_back(std::move(envelope));
  flush();
}

void Outbox::flush() {
  while (!waiting_.empty() && link_.is_open()) {
    const auto sent = link_.send(waiting_.front());
    if (!sent && sent.error().code != Errc::internal) return;  // full: POLLOUT comes; gone: receive() finds out
    waiting_.pop_front();                                      // sent, or a message that can never be sent
  }
}

void Outbox::drain(std::chrono::milliseconds at_most) {
  const auto until = std::chrono::steady_clock::now() + at_most;
  for (flush(); !waiting_.empty() && link_.is_open(); flush()) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    if (left.count() <= 0) return;
    pollfd asked{link_.native(), POLLOUT, 0};
    if (::poll(&asked, 1, static_cast<int>(left.count())) <= 0 || (asked.revents & (POLLHUP | POLLERR)) != 0) return;
  }
}

Result<std::optional<control::Received>> Outbox::receive() {
  auto received = link_.receive();
  if (!received) link_.close();
  return received;
}

std::vector<std::string> Outbox::unsent() const {
  std::vector<std::string> encoded;
  for (const control::Envelope& envelope : waiting_) encoded.push_back(envelope.SerializeAsString());
  return encoded;
}

void Outbox::restore(const std::vector<std::string>& encoded) {
  for (const std::string& one : encoded) {
    control::Envelope envelope;
    if (envelope.ParseFromString(one)) waiting_.push_back(std::move(envelope));
  }
}

}  // namespace sallyport::gateway
