// vault/switchboard.h -- the vault's one loop: control links and agent streams over epoll, and timers.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "platform/control/link.h"
#include "platform/model/bytes.h"

namespace sallyport::vault {

using LineId = std::uint64_t;  ///< never used twice; an id of a line that is gone is harmless

/// One thread. Callbacks may add and close lines, their own included.
class Switchboard {
 public:
  using OnMessage = std::function<void(LineId, control::Received)>;
  using OnGone = std::function<void(LineId)>;
  using OnBytes = std::function<void(ByteView)>;  ///< empty: the other end closed

  [[nodiscard]] static Result<std::unique_ptr<Switchboard>> make();
  Switchboard(const Switchboard&) = delete;

  /// `on_gone` is called when the peer closes or breaks the protocol, not for close().
  [[nodiscard]] Result<LineId> add_link(Fd socket, OnMessage on_message, OnGone on_gone);
  [[nodiscard]] Result<LineId> add_stream(Fd socket, OnBytes on_bytes);
  /// Sends, or queues when the peer does not read; a peer with 256 waiting messages is dropped. False: the line is gone.
  bool send(LineId line, control::Envelope envelope, std::vector<Fd> descriptors = {});
  /// Sends on a stream without waiting; what does not fit the socket's buffer is an error: answers are small.
  bool send_bytes(LineId line, ByteView bytes);
  void close(LineId line);

  /// Calls `then` once, not before `delay`.
  void after(std::chrono::milliseconds delay, std::function<void()> then);

  void run();
  void stop() noexcept { stopping_ = true; }

 private:
  struct Waiting {
    control::Envelope envelope;
    std::vector<Fd> descriptors;
  };
  struct Line {
    control::Link link;
    Fd stream;
    OnMessage on_message;
    OnGone on_gone;
    OnBytes on_bytes;
    std::deque<Waiting> waiting;
    [[nodiscard]] int fd() const { return stream ? stream.get() : link.native(); }
  };
  explicit Switchboard(Fd epoll) : epoll_(std::move(epoll)) {}
  [[nodiscard]] Result<LineId> add(std::shared_ptr<Line> line);
  void watch(LineId id, const Line& line, bool writable);
  void forget(const Line& line);
  void read_link(LineId id);
  void read_messages(LineId id);
  void read_stream(LineId id);
  void flush(LineId id);
  void drop(LineId id);
  void run_timers();
  [[nodiscard]] int wait_ms() const;

  Fd epoll_;
  LineId last_ = 0;
  LineId reading_ = 0;            ///< the line whose messages are being read
  std::vector<Waiting> answers_;  ///< to that line
  std::unordered_map<LineId, std::shared_ptr<Line>> lines_;
  std::multimap<std::chrono::steady_clock::time_point, std::function<void()>> timers_;
  bool stopping_ = false;
};

}  // namespace sallyport::vault
