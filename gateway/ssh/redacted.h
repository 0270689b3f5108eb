// gateway/ssh/redacted.h -- a command as it may stand in a log.
#pragma once

#include <string>
#include <string_view>

namespace sallyport::gateway {

/// What looks like a password or a token becomes `***`; at most 2 KiB.
[[nodiscard]] std::string redacted(std::string_view text);

/// The same for a person who shall agree to the command: all of it, however long, and nothing hidden that a shell could
/// run. Only a plain word that is glued to its name (`--token=abc123`) becomes `***`, and only where no expansion and no
/// second reading could make a command of it.
[[nodiscard]] std::string shown_to_approver(std::string_view text);

}  // namespace sallyport::gateway
