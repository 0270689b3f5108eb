#include <catch2/catch.hpp>

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <sys/resource.h>

#include <array>
#include <memory>

#include "platform/crypto/hash.h"
#include "platform/model/bytes.h"
#include "platform/passkey/webauthn.h"

namespace sallyport::passkey {
namespace {

struct KeyFree {
  void operator()(EVP_PKEY* key) const noexcept { EVP_PKEY_free(key); }
};
using Key = std::unique_ptr<EVP_PKEY, KeyFree>;
struct ContextFree {
  void operator()(EVP_MD_CTX* context) const noexcept { EVP_MD_CTX_free(context); }
};

std::string bytes(std::initializer_list<unsigned> values) {
  std::string text;
  for (const unsigned value : values) text += static_cast<char>(value);
  return text;
}

std::string number_of(EVP_PKEY* key, const char* name, int size) {
  BIGNUM* number = nullptr;
  EVP_PKEY_get_bn_param(key, name, &number);
  std::string text(static_cast<std::size_t>(size), '\0');
  BN_bn2binpad(number, reinterpret_cast<unsigned char*>(text.data()), size);
  BN_free(number);
  return text;
}

/// The COSE key of RFC 9052, written by hand.
std::string cose(EVP_PKEY* key, Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::es256:
      return bytes({0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20}) + number_of(key, "qx", 32) + bytes({0x22, 0x58, 0x20}) + number_of(key, "qy", 32);
    case Algorithm::eddsa: {
      std::string raw(32, '\0');
      std::size_t size = raw.size();
      EVP_PKEY_get_raw_public_key(key, reinterpret_cast<unsigned char*>(raw.data()), &size);
      return bytes({0xa4, 0x01, 0x01, 0x03, 0x27, 0x20, 0x06, 0x21, 0x58, 0x20}) + raw;
    }
    case Algorithm::rs256: return bytes({0xa4, 0x01, 0x03, 0x03, 0x39, 0x01, 0x00, 0x20, 0x59, 0x01, 0x00}) + number_of(key, "n", 256) + bytes({0x21, 0x43, 0x01, 0x00, 0x01});
  }
  return {};
}

Key make_key(Algorithm algorithm) {
  if (algorithm == Algorithm::es256) return Key(EVP_EC_gen("P-256"));
  if (algorithm == Algorithm::rs256) return Key(EVP_RSA_gen(2048));
  return Key(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
}

std::string sign(EVP_PKEY* key, Algorithm algorithm, const std::string& data) {
  const std::unique_ptr<EVP_MD_CTX, ContextFree> context(EVP_MD_CTX_new());
  EVP_DigestSignInit(context.get(), nullptr, algorithm == Algorithm::eddsa ? nullptr : EVP_sha256(), nullptr, key);
  std::string signature(1024, '\0');
  std::size_t size = signature.size();
  EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size, reinterpret_cast<const unsigned char*>(data.data()), data.size());
  signature.resize(size);
  return signature;
}

const Expected k_expected{{"https://gateway.example:8443", "gateway.example"}, "Y2hhbGxlbmdl", false};

std::string client_data(std::string_view type, std::string_view more = "") {
  return "{\"type\":\"" + std::string(type) + "\",\"challenge\":\"Y2hhbGxlbmdl\",\"origin\":\"https://gateway.example:8443\",\"crossOrigin\":false" + std::string(more) + "}";
}

std::string head(unsigned flags, unsigned counter, std::string_view host = "gateway.example") {
  return std::string(text_of(crypto::sha256(host))) + bytes({flags, 0, 0, 0, counter});
}

std::string made(EVP_PKEY* key, Algorithm algorithm, unsigned flags = 0x41) {
  return head(flags, 7) + std::string(16, '\0') + bytes({0, 4}) + "name" + cose(key, algorithm);
}

}  // namespace

