// admin/api/look_back.h -- a plan with the decisions of the last days made again under it, by a helper process.
#pragma once

#include <chrono>

#include "admin/api/call.h"

namespace sallyport::admin {

/// Answers with `plan` and what would differ. The plan is told also where the past cannot be: then `replay_problem` says why.
void look_back(const CallPtr& call, json::object plan, const json::array& files, std::chrono::seconds back);

}  // namespace sallyport::admin
