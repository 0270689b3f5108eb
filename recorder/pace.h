// recorder/pace.h -- how often the recorder's loop looks at what, where more than one of its files must agree.
#pragma once

#include "platform/model/clock.h"

namespace sallyport::recorder {

constexpr BootTime k_space_every = std::chrono::seconds(1);
constexpr BootTime k_first_checkpoint = std::chrono::seconds(5);

inline BootTime boot_of(std::chrono::milliseconds duration) { return std::chrono::duration_cast<BootTime>(duration); }

}  // namespace sallyport::recorder
