// gateway/listener/large_pages.h -- the program's code in large pages, mapped once for the listener and all its sessions.
#pragma once

namespace sallyport::gateway {

/// Puts code and constants of this program into a sealed memory file of large pages, in place of the program file's small ones. A
/// session process, which lives for milliseconds, then has a handful of page faults for its code instead of some ninety.
/// Where the kernel gives no large pages everything stays as it was: nothing depends on it. To be called before there are threads.
void use_large_pages_for_code() noexcept;

}  // namespace sallyport::gateway
