#include "platform/crypto/openssl_handles.h"

#include <openssl/err.h>

#include <cstdlib>
#include <string>

#include "platform/os/log.h"

namespace sallyport::crypto {

std::string take_openssl_error() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return "no reason given";
  char text[256];
  ERR_error_string_n(code, text, sizeof text);
  return text;
}

void openssl_is_broken(const char* doing) {
  os::log_line(os::LogEvent::crypto_failed, std::string("OpenSSL failed at ") + doing + ": " + take_openssl_error());
  std::abort();
}

}  // namespace sallyport::crypto
