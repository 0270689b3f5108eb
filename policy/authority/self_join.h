// policy/authority/self_join.h -- `ssh MODERATOR@gateway join SESSION`.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "policy/authority/authority.h"

namespace sallyport::authority {

/// False: not this verb. Else `answered` is called once; with `stays` the channel stays open and is fed by Moderation.
bool ask_to_join(Authority& authority, const Session& session, std::uint32_t channel, const std::vector<std::string>& words,
                 std::function<void(std::string text, int exit_status, std::string error_text, bool stays)> answered);

}  // namespace sallyport::authority
