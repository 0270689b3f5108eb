// platform/os/step_back.h -- work that may wait: verifying, indexing, shipping.
#pragma once

namespace sallyport::os {

/// This thread, and every thread and process that it starts from now on, computes (nice `nice`) and reads (best effort, lowest)
/// only when the relay leaves room.
void step_back(int nice) noexcept;

}  // namespace sallyport::os
