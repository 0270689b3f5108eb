// platform/crypto/ulid.h -- names that sort by time and cannot be guessed: 48 bit milliseconds, 80 bit random.
#pragma once

#include <string>
#include <string_view>

#include "platform/crypto/random.h"
#include "platform/model/clock.h"
#include "platform/model/ids.h"

namespace sallyport::crypto {

/// 26 characters of Crockford's base32, upper case.
[[nodiscard]] std::string make_ulid(const Clock& clock, Random& random);
[[nodiscard]] inline SessionId make_session_id(const Clock& clock, Random& random) { return SessionId(make_ulid(clock, random)); }

/// 26 upper-case characters of the alphabet, at most 128 bits: what make_ulid could have made.
[[nodiscard]] bool is_ulid(std::string_view text) noexcept;
/// When it was made, by that machine's wall clock. `ulid` must be one.
[[nodiscard]] WallTime ulid_time(std::string_view ulid) noexcept;

}  // namespace sallyport::crypto
