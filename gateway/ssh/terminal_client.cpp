#include "gateway/ssh/terminal_client.h"

#include <libssh/libssh.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <utility>

#include "gateway/sandbox/sandbox.h"
#include "gateway/ssh/terminal_files.h"

namespace sallyport::gateway {
namespace {

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

}  // namespace

struct TerminalClient::Parts {
  int descriptor;
  TerminalPerson person;
  std::unique_ptr<ssh_key_struct, FreeKey> key{};
  std::unique_ptr<ssh_session_struct, FreeSession> session{};
  std::unique_ptr<ssh_channel_struct, FreeChannel> channel{};
  TerminalFiles files{[this](std::string_view json) { person.tell_file(json); }};
  std::uint32_t columns = 80, rows = 24;
  std::string typed{};

  std::optional<std::string> ask(std::string_view prompt, bool echo);
  std::string answer_prompts();
  /// Empty: logged in; else why not.
  std::string log_in(const std::string& user);
  TerminalEnd relay();
  [[nodiscard]] TerminalEnd failed() const { return {.ran = false, .exit = -1, .why = ssh_get_error(session.get())}; }
};

TerminalClient::TerminalClient(int session, TerminalPerson person) : parts_(new Parts{.descriptor = session, .person = std::move(person)}) { ssh_init(); }
TerminalClient::~TerminalClient() = default;

bool TerminalClient::has_key() const noexcept { return parts_->key != nullptr; }

std::optional<std::string> TerminalClient::make_key() {
  ssh_key made = nullptr;
  if (ssh_pki_generate_key(SSH_KEYTYPE_ED25519, nullptr, &made) != SSH_OK) return std::nullopt;
  parts_->key.reset(made);
  char* blob = nullptr;
  if (ssh_pki_export_pubkey_base64(made, &blob) != SSH_OK) return std::nullopt;
  std::string text = blob;
  ssh_string_free_char(blob);
  return text;
}

void TerminalClient::type(std::string_view bytes) {
  if (parts_->typed.size() + bytes.size() <= k_most_typed) parts_->typed += bytes;
}

void TerminalClient::resize(std::uint32_t columns, std::uint32_t rows) {
  Parts& p = *parts_;
  p.columns = std::clamp(columns, 2U, 1000U);
  p.rows = std::clamp(rows, 1U, 1000U);
  if (p.channel) ssh_channel_change_pty_size(p.channel.get(), static_cast<int>(p.columns), static_cast<int>(p.rows));
}

void TerminalClient::file(std::string_view json) { parts_->files.take(json); }

std::optional<std::string> TerminalClient::Parts::ask(std::string_view prompt, bool echo) {
  person.show(prompt);
  std::string line;
  for (;;) {
    while (!typed.empty()) {
      const char c = typed.front();
      typed.erase(0, 1);
      if (c == '\r' || c == '\n') {
        person.show("\r\n");
        return line;
      }
      if (c == '\x03' || c == '\x04') return std::nullopt;
      if (c == '\x7f' || c == '\b') {
        if (!line.empty()) line.pop_back();
        if (echo) person.show("\b \b");
      } else if (line.size() < k_longest_answer && static_cast<unsigned char>(c) >= 0x20) {
        line += c;
        if (echo) person.show(std::string_view(&c, 1));
      }
    }
    if (!person.receive()) return std::nullopt;
  }
}

std::string TerminalClient::Parts::answer_prompts() {
  int status = ssh_userauth_kbdint(session.get(), nullptr, nullptr);
  while (status == SSH_AUTH_INFO) {
    const char* instruction = ssh_userauth_kbdint_getinstruction(session.get());
    if (instruction != nullptr && *instruction != '\0') person.show(std::string(instruction) + "\r\n");
    const int prompts = ssh_userauth_kbdint_getnprompts(session.get());
    for (int i = 0; i < prompts; ++i) {
      char echo = 0;
      const char* prompt = ssh_userauth_kbdint_getprompt(session.get(), static_cast<unsigned>(i), &echo);
      const auto answer = ask(prompt != nullptr ? prompt : "", echo != 0);
      if (!answer) return "given up";
      ssh_userauth_kbdint_setanswer(session.get(), static_cast<unsigned>(i), answer->c_str());
    }
    status = ssh_userauth_kbdint(session.get(), nullptr, nullptr);
  }
  return status == SSH_AUTH_SUCCESS ? "" : ssh_get_error(session.get());
}

std::string TerminalClient::Parts::log_in(const std::string& user) {
  session.reset(ssh_new());
  const int no = 0;
  const long seconds = 120;
  ssh_options_set(session.get(), SSH_OPTIONS_PROCESS_CONFIG, &no);
  ssh_options_set(session.get(), SSH_OPTIONS_HOST, "gateway");
  ssh_options_set(session.get(), SSH_OPTIONS_SSH_DIR, "/nonexistent");
  ssh_options_set(session.get(), SSH_OPTIONS_USER, user.c_str());
  ssh_options_set(session.get(), SSH_OPTIONS_FD, &descriptor);
  ssh_options_set(session.get(), SSH_OPTIONS_TIMEOUT, &seconds);
  // The other end of the pair was handed to the listener by the authority: there is no other host that this could be.
  if (ssh_connect(session.get()) != SSH_OK) return ssh_get_error(session.get());
  // So far only our own session process has spoken. What a target says comes behind the login: from here on nothing can be opened.
  const auto program = sandbox::build_program();
  if (!program || !sandbox::enter(*program, {.address_space = 1ULL << 30, .descriptors = 8})) return "the terminal's process could not lock itself in";
  int status = ssh_userauth_publickey(session.get(), nullptr, key.get());
  for (int i = 0; i < 3 && status == SSH_AUTH_PARTIAL; ++i) {
    const std::string why = answer_prompts();
    if (!why.empty()) return why;
    status = SSH_AUTH_SUCCESS;
  }
  return status == SSH_AUTH_SUCCESS ? "" : ssh_get_error(session.get());
}

TerminalEnd TerminalClient::run(const std::string& user) {
  Parts& p = *parts_;
  if (!p.key || p.session) return {.ran = false, .exit = -1, .why = "this terminal has no key, or has run already"};
  if (const std::string why = p.log_in(user); !why.empty()) return {.ran = false, .exit = -1, .why = why};
  p.channel.reset(ssh_channel_new(p.session.get()));
  if (!p.channel || ssh_channel_open_session(p.channel.get()) != SSH_OK) return p.failed();
  constexpr std::array<unsigned char, 1> k_no_modes{0};  // TTY_OP_END: there is no terminal here to take modes from
  if (ssh_channel_request_pty_size_modes(p.channel.get(), "xterm-256color", static_cast<int>(p.columns), static_cast<int>(p.rows), k_no_modes.data(), k_no_modes.size()) != SSH_OK ||
      ssh_channel_request_shell(p.channel.get()) != SSH_OK)
    return p.failed();
  return p.relay();
}

TerminalEnd TerminalClient::Parts::relay() {
  ssh_set_blocking(session.get(), 0);
  std::array<char, 16 * 1024> buffer;
  unsigned looks_at_end = 0;
  for (;;) {
    bool moved = false;
    for (const int is_error : {0, 1}) {
      const int got = ssh_channel_read_nonblocking(channel.get(), buffer.data(), buffer.size(), is_error);
      if (got <= 0) continue;
      moved = true;
      person.show(std::string_view(buffer.data(), static_cast<std::size_t>(got)));
    }
    if (!typed.empty()) {
      const int sent = ssh_channel_write(channel.get(), typed.data(), static_cast<std::uint32_t>(std::min<std::size_t>(typed.size(), 16 * 1024)));
      if (sent > 0) {
        typed.erase(0, static_cast<std::size_t>(sent));
        moved = true;
      }
    }
    moved = files.step(session.get()) || moved;
    // The exit status comes behind the end of the output: it is waited for, but not for long.
    const bool at_end = ssh_channel_is_eof(channel.get()) != 0;
    if (!moved && (ssh_channel_is_closed(channel.get()) != 0 || ssh_is_connected(session.get()) == 0 || (at_end && ++looks_at_end > 10))) break;
    if (moved) continue;
    // What finds no window waits here, then with the sender: nothing typed is lost.
    const short more = typed.size() < k_most_typed / 2 && files.has_room() ? POLLIN : 0;
    std::array<pollfd, 2> wait{pollfd{person.descriptor, more, 0}, pollfd{descriptor, POLLIN, 0}};
    if ((ssh_get_poll_flags(session.get()) & SSH_WRITE_PENDING) != 0) wait[1].events |= POLLOUT;
    poll(wait.data(), wait.size(), at_end ? 100 : 5000);
    if ((wait[0].revents & (POLLIN | POLLHUP)) != 0 && !person.receive()) break;
    ssh_blocking_flush(session.get(), 0);
  }
  const char* error = ssh_get_error(session.get());
  std::uint32_t code = 0;
  const int status = ssh_channel_get_exit_state(channel.get(), &code, nullptr, nullptr) == SSH_OK ? static_cast<int>(code) : -1;
  return {.ran = true, .exit = status, .why = error != nullptr && status < 0 ? error : ""};
}

}  // namespace sallyport::gateway
