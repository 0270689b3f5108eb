#include "policy/authority/spoken_code.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <vector>

#include "platform/crypto/hash.h"
#include "platform/crypto/hex.h"
#include "platform/model/bytes.h"

namespace sallyport::authority {
namespace {

constexpr std::string_view k_letters = "abcdefghijklmnopqrstuvwxyz234567";

}  // namespace

std::string random_letters(crypto::Random& random, std::size_t count) {
  std::vector<std::byte> bytes(count);
  random.fill(bytes);
  std::string text;
  for (const std::byte b : bytes) text += k_letters[static_cast<std::size_t>(b) % k_letters.size()];
  OPENSSL_cleanse(bytes.data(), bytes.size());
  return text;
}

std::string in_groups(std::string_view letters, std::size_t group) {
  std::string text;
  for (std::size_t i = 0; i < letters.size(); ++i) {
    if (i != 0 && i % group == 0) text += '-';
    text += letters[i];
  }
  return text;
}

std::string hash_of_code(std::string_view code) { return crypto::to_hex(crypto::sha256(bytes_of(code))); }

bool is_one_time_code(std::string_view text) {
  return text.size() >= 6 && text.size() <= 8 && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace sallyport::authority
