// platform/model/result.h -- how a function says that it failed.
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace sallyport {

/// The closed list of ways in which something can fail. The REST layer and the CLI map it to a status in one table each.
enum class Errc {
  not_found = 1,
  denied,
  sealed,
  conflict,
  invalid,
  unavailable,
  corrupt,
  cancelled,
  internal,
};

[[nodiscard]] constexpr std::string_view name_of(Errc code) noexcept {
  switch (code) {
    case Errc::not_found: return "not_found";
    case Errc::denied: return "denied";
    case Errc::sealed: return "sealed";
    case Errc::conflict: return "conflict";
    case Errc::invalid: return "invalid";
    case Errc::unavailable: return "unavailable";
    case Errc::corrupt: return "corrupt";
    case Errc::cancelled: return "cancelled";
    case Errc::internal: return "internal";
  }
  return "internal";
}

/// `detail` is for a person or the log; it never holds a secret or raw terminal bytes.
struct Error {
  Errc code = Errc::internal;
  std::string detail;
};

/// A value or an Error. Not a plain alias, so that a dropped Result is a warning.
template <class T>
class [[nodiscard]] Result : public tl::expected<T, Error> {
 public:
  using Base = tl::expected<T, Error>;
  using Base::Base;
  Result(Base base) : Base(std::move(base)) {}  // NOLINT: implicit on purpose, as tl::expected's own
};

/// `return fail(Errc::invalid, "...")` from any function that returns a Result.
[[nodiscard]] inline tl::unexpected<Error> fail(Errc code, std::string detail) {
  return tl::unexpected<Error>(Error{code, std::move(detail)});
}

/// Hands an error on with what was being done in front: `return fail_in("reading ca.pub", result.error())`.
[[nodiscard]] inline tl::unexpected<Error> fail_in(std::string_view doing, Error error) {
  return tl::unexpected<Error>(Error{error.code, std::string(doing) + ": " + std::move(error.detail)});
}

}  // namespace sallyport
