// policy/guard/shapes.h -- texts that mean harm by their shape, whatever commands they name.
#pragma once

#include <string_view>

namespace sallyport::guard {

/// A function that starts itself twice.
[[nodiscard]] bool is_fork_bomb(std::string_view name, std::string_view body);
/// `!x`, `!!`, `!$` outside of single quotes, and `^a^b` at the start: what an interactive shell replaces after Enter.
[[nodiscard]] bool has_history_expansion(std::string_view text);

}  // namespace sallyport::guard
