// GET /v1/events?since=N&limit=M: what the authority wrote to the journal since it started, at most the newest 4096. The
// journal itself holds everything (`sallyport events` reads it); this is for looking on. `complete` is false when events
// between `since` and the first one given are no longer held here.
#include <boost/json.hpp>
#include <charconv>

#include "admin/api/call.h"

namespace sallyport::admin {

void serve_events(const CallPtr& call) {
  if (!call->may(policy::AdminRight::audit)) return;
  std::uint64_t since = 0;
  std::size_t limit = 200;
  const std::string from = call->request.argument("since", "0");
  const std::string most = call->request.argument("limit", "200");
  const auto [end, error] = std::from_chars(from.data(), from.data() + from.size(), since);
  const auto [most_end, most_error] = std::from_chars(most.data(), most.data() + most.size(), limit);
  if (error != std::errc{} || end != from.data() + from.size() || most_error != std::errc{} || most_end != most.data() + most.size() || limit == 0 || limit > 4096)
    return call->refuse(Error{Errc::invalid, "since is a number, limit is 1 to 4096"});
  json::array rows;
  std::uint64_t last = since;
  for (const authority::RecentEvent& event : call->administration.recent_events(since, limit)) {
    boost::system::error_code parse_error;
    json::value fields = json::parse(event.json, parse_error);
    last = event.number;
    rows.push_back(json::object{{"number", event.number},
                                {"sequence", event.sequence},
                                {"id", event.id},
                                {"at", utc_text(event.at)},
                                {"name", event.name},
                                {"session", event.session},
                                {"fields", parse_error ? json::value(nullptr) : std::move(fields)}});
  }
  const std::uint64_t oldest = call->administration.oldest_event();
  call->reply(json::object{{"events", std::move(rows)}, {"next", last}, {"oldest", oldest}, {"complete", oldest <= since + 1}});
}

}  // namespace sallyport::admin
