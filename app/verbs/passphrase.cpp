#include "app/verbs/passphrase.h"

#include <openssl/crypto.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <vector>

namespace sallyport::app {
namespace {

constexpr std::size_t k_longest_line = 1024;

/// One line without its end; bytes that do not fit are an error, not a shorter passphrase.
Result<Secret> read_line() {
  std::array<char, k_longest_line> line{};
  std::size_t size = 0;
  for (;;) {
    char c = 0;
    const ssize_t n = ::read(STDIN_FILENO, &c, 1);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0 || c == '\n') break;
    if (size == line.size()) return fail(Errc::invalid, "what was typed is too long");
    line[size++] = c;
  }
  Secret typed(std::string_view(line.data(), size));
  OPENSSL_cleanse(line.data(), line.size());
  if (typed.empty()) return fail(Errc::invalid, "nothing was typed");
  return typed;
}

}  // namespace

Result<Secret> ask_passphrase(std::string_view prompt) {
  termios before{};
  if (tcgetattr(STDIN_FILENO, &before) != 0) return read_line();
  std::fprintf(stderr, "%.*s: ", static_cast<int>(prompt.size()), prompt.data());
  termios quiet = before;
  quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO);
  tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
  auto typed = read_line();
  tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
  std::fputc('\n', stderr);
  return typed;
}

Result<Secret> ask_new_passphrase(std::string_view prompt) {
  auto first = ask_passphrase(prompt);
  if (!first || isatty(STDIN_FILENO) == 0) return first;
  auto second = ask_passphrase("once more");
  if (!second) return second;
  if (!first->equals(*second)) return fail(Errc::invalid, "the two differ; nothing was done");
  return first;
}

Result<Secret> read_secret_from_input(std::size_t limit) {
  std::vector<std::byte> bytes(limit + 1);  // one reservation: growing would leave copies
  std::size_t size = 0;
  while (size < bytes.size()) {
    const ssize_t n = ::read(STDIN_FILENO, bytes.data() + size, bytes.size() - size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    size += static_cast<std::size_t>(n);
  }
  const bool fits = size <= limit;
  if (size > 0 && bytes[size - 1] == std::byte{'\n'}) --size;
  Secret secret(std::span<const std::byte>(bytes).first(size));
  OPENSSL_cleanse(bytes.data(), bytes.size());
  if (!fits) return fail(Errc::invalid, "the value is larger than " + std::to_string(limit) + " bytes");
  if (secret.empty()) return fail(Errc::invalid, "no value came on standard input");
  return secret;
}

}  // namespace sallyport::app
