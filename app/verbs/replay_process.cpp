// The replay process: locks itself in, then opens one session's entries for one viewing.
#include <sys/prctl.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <ctime>

#include "app/verbs/viewing_process.h"
#include "gateway/sandbox/sandbox.h"
#include "platform/crypto/aead.h"
#include "platform/crypto/hash.h"
#include "platform/crypto/hkdf.h"
#include "platform/crypto/random.h"
#include "recorder/replay/viewing.h"

namespace sallyport::app {
namespace {

constexpr int k_socket = 3;
constexpr int k_status_no_sandbox = 70;

/// OpenSSL looks for its algorithms, and for a configuration file, when it is used first.
void warm_up() {
  // The C library would look for the time zone's file at the first time it formats.
  setenv("TZ", "UTC0", 1);
  tzset();
  const std::array<std::byte, 32> zeros{};
  const Secret key = crypto::hkdf_sha256(zeros, {}, "warm up", crypto::k_aead_key_size);
  crypto::Aes256Gcm cipher(key.reveal());
  std::array<std::byte, 32> text{};
  crypto::Tag tag{};
  cipher.seal(crypto::nonce_of(0), {}, zeros, text.data(), tag);
  static_cast<void>(cipher.open(crypto::nonce_of(0), {}, text, tag, text.data()));
  static_cast<void>(crypto::sha256(ByteView(text)));
  static_cast<void>(crypto::random_bytes(crypto::system_random(), 16));
}

}  // namespace

int run_replay_process() {
  std::signal(SIGPIPE, SIG_IGN);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  warm_up();
  const auto program = sandbox::build_program();
  if (!program || !sandbox::enter(*program, {.address_space = 1ULL << 30, .descriptors = 8})) return k_status_no_sandbox;
  return replay::run_viewing(k_socket) ? 0 : 1;
}

}  // namespace sallyport::app
