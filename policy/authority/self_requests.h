// policy/authority/self_requests.h -- `ssh engineer@gateway request | requests | approve | deny | cancel`.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "policy/authority/requests.h"
#include "policy/authority/self_text.h"

namespace sallyport::authority {

/// True when `words` is one of these verbs; `reply` is then called once, now or when the journal has it.
bool ask_requests(Authority& authority, const Session& session, const std::vector<std::string>& words, const std::function<void(SelfText)>& reply);

}  // namespace sallyport::authority