TEST_CASE("a passkey of each algorithm is made and shown", "[platform][passkey]") {
  for (const Algorithm algorithm : {Algorithm::es256, Algorithm::eddsa, Algorithm::rs256}) {
    CAPTURE(static_cast<int>(algorithm));
    const Key key = make_key(algorithm);
    const auto one = check_made(k_expected, client_data("webauthn.create", ",\"other_keys_can_be_added_here\":\"x\""), made(key.get(), algorithm, 0x4d));
    REQUIRE(one);
    CHECK(one->id == "name");
    CHECK(one->algorithm == algorithm);
    CHECK(one->counter == 7);
    CHECK(one->flags.verified);
    CHECK(one->flags.portable);
    const std::string client = client_data("webauthn.get");
    const std::string data = head(0x01, 8);
    const std::string signature = sign(key.get(), algorithm, data + std::string(text_of(crypto::sha256(client))));
    const auto shown = check_shown(k_expected, algorithm, one->public_key, client, data, signature);
    REQUIRE(shown);
    CHECK(shown->counter == 8);
    CHECK_FALSE(shown->flags.verified);

    Expected strict = k_expected;
    strict.verified = true;
    CHECK(check_shown(strict, algorithm, one->public_key, client, data, signature).error().detail == "the device did not check who holds it");
    const std::string uncounted = head(0x01, 9);
    CHECK(check_shown(k_expected, algorithm, one->public_key, client, uncounted, signature).error().detail == "wrong signature");
    CHECK(check_shown(k_expected, algorithm, one->public_key, client, data, signature.substr(0, signature.size() - 1)).error().code == Errc::denied);
    CHECK(check_shown(k_expected, algorithm, one->public_key.substr(1), client, data, signature).error().code == Errc::denied);
    const Key other = make_key(algorithm);
    CHECK(check_shown(k_expected, algorithm, one->public_key, client, data, sign(other.get(), algorithm, data + std::string(text_of(crypto::sha256(client))))).error().detail == "wrong signature");
    for (const Algorithm wrong : {Algorithm::es256, Algorithm::eddsa, Algorithm::rs256})
      if (wrong != algorithm) CHECK_FALSE(check_shown(k_expected, wrong, one->public_key, client, data, signature));
  }
}

TEST_CASE("what a browser says is compared byte by byte", "[platform][passkey]") {
  const Key key = make_key(Algorithm::es256);
  const std::string data = made(key.get(), Algorithm::es256);
  const auto why = [&](const std::string& client) {
    const auto judged = check_made(k_expected, client, data);
    return judged ? std::string() : judged.error().detail;
  };
  const std::string good = client_data("webauthn.create");
  CHECK(why(good).empty());
  const auto with = [&](std::string_view part, std::string_view other) {
    std::string text = good;
    text.replace(text.find(part), part.size(), other);
    return text;
  };
  CHECK(why(with("webauthn.create", "webauthn.get")) == "client data that is not of webauthn.create");
  CHECK(why(with("Y2hhbGxlbmdl", "Y2hhbGxlbmdm")) == "an answer to another challenge");
  CHECK(why(with("https://gateway.example:8443", "https://gateway.example")) == "a page that is not of https://gateway.example:8443");
  CHECK(why(with("https://gateway.example:8443", "https://gateway.example:84430")) == "a page that is not of https://gateway.example:8443");
  CHECK(why(with("https://gateway.example:8443", "https://gateway.example:8443.evil.example")) == "a page that is not of https://gateway.example:8443");
  CHECK(why(with("false", "true")) == "a page inside of another site's page");
  CHECK(why(with("false", "falsey")) == "a page inside of another site's page");
  CHECK_FALSE(why(" " + good).empty());
  CHECK_FALSE(why("").empty());
  CHECK_FALSE(why(with("}", ",\"x\":\"" + std::string(5000, 'x') + "\"}")).empty());
  Expected nothing = k_expected;
  nothing.challenge.clear();
  CHECK_FALSE(check_made(nothing, with("Y2hhbGxlbmdl", ""), data));
}

