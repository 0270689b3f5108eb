#include "platform/passkey/webauthn.h"

#include <fido.h>
#include <fido/eddsa.h>
#include <fido/es256.h>
#include <fido/rs256.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <memory>

#include "platform/crypto/hash.h"
#include "platform/model/bytes.h"
#include "platform/passkey/cbor_shape.h"

namespace sallyport::passkey {
namespace {

// Authenticator data, section 6.1: SHA-256 of the host, flags, counter, and when a passkey is made its id and key.
constexpr std::size_t k_flags_at = 32;
constexpr std::size_t k_counter_at = 33;
constexpr std::size_t k_head = 37;
constexpr unsigned k_present = 0x01;
constexpr unsigned k_verified = 0x04;
constexpr unsigned k_portable = 0x08;
constexpr unsigned k_has_key = 0x40;
constexpr unsigned k_has_extensions = 0x80;
constexpr std::size_t k_id_size_at = k_head + 16;  ///< behind the kind of device

constexpr std::array k_algorithms{Algorithm::es256, Algorithm::eddsa, Algorithm::rs256};

struct CredentialFree {
  void operator()(fido_cred_t* credential) const noexcept { fido_cred_free(&credential); }
};
using Credential = std::unique_ptr<fido_cred_t, CredentialFree>;
struct AssertionFree {
  void operator()(fido_assert_t* assertion) const noexcept { fido_assert_free(&assertion); }
};
using Assertion = std::unique_ptr<fido_assert_t, AssertionFree>;
struct Es256Free {
  void operator()(es256_pk_t* key) const noexcept { es256_pk_free(&key); }
};
struct EddsaFree {
  void operator()(eddsa_pk_t* key) const noexcept { eddsa_pk_free(&key); }
};
struct Rs256Free {
  void operator()(rs256_pk_t* key) const noexcept { rs256_pk_free(&key); }
};

const unsigned char* raw(std::string_view bytes) { return reinterpret_cast<const unsigned char*>(bytes.data()); }

struct Head {
  std::uint32_t counter = 0;
  Flags flags;
  bool has_key = false;
  bool has_extensions = false;
};

Result<Head> read_head(const Expected& expected, std::string_view data) {
  if (data.size() < k_head || data.size() > k_most_authenticator_data) return fail(Errc::denied, "authenticator data of " + std::to_string(data.size()) + " bytes");
  const crypto::Hash256 host = crypto::sha256(expected.origin.host);
  if (!crypto::equal_constant_time(bytes_of(data.substr(0, k_flags_at)), host)) return fail(Errc::denied, "made for another host than " + expected.origin.host);
  const auto flags = static_cast<unsigned char>(data[k_flags_at]);
  if ((flags & k_present) == 0) return fail(Errc::denied, "nobody touched the device");
  Head head;
  head.flags.verified = (flags & k_verified) != 0;
  head.flags.portable = (flags & k_portable) != 0;
  head.has_key = (flags & k_has_key) != 0;
  head.has_extensions = (flags & k_has_extensions) != 0;
  if (expected.verified && !head.flags.verified) return fail(Errc::denied, "the device did not check who holds it");
  for (std::size_t i = 0; i < 4; ++i) head.counter = head.counter << 8 | static_cast<unsigned char>(data[k_counter_at + i]);
  return head;
}

/// What stands behind the id of a new passkey: its key, and what else the device says.
std::string_view behind_id(std::string_view data) {
  if (data.size() < k_id_size_at + 2) return {};
  const std::size_t id = static_cast<std::size_t>(static_cast<unsigned char>(data[k_id_size_at])) << 8 | static_cast<unsigned char>(data[k_id_size_at + 1]);
  return data.substr(std::min(data.size(), k_id_size_at + 2 + id));
}

/// Section 5.8.1.2, the limited verification algorithm: the browser writes these four in this order and in this way.
Result<void> check_client_data(const Expected& expected, std::string_view type, std::string_view data) {
  if (data.size() > k_most_client_data) return fail(Errc::denied, "client data of " + std::to_string(data.size()) + " bytes");
  const auto eat = [&](std::string_view part) {
    if (!data.starts_with(part)) return false;
    data.remove_prefix(part.size());
    return true;
  };
  if (!eat("{\"type\":\"" + std::string(type) + "\",\"challenge\":\"")) return fail(Errc::denied, "client data that is not of " + std::string(type));
  if (expected.challenge.empty() || !eat(expected.challenge) || !eat("\",\"origin\":\"")) return fail(Errc::denied, "an answer to another challenge");
  if (!eat(expected.origin.text + "\"")) return fail(Errc::denied, "a page that is not of " + expected.origin.text);
  if (!eat(",\"crossOrigin\":false") || !(data.starts_with("}") || data.starts_with(","))) return fail(Errc::denied, "a page inside of another site's page");
  return {};
}

}  // namespace

bool is_algorithm(std::int64_t number) noexcept {
  return std::any_of(k_algorithms.begin(), k_algorithms.end(), [&](Algorithm one) { return static_cast<std::int64_t>(one) == number; });
}

Result<Origin> parse_origin(std::string_view text) {
  constexpr std::string_view k_scheme = "https://";
  Origin origin{std::string(text), {}};
  if (!text.starts_with(k_scheme)) return fail(Errc::invalid, "it begins with https://");
  text.remove_prefix(k_scheme.size());
  const auto colon = text.find(':');
  const std::string_view host = text.substr(0, colon);
  if (colon != std::string_view::npos) {
    const std::string_view digits = text.substr(colon + 1);
    unsigned port = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (error != std::errc() || end != digits.data() + digits.size() || digits.front() == '0' || port == 443 || port > 65535)
      return fail(Errc::invalid, "after the name comes nothing, or a port other than 443");
  }
  const bool is_name = !host.empty() && host.size() <= 253 && host.front() != '.' && host.back() != '.' &&
                       std::all_of(host.begin(), host.end(), [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.'; });
  // Browsers bind passkeys to names only; what ends in a number is an address.
  if (!is_name || (host.back() >= '0' && host.back() <= '9' && host.find_first_not_of("0123456789.") == std::string_view::npos))
    return fail(Errc::invalid, "passkeys are bound to a host name in small letters, not to an address");
  origin.host = std::string(host);
  return origin;
}

Result<Made> check_made(const Expected& expected, std::string_view client_data, std::string_view authenticator_data) {
  if (auto said = check_client_data(expected, "webauthn.create", client_data); !said) return tl::unexpected(said.error());
  const auto head = read_head(expected, authenticator_data);
  if (!head) return tl::unexpected(head.error());
  if (!head->has_key) return fail(Errc::denied, "authenticator data without a key");
  if (!is_whole_cbor(behind_id(authenticator_data))) return fail(Errc::denied, "authenticator data whose CBOR is not whole");
  for (const Algorithm algorithm : k_algorithms) {  // the library wants to be told which one it is
    const Credential credential(fido_cred_new());
    if (!credential || fido_cred_set_type(credential.get(), static_cast<int>(algorithm)) != FIDO_OK ||
        fido_cred_set_authdata_raw(credential.get(), raw(authenticator_data), authenticator_data.size()) != FIDO_OK)
      continue;
    const std::size_t id = fido_cred_id_len(credential.get());
    const std::size_t key = fido_cred_pubkey_len(credential.get());
    if (id == 0 || id > k_most_id || key == 0) return fail(Errc::denied, "a passkey with an id of " + std::to_string(id) + " bytes");
    Made made;
    made.id.assign(reinterpret_cast<const char*>(fido_cred_id_ptr(credential.get())), id);
    made.public_key.assign(reinterpret_cast<const char*>(fido_cred_pubkey_ptr(credential.get())), key);
    made.algorithm = algorithm;
    made.counter = head->counter;
    made.flags = head->flags;
    return made;
  }
  return fail(Errc::denied, "authenticator data that libfido2 does not read, or a key that is neither ES256 nor EdDSA nor RS256");
}

Result<Shown> check_shown(const Expected& expected, Algorithm algorithm, std::string_view public_key, std::string_view client_data,
                          std::string_view authenticator_data, std::string_view signature) {
  if (auto said = check_client_data(expected, "webauthn.get", client_data); !said) return tl::unexpected(said.error());
  const auto head = read_head(expected, authenticator_data);
  if (!head) return tl::unexpected(head.error());
  if (head->has_extensions && !is_whole_cbor(authenticator_data.substr(k_head))) return fail(Errc::denied, "authenticator data whose CBOR is not whole");
  if (signature.empty() || signature.size() > k_most_signature) return fail(Errc::denied, "a signature of " + std::to_string(signature.size()) + " bytes");
  const Assertion assertion(fido_assert_new());
  const crypto::Hash256 hash = crypto::sha256(client_data);
  if (!assertion || fido_assert_set_count(assertion.get(), 1) != FIDO_OK || fido_assert_set_rp(assertion.get(), expected.origin.host.c_str()) != FIDO_OK ||
      fido_assert_set_clientdata_hash(assertion.get(), reinterpret_cast<const unsigned char*>(hash.data()), hash.size()) != FIDO_OK ||
      fido_assert_set_authdata_raw(assertion.get(), 0, raw(authenticator_data), authenticator_data.size()) != FIDO_OK ||
      fido_assert_set_sig(assertion.get(), 0, raw(signature), signature.size()) != FIDO_OK || fido_assert_set_up(assertion.get(), FIDO_OPT_TRUE) != FIDO_OK ||
      fido_assert_set_uv(assertion.get(), expected.verified ? FIDO_OPT_TRUE : FIDO_OPT_OMIT) != FIDO_OK)
    return fail(Errc::denied, "authenticator data that libfido2 does not read");
  const auto verify = [&](auto key, auto fill) {
    return key && fill(key.get(), public_key.data(), public_key.size()) == FIDO_OK && fido_assert_verify(assertion.get(), 0, static_cast<int>(algorithm), key.get()) == FIDO_OK;
  };
  bool right = false;
  switch (algorithm) {
    case Algorithm::es256: right = verify(std::unique_ptr<es256_pk_t, Es256Free>(es256_pk_new()), es256_pk_from_ptr); break;
    case Algorithm::eddsa: right = verify(std::unique_ptr<eddsa_pk_t, EddsaFree>(eddsa_pk_new()), eddsa_pk_from_ptr); break;
    case Algorithm::rs256: right = verify(std::unique_ptr<rs256_pk_t, Rs256Free>(rs256_pk_new()), rs256_pk_from_ptr); break;
  }
  if (!right) return fail(Errc::denied, "wrong signature");
  return Shown{head->counter, head->flags};
}

bool is_counted_on(std::uint32_t known, std::uint32_t shown) noexcept { return (known == 0 && shown == 0) || shown > known; }

}  // namespace sallyport::passkey
