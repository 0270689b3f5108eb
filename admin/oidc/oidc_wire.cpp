#include "admin/oidc/oidc_wire.h"

#include <algorithm>
#include <array>
#include <boost/json.hpp>

namespace sallyport::admin {
namespace {

namespace json = boost::json;
using State = authority::DevicePoll::State;

constexpr std::array<std::string_view, 5> k_states{"pending", "slow_down", "refused", "expired", "proven"};

std::int64_t number_field(const json::object& object, std::string_view name) {
  const json::value* value = object.if_contains(name);
  return value != nullptr && value->is_int64() ? value->get_int64() : 0;
}

bool flag_field(const json::object& object, std::string_view name) {
  const json::value* value = object.if_contains(name);
  return value != nullptr && value->is_bool() && value->get_bool();
}

std::vector<std::string> list_field(const json::object& object, std::string_view name) {
  std::vector<std::string> items;
  const json::value* value = object.if_contains(name);
  if (value == nullptr || !value->is_array()) return items;
  for (const json::value& one : value->get_array())
    if (one.is_string()) items.emplace_back(std::string_view(one.get_string()));
  return items;
}

}  // namespace

std::string text_field(const json::object& object, std::string_view name) {
  const json::value* value = object.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(std::string_view(value->get_string())) : std::string();
}

json::object to_json(const policy::OidcIdentity& identity) {
  return {{"subject", identity.subject},       {"name", identity.name},
          {"email_verified", identity.email_verified}, {"has_groups", identity.has_groups},
          {"groups", json::array(identity.groups.begin(), identity.groups.end())}, {"acr", identity.acr},
          {"amr", json::array(identity.amr.begin(), identity.amr.end())}, {"authenticated", identity.authenticated}};
}

json::object to_json(const authority::DeviceGrant& grant) {
  return {{"device_code", grant.device_code}, {"user_code", grant.user_code},       {"address", grant.address},
          {"full_address", grant.full_address}, {"expires", grant.expires.count()}, {"interval", grant.interval.count()}};
}

json::object to_json(const authority::DevicePoll& poll) {
  json::object object = poll.state == State::proven ? to_json(poll.identity) : json::object();
  object["state"] = k_states[static_cast<std::size_t>(poll.state)];
  return object;
}

std::optional<policy::OidcIdentity> identity_of(const json::object& object) {
  policy::OidcIdentity identity;
  identity.subject = text_field(object, "subject");
  identity.name = text_field(object, "name");
  identity.email_verified = flag_field(object, "email_verified");
  identity.has_groups = flag_field(object, "has_groups");
  identity.groups = list_field(object, "groups");
  identity.acr = text_field(object, "acr");
  identity.amr = list_field(object, "amr");
  identity.authenticated = number_field(object, "authenticated");
  if (identity.subject.empty() || identity.name.empty() || identity.groups.size() > policy::k_most_claimed_groups) return std::nullopt;
  return identity;
}

std::optional<authority::DeviceGrant> grant_of(const json::object& object) {
  authority::DeviceGrant grant;
  grant.device_code = text_field(object, "device_code");
  grant.user_code = text_field(object, "user_code");
  grant.address = text_field(object, "address");
  grant.full_address = text_field(object, "full_address");
  grant.expires = std::chrono::seconds(std::clamp<std::int64_t>(number_field(object, "expires"), 10, 1800));
  grant.interval = std::chrono::seconds(std::clamp<std::int64_t>(number_field(object, "interval"), 1, 60));
  if (grant.device_code.empty() || grant.user_code.empty() || grant.address.empty()) return std::nullopt;
  return grant;
}

std::optional<authority::DevicePoll> poll_of(const json::object& object) {
  const auto found = std::find(k_states.begin(), k_states.end(), text_field(object, "state"));
  if (found == k_states.end()) return std::nullopt;
  authority::DevicePoll poll;
  poll.state = static_cast<State>(found - k_states.begin());
  if (poll.state != State::proven) return poll;
  auto identity = identity_of(object);
  if (!identity) return std::nullopt;
  poll.identity = std::move(*identity);
  return poll;
}

}  // namespace sallyport::admin
