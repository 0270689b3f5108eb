// gateway/listener/kit.h -- what the keeper prepared for one session.
#pragma once

#include <string>

#include "platform/os/fd.h"

namespace sallyport::gateway {

struct Kit {
  std::string session;  ///< the keeper's label
  Fd authority;
  Fd vault;
  Fd recorder;
  Fd ring;
};

}  // namespace sallyport::gateway
