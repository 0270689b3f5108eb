#include <catch2/catch.hpp>

#include "platform/crypto/base64.h"
#include "platform/seal/sealed_text.h"

namespace sallyport::seal {
namespace {

const std::string k_bytes(32, 'k');

TEST_CASE("a sealed text opens with its key, in its own event and session, and nowhere else", "[seal]") {
  TextKey sealing(Secret(std::string_view(k_bytes)), "0123456789abcdef");
  const std::string one = sealing.seal("channel.decided", "S1", R"({"command":"mysqldump payroll"})");
  const std::string again = sealing.seal("channel.decided", "S1", R"({"command":"mysqldump payroll"})");
  CHECK(one != again);
  CHECK(text_key_of(one) == "0123456789abcdef");
  CHECK(crypto::from_base64(one.substr(17))->size() == 12 + 31 + 16);
  TextKey opening(Secret(std::string_view(k_bytes)), "0123456789abcdef");
  CHECK(opening.open("channel.decided", "S1", one) == R"({"command":"mysqldump payroll"})");
  CHECK(opening.open("channel.decided", "S1", again) == R"({"command":"mysqldump payroll"})");
  CHECK_FALSE(opening.open("channel.decided", "S2", one));
  CHECK_FALSE(opening.open("guard.judged", "S1", one));
  TextKey other(Secret(std::string_view(k_bytes)), "fedcba9876543210");
  CHECK_FALSE(other.open("channel.decided", "S1", one));
  CHECK_FALSE(other.open("channel.decided", "S1", "fedcba9876543210" + one.substr(16)));  // renamed: bound to the key's id
  Bytes whole = *crypto::from_base64(one.substr(17));
  for (std::size_t i = 0; i < whole.size(); ++i) {
    Bytes changed = whole;
    changed[i] ^= std::byte{1};
    CHECK_FALSE(opening.open("channel.decided", "S1", one.substr(0, 17) + crypto::to_base64(changed)));
  }
  for (const char* wrong : {"", "0123456789abcdef", "0123456789abcdef:", "0123456789abcdef:AAAA", "0123456789abcdef:!"})
    CHECK_FALSE(opening.open("channel.decided", "S1", wrong));
}

TEST_CASE("a key of event texts is known by its words", "[seal]") {
  const Secret key{std::string_view(k_bytes)};
  CHECK(text_key_in(text_key_content(key))->equals(key));
  CHECK_FALSE(text_key_in(key));  // a recording's
  CHECK_FALSE(text_key_in(Secret(std::string_view("sallyport audit texts 2\n0123456789abcdef0123456789abcdef"))));
}

}  // namespace
}  // namespace sallyport::seal
