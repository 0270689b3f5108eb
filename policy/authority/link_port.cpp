#include "policy/authority/link_port.h"

#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <deque>
#include <map>
#include <optional>
#include <utility>
#include <vector>

namespace sallyport::authority {
namespace {

constexpr int k_most_per_turn = 64;  // then other links get their turn

}  // namespace

struct LinkPort::State : std::enable_shared_from_this<LinkPort::State> {
  struct Question {
    control::Envelope envelope;
    Answer answer;
    Deadlines::Handle deadline = 0;
    bool had_descriptors = false;
  };
  struct Waiting {
    control::Envelope envelope;
    std::vector<Fd> descriptors;
  };

  State(boost::asio::io_context& io, Deadlines& deadlines_in, Fd socket, std::size_t most_waiting_in)
      : deadlines(deadlines_in), link(std::move(socket)), ready(io, link.native()), most_waiting(most_waiting_in) {}
  ~State() { ready.release(); }  // the link closes the descriptor

  void wait_readable() {
    ready.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                     [self = shared_from_this()](const boost::system::error_code& error) {
                       if (!error && !self->closed) self->read(k_most_per_turn, true);
                     });
  }

  void read(int most, bool and_wait) {
    const auto self = shared_from_this();
    for (int i = 0; i < most; ++i) {
      auto received = link.receive();
      if (!received) {
        lose(received.error());
        return;
      }
      if (!*received) break;
      deliver(std::move(**received));
      if (closed) return;
    }
    if (and_wait) wait_readable();
  }

  void deliver(control::Received received) {
    if (!received.envelope.reply()) {
      message(std::move(received));
      return;
    }
    const auto found = questions.find(received.envelope.call());
    if (found == questions.end()) return;  // after its deadline, or answered twice around a restart
    Question question = std::move(found->second);
    questions.erase(found);
    deadlines.cancel(question.deadline);
    if (received.envelope.has_failure()) {
      question.answer(tl::unexpected(control::error_of(received.envelope.failure())));
    } else {
      question.answer(std::move(received));
    }
  }

  void send(const control::Envelope& envelope, std::span<const int> descriptors) {
    if (closed) return;
    if (waiting.empty()) {
      auto sent = link.send(envelope, descriptors);
      if (sent) return;
      if (sent.error().code != Errc::unavailable) {
        lose_soon(sent.error());
        return;
      }
    }
    if (waiting.size() >= most_waiting) {
      lose_soon(Error{Errc::unavailable, "the peer does not read its control link"});
      return;
    }
    Waiting late;
    late.envelope = envelope;
    for (const int descriptor : descriptors) late.descriptors.emplace_back(::dup(descriptor));
    waiting.push_back(std::move(late));
    if (waiting.size() == 1) wait_writable();
  }

  // A SEQPACKET socket polls writable before the peer's queue has room again, so a full link is tried again after a pause.
  void wait_writable() {
    static_cast<void>(deadlines.after(std::chrono::milliseconds(5), [weak = weak_from_this()] {
      const auto self = weak.lock();
      if (self && !self->closed) self->flush();
    }));
  }

  void flush() {
    while (!waiting.empty()) {
      std::vector<int> descriptors;
      for (const Fd& descriptor : waiting.front().descriptors) descriptors.push_back(descriptor.get());
      auto sent = link.send(waiting.front().envelope, descriptors);
      if (!sent) {
        if (sent.error().code == Errc::unavailable) return wait_writable();
        return lose(sent.error());
      }
      waiting.pop_front();
    }
  }

  void arm(std::uint64_t call, std::chrono::milliseconds delay) {
    questions[call].deadline = deadlines.after(delay, [weak = weak_from_this(), call] {
      const auto self = weak.lock();
      if (!self) return;
      const auto found = self->questions.find(call);
      if (found == self->questions.end()) return;
      Answer answer = std::move(found->second.answer);
      self->questions.erase(found);
      answer(fail(Errc::unavailable, "no answer within the deadline"));
    });
  }

