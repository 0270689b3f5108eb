// platform/model/ids.h -- names that cannot be mixed up.
#pragma once

#include <compare>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

namespace sallyport {

/// A string that names one kind of thing. Two kinds do not compare and do not convert.
template <class Tag>
class Id {
 public:
  Id() = default;
  explicit Id(std::string value) : value_(std::move(value)) {}
  [[nodiscard]] std::string_view view() const noexcept { return value_; }
  [[nodiscard]] const std::string& str() const noexcept { return value_; }
  [[nodiscard]] bool empty() const noexcept { return value_.empty(); }
  auto operator<=>(const Id&) const = default;

 private:
  std::string value_;
};

using SessionId = Id<struct SessionIdTag>;      ///< 26 characters, Crockford base32 of 48 bit ms time + 80 bit random (ULID)
using PrincipalId = Id<struct PrincipalIdTag>;  ///< the principal's name
using TargetId = Id<struct TargetIdTag>;        ///< the target's name; identity = instance id + host keys
using AccountName = Id<struct AccountNameTag>;  ///< a login name on a target

}  // namespace sallyport

template <class Tag>
struct std::hash<sallyport::Id<Tag>> {
  std::size_t operator()(const sallyport::Id<Tag>& id) const noexcept { return std::hash<std::string_view>{}(id.view()); }
};
