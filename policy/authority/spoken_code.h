// policy/authority/spoken_code.h -- random codes that people read and type: invites and recovery codes.
#pragma once

#include <string>
#include <string_view>

#include "platform/crypto/random.h"

namespace sallyport::authority {

/// RFC 4648 base32 in lower case: 5 bits a letter.
[[nodiscard]] std::string random_letters(crypto::Random& random, std::size_t count);
/// "abcdefgh" by 4: "abcd-efgh"
[[nodiscard]] std::string in_groups(std::string_view letters, std::size_t group);
/// What is kept of a code: SHA-256, hexadecimal.
[[nodiscard]] std::string hash_of_code(std::string_view code);
/// What an authenticator app shows: six to eight digits.
[[nodiscard]] bool is_one_time_code(std::string_view text);

}  // namespace sallyport::authority
