#include "app/verbs/terminal_desk.h"

#include <fcntl.h>
#include <libssh/libssh.h>
#include <poll.h>
#include <sys/prctl.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <optional>
#include <string>

#include "gateway/sandbox/sandbox.h"
#include "platform/seal/entry.h"
#include "recorder/replay/view_wire.h"

namespace sallyport::app {
namespace {

namespace json = boost::json;
using replay::Part;

constexpr int k_socket = 3;
constexpr int k_session = 4;
constexpr std::size_t k_most_typed = 1024 * 1024;  ///< that waits for the session
constexpr std::size_t k_longest_answer = 256;

struct FreeSession {
  void operator()(ssh_session session) const noexcept { ssh_free(session); }
};
struct FreeKey {
  void operator()(ssh_key key) const noexcept { ssh_key_free(key); }
};
struct FreeChannel {
  void operator()(ssh_channel channel) const noexcept { ssh_channel_free(channel); }
};

class Desk {
 public:
  int serve();

 private:
  [[nodiscard]] std::optional<replay::ReceivedPart> receive();
  void done(const json::object& how) { static_cast<void>(replay::send_part(k_socket, Part::done, bytes_of(json::serialize(how)))); }
  void show(std::string_view text) { static_cast<void>(replay::send_part(k_socket, Part::out, bytes_of(text))); }
  bool make_key();
  /// Empty: logged in; else why not.
  std::string log_in(const std::string& user);
  std::string answer_prompts();
  [[nodiscard]] std::optional<std::string> ask(std::string_view prompt, bool echo);
  json::object run(const json::object& job);
  json::object relay();
  bool take_part(const replay::ReceivedPart& part);

