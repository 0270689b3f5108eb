// policy/authority/coded_error.h -- errors whose detail begins with a code of the catalogue: "SP-9311 why, for operators".
#pragma once

#include <string>

#include "platform/model/result.h"

namespace sallyport::authority {

[[nodiscard]] inline bool has_code(const Error& error) { return error.detail.starts_with("SP-"); }

/// "SP-9311 why" -> "SP-9311"
[[nodiscard]] inline std::string code_of(const Error& error) { return error.detail.substr(0, error.detail.find(' ')); }
[[nodiscard]] inline std::string reason_of(const Error& error) {
  const auto blank = error.detail.find(' ');
  return blank == std::string::npos ? std::string() : error.detail.substr(blank + 1);
}

/// The same error with a code: its own, or the one of its Errc.
[[nodiscard]] inline Error coded(Error error) {
  if (!has_code(error)) error.detail = (error.code == Errc::sealed ? "SP-3011 " : error.code == Errc::invalid ? "SP-7001 " : "SP-4004 ") + error.detail;
  return error;
}

}  // namespace sallyport::authority
