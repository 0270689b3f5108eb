// app/verbs/policy_files.h -- a folder of policy files on its way to the gateway.
#pragma once

#include <boost/json/value.hpp>
#include <string>

#include "app/verbs/admin_client.h"

namespace sallyport::app {

/// POST /v1/plan or /v1/apply with every policy file of `folder`.
[[nodiscard]] Result<boost::json::value> send_policy(AdminClient& client, const std::string& verb, const std::string& folder, const std::string& plan = {},
                                                    const std::string& reason = {});

}  // namespace sallyport::app