  // Not from within send(): its caller does not expect to lose its own port there.
  void lose_soon(Error error) {
    if (dying) return;
    dying = true;
    static_cast<void>(deadlines.after(std::chrono::microseconds(0), [weak = weak_from_this(), error = std::move(error)] {
      if (const auto self = weak.lock(); self && !self->closed) self->lose(error);
    }));
  }

  void lose(const Error& error) {
    if (closed) return;
    close();
    auto open = std::exchange(questions, {});
    const Lost tell = lost;
    for (auto& [call, question] : open) {
      deadlines.cancel(question.deadline);
      question.answer(tl::unexpected(Error{Errc::cancelled, error.detail}));
    }
    if (tell) tell(error);
  }

  void close() {
    closed = true;
    boost::system::error_code ignored;
    ready.cancel(ignored);
    waiting.clear();
  }

  Deadlines& deadlines;
  control::Link link;
  boost::asio::posix::stream_descriptor ready;
  std::size_t most_waiting;
  Message message;
  Lost lost;
  std::map<std::uint64_t, Question> questions;
  std::deque<Waiting> waiting;
  bool closed = false;
  bool dying = false;
};

LinkPort::LinkPort(boost::asio::io_context& io, Deadlines& deadlines, Fd socket, std::size_t most_waiting)
    : state_(std::make_shared<State>(io, deadlines, std::move(socket), most_waiting)) {}

LinkPort::~LinkPort() {
  state_->close();
  for (auto& [call, question] : state_->questions) state_->deadlines.cancel(question.deadline);
  state_->questions.clear();  // `message` and `lost` may be running right now: they die with the state
}

void LinkPort::start(Message message, Lost lost) {
  state_->message = std::move(message);
  state_->lost = std::move(lost);
  state_->wait_readable();
}

void LinkPort::send(control::Envelope envelope, std::span<const int> descriptors) { state_->send(envelope, descriptors); }

void LinkPort::answer(const control::Envelope& question, control::Envelope body, std::span<const int> descriptors) {
  body.set_call(question.call());
  body.set_reply(true);
  state_->send(body, descriptors);
}

void LinkPort::ask(control::Envelope question, std::chrono::milliseconds deadline, Answer answer, std::span<const int> descriptors) {
  if (state_->closed) {
    answer(fail(Errc::cancelled, "the peer is gone"));
    return;
  }
  const std::uint64_t call = state_->link.next_call();
  question.set_call(call);
  const auto kept = state_->questions.emplace(call, State::Question{std::move(question), std::move(answer), 0, !descriptors.empty()}).first;
  state_->arm(call, deadline);
  state_->send(kept->second.envelope, descriptors);
}

void LinkPort::ask_again() {
  std::vector<std::uint64_t> failed;
  for (auto& [call, question] : state_->questions) {
    if (question.had_descriptors) {
      failed.push_back(call);
    } else {
      state_->send(question.envelope, {});
    }
  }
  for (const std::uint64_t call : failed) {
    const auto found = state_->questions.find(call);
    if (found == state_->questions.end()) continue;
    State::Question question = std::move(found->second);
    state_->questions.erase(found);
    state_->deadlines.cancel(question.deadline);
    question.answer(fail(Errc::unavailable, "the peer was restarted"));
  }
}

void LinkPort::drain() {
  if (!state_->closed) state_->read(100'000, false);
}

void LinkPort::inherit(LinkPort& old) {
  auto questions = std::exchange(old.state_->questions, {});
  for (auto& [call, question] : questions) {
    state_->deadlines.cancel(question.deadline);
    if (question.had_descriptors) {
      question.answer(fail(Errc::unavailable, "the peer was restarted"));
      continue;
    }
    ask(std::move(question.envelope), std::chrono::seconds(5), std::move(question.answer));
  }
}

std::size_t LinkPort::unanswered() const noexcept { return state_->questions.size(); }
bool LinkPort::is_lost() const noexcept { return state_->closed || state_->dying; }

}  // namespace sallyport::authority
