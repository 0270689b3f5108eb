// admin/api/call.h -- one request on its way through a resource: who asks, what, and how it is answered.
#pragma once

#include <boost/json/fwd.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <functional>
#include <initializer_list>
#include <map>
#include <optional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "platform/net/http_server.h"
#include "policy/authority/administration.h"

namespace sallyport::admin {

namespace json = boost::json;

class Viewings;
class Terminals;

/// One key that a body may have. Everything else, a null, another type or a second value of the same key is refused.
struct Field {
  enum class Type { text, flag, number, list, map };
  std::string_view name;
  Type type = Type::text;
  bool required = false;
  std::size_t most = 4096;  ///< bytes of a text, entries of a list or map, the value of a number
};

/// Shared by everything that works on one request. Answer exactly once.
struct Call {
  net::HttpRequest request;
  net::HttpServer::Answer answer;
  authority::Operator who;
  std::vector<std::string> parts;  ///< of the path: "/v1/locks/X" is {"v1", "locks", "X"}
  authority::Administration& administration;
  Viewings* viewings = nullptr;
  Terminals* terminals = nullptr;

  void reply(const json::value& body, unsigned status = 200) const;
  /// Status by Errc; `code` of the catalogue, empty: the one that goes with the Errc.
  void refuse(const Error& error, std::string_view code = {}) const;
  void refuse_with(const Error& error, std::string_view code, json::array errors) const;

  /// False, and answered with 403, when this operator may not.
  [[nodiscard]] bool may(policy::AdminRight right) const;
  /// The body as an object of these fields. Null, and answered with 400 and a JSON pointer for each thing that is wrong. An empty body
  /// is an empty object.
  [[nodiscard]] std::unique_ptr<json::object> body(std::initializer_list<Field> fields) const;
  /// For what no Errc says: 401, 405, 412, 415, 428, 429.
  void refuse_status(unsigned status, std::string_view code, const std::string& detail, std::map<std::string, std::string> headers = {}) const;
  /// `?limit=`; 0, and answered with 400, when it is wrong.
  [[nodiscard]] std::uint32_t limit(std::uint32_t fallback, std::uint32_t most) const;
  /// A number in the query; nothing, and answered with 400, when it is wrong.
  [[nodiscard]] std::optional<std::int64_t> number(const std::string& name, std::int64_t fallback) const;
};
using CallPtr = std::shared_ptr<Call>;

/// May this caller go on? A token that was revoked, a lock or a new policy ends what is open.
[[nodiscard]] bool still_may(const Call& call, std::optional<policy::AdminRight> right);

/// The parts of a header that is a list with commas, without the blanks around them.
[[nodiscard]] std::vector<std::string_view> items_of(std::string_view header);
[[nodiscard]] std::string etag_of(std::string_view body);
/// RFC 9110 section 13.1.1: strong comparison; "*" is any present state.
[[nodiscard]] bool matches_etag(std::string_view header, std::string_view etag);
/// A text field of a body, or `fallback` when it is missing or no text.
[[nodiscard]] std::string text_of(const json::object& object, std::string_view key, std::string_view fallback = {});
/// "2026-11-22T08:00:00Z"
[[nodiscard]] std::string utc_text(WallTime moment);
[[nodiscard]] std::string utc_text(std::int64_t microseconds);
[[nodiscard]] Result<WallTime> parse_utc(std::string_view text);
/// "90s", "15m", "8h"; Errc::invalid for anything else.
[[nodiscard]] Result<std::chrono::seconds> parse_lasts(std::string_view text);

/// Where ssh clients come in: `host` (empty: where the page was opened) and `port`.
[[nodiscard]] json::object ssh_address(const Call& call);

/// Does the caller want the answer as server-sent events?
[[nodiscard]] bool wants_stream(const Call& call);
/// Answers with a stream: `next` is called a few times in a second and gives what is new ("" for nothing); it ends when the caller's
/// rights do. `next` must hold the call.
void stream(const CallPtr& call, std::optional<policy::AdminRight> right, std::function<std::string()> next);
/// One server-sent event.
[[nodiscard]] std::string sse(std::string_view event, std::string_view id, std::string_view json_text);

/// One function per resource; each answers every call it is given.
void serve_status(const CallPtr& call);
void serve_sessions(const CallPtr& call);
void serve_plan(const CallPtr& call);
void serve_apply(const CallPtr& call);
void serve_policy_versions(const CallPtr& call);
void serve_resources(const CallPtr& call);  ///< principals groups targets roles bindings
void serve_explain(const CallPtr& call);
void serve_checkpoints(const CallPtr& call);
void serve_nodes(const CallPtr& call);
void serve_health(const CallPtr& call);
void serve_locks(const CallPtr& call);
void serve_secrets(const CallPtr& call);
void serve_seal(const CallPtr& call);
void serve_unseal(const CallPtr& call);
void serve_recordings(const CallPtr& call);
void serve_recording_holds(const CallPtr& call);
/// POST /v1/recordings/{session}/erase, rewrap, wrapped-key, hold or release.
[[nodiscard]] bool is_recording_act(const CallPtr& call);
void serve_recording_act(const CallPtr& call);
void serve_search(const CallPtr& call);
void serve_viewings(const CallPtr& call);
void serve_terminals(const CallPtr& call);
void serve_access_review(const CallPtr& call);
void serve_reachable(const CallPtr& call);
void serve_events(const CallPtr& call);
void serve_keys(const CallPtr& call);
void serve_requests(const CallPtr& call);
void serve_tokens(const CallPtr& call);
void serve_whoami(const CallPtr& call);
void serve_invites(const CallPtr& call);
void serve_enrolments(const CallPtr& call);
void serve_certificates(const CallPtr& call);
void serve_passkeys(const CallPtr& call);
void serve_own_keys(const CallPtr& call);
void serve_one_time_code(const CallPtr& call);
void serve_recovery_codes(const CallPtr& call);
void serve_envelopes(const CallPtr& call);

}  // namespace sallyport::admin
