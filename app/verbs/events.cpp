#include "app/verbs/events.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cctype>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <deque>
#include <optional>

#include "app/verbs/exit_codes.h"
#include "app/verbs/moments.h"
#include "platform/model/clock.h"
#include "platform/model/json_text.h"
#include "recorder/replay/journal_files.h"

namespace sallyport::app {
namespace {

namespace json = boost::json;

constexpr useconds_t k_look_again_us = 200'000;

std::string utc_text(std::int64_t microseconds) {
  const std::time_t seconds = microseconds / 1'000'000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[96];
  std::snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min,
                parts.tm_sec, static_cast<int>(microseconds / 1000 % 1000));
  return text;
}

bool begins_with(std::string_view text, std::string_view prefix) {
  return text.size() >= prefix.size() && std::equal(prefix.begin(), prefix.end(), text.begin(), [](char a, char b) {
           return std::toupper(static_cast<unsigned char>(a)) == std::toupper(static_cast<unsigned char>(b));
         });
}

/// A field of the event, also of what a session reported about itself.
std::string field_of(const json::object& fields, std::string_view key) {
  const json::object* places[] = {&fields, nullptr};
  if (const json::value* reported = fields.if_contains("reported")) places[1] = reported->if_object();
  for (const json::object* place : places) {
    const json::value* value = place == nullptr ? nullptr : place->if_contains(key);
    if (value != nullptr && value->is_string()) return std::string(std::string_view(value->get_string()));
    if (value != nullptr && value->is_bool()) return value->get_bool() ? "true" : "false";
  }
  return {};
}

class Filter {
 public:
  Filter(const EventsOptions& options, std::int64_t since_us) : options_(options), since_us_(since_us) {}

  [[nodiscard]] std::optional<json::object> take(const replay::AuditEvent& event) const {
    if (event.wall_us < since_us_ || !begins_with(event.session, options_.session) || !name_fits(event.name)) return std::nullopt;
    boost::system::error_code error;
    json::value parsed = json::parse(json::string_view(event.json.data(), event.json.size()), error);
    json::object fields = !error && parsed.is_object() ? std::move(parsed.get_object()) : json::object{{"unreadable", event.json}};
    for (const auto& [key, wanted] : {std::pair{"principal", &options_.principal}, std::pair{"target", &options_.target}, std::pair{"code", &options_.code}})
      if (!wanted->empty() && field_of(fields, key) != *wanted) return std::nullopt;
    if (options_.denied && field_of(fields, "decision") != "deny") return std::nullopt;
    if (options_.alarms && field_of(fields, "alarm") != "true") return std::nullopt;
    if (const auto place = fields.find("session"); place != fields.end()) fields.stable_erase(place);
    return json::object{{"at", utc_text(event.wall_us)}, {"id", event.id}, {"name", event.name}, {"session", event.session}, {"fields", std::move(fields)}};
  }

 private:
  [[nodiscard]] bool name_fits(std::string_view name) const {
    if (options_.name.empty()) return true;
    return options_.name.ends_with('.') ? name.starts_with(options_.name) : name == options_.name;
  }
  const EventsOptions& options_;
  std::int64_t since_us_;
};

constexpr std::array k_csv_fields{"principal", "target", "account", "source", "decision", "code"};

std::string plain(const json::value& value) {
  if (value.is_string()) return std::string(std::string_view(value.get_string()));
  return json::serialize(value);
}

void print_one(Format format, const json::object& row) {
  if (format == Format::csv) {
    std::vector<std::string> cells;
    for (const char* key : {"at", "id", "name", "session"}) cells.push_back(plain(row.at(key)));
    const json::object& fields = row.at("fields").get_object();
    for (const char* key : k_csv_fields) cells.push_back(printable(field_of(fields, key)));
    cells.push_back(json_without_steering(json::serialize(fields)));
    std::printf("%s\r\n", csv_line(cells).c_str());
    return;
  }
  if (format != Format::table) {
    std::printf("%s\n", json_without_steering(json::serialize(row)).c_str());
    return;
  }
  std::string line = plain(row.at("at")) + "  " + plain(row.at("name"));
  if (!row.at("session").get_string().empty()) line += "  session=" + plain(row.at("session"));
  for (const auto& [key, value] : row.at("fields").get_object()) line += " " + std::string(std::string_view(key)) + "=" + plain(value);
  std::printf("%s\n", printable(line).c_str());
}

volatile std::sig_atomic_t stopped = 0;

}  // namespace

int run_events(const EventsOptions& options) {
  if (options.unseal && options.text_keys.reason.empty() && options.text_keys.recipient_key.empty()) return usage_error(k_unseal_needs);
  if (options.follow) std::signal(SIGINT, [](int) { stopped = 1; });
  const auto window = window_between(options.since, {});
  if (!window) return report(window.error());
  auto files = replay::JournalFiles::open(options.place.journal);
  if (!files) return report(files.error());
  std::size_t damages = 0;
  files->on_damage([&](const replay::FileDamage&) { ++damages; });
  const Filter filter(options, window->since_us);
  TextReader texts(text_keys_of(options.common, options.text_keys));
  const Format format = options.common.format;
  std::deque<json::object> newest;
  const auto read_on = [&](auto&& use) {
    while (auto frame = files->next()) {
      if (frame->header.type != static_cast<std::uint32_t>(replay::FrameType::audit_event)) continue;
      const auto event = replay::parse_audit_event(frame->payload);
      if (!event) continue;
      if (event->name == seal::k_text_key_event) texts.note_key(event->json);
      auto row = filter.take(*event);
      if (!row) continue;
      if (options.unseal) texts.open(event->name, event->session, row->at("fields").get_object());
      use(std::move(*row));
    }
  };
  read_on([&](json::object row) {
    newest.push_back(std::move(row));
    if (options.limit != 0 && newest.size() > options.limit) newest.pop_front();
  });
  if (format == Format::csv) {
    std::printf("at,id,name,session");
    for (const char* key : k_csv_fields) std::printf(",%s", key);
    std::printf(",fields\r\n");
  }
  if (format == Format::json && !options.follow) {
    std::printf("%s\n", json_without_steering(json::serialize(json::array(newest.begin(), newest.end()))).c_str());
  } else {
    for (const json::object& row : newest) print_one(format, row);
  }
  if (options.follow) {
    while (stopped == 0 && std::fflush(stdout) == 0) {
      ::usleep(k_look_again_us);
      read_on([&](const json::object& row) { print_one(format, row); });
    }
    return k_exit_interrupted;
  }
  if (newest.empty() && format == Format::table) std::fprintf(stderr, "no such event\n");
  if (damages > 0) std::fprintf(stderr, "sallyport: %zu place(s) of the journal cannot be read: run sallyport verify\n", damages);
  return k_exit_ok;
}

}  // namespace sallyport::app
