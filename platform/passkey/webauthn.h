// platform/passkey/webauthn.h -- what a browser shows of a passkey (WebAuthn level 2), checked. libfido2 reads the CBOR in it and verifies.
//
// The attestation object is not asked for: the page sends the authenticator data alone, and who made the device is not looked at.
// What the browser says about itself (clientDataJSON) is compared with what it must be and not parsed: section 5.8.1.2 fixes how it is written.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "platform/model/result.h"

namespace sallyport::passkey {

constexpr std::size_t k_most_client_data = 4096;
constexpr std::size_t k_most_authenticator_data = 4096;
constexpr std::size_t k_most_signature = 1024;
constexpr std::size_t k_most_id = 1023;  ///< section 5.8.3

/// COSE algorithms, RFC 9053.
enum class Algorithm : int { es256 = -7, eddsa = -8, rs256 = -257 };
[[nodiscard]] bool is_algorithm(std::int64_t number) noexcept;

/// Where the page is served: "https://gateway.example.org" or with a port. Its host is what passkeys are bound to, so it is a name and no address.
struct Origin {
  std::string text;
  std::string host;
};
/// Errc::invalid says what is wrong.
[[nodiscard]] Result<Origin> parse_origin(std::string_view text);

struct Expected {
  Origin origin;
  std::string challenge;  ///< base64url, as it was given to the page
  bool verified = false;  ///< the device must have checked who holds it
};

struct Flags {
  bool verified = false;  ///< the user, by PIN or biometry
  bool portable = false;  ///< may be copied to other devices (backup eligible)
};

struct Made {
  std::string id;
  Algorithm algorithm = Algorithm::es256;
  std::string public_key;  ///< as libfido2 writes it
  std::uint32_t counter = 0;
  Flags flags;
};

/// A passkey that was made for `expected`. Errc::denied: it was not; the detail says what is wrong, for operators.
[[nodiscard]] Result<Made> check_made(const Expected& expected, std::string_view client_data, std::string_view authenticator_data);

struct Shown {
  std::uint32_t counter = 0;
  Flags flags;
};

/// A signature by the key of a passkey over `expected`. Errc::denied as above.
[[nodiscard]] Result<Shown> check_shown(const Expected& expected, Algorithm algorithm, std::string_view public_key, std::string_view client_data,
                                        std::string_view authenticator_data, std::string_view signature);

/// Section 7.2 step 21: a device that counts never counts back; one that does not says 0 for ever.
[[nodiscard]] bool is_counted_on(std::uint32_t known, std::uint32_t shown) noexcept;

}  // namespace sallyport::passkey
