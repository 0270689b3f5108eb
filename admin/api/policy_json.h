// admin/api/policy_json.h -- a plan as JSON.
#pragma once

#include "admin/api/call.h"

namespace sallyport::admin {

[[nodiscard]] json::object plan_object(const authority::PolicyAnswer& answer);

}  // namespace sallyport::admin
