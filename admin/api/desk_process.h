// admin/api/desk_process.h -- a helper process of the admin side, spoken to over a socket: jobs go in, bytes and an end come back.
//
// The helpers are verbs of this very program (`viewing-desk`, `terminal-desk`), each started for one purpose of one person.
// What they do with hostile bytes happens there, not here.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "platform/model/result.h"
#include "platform/model/secret.h"
#include "platform/os/fd.h"
#include "recorder/replay/view_wire.h"

namespace sallyport::admin {

/// One thread, on the loop. Any callback may destroy the process.
class DeskProcess {
 public:
  using Out = std::function<void(std::string_view)>;
  using Done = std::function<void(Result<std::string>)>;

  /// Has somebody else start it, with this end of its socket.
  using Starter = std::function<void(const std::string& verb, int socket)>;

  /// Starts `PROGRAM VERB` with its socket as descriptor 3 and, when given, `extra` as descriptor 4. Errc::unavailable.
  [[nodiscard]] static Result<std::unique_ptr<DeskProcess>> start(boost::asio::io_context& io, const char* verb, const Fd& extra = Fd());
  /// One that reads recordings: by `starter` where the recorder has a user of its own, who alone may read them; else as above.
  [[nodiscard]] static Result<std::unique_ptr<DeskProcess>> start(boost::asio::io_context& io, const char* verb, const Starter& starter);
  ~DeskProcess();  ///< ends it
  DeskProcess(const DeskProcess&) = delete;
  DeskProcess& operator=(const DeskProcess&) = delete;

  /// A new job makes the helper end the one at hand. `done` is called once, with what the helper says at the end or its error; never
  /// when the process is destroyed.
  void ask(std::string_view job, Out out, Done done);
  void give_key(const Secret& key);
  /// Something that belongs to the job at hand and has no answer of its own.
  void say(replay::Part part, ByteView body);
  /// What it says of files (Part::file); without it such a part ends the process.
  void on_file(Out file);
  /// While held nothing is read: the helper waits.
  void hold(bool held);
  /// It has ended; whatever is asked from now on fails.
  [[nodiscard]] bool is_over() const noexcept;
  /// Bytes that it has not taken yet.
  [[nodiscard]] std::size_t unsent() const noexcept;

 private:
  struct State;
  explicit DeskProcess(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace sallyport::admin
