// platform/os/wiped_memory.h -- memory that is given back is overwritten first, in processes through which secrets pass.
#pragma once

namespace sallyport::os {

/// From now on (or no longer) whatever `delete` gives back is zeroed: strings, messages, buffers of libraries that hold a copy of a password
/// for a moment. Costs a memset per deletion. C libraries that call free() themselves are not covered.
/// Call it while there is one thread. With a sanitizer's heap it does nothing.
void wipe_freed_memory(bool on) noexcept;

/// Zeroes the stack below the caller, where functions that it called (parsers with buffers of their own) left what they worked on.
void wipe_stack() noexcept;

}  // namespace sallyport::os
