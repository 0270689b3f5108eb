// app/verbs/viewing_process.h -- the caller's side of one viewing: starts the locked-in replay process and talks to it.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string_view>

#include "platform/model/result.h"
#include "platform/os/fd.h"
#include "recorder/replay/frames.h"
#include "recorder/replay/playback.h"
#include "recorder/replay/seek_index.h"
#include "recorder/replay/seen_lines.h"
#include "recorder/replay/view_wire.h"

namespace sallyport::app {

/// One line that the replay process saw on a screen.
struct ViewedLine {
  replay::Moment when;
  std::uint32_t channel = 0;
  int status = -1;
  bool is_command = false;
  std::string_view text;
};

class ViewingProcess {
 public:
  struct Handlers {
    replay::Sink out, err;  ///< false: nobody wants them any more
    std::function<void(replay::KeyFrame)> screen;
    std::function<void(const ViewedLine&)> line;
    std::function<bool()> interrupted;  ///< ends the viewing at once; may be empty
  };
  /// Starts the process and hands it the job and the key. Errc::unavailable.
  [[nodiscard]] static Result<ViewingProcess> start(const replay::ViewJob& job, const Secret& key, Handlers handlers);
  ViewingProcess(ViewingProcess&& other) noexcept;
  ViewingProcess& operator=(ViewingProcess&&) = delete;
  /// Kills it when it still runs.
  ~ViewingProcess();

  /// Queues a part; while the queue is long, waits and handles what comes back. False: the viewing is over (wanted no more, failed).
  bool send(replay::Part part, ByteView body);
  bool send_entry(const replay::StoredEntry& entry, const std::optional<crypto::Tag>& previous, bool settles = false);
  /// Sends what is queued and handles what comes back, for at most so long.
  bool pump(int milliseconds);
  /// No more entries: waits for the end. Errc of what went wrong in the process.
  Result<replay::Played> finish();
  [[nodiscard]] pid_t pid() const noexcept { return pid_; }

 private:
  ViewingProcess(Fd socket, pid_t pid, Handlers handlers) : socket_(std::move(socket)), pid_(pid), handlers_(std::move(handlers)) {}
  bool handle(const replay::ReceivedPart& part);
  bool end(Error error);

  Fd socket_;
  pid_t pid_ = -1;
  Handlers handlers_;
  Bytes queue_, received_;
  std::size_t queue_begin_ = 0;
  bool over_ = false;
  std::optional<replay::Played> played_;
  std::optional<Error> error_;
};

/// The replay process itself: `sallyport replay-process`, with its socket as descriptor 3. Gives the exit status.
int run_replay_process();

}  // namespace sallyport::app
