#include "admin/api/call.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstdio>
#include <ctime>

#include "platform/crypto/hash.h"
#include "platform/crypto/hex.h"
#include "platform/model/bytes.h"
#include "platform/model/json_text.h"
#include "platform/model/messages.h"
#include "policy/access/fields.h"

namespace sallyport::admin {
namespace {

struct Fate {
  unsigned status;
  std::string_view code;
};

/// The one table from Errc to HTTP.
Fate fate_of(Errc code) {
  switch (code) {
    case Errc::not_found: return {404, "SP-7002"};
    case Errc::denied: return {403, "SP-7003"};
    case Errc::sealed: return {423, "SP-7006"};
    case Errc::conflict: return {409, "SP-7004"};
    case Errc::invalid: return {400, "SP-7001"};
    case Errc::unavailable: return {503, "SP-7010"};
    case Errc::cancelled: return {503, "SP-7010"};
    case Errc::corrupt: return {500, "SP-5000"};
    case Errc::internal: return {500, "SP-5000"};
  }
  return {500, "SP-5000"};
}

}  // namespace

void Call::reply(const json::value& body, unsigned status) const {
  net::HttpResponse response;
  response.status = status;
  response.body = json_without_steering(json::serialize(body)) + "\n";
  answer(std::move(response));
}

void Call::refuse(const Error& error, std::string_view code) const { refuse_with(error, code, {}); }

void Call::refuse_with(const Error& error, std::string_view code, json::array errors) const {
  const Fate fate = fate_of(error.code);
  const Message& message = message_of(code.empty() ? fate.code : code);
  if (error.code == Errc::denied) {
    authority::EventJson event;
    event.text("principal", who.principal.empty() ? who.name : who.principal).text("from", request.peer.address).text("call", request.method + " " + printable(request.path.substr(0, 200)));
    administration.authority().note("api.refused", event.text("why", error.detail).text("decision", "deny").text("code", message.code));
  }
  json::object body;
  body["type"] = "https://sallyport.invalid/messages/" + std::string(message.code);
  body["title"] = std::string(message.what);
  body["status"] = fate.status;
  body["code"] = std::string(message.code);
  body["detail"] = error.detail.empty() ? std::string(message.why) : error.detail;
  body["remedy"] = std::string(message.remedy);
  if (!errors.empty()) body["errors"] = std::move(errors);
  net::HttpResponse response;
  response.status = fate.status;
  response.content_type = "application/problem+json";
  response.body = json_without_steering(json::serialize(body)) + "\n";
  answer(std::move(response));
}

void Call::refuse_status(unsigned status, std::string_view code, const std::string& detail, std::map<std::string, std::string> headers) const {
  const Message& message = message_of(code);
  net::HttpResponse response;
  response.status = status;
  response.content_type = "application/problem+json";
  response.headers = std::move(headers);
  response.body = json::serialize(json::object{{"type", "https://sallyport.invalid/messages/" + std::string(message.code)},
                                               {"title", std::string(message.what)},
                                               {"status", status},
                                               {"code", std::string(message.code)},
                                               {"detail", detail.empty() ? std::string(message.why) : detail},
                                               {"remedy", std::string(message.remedy)}}) +
                  "\n";
  answer(std::move(response));
}

bool Call::may(policy::AdminRight right) const {
  auto allowed = administration.may(who, right);
  if (allowed) return true;
  refuse(allowed.error());
  return false;
}

std::vector<std::string_view> items_of(std::string_view header) {
  std::vector<std::string_view> items;
  while (!header.empty()) {
    const auto comma = header.find(',');
    std::string_view one = header.substr(0, comma);
    header = comma == std::string_view::npos ? std::string_view{} : header.substr(comma + 1);
    while (one.starts_with(' ')) one.remove_prefix(1);
    while (one.ends_with(' ')) one.remove_suffix(1);
    items.push_back(one);
  }
  return items;
}

std::string etag_of(std::string_view body) { return "\"" + crypto::to_hex(crypto::sha256(bytes_of(body))).substr(0, 32) + "\""; }

bool matches_etag(std::string_view header, std::string_view etag) {
  const auto items = items_of(header);
  return std::any_of(items.begin(), items.end(), [&](std::string_view one) { return one == "*" || one == etag; });
}

std::string text_of(const json::object& object, std::string_view key, std::string_view fallback) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr || !value->is_string()) return std::string(fallback);
  return std::string(std::string_view(value->get_string()));
}

Result<std::chrono::seconds> parse_lasts(std::string_view text) {
  const auto lasts = policy::parse_duration(text);
  if (!lasts) return fail(Errc::invalid, "`" + std::string(text.substr(0, 40)) + "` is no duration; write 30m, 1h or 2d");
  return *lasts;
}

std::string utc_text(WallTime moment) {
  const auto seconds = static_cast<std::time_t>(std::chrono::floor<std::chrono::seconds>(moment.time_since_epoch()).count());
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  return std::string(text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts));
}

std::string utc_text(std::int64_t microseconds) {
  return microseconds == 0 ? std::string() : utc_text(WallTime(std::chrono::microseconds(microseconds)));
}

Result<WallTime> parse_utc(std::string_view text) {
  std::tm parts{};
  const std::string copy(text);
  char zone = 0;
  int used = 0;
  const int fields = std::sscanf(copy.c_str(), "%4d-%2d-%2dT%2d:%2d:%2d%c%n", &parts.tm_year, &parts.tm_mon, &parts.tm_mday, &parts.tm_hour,
                                 &parts.tm_min, &parts.tm_sec, &zone, &used);
  if (fields != 7 || zone != 'Z' || static_cast<std::size_t>(used) != copy.size())
    return fail(Errc::invalid, "`" + copy + "` is no moment; write 2026-11-22T08:00:00Z");
  const std::chrono::year_month_day day{std::chrono::year(parts.tm_year), std::chrono::month(static_cast<unsigned>(parts.tm_mon)),
                                        std::chrono::day(static_cast<unsigned>(parts.tm_mday))};
  if (!day.ok() || parts.tm_hour > 23 || parts.tm_min > 59 || parts.tm_sec > 60) return fail(Errc::invalid, "`" + copy + "` is no date");
  return WallTime(std::chrono::sys_days(day)) + std::chrono::hours(parts.tm_hour) + std::chrono::minutes(parts.tm_min) +
         std::chrono::seconds(parts.tm_sec);
}

}  // namespace sallyport::admin
