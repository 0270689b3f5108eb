// platform/crypto/timestamp.h -- RFC 3161 time stamps: a third party signs that a hash was there at a moment.
#pragma once

#include <cstdint>
#include <string_view>

#include "platform/crypto/hash.h"
#include "platform/crypto/random.h"
#include "platform/model/bytes.h"
#include "platform/model/result.h"

namespace sallyport::crypto {

/// A TimeStampReq over SHA-256 `hash`, with a fresh nonce; asks for the signer's certificate.
[[nodiscard]] Result<Bytes> timestamp_request(const Hash256& hash, Random& random);

/// The token (DER, a CMS SignedData) in the answer to `request`. Errc::denied: the authority refuses; Errc::corrupt: no answer to that
/// request. The signature is not checked here.
[[nodiscard]] Result<Bytes> timestamp_token(ByteView response, ByteView request);

struct TimeStamp {
  std::int64_t at_s = 0;  ///< since 1970-01-01 UTC
};
/// Errc::corrupt: the token is not of `hash`, or not signed by a time stamping certificate under `ca_pem` that was valid then.
[[nodiscard]] Result<TimeStamp> verify_timestamp(ByteView token, const Hash256& hash, std::string_view ca_pem);

}  // namespace sallyport::crypto
