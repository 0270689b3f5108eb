// policy/access/request_text.h -- the input of a decision as text, so that it can be made again years later.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "policy/access/request.h"

namespace sallyport::policy {

/// "key:1700000000000000,totp:1700000001000000"; a trailing "v" after the time means user verified.
[[nodiscard]] std::string encode_factors(const std::vector<ProvenFactor>& factors);
[[nodiscard]] std::vector<ProvenFactor> decode_factors(std::string_view text);
/// Empty for none; else four letters of p (pty), f (forwarding), a (agent), x (X11) or -, a colon, the forced command.
[[nodiscard]] std::string encode_certificate(const std::optional<CertificateLimits>& limits);
[[nodiscard]] std::optional<CertificateLimits> decode_certificate(std::string_view text);

/// Everything of `request` that the engine looks at, as one JSON object.
[[nodiscard]] std::string encode_request(const AccessRequest& request);
/// Nothing when it is none.
[[nodiscard]] std::optional<AccessRequest> decode_request(std::string_view json);

}  // namespace sallyport::policy
