#include "app/verbs/reports.h"

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cstdio>
#include <map>
#include <tuple>

#include "app/config.h"
#include "app/verbs/admin_client.h"
#include "app/verbs/exit_codes.h"
#include "app/verbs/moments.h"
#include "platform/model/clock.h"
#include "platform/model/json_text.h"
#include "platform/seal/sealed_text.h"
#include "recorder/replay/journal_files.h"
#include "recorder/replay/playback.h"

namespace sallyport::app {
namespace {

namespace json = boost::json;

struct Window : MomentWindow {
  std::filesystem::path journal;
};

Result<Window> window_of(const Common& common, const ReportOptions& options) {
  const auto moments = window_between(options.since, options.until);
  if (!moments) return tl::unexpected(moments.error());
  Window window{*moments, {}};
  window.journal = options.journal;
  if (!window.journal.empty()) return window;
  auto config = load_config(common.config);
  if (!config) return tl::unexpected(config.error());
  window.journal = config->state_of("recorder") / "journal";
  return window;
}

/// Gives every event of the window to `use`, oldest first; `texts` opens what is sealed in them.
template <class Use>
Result<void> read_events(const Window& window, Use use, TextReader* texts = nullptr) {
  auto files = replay::JournalFiles::open(window.journal);
  if (!files) return tl::unexpected(files.error());
  std::size_t damages = 0;
  files->on_damage([&](const replay::FileDamage&) { ++damages; });
  while (auto frame = files->next()) {
    if (frame->header.type != static_cast<std::uint32_t>(replay::FrameType::audit_event)) continue;
    const auto event = replay::parse_audit_event(frame->payload);
    if (event && texts != nullptr && event->name == seal::k_text_key_event) texts->note_key(event->json);
    if (!event || event->wall_us < window.since_us || event->wall_us > window.until_us) continue;
    const std::string opened = texts == nullptr ? std::string() : texts->opened(event->name, event->session, event->json);
    if (const auto fields = JsonFields::parse(texts == nullptr ? std::string_view(event->json) : opened)) use(*event, *fields);
  }
  if (damages > 0) std::fprintf(stderr, "sallyport: %zu place(s) of the journal cannot be read, so this report may lack rows: run sallyport verify\n", damages);
  return {};
}

std::string moment(std::int64_t wall_us) { return replay::time_text(wall_us); }

bool is_one_of(std::string_view name, std::span<const std::string_view> names) {
  return std::any_of(names.begin(), names.end(), [name](std::string_view one) { return one.ends_with('.') ? name.starts_with(one) : name == one; });
}

/// Who did it: the principal, or whoever an act of administration says it was.
std::string actor_of(const JsonFields& fields) {
  for (const std::string_view key : {"principal", "by", "user", "for"})
    if (const std::string_view value = fields.get(key); !value.empty()) return std::string(value);
  return {};
}

json::object row_of(const replay::AuditEvent& event, const JsonFields& fields) {
  return json::object{{"at", moment(event.wall_us)},
                      {"event_id", event.id},
                      {"event", event.name},
                      {"session", event.session},
                      {"principal", actor_of(fields)},
                      {"source", fields.get("source")},
                      {"target", fields.get("target")},
                      {"account", fields.get("account")}};
}

bool wanted(const ReportOptions& options, const json::object& row) {
  const auto fits = [&](const std::string& want, const char* key) { return want.empty() || row.at(key).as_string() == json::string_view(want); };
  return fits(options.principal, "principal") && fits(options.target, "target");
}

std::string first_of(const JsonFields& fields, std::span<const std::string_view> keys) {
  for (const std::string_view key : keys)
    if (const std::string_view value = fields.get(key); !value.empty()) return std::string(value);
  return {};
}

constexpr std::array<std::string_view, 17> k_privileged{"target.connected", "channel.decided", "jump.opened",     "lease.started",   "admin.intended", "policy.applied",
                                                        "lock.",            "secret.put",      "secret.deleted",  "vault.",          "token.",         "recording.viewed",
                                                        "recording.look_refused", "recording.searched", "recording.consented", "session.end_ordered", "request.approved"};
constexpr std::array<std::string_view, 6> k_what{"command", "act", "path", "secret", "host", "credential"};
/// What a right was used for; what was run is sealed.
std::string what_of(const JsonFields& fields) {
  if (std::string what = first_of(fields, k_what); !what.empty()) return what;
  return seal::text_key_of(fields.get("sealed")).empty() ? std::string() : "(sealed; --unseal shows it)";
}

constexpr std::array<std::string_view, 5> k_failures{"auth.attempted", "auth.timed_out", "api.token_refused", "web.forged_request", "invite.exhausted"};

std::string text_at(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_string() ? std::string(std::string_view(value->get_string())) : std::string();
}

struct Use {
  std::string at;
  std::string event_id;
  std::uint64_t times = 0;
};
using Uses = std::map<std::tuple<std::string, std::string, std::string>, Use>;

/// The last use of every right, and the event that put the policy in force.
struct Past {
  Uses uses;
  std::string policy_event;
  std::string policy_at;
};

Result<Past> read_past(const Window& window) {
  Past past;
  Window all = window;
  all.since_us = 0;  // the policy may be older than the time that is looked at
  auto read = read_events(all, [&](const replay::AuditEvent& event, const JsonFields& fields) {
    if (event.name == "policy.applied") {
      past.policy_event = event.id;
      past.policy_at = moment(event.wall_us);
    }
    if (event.name != "target.connected" || event.wall_us < window.since_us) return;
    Use& use = past.uses[{std::string(fields.get("principal")), std::string(fields.get("target")), std::string(fields.get("account"))}];
    use.at = moment(event.wall_us);
    use.event_id = event.id;
    ++use.times;
  });
  if (!read) return tl::unexpected(read.error());
  return past;
}

}  // namespace

int run_access_review(const Common& common, const ReportOptions& options) {
  auto window = window_of(common, options);
  if (!window) return report(window.error());
  auto client = AdminClient::find(common);
  if (!client) return report(client.error());
  auto past = read_past(*window);
  if (!past) return report(past.error());
  auto targets = client->get("/v1/targets");
  if (!targets) return report(targets.error());
  const json::array* list = targets->if_array();
  if (const json::object* object = targets->if_object())
    for (const auto& [key, value] : *object)
      if (list == nullptr) list = value.if_array();
  json::array rows;
  for (const json::value& one : list == nullptr ? json::array() : *list) {
    const std::string target = one.is_object() ? text_at(one.get_object(), "name") : std::string();
    if (target.empty() || (!options.target.empty() && options.target != target)) continue;
    auto reach = client->get("/v1/policy/reach" + query_of({{"target", target}}));
    if (!reach) return report(reach.error());
    for (const json::value& right : reach->as_object().at("reach").as_array()) {
      const json::object& object = right.as_object();
      const std::string principal = text_at(object, "principal");
      const std::string account = text_at(object, "account");
      if (!options.principal.empty() && options.principal != principal) continue;
      const auto used = past->uses.find({principal, target, account});
      const bool was_used = used != past->uses.end();
      if (options.unused && was_used) continue;
      rows.push_back(json::object{{"principal", principal},
                                  {"target", target},
                                  {"account", account},
                                  {"how", text_at(object, "how")},
                                  {"rule", text_at(object, "rule")},
                                  {"granted_at", past->policy_at},
                                  {"last_used", was_used ? used->second.at : ""},
                                  {"times_used", was_used ? used->second.times : 0},
                                  {"event_id", was_used ? used->second.event_id : past->policy_event}});
    }
  }
  print_rows(common, rows,
             {{"PRINCIPAL", "principal"}, {"TARGET", "target"}, {"ACCOUNT", "account"}, {"HOW", "how"}, {"RULE", "rule"}, {"GRANTED", "granted_at"}, {"LAST USED", "last_used"},
              {"TIMES", "times_used"}, {"EVENT", "event_id"}},
             options.unused ? "every right was used" : "nobody may reach anything");
  return k_exit_ok;
}

int run_privileged_use(const Common& common, const ReportOptions& options) {
  auto window = window_of(common, options);
  if (!window) return report(window.error());
  if (options.unseal && options.text_keys.reason.empty() && options.text_keys.recipient_key.empty()) return usage_error(k_unseal_needs);
  json::array rows;
  TextReader texts(text_keys_of(common, options.text_keys));
  auto read = read_events(
      *window,
      [&](const replay::AuditEvent& event, const JsonFields& fields) {
        if (!is_one_of(event.name, k_privileged)) return;
        json::object row = row_of(event, fields);
        if (!wanted(options, row)) return;
        row.emplace("kind", fields.get("kind"));
        row.emplace("what", what_of(fields));
        row.emplace("decision", fields.get("decision"));
        row.emplace("code", fields.get("code"));
        row.emplace("rule", fields.get("rule"));
        row.emplace("reason", fields.get("reason"));
        rows.push_back(std::move(row));
      },
      options.unseal ? &texts : nullptr);
  if (!read) return report(read.error());
  print_rows(common, rows,
             {{"AT", "at"}, {"EVENT", "event_id"}, {"NAME", "event"}, {"PRINCIPAL", "principal"}, {"SOURCE", "source"}, {"TARGET", "target"}, {"ACCOUNT", "account"}, {"KIND", "kind"},
              {"WHAT", "what"}, {"DECISION", "decision"}, {"CODE", "code"}, {"RULE", "rule"}, {"REASON", "reason"}, {"SESSION", "session"}},
             "nothing of that kind happened");
  return k_exit_ok;
}

int run_auth_failures(const Common& common, const ReportOptions& options) {
  auto window = window_of(common, options);
  if (!window) return report(window.error());
  json::array rows;
  auto read = read_events(*window, [&](const replay::AuditEvent& event, const JsonFields& fields) {
    const std::string_view result = fields.get("result");
    // An offered key proves nothing and is asked for by every client; a proven factor of several is no failure.
    const bool is_step = event.name == "auth.attempted" && (result == "offered" || result == "partial" || result == "asked");
    if (!is_one_of(event.name, k_failures) || is_step) return;
    json::object row = row_of(event, fields);
    if (!wanted(options, row)) return;
    if (row.at("source").as_string().empty()) row["source"] = fields.get("from");
    row.emplace("method", fields.get("method"));
    row.emplace("result", event.name == "auth.attempted" ? result : std::string_view("refused"));
    row.emplace("reason", first_of(fields, std::array<std::string_view, 3>{"reason", "why", "code"}));
    rows.push_back(std::move(row));
  });
  if (!read) return report(read.error());
  print_rows(common, rows,
             {{"AT", "at"}, {"EVENT", "event_id"}, {"NAME", "event"}, {"PRINCIPAL", "principal"}, {"SOURCE", "source"}, {"METHOD", "method"}, {"RESULT", "result"}, {"REASON", "reason"},
              {"SESSION", "session"}},
             "no login failed");
  return k_exit_ok;
}

}  // namespace sallyport::app
