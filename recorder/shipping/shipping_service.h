// recorder/shipping/shipping_service.h -- the shipper's process: the only part of the recorder that touches the network.
#pragma once

#include "platform/os/fd.h"

namespace sallyport::recorder {

/// Serves the recorder at the other end of `recorder_link` until it closes. Low priority (CPU and disk), writes nowhere but below
/// STATE_DIR/shipping (Landlock, where the kernel has it). Exit status.
[[nodiscard]] int run_shipping_service(Fd recorder_link);

}  // namespace sallyport::recorder
