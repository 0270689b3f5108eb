// admin/api/factor_answers.h -- what the resources of people's own factors say alike.
#pragma once

#include <string_view>

#include "admin/api/call.h"

namespace sallyport::admin {

/// An error whose detail begins with a code of the catalogue (policy/authority/coded_error.h). Reasons go to whoever made the mistake, not to who guesses.
void refuse_coded(const CallPtr& call, const Error& error);
/// `lines`, one a line, as an array.
[[nodiscard]] json::array lines_of(std::string_view lines);
/// A body that no cache keeps.
void reply_once(const CallPtr& call, const json::object& body, unsigned status = 200);
/// A new one-time code for an app: its address and the modules of its QR code.
[[nodiscard]] json::object shown_code(std::string_view uri);

}  // namespace sallyport::admin
