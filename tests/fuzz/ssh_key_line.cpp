// Any bytes as a line of authorized_keys, as a key blob, as a private key file, as an address list and as an expiry time.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "platform/crypto/ssh_private_key.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sallyport;
  using namespace sallyport::crypto;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto line = parse_authorized_key(text)) {
    if (line->key && SshPublicKey::parse_line(line->key->line()).value() != *line->key) std::abort();
    if (line->key && line->key->blob() != line->blob) std::abort();
    for (const auto& [name, value] : line->options)
      if (name.empty() || line->option(name) == std::nullopt) std::abort();
  }
  if (const auto key = SshPublicKey::parse_blob(bytes_of(text))) {
    if (key->verify(bytes_of(text), bytes_of(text))) std::abort();  // a key is not a signature by itself
  }
  static_cast<void>(SshPrivateKey::parse(bytes_of(text)));
  static_cast<void>(address_matches(text, "10.1.2.3"));
  static_cast<void>(address_in_cidr_list(text, "2001:db8::1"));
  static_cast<void>(parse_ssh_time(text));
  return 0;
}
