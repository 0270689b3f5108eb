// Authenticator data and client data of a browser: what is accepted was made for this host, touched, and has a key; nothing is read past its end.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "platform/crypto/hash.h"
#include "platform/model/bytes.h"
#include "platform/passkey/webauthn.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sallyport;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const passkey::Expected expected{{"https://gateway.example", "gateway.example"}, "Y2hhbGxlbmdl", false};
  const std::string create = R"({"type":"webauthn.create","challenge":"Y2hhbGxlbmdl","origin":"https://gateway.example","crossOrigin":false})";
  const std::string get = R"({"type":"webauthn.get","challenge":"Y2hhbGxlbmdl","origin":"https://gateway.example","crossOrigin":false})";
  // The hash of the host is put there, so that what follows it is reached.
  const std::string whole = std::string(text_of(crypto::sha256("gateway.example"))) + std::string(text);
  if (const auto made = passkey::check_made(expected, create, whole)) {
    if (made->id.empty() || made->public_key.empty() || (data[0] & 0x41) != 0x41) std::abort();
    static_cast<void>(passkey::check_shown(expected, made->algorithm, made->public_key, get, whole, text));
  }
  if (passkey::check_made(expected, text, whole) && !text.starts_with(R"({"type":"webauthn.create","challenge":"Y2hhbGxlbmdl","origin":"https://gateway.example","crossOrigin":false)")) std::abort();
  static_cast<void>(passkey::parse_origin(text));
  return 0;
}