TEST_CASE("authenticator data that is cut or lies is refused", "[platform][passkey]") {
  const Key key = make_key(Algorithm::es256);
  const std::string client = client_data("webauthn.create");
  const std::string good = made(key.get(), Algorithm::es256);
  for (std::size_t size = 0; size < good.size(); ++size) CHECK_FALSE(check_made(k_expected, client, good.substr(0, size)));
  CHECK(check_made(k_expected, client, made(key.get(), Algorithm::es256, 0x40)).error().detail == "nobody touched the device");
  CHECK(check_made(k_expected, client, made(key.get(), Algorithm::es256, 0x01)).error().detail == "authenticator data without a key");
  CHECK(check_made(k_expected, client, head(0x41, 0, "evil.example") + good.substr(37)).error().detail == "made for another host than gateway.example");
  CHECK_FALSE(check_made(k_expected, client, good + std::string(5000, '\0')));
  CHECK_FALSE(check_made(k_expected, client, head(0x41, 0) + std::string(16, '\0') + bytes({0xff, 0xff}) + good.substr(55)));
}

TEST_CASE("a count that the bytes do not hold costs nothing", "[platform][passkey]") {
  const auto faults = [] {
    rusage used{};
    getrusage(RUSAGE_SELF, &used);
    return used.ru_minflt;
  };
  const std::string client = client_data("webauthn.create");
  // 2^25 elements: 256 or 512 MiB that would be written to, page by page.
  for (const std::string& counted : {bytes({0x9b, 0, 0, 0, 0, 2, 0, 0, 0}), bytes({0xbb, 0, 0, 0, 0, 2, 0, 0, 0}), bytes({0xa1, 0x01, 0x9a, 2, 0, 0, 0})}) {
    const auto before = faults();
    CHECK(check_made(k_expected, client, head(0x41, 0) + std::string(16, '\0') + bytes({0, 4}) + "name" + counted).error().detail ==
          "authenticator data whose CBOR is not whole");
    const std::string data = head(0x81, 8) + counted;
    const auto shown = check_shown(k_expected, Algorithm::es256, "key", client_data("webauthn.get"), data, "signature");
    CHECK(shown.error().detail == "authenticator data whose CBOR is not whole");
    CHECK(faults() - before < 5'000);
  }
  std::string deep;
  for (int i = 0; i < 3'000; ++i) deep += '\x81';
  CHECK_FALSE(check_shown(k_expected, Algorithm::es256, "key", client_data("webauthn.get"), head(0x81, 8) + deep + '\0', "signature"));
}

TEST_CASE("counters go on or stay at nothing", "[platform][passkey]") {
  CHECK(is_counted_on(0, 0));
  CHECK(is_counted_on(0, 1));
  CHECK(is_counted_on(7, 8));
  CHECK_FALSE(is_counted_on(7, 7));
  CHECK_FALSE(is_counted_on(7, 6));
  CHECK_FALSE(is_counted_on(7, 0));
}

TEST_CASE("an origin is a scheme, a name and perhaps a port", "[platform][passkey]") {
  CHECK(parse_origin("https://gateway.example")->host == "gateway.example");
  CHECK(parse_origin("https://localhost:8443")->host == "localhost");
  CHECK(parse_origin("https://gw-1.example.org:1")->text == "https://gw-1.example.org:1");
  for (const char* wrong : {"", "https://", "http://gateway.example", "https://Gateway.example", "https://gateway.example/", "https://gateway.example:", "https://gateway.example:0", "https://gateway.example:443",
                            "https://gateway.example:65536", "https://gateway.example:8443x", "https://127.0.0.1", "https://10.1:8443", "https://[::1]", "https://.example", "https://a b", "https://user@gateway.example"})
    CHECK_FALSE(parse_origin(wrong));
}

}  // namespace sallyport::passkey
