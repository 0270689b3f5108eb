#include "platform/crypto/openssl_handles.h"

#include <openssl/err.h>

#include <cstdio>
#include <cstdlib>

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
  std::fprintf(stderr, "sallyport: OpenSSL failed at %s: %s\n", doing, take_openssl_error().c_str());
  std::abort();
}

}  // namespace sallyport::crypto