  std::unique_ptr<ssh_key_struct, FreeKey> key_;
  std::unique_ptr<ssh_session_struct, FreeSession> session_;
  std::unique_ptr<ssh_channel_struct, FreeChannel> channel_;
  std::uint32_t columns_ = 80, rows_ = 24;
  std::string typed_;
  bool gone_ = false;  ///< the admin side
};

std::optional<replay::ReceivedPart> Desk::receive() {
  auto part = replay::receive_part(k_socket);
  if (part && *part) return std::move(*part);
  gone_ = true;
  return std::nullopt;
}

/// Input and sizes; false: something else.
bool Desk::take_part(const replay::ReceivedPart& part) {
  if (part.part == Part::entry) {
    if (typed_.size() + part.body.size() <= k_most_typed) typed_ += text_of(ByteView(part.body));
    return true;
  }
  if (part.part != Part::settle || part.body.size() != 8) return false;
  columns_ = std::clamp(seal::get_number<std::uint32_t>(part.body.data()), 2U, 1000U);
  rows_ = std::clamp(seal::get_number<std::uint32_t>(part.body.data() + 4), 1U, 1000U);
  if (channel_) ssh_channel_change_pty_size(channel_.get(), static_cast<int>(columns_), static_cast<int>(rows_));
  return true;
}

bool Desk::make_key() {
  ssh_key made = nullptr;
  if (ssh_pki_generate_key(SSH_KEYTYPE_ED25519, nullptr, &made) != SSH_OK) return false;
  key_.reset(made);
  return true;
}

std::optional<std::string> Desk::ask(std::string_view prompt, bool echo) {
  show(prompt);
  std::string line;
  for (;;) {
    while (!typed_.empty()) {
      const char c = typed_.front();
      typed_.erase(0, 1);
      if (c == '\r' || c == '\n') {
        show("\r\n");
        return line;
      }
      if (c == '\x03' || c == '\x04') return std::nullopt;
      if (c == '\x7f' || c == '\b') {
        if (!line.empty()) line.pop_back();
        if (echo) show("\b \b");
      } else if (line.size() < k_longest_answer && static_cast<unsigned char>(c) >= 0x20) {
        line += c;
        if (echo) show(std::string_view(&c, 1));
      }
    }
    const auto part = receive();
    if (!part || !take_part(*part)) return std::nullopt;
  }
}

std::string Desk::answer_prompts() {
  int status = ssh_userauth_kbdint(session_.get(), nullptr, nullptr);
  while (status == SSH_AUTH_INFO) {
    const char* instruction = ssh_userauth_kbdint_getinstruction(session_.get());
    if (instruction != nullptr && *instruction != '\0') show(std::string(instruction) + "\r\n");
    const int prompts = ssh_userauth_kbdint_getnprompts(session_.get());
    for (int i = 0; i < prompts; ++i) {
      char echo = 0;
      const char* prompt = ssh_userauth_kbdint_getprompt(session_.get(), static_cast<unsigned>(i), &echo);
      const auto answer = ask(prompt != nullptr ? prompt : "", echo != 0);
      if (!answer) return "given up";
      ssh_userauth_kbdint_setanswer(session_.get(), static_cast<unsigned>(i), answer->c_str());
    }
    status = ssh_userauth_kbdint(session_.get(), nullptr, nullptr);
  }
  return status == SSH_AUTH_SUCCESS ? "" : ssh_get_error(session_.get());
}

std::string Desk::log_in(const std::string& user) {
  session_.reset(ssh_new());
  const int no = 0;
  const int descriptor = k_session;
  const long seconds = 120;
  ssh_options_set(session_.get(), SSH_OPTIONS_PROCESS_CONFIG, &no);
  ssh_options_set(session_.get(), SSH_OPTIONS_HOST, "gateway");
  ssh_options_set(session_.get(), SSH_OPTIONS_SSH_DIR, "/nonexistent");
  ssh_options_set(session_.get(), SSH_OPTIONS_USER, user.c_str());
  ssh_options_set(session_.get(), SSH_OPTIONS_FD, &descriptor);
  ssh_options_set(session_.get(), SSH_OPTIONS_TIMEOUT, &seconds);
  // The other end of the pair was handed to the listener by the authority: there is no other host that this could be.
  if (ssh_connect(session_.get()) != SSH_OK) return ssh_get_error(session_.get());
  // So far only our own session process has spoken. What a target says comes behind the login: from here on nothing can be opened.
  const auto program = sandbox::build_program();
  if (!program || !sandbox::enter(*program, {.address_space = 1ULL << 30, .descriptors = 8})) return "the terminal's process could not lock itself in";
  int status = ssh_userauth_publickey(session_.get(), nullptr, key_.get());
  for (int i = 0; i < 3 && status == SSH_AUTH_PARTIAL; ++i) {
    const std::string why = answer_prompts();
    if (!why.empty()) return why;
    status = SSH_AUTH_SUCCESS;
  }
  return status == SSH_AUTH_SUCCESS ? "" : ssh_get_error(session_.get());
}

json::object Desk::run(const json::object& job) {
  const auto text = [&](std::string_view name) {
    const json::value* value = job.if_contains(name);
    return value != nullptr && value->is_string() ? std::string(std::string_view(value->get_string())) : std::string();
  };
  const auto number = [&](std::string_view name, std::int64_t fallback) {
    const json::value* value = job.if_contains(name);
    return static_cast<std::uint32_t>(std::clamp<std::int64_t>(value != nullptr && value->is_int64() ? value->get_int64() : fallback, 1, 1000));
  };
  columns_ = number("columns", 80);
  rows_ = number("rows", 24);
  if (const std::string why = log_in(text("user")); !why.empty()) return {{"failed", "SP-9404"}, {"why", why}};
  channel_.reset(ssh_channel_new(session_.get()));
  if (!channel_ || ssh_channel_open_session(channel_.get()) != SSH_OK) return {{"failed", "SP-9404"}, {"why", ssh_get_error(session_.get())}};
  constexpr std::array<unsigned char, 1> k_no_modes{0};  // TTY_OP_END: there is no terminal here to take modes from
  if (ssh_channel_request_pty_size_modes(channel_.get(), "xterm-256color", static_cast<int>(columns_), static_cast<int>(rows_), k_no_modes.data(), k_no_modes.size()) != SSH_OK ||
      ssh_channel_request_shell(channel_.get()) != SSH_OK)
    return {{"failed", "SP-9404"}, {"why", ssh_get_error(session_.get())}};
  return relay();
}

json::object Desk::relay() {
  ssh_session_struct* session = session_.get();
  ssh_set_blocking(session, 0);
  std::array<char, 16 * 1024> buffer;
  unsigned looks_at_end = 0;
  for (;;) {
    bool moved = false;
    for (const int is_error : {0, 1}) {
      const int got = ssh_channel_read_nonblocking(channel_.get(), buffer.data(), buffer.size(), is_error);
      if (got <= 0) continue;
      moved = true;
      show(std::string_view(buffer.data(), static_cast<std::size_t>(got)));
    }
    if (!typed_.empty()) {
      const int sent = ssh_channel_write(channel_.get(), typed_.data(), static_cast<std::uint32_t>(std::min<std::size_t>(typed_.size(), 16 * 1024)));
      if (sent > 0) {
        typed_.erase(0, static_cast<std::size_t>(sent));
        moved = true;
      }
    }
    // The exit status comes behind the end of the output: it is waited for, but not for long.
    const bool at_end = ssh_channel_is_eof(channel_.get()) != 0;
    if (!moved && (ssh_channel_is_closed(channel_.get()) != 0 || ssh_is_connected(session) == 0 || (at_end && ++looks_at_end > 10))) break;
    if (moved) continue;
    std::array<pollfd, 2> wait{pollfd{k_socket, POLLIN, 0}, pollfd{k_session, POLLIN, 0}};
    if ((ssh_get_poll_flags(session) & SSH_WRITE_PENDING) != 0) wait[1].events |= POLLOUT;
    // Typed bytes that found no window wait for the session to open it.
    poll(wait.data(), wait.size(), at_end ? 100 : 5000);
    if ((wait[0].revents & (POLLIN | POLLHUP)) != 0) {
      const auto part = receive();
      if (!part) return {};
      if (!take_part(*part)) break;
    }
    ssh_blocking_flush(session, 0);
  }
  const char* error = ssh_get_error(session);
  std::uint32_t code = 0;
  const int status = ssh_channel_get_exit_state(channel_.get(), &code, nullptr, nullptr) == SSH_OK ? static_cast<int>(code) : -1;
  return {{"exit", status}, {"why", error != nullptr && status < 0 ? error : ""}};
}

int Desk::serve() {
  for (;;) {
    const auto part = receive();
    if (!part) return 0;
    if (part->part != Part::job) {
      if (!take_part(*part)) return 1;
      continue;
    }
    json::error_code error;
    const json::value job = json::parse(text_of(ByteView(part->body)), error);
    if (error || !job.is_object()) return 1;
    const json::value* what = job.get_object().if_contains("do");
    if (what != nullptr && *what == "key") {
      char* blob = nullptr;
      if (!make_key() || ssh_pki_export_pubkey_base64(key_.get(), &blob) != SSH_OK) return 1;
      done({{"key", blob}});
      ssh_string_free_char(blob);
    } else if (what != nullptr && *what == "begin" && key_) {
      done(run(job.get_object()));
      if (gone_) return 0;
    } else {
      return 1;
    }
  }
}

}  // namespace

int run_terminal_desk() {
  std::signal(SIGPIPE, SIG_IGN);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  prctl(PR_SET_DUMPABLE, 0);
  setenv("TZ", "UTC0", 1);
  tzset();
  ssh_init();
  return Desk().serve();
}

}  // namespace sallyport::app
