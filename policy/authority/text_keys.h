// policy/authority/text_keys.h -- the keys by which sealed texts of events are read (platform/seal/sealed_text.h).
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "platform/model/secret.h"
#include "policy/authority/acts.h"

namespace sallyport::authority {

/// The vault unwraps `wrapped` (base64, as `audit.text_key` has it) for somebody who has the right `view`, which the caller has made
/// sure of; the reading is an act with a reason. Errc::invalid: no wrapped key of texts; Errc::denied: wrapped to others only.
void read_text_key(Authority& authority, const Operator& who, std::string_view wrapped, const std::string& reason, std::function<void(Result<Secret>)> done);

}  // namespace sallyport::authority
