// policy/authority/self_text.h -- what goes back to the terminal of somebody who asks the gateway something about herself.
#pragma once

#include <string>
#include <string_view>

#include "platform/model/messages.h"
#include "policy/authority/coded_error.h"

namespace sallyport::authority {

struct SelfText {
  std::string text;
  int exit_status = 0;
  std::string error_text;
};

/// A message of the catalogue, exit status 1.
[[nodiscard]] inline SelfText told(std::string_view code, std::string_view why = {}) { return {{}, 1, render(make_notice(code, why)) + "\n"}; }

/// An error of coded_error.h.
[[nodiscard]] inline SelfText told(const Error& error) { return told(code_of(error), printable(reason_of(error))); }

}  // namespace sallyport::authority
