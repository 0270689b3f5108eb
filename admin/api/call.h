// admin/api/call.h -- one request on its way through a resource: who asks, what, and how it is answered.
#pragma once

#include <boost/json/fwd.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "platform/net/http_server.h"
#include "policy/authority/administration.h"

namespace sallyport::admin {

namespace json = boost::json;

/// Shared by everything that works on one request. Answer exactly once.
struct Call {
  net::HttpRequest request;
  net::HttpServer::Answer answer;
  authority::Operator who;
  std::vector<std::string> parts;  ///< of the path: "/v1/locks/X" is {"v1", "locks", "X"}
  authority::Administration& administration;

  void reply(const json::value& body, unsigned status = 200) const;
  /// Status by Errc; `code` of the catalogue, empty: the one that goes with the Errc.
  void refuse(const Error& error, std::string_view code = {}) const;
  void refuse_with(const Error& error, std::string_view code, json::array errors) const;

  /// False, and answered with 403, when this operator may not.
  [[nodiscard]] bool may(policy::AdminRight right) const;
  /// The body as an object. Null, and answered with 400, when it is none. An empty body is an empty object.
  [[nodiscard]] std::unique_ptr<json::object> body() const;
};
using CallPtr = std::shared_ptr<Call>;

/// A text field of a body, or `fallback` when it is missing or no text.
[[nodiscard]] std::string text_of(const json::object& object, std::string_view key, std::string_view fallback = {});
/// "2026-11-22T08:00:00Z"
[[nodiscard]] std::string utc_text(WallTime moment);
[[nodiscard]] std::string utc_text(std::int64_t microseconds);
[[nodiscard]] Result<WallTime> parse_utc(std::string_view text);

/// One function per resource; each answers every call it is given.
void serve_status(const CallPtr& call);
void serve_sessions(const CallPtr& call);
void serve_plan(const CallPtr& call);
void serve_apply(const CallPtr& call);
void serve_policy_versions(const CallPtr& call);
void serve_resources(const CallPtr& call);  ///< principals groups targets roles bindings
void serve_explain(const CallPtr& call);
void serve_locks(const CallPtr& call);
void serve_secrets(const CallPtr& call);
void serve_seal(const CallPtr& call);
void serve_unseal(const CallPtr& call);
void serve_recordings(const CallPtr& call);
void serve_search(const CallPtr& call);
void serve_events(const CallPtr& call);
void serve_keys(const CallPtr& call);

}  // namespace sallyport::admin
