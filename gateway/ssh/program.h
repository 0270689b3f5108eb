// gateway/ssh/program.h -- what a shell, exec or subsystem request would start, as policy names it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sallyport::gateway {

struct Program {
  std::string kind;       ///< shell exec subsystem sftp scp rsync
  std::string direction;  ///< scp, rsync: "up" (client to target) or "down"; else empty
};

/// `request` is shell, exec or subsystem; `argument` the command or the subsystem's name. A command counts as scp or rsync
/// only when it is plainly and only that: no shell metacharacter outside quotes, the program by its bare name.
[[nodiscard]] Program classify_program(std::string_view request, std::string_view argument);

/// Splits a command the way a POSIX shell would, when it is only words and quotes. Empty when anything else stands in it.
[[nodiscard]] std::vector<std::string> plain_words(std::string_view command);

}  // namespace sallyport::gateway
