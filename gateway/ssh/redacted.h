// gateway/ssh/redacted.h -- a command as it may stand in a log.
#pragma once

#include <string>
#include <string_view>

namespace sallyport::gateway {

/// What looks like a password or a token becomes `***`; at most 2 KiB.
[[nodiscard]] std::string redacted(std::string_view text);

}  // namespace sallyport::gateway
