// gateway/ssh/small_talk.h -- requests by which clients only find out whether or how quickly we answer.
#pragma once

#include <string_view>

namespace sallyport::gateway {

/// "No" is the answer to them, and nothing was refused.
[[nodiscard]] inline bool is_small_talk(std::string_view name) {
  return name.starts_with("keepalive@") || name == "winadj@putty.projects.tartarus.org" || name == "simple@putty.projects.tartarus.org" ||
         name == "hostkeys-prove-00@openssh.com";
}

}  // namespace sallyport::gateway
