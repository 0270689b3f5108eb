// platform/net/sigv4.h -- AWS Signature Version 4: signs requests and checks signed ones, by header and by query string.
//
// Pure: no clock, no socket. A request is what goes over the wire: the path and query as they stand in the request line.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "platform/model/bytes.h"
#include "platform/model/clock.h"
#include "platform/model/result.h"
#include "platform/model/secret.h"

namespace sallyport::net {

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

struct SigV4Request {
  std::string method;
  std::string path;      ///< as sent, without the query; begins with '/'
  std::string query;     ///< as sent, without '?'
  HttpHeaders headers;   ///< all that are to be signed; `host` among them
  std::string payload_hash;  ///< hexadecimal SHA-256 of the body, or k_unsigned_payload
};

constexpr std::string_view k_unsigned_payload = "UNSIGNED-PAYLOAD";
/// SHA-256 of nothing.
constexpr std::string_view k_empty_payload = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

struct SigV4Credentials {
  std::string access_key;
  Secret secret;
  std::string session_token;  ///< empty: none
};

/// Services other than S3 encode the path once more and take "." and ".." and empty segments out of it; S3 does neither and wants the
/// payload's hash as a header.
struct SigV4Scope {
  std::string region;
  std::string service;
  bool encode_path_again = true;
  bool normalize_path = true;
  bool sign_session_token = true;  ///< false: the token is added, but not signed
  bool payload_header = false;     ///< adds x-amz-content-sha256
};
[[nodiscard]] SigV4Scope s3_scope(std::string region);

/// What a signature is made of; kept apart because two sides that disagree want to see where.
struct SigV4Signature {
  std::string canonical_request;
  std::string string_to_sign;
  std::string signature;  ///< 64 hexadecimal digits
};

/// Adds x-amz-date, x-amz-security-token and x-amz-content-sha256 as asked, then Authorization.
SigV4Signature sign_by_header(SigV4Request& request, const SigV4Credentials& credentials, const SigV4Scope& scope, WallTime now);
/// Adds the X-Amz-... parameters to the query: a URL that is good for `expires`.
SigV4Signature sign_by_query(SigV4Request& request, const SigV4Credentials& credentials, const SigV4Scope& scope, WallTime now,
                             std::chrono::seconds expires);

/// What a request says of its own signature. Nothing of it is proven before verify_sigv4().
struct SigV4Claim {
  std::string access_key;
  std::string date;  ///< "20261122"
  std::string region, service;
  std::vector<std::string> signed_headers;
  std::string signature;
  WallTime signed_at{};
  std::chrono::seconds expires{};  ///< of a signed query
  bool by_query = false;
  std::string session_token;
};

/// Errc::not_found: the request is not signed. Errc::invalid: it is, in a form that is not right; says what.
[[nodiscard]] Result<SigV4Claim> read_sigv4_claim(const SigV4Request& request);

/// Whether the secret key of claim.access_key signed this request for `scope`. The caller has compared payload_hash with the body.
/// Errc::denied: wrong signature, wrong scope, `host` or an x-amz- header not signed, or too far from `now` ("clock skew" in the detail).
[[nodiscard]] Result<void> verify_sigv4(const SigV4Request& request, const SigV4Claim& claim, const Secret& secret, const SigV4Scope& scope, WallTime now,
                                        std::chrono::seconds most_skew = std::chrono::minutes(15));

/// RFC 3986 encoding, all but unreserved characters; `keep_slash` for paths.
[[nodiscard]] std::string uri_encode(std::string_view text, bool keep_slash);
/// "20261122T190000Z".
[[nodiscard]] std::string amz_date(WallTime when);

}  // namespace sallyport::net
