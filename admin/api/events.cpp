// GET /v1/events?since=N&limit=M&session=LABEL: what the authority wrote to the journal since it started, at most the newest 4096. The
// journal itself holds everything (`sallyport events` reads it); this is for looking on. `complete` is false when events
// between `since` and the first one given are no longer held here. Accept: text/event-stream gives them as they are written.
// POST /v1/events/key: the key of sealed texts in them.
#include <boost/json.hpp>

#include "admin/api/call.h"
#include "platform/crypto/hex.h"
#include "policy/authority/text_keys.h"

namespace sallyport::admin {
namespace {

constexpr std::size_t k_at_once = 200;
constexpr std::uint32_t k_most = 4096;

json::object object_of(const authority::RecentEvent& event) {
  boost::system::error_code parse_error;
  json::value fields = json::parse(event.json, parse_error);
  return json::object{{"number", event.number},
                      {"sequence", event.sequence},
                      {"id", event.id},
                      {"at", utc_text(event.at)},
                      {"name", event.name},
                      {"session", event.session},
                      {"fields", parse_error ? json::value(nullptr) : std::move(fields)}};
}

/// It happened in this session, or speaks of it.
bool is_of(const json::object& event, std::string_view session) {
  const auto names = [&](const json::object& object) {
    const json::value* one = object.if_contains("session");
    return one != nullptr && one->is_string() && std::string_view(one->get_string()) == session;
  };
  return names(event) || (event.at("fields").is_object() && names(event.at("fields").get_object()));
}

void serve_key(const CallPtr& call) {
  if (call->parts.size() != 3 || call->parts[2] != "key") return call->refuse(Error{Errc::not_found, "POST to /v1/events/key"});
  if (!call->may(policy::AdminRight::view)) return;
  const auto body = call->body({{"reason", Field::Type::text, false, 1024}, {"wrapped", Field::Type::text, true, 64 * 1024}});
  if (!body) return;
  const std::string reason = text_of(*body, "reason");
  if (reason.empty()) return call->refuse(Error{Errc::invalid, ""}, "SP-7005");
  authority::read_text_key(call->administration.authority(), call->who, text_of(*body, "wrapped"), reason, [call](const Result<Secret>& key) {
    // What does not open was given by the caller: no fault of ours.
    if (!key && key.error().code == Errc::corrupt) return call->refuse(Error{Errc::invalid, "`wrapped` is no wrapped key: " + key.error().detail});
    if (!key) return call->refuse(key.error());
    call->reply(json::object{{"key", crypto::to_hex(key->reveal())}});
  });
}

}  // namespace

void serve_events(const CallPtr& call) {
  if (call->request.method == "POST") return serve_key(call);
  if (!call->may(policy::AdminRight::audit)) return;
  const auto since = call->number("since", 0);
  if (!since) return;
  const std::uint32_t limit = call->limit(200, k_most);
  if (limit == 0) return;
  const std::string session = call->request.argument("session");
  if (session.size() > 64) return call->refuse(Error{Errc::invalid, "session is the label of one session"});
  if (wants_stream(*call)) {
    auto last = std::make_shared<std::uint64_t>(static_cast<std::uint64_t>(*since));
    const std::string seen = call->request.header("last-event-id");
    if (!seen.empty() && seen.size() < 19 && seen.find_first_not_of("0123456789") == std::string::npos) *last = std::stoull(seen);
    return stream(call, policy::AdminRight::audit, [call, last]() -> std::string {
      std::string news;
      for (const authority::RecentEvent& event : call->administration.recent_events(*last, k_at_once)) {
        if (event.id.empty()) break;  // not stored yet: nobody is told of what may not have happened
        *last = event.number;
        news += sse(event.name, std::to_string(event.number), json::serialize(object_of(event)));
      }
      return news;
    });
  }
  json::array rows;
  std::uint64_t last = static_cast<std::uint64_t>(*since);
  for (const authority::RecentEvent& event : call->administration.recent_events(last, session.empty() ? limit : k_most)) {
    if (rows.size() == limit) break;
    last = event.number;
    json::object row = object_of(event);
    if (session.empty() || is_of(row, session)) rows.push_back(std::move(row));
  }
  const std::uint64_t oldest = call->administration.oldest_event();
  call->reply(json::object{{"events", std::move(rows)}, {"next", last}, {"oldest", oldest}, {"complete", oldest <= static_cast<std::uint64_t>(*since) + 1}});
}

}  // namespace sallyport::admin
