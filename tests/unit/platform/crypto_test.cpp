// Published vectors, and the refusals, of platform/crypto.
#include <catch2/catch.hpp>

#include <algorithm>
#include <map>

#include "platform/crypto/aead.h"
#include "platform/crypto/base64.h"
#include "platform/crypto/crc32c.h"
#include "platform/crypto/ed25519.h"
#include "platform/crypto/hash.h"
#include "platform/crypto/hex.h"
#include "platform/crypto/hkdf.h"
#include "platform/crypto/hmac.h"
#include "platform/crypto/random.h"
#include "platform/crypto/ulid.h"
#include "platform/crypto/zstd.h"

using namespace sallyport;
using namespace sallyport::crypto;

namespace {

Bytes hex(std::string_view text) {
  auto bytes = from_hex(text);
  REQUIRE(bytes);
  return *bytes;
}

class FixedClock final : public Clock {
 public:
  WallTime wall() const override { return WallTime(std::chrono::milliseconds(1'469'918'176'385)); }
  BootTime boot() const override { return BootTime(0); }
};

}  // namespace

TEST_CASE("SHA-2 and HMAC give the digests of FIPS 180 and RFC 4231") {
  CHECK(to_hex(sha256("abc")) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(to_hex(sha256("")) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(to_hex(sha512(bytes_of("abc"))).substr(0, 32) == "ddaf35a193617abacc417349ae204131");
  CHECK(to_hex(hmac_sha256(Bytes(20, std::byte{0x0b}), bytes_of("Hi There"))) ==
        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  CHECK(to_hex(hmac_sha256(Bytes(131, std::byte{0xaa}), bytes_of("Test Using Larger Than Block-Size Key - Hash Key First"))) ==
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST_CASE("a running hash can be copied, asked and continued") {
  Sha256 running;
  running.update("ab");
  Sha256 copy(running);
  CHECK(copy.finish() == sha256("ab"));
  CHECK(running.update("c").finish() == sha256("abc"));
  CHECK(running.update("abc").finish() == sha256("abc"));  // begins anew
}

TEST_CASE("HKDF gives the keys of RFC 5869 appendix A") {
  const Secret first = hkdf_sha256(Bytes(22, std::byte{0x0b}), hex("000102030405060708090a0b0c"), hex("f0f1f2f3f4f5f6f7f8f9"), 42);
  CHECK(to_hex(first.reveal()) == "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
  const Secret third = hkdf_sha256(Bytes(22, std::byte{0x0b}), ByteView(), ByteView(), 42);
  CHECK(to_hex(third.reveal()) == "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
}

TEST_CASE("AES-256-GCM gives the results of the GCM specification's test cases 13, 14 and 16") {
  Tag tag{};
  Aes256Gcm zero(Bytes(32));
  zero.seal(Nonce{}, {}, {}, nullptr, tag);
  CHECK(to_hex(tag) == "530f8afbc74536b9a963b4f1c4cb738b");
  Bytes block(16);
  zero.seal(Nonce{}, {}, block, block.data(), tag);  // in place
  CHECK(to_hex(block) == "cea7403d4d606b6e074ec5d3baf39d18");
  CHECK(to_hex(tag) == "d0d1c8a799996bf0265b98b5d48ab919");

  Aes256Gcm cipher(hex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"));
  Nonce nonce{};
  const Bytes iv = hex("cafebabefacedbaddecaf888");
  std::copy(iv.begin(), iv.end(), nonce.begin());
  const Bytes additional = hex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
  const Bytes plain = hex(
      "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39");
  Bytes sealed(plain.size());
  cipher.seal(nonce, additional, plain, sealed.data(), tag);
  CHECK(to_hex(sealed) ==
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662");
  CHECK(to_hex(tag) == "76fc6ece0f4e1768cddf8853bb2d551b");
  Bytes opened(sealed.size());
  CHECK(cipher.open(nonce, additional, sealed, tag, opened.data()));
  CHECK(opened == plain);
}

TEST_CASE("a changed seal, tag, nonce or additional byte does not open and leaves no plaintext") {
  Aes256Gcm cipher(Bytes(32, std::byte{7}));
  const Bytes plain(100, std::byte{'x'});
  const Bytes additional(10);
  Bytes sealed(100);
  Tag tag{};
  cipher.seal(nonce_of(1), additional, plain, sealed.data(), tag);
  Bytes opened(100);
  REQUIRE(cipher.open(nonce_of(1), additional, sealed, tag, opened.data()));
  CHECK_FALSE(cipher.open(nonce_of(2), additional, sealed, tag, opened.data()));
  CHECK(opened == Bytes(100));
  CHECK_FALSE(cipher.open(nonce_of(1), ByteView(additional).first(9), sealed, tag, opened.data()));
  tag[3] ^= std::byte{1};
  CHECK_FALSE(cipher.open(nonce_of(1), additional, sealed, tag, opened.data()));
  tag[3] ^= std::byte{1};
  sealed[50] ^= std::byte{0x80};
  CHECK_FALSE(cipher.open(nonce_of(1), additional, sealed, tag, opened.data()));
  CHECK(opened == Bytes(100));
}

TEST_CASE("the nonce of an entry is its number, little-endian") { CHECK(to_hex(nonce_of(0x0102)) == "020100000000000000000000"); }

TEST_CASE("Ed25519 signs and verifies the vectors of RFC 8032 section 7.1") {
  const auto key = Ed25519PrivateKey::from_seed(hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"));
  REQUIRE(key);
  CHECK(to_hex(key->public_key()) == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
  const Bytes message = hex("72");
  const Ed25519Signature signature = key->sign(message);
  CHECK(to_hex(signature) ==
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00");
  CHECK(ed25519_verify(key->public_key(), message, signature));
  CHECK_FALSE(ed25519_verify(key->public_key(), hex("73"), signature));
  CHECK_FALSE(ed25519_verify(key->public_key(), message, ByteView(signature).first(63)));
  CHECK_FALSE(ed25519_verify(ByteView(key->public_key()).first(31), message, signature));
  CHECK_FALSE(Ed25519PrivateKey::from_seed(Bytes(31)));
  const auto again = Ed25519PrivateKey::from_seed(key->seed().reveal());
  REQUIRE(again);
  CHECK(again->public_key() == key->public_key());
}

TEST_CASE("base64 reads RFC 4648's texts and nothing that only looks like them") {
  const std::pair<const char*, const char*> known[] = {{"", ""},         {"f", "Zg=="},         {"fo", "Zm8="},        {"foo", "Zm9v"},
                                                       {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, encoded] : known) {
    CHECK(to_base64(bytes_of(plain)) == encoded);
    const auto decoded = from_base64(encoded);
    REQUIRE(decoded);
    CHECK(text_of(*decoded) == plain);
  }
  for (const char* wrong : {"Zg", "Zg=", "Zh==", "Zm9=", "Zm 9v", "Zm9v\n", "====", "Z===", "Zg==Zg==", "Zm-_"}) CHECK_FALSE(from_base64(wrong));
  CHECK(to_base64url(hex("fbff")) == "-_8");
  CHECK(from_base64url("-_8").value() == hex("fbff"));
  CHECK_FALSE(from_base64url("-_8="));
}

TEST_CASE("hexadecimal digits are read in both cases and refused otherwise") {
  CHECK(to_hex(hex("00fFa0")) == "00ffa0");
  CHECK_FALSE(from_hex("0"));
  CHECK_FALSE(from_hex("0g"));
}

TEST_CASE("CRC-32C gives the values of RFC 3720 with and without the processor's instruction") {
  CHECK(crc32c(bytes_of("123456789")) == 0xe3069283U);
  CHECK(crc32c(Bytes(32)) == 0x8a9136aaU);
  CHECK(crc32c(Bytes(32, std::byte{0xff})) == 0x62a8ab43U);
  const Bytes noise = random_bytes(system_random(), 20'011);  // long enough for three blocks at a time, more than once
  for (const std::size_t cut : {0U, 1U, 7U, 8U, 500U, 6144U, 12'289U, 20'011U}) {
    CHECK(crc32c(noise) == crc32c_portable(noise));
    CHECK(crc32c(ByteView(noise).subspan(cut), crc32c(ByteView(noise).first(cut))) == crc32c(noise));
  }
}

TEST_CASE("pooled random bytes are taken from the source in order, each once") {
  struct Counting final : Random {
    void fill(std::span<std::byte> bytes) override {
      ++calls;
      for (std::byte& b : bytes) b = static_cast<std::byte>(next++ & 0xff);
    }
    int calls = 0;
    unsigned next = 0;
  } source;
  PooledRandom pooled(source);
  std::map<std::byte, int> seen;
  for (int i = 0; i < 32; ++i)  // 512 bytes: the whole pool, twice the 256 values
    for (const std::byte b : random_bytes(pooled, 16)) ++seen[b];
  CHECK(source.calls == 1);
  CHECK(seen.size() == 256);
  CHECK(std::all_of(seen.begin(), seen.end(), [](const auto& entry) { return entry.second == 2; }));
  CHECK(random_bytes(pooled, 16).size() == 16);
  CHECK(source.calls == 2);
  CHECK(random_bytes(pooled, 4096).size() == 4096);  // more than it holds: straight from the source
  CHECK(source.calls == 3);
}

TEST_CASE("a compressed message comes back, and a hostile frame does not write beyond its room") {
  ZstdCompressor compressor;
  ZstdDecompressor decompressor;
  const Bytes plain(20'000, std::byte{'a'});
  Bytes packed(1'000);
  const auto size = compressor.compress(plain, packed);
  REQUIRE(size);
  Bytes out(20'000);
  CHECK(decompressor.decompress(ByteView(packed).first(*size), out).value() == plain.size());
  CHECK(out == plain);
  CHECK_FALSE(decompressor.decompress(ByteView(packed).first(*size), std::span(out).first(19'999)));
  CHECK_FALSE(decompressor.decompress(ByteView(packed).first(*size - 1), out));
  CHECK_FALSE(compressor.compress(random_bytes(system_random(), 1'000), std::span(packed).first(999)));
}

TEST_CASE("a ULID carries its time, is unpredictable and is told from other text") {
  FixedClock clock;
  const std::string ulid = make_ulid(clock, system_random());
  CHECK(ulid.substr(0, 10) == "01ARYZ6S41");
  CHECK(is_ulid(ulid));
  CHECK(ulid_time(ulid) == clock.wall());
  CHECK(make_ulid(clock, system_random()) != ulid);
  for (const char* wrong : {"", "01ARYZ6S41", "81ARYZ6S41TSV4RRFFQ69G5FAV", "01ARYZ6S41TSV4RRFFQ69G5FAU", "01aryz6s41TSV4RRFFQ69G5FAV"})
    CHECK_FALSE(is_ulid(wrong));
}
