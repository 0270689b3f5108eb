// admin/oidc/oidc_wire.h -- what the two sides of the OIDC helper say to each other, as JSON.
#pragma once

#include <boost/json/value.hpp>
#include <optional>
#include <string>

#include "policy/authority/identity_provider.h"

namespace sallyport::admin {

[[nodiscard]] boost::json::object to_json(const policy::OidcIdentity& identity);
[[nodiscard]] boost::json::object to_json(const authority::DeviceGrant& grant);
[[nodiscard]] boost::json::object to_json(const authority::DevicePoll& poll);

/// Nothing when it is none.
[[nodiscard]] std::optional<policy::OidcIdentity> identity_of(const boost::json::object& object);
[[nodiscard]] std::optional<authority::DeviceGrant> grant_of(const boost::json::object& object);
[[nodiscard]] std::optional<authority::DevicePoll> poll_of(const boost::json::object& object);
[[nodiscard]] std::string text_field(const boost::json::object& object, std::string_view name);

}  // namespace sallyport::admin
