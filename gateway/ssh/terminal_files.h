// gateway/ssh/terminal_files.h -- files of a terminal in a browser: an sftp channel in the terminal's own SSH session, so that the session
// process decides, filters and records them like any sftp. One file at a time, up or down.
//
// What the page says and hears is one JSON object each ("k":"file"):
//   page  {"do":"put","id":1,"path":"/tmp/a","size":9,"over":false}   {"do":"data","id":1,"b64":"..."}   {"do":"end","id":1}
//         {"do":"get","id":2,"path":"/tmp/a"}   {"do":"more","id":2,"bytes":9}   {"do":"stop","id":2}
//   here  {"state":"go","id":1}  {"state":"at","id":1,"bytes":9}  {"state":"size","id":2,"bytes":9}  {"state":"data","id":2,"b64":"..."}
//         {"state":"done","id":1,"bytes":9}  {"state":"failed","id":1,"why":"..."}
#pragma once

#include <libssh/libssh.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "platform/model/bytes.h"

namespace sallyport::gateway {

constexpr std::uint64_t k_most_terminal_upload = 1024ULL * 1024 * 1024;
constexpr std::uint64_t k_most_terminal_download = 256ULL * 1024 * 1024;  ///< the browser holds it in memory

class TerminalFiles {
 public:
  explicit TerminalFiles(std::function<void(std::string_view json)> tell) : tell_(std::move(tell)) {}

  /// A message of the page. What is not understood is answered as failed.
  void take(std::string_view json);
  /// What can be done now without waiting; true: something moved. The session is not blocking and logged in.
  bool step(ssh_session session);
  /// False: too much waits already; the page shall not be listened to.
  [[nodiscard]] bool has_room() const noexcept { return out_.size() < k_most_out; }

 private:
  static constexpr std::size_t k_most_out = 1024 * 1024;
  enum class Channel : std::uint8_t { none, opening, asking, greeting, ready, lost };
  enum class Doing : std::uint8_t { nothing, opening_put, putting, ending_put, opening_get, sizing, getting, closing };

  void begin(std::string_view act, std::uint64_t id, std::string path, std::uint64_t size, bool over);
  void put(std::string_view base64);
  void open_file();
  void handle_packet(ByteView packet);
  void on_status(std::uint32_t code, std::string_view text);
  void read_next();
  void close_file();
  void finish();
  void fail_with(const std::string& why);
  void lose(const std::string& why);
  bool open_channel(ssh_session session);
  bool read_channel();
  bool write_channel();
  void send(std::uint8_t type, ByteView body);
  void say(std::string_view state, std::string_view rest = {});

  struct FreeChannel {
    void operator()(ssh_channel channel) const noexcept { ssh_channel_free(channel); }
  };

  std::function<void(std::string_view)> tell_;
  std::unique_ptr<ssh_channel_struct, FreeChannel> channel_;
  Channel channel_state_ = Channel::none;
  Doing doing_ = Doing::nothing;
  std::uint64_t id_ = 0;       ///< the page's
  std::uint32_t request_ = 0;  ///< the newest sftp request
  std::string path_, handle_;
  bool upload_ = false, over_ = false, wants_end_ = false;
  std::string failure_;        ///< to be told once the file is closed
  std::uint64_t size_ = 0;     ///< announced, or as the target says
  std::uint64_t sent_ = 0;     ///< put: given to sftp; get: given to the page
  std::uint64_t taken_ = 0;    ///< put: acknowledged by the target; get: by the page
  std::uint32_t unanswered_ = 0;
  std::string in_, out_;
  std::string said_;  ///< by the channel's error output
};

}  // namespace sallyport::gateway
