// gateway/ssh/terminal_client.h -- an SSH client for one terminal, whose other end is a session process of the same gateway.
//
// Speaks on a descriptor that was handed over, logs in with a key it made itself, and asks the person at the terminal what the login
// asks. Locks its process in when the keys with the session process are agreed, before it logs in: no byte of a target is read outside.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace sallyport::gateway {

/// The person's side of the terminal.
struct TerminalPerson {
  int descriptor = -1;                                ///< readable: `receive` has something
  std::function<void(std::string_view text)> show;
  /// Waits for one message and gives it to type() or resize(). False: the person is gone, or said something else.
  std::function<bool()> receive;
  std::function<void(std::string_view json)> tell_file;  ///< of files: see gateway/ssh/terminal_files.h
};

struct TerminalEnd {
  bool ran = false;  ///< false: there was no shell, and `why` says why not
  int exit = -1;     ///< -1: not known
  std::string why;
};

class TerminalClient {
 public:
  /// @param session  the descriptor of the connection; used up by run().
  TerminalClient(int session, TerminalPerson person);
  ~TerminalClient();
  TerminalClient(const TerminalClient&) = delete;
  TerminalClient& operator=(const TerminalClient&) = delete;

  /// Makes the key of this terminal. The public half in base64; nothing: it could not be made.
  std::optional<std::string> make_key();
  [[nodiscard]] bool has_key() const noexcept;
  /// Beyond 1 MiB that the session has not taken, what is typed is dropped.
  void type(std::string_view bytes);
  void resize(std::uint32_t columns, std::uint32_t rows);
  /// A step of a file transfer, as the page says it.
  void file(std::string_view json);
  /// Logs in and runs a shell until one side ends. Once, and only with a key. Enters the sandbox: the process can do nothing else after.
  TerminalEnd run(const std::string& user);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace sallyport::gateway
