#include "admin/sinks/event_formats.h"

#include <algorithm>
#include <array>
#include <boost/json.hpp>

#include "platform/model/json_text.h"

namespace sallyport::admin {
namespace {

namespace json = boost::json;

constexpr int k_other = 99;

/// A field of the event; of what a session reported about itself when the event has none of its own.
class Fields {
 public:
  explicit Fields(const std::string& text) {
    json::error_code wrong;
    json::value parsed = json::parse(text, wrong);
    if (!wrong && parsed.is_object()) own_ = std::move(parsed.get_object());
    else own_.emplace("unreadable", printable(text));
    if (const json::value* reported = own_.if_contains("reported"); reported != nullptr) reported_ = reported->if_object();
  }
  [[nodiscard]] std::string text(std::string_view key) const {
    for (const json::object* place : {&own_, reported_}) {
      const json::value* value = place == nullptr ? nullptr : place->if_contains(key);
      if (value == nullptr) continue;
      return value->is_string() ? std::string(std::string_view(value->get_string())) : json::serialize(*value);
    }
    return {};
  }
  [[nodiscard]] std::string first(std::initializer_list<std::string_view> keys) const {
    for (const std::string_view key : keys)
      if (std::string value = text(key); !value.empty()) return value;
    return {};
  }
  [[nodiscard]] const json::object& all() const { return own_; }

 private:
  json::object own_;
  const json::object* reported_ = nullptr;
};

bool begins(std::string_view name, std::initializer_list<std::string_view> prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(), [name](std::string_view prefix) { return name.starts_with(prefix); });
}

/// What an event did, as all three formats need it.
enum class Result3 { done, refused, failed };

Result3 result_of(std::string_view name, const Fields& fields) {
  const std::string result = fields.text("result");
  if (fields.text("decision") == "ignore") return Result3::done;  // a locale that was not passed on: nobody was denied anything
  if (fields.text("decision") == "deny" || name.ends_with("_refused") || name.ends_with(".refused")) return Result3::refused;
  if (result == "refused" || name.ends_with("_failed") || name.ends_with(".failed") || name == "auth.timed_out" || name == "target.lost") return Result3::failed;
  return Result3::done;
}

/// OCSF's severities: 1 informational, 3 medium, 5 critical.
int severity_of(std::string_view name, const Fields& fields) {
  if (fields.text("alarm") == "true") return 5;
  return result_of(name, fields) == Result3::done ? 1 : 3;
}

int authentication_activity(std::string_view name) {
  if (name.starts_with("auth.") || name == "web.session_opened") return 1;   // Logon
  if (name == "web.session_closed") return 2;                                // Logoff
  return k_other;
}

int account_activity(std::string_view name) {
  if (name == "lock.set") return 9;        // Lock
  if (name == "lock.removed") return 12;   // Unlock
  if (name == "secret.put") return 3;      // Password Change
  if (name == "secret.deleted" || name.ends_with("_removed") || name.ends_with(".revoked")) return 6;   // Delete
  if (name.ends_with("created") || name.ends_with("_added")) return 1;       // Create
  return k_other;
}

int api_activity(std::string_view name, const Fields& fields) {
  if (begins(name, {"recording.viewed", "recording.searched"})) return 2;    // Read
  const std::string act = fields.text("act");
  if (name.ends_with(".created") || act.ends_with(".create")) return 1;
  if (name.ends_with(".deleted") || name.ends_with(".revoked") || act.ends_with(".delete")) return 4;
  if (begins(name, {"policy.applied", "vault.", "admin.intended"})) return 3;
  return k_other;
}

int ssh_activity(std::string_view name, Result3 result) {
  if (result == Result3::refused) return 5;
  if (result == Result3::failed) return 4;
  if (name == "session.started" || name == "target.connected" || name == "target.dialled" || name == "jump.opened") return 1;
  if (name == "session.ended" || name == "channel.closed") return 2;
  if (name == "session.cut" || name == "session.killed" || name == "channel.cut" || name == "session.crashed") return 3;
  if (begins(name, {"file.", "rsync.", "transfer.", "tunnel.", "channel.decided"})) return 6;
  return k_other;
}

struct ClassWords {
  OcsfClass uid;
  int category;
  std::string_view name;
  std::string_view category_name;
};
constexpr std::array k_classes{ClassWords{OcsfClass::account_change, 3, "Account Change", "Identity & Access Management"},
                               ClassWords{OcsfClass::authentication, 3, "Authentication", "Identity & Access Management"},
                               ClassWords{OcsfClass::ssh_activity, 4, "SSH Activity", "Network Activity"},
                               ClassWords{OcsfClass::api_activity, 6, "API Activity", "Application Activity"}};

int activity_of(OcsfClass uid, std::string_view name, const Fields& fields) {
  switch (uid) {
    case OcsfClass::account_change: return account_activity(name);
    case OcsfClass::authentication: return authentication_activity(name);
    case OcsfClass::api_activity: return api_activity(name, fields);
    case OcsfClass::ssh_activity: return ssh_activity(name, result_of(name, fields));
  }
  return k_other;
}

json::object endpoint(const std::string& text) {
  json::object out;
  if (text.empty()) return out;
  const bool is_address = text.find_first_not_of("0123456789abcdefABCDEF.:[]") == std::string::npos;
  out.emplace(is_address ? "ip" : "hostname", text);
  return out;
}

std::string actor_of(const Fields& fields) { return fields.first({"principal", "by", "user", "for"}); }

json::object ocsf_of(const OutgoingEvent& event, const Fields& fields, const std::string& node, const std::string& version) {
  const OcsfClass uid = ocsf_class_of(event.name);
  const ClassWords& words = *std::find_if(k_classes.begin(), k_classes.end(), [uid](const ClassWords& one) { return one.uid == uid; });
  const int activity = activity_of(uid, event.name, fields);
  const Result3 result = result_of(event.name, fields);
  const auto number = static_cast<int>(uid);
  json::object out{{"class_uid", number},
                   {"class_name", words.name},
                   {"category_uid", words.category},
                   {"category_name", words.category_name},
                   {"activity_id", activity},
                   {"type_uid", number * 100 + activity},
                   {"time", event.wall_us / 1000},
                   {"severity_id", severity_of(event.name, fields)},
                   {"status_id", result == Result3::done ? 1 : 2},
                   {"message", event.name}};
  if (activity == k_other) out.emplace("activity_name", event.name);
  if (const std::string code = fields.text("code"); !code.empty()) out.emplace("status_code", code);
  if (const std::string why = fields.first({"why", "reason", "detail"}); !why.empty()) out.emplace("status_detail", why);
  out.emplace("metadata", json::object{{"version", "1.3.0"},
                                       {"uid", event.id},
                                       {"event_code", event.name},
                                       {"profiles", json::array{"host"}},  // it is what adds `actor` and `device` to every class
                                       {"sequence", event.leaf},
                                       {"log_name", "audit"},
                                       {"original_time", std::to_string(event.wall_us)},
                                       {"product", json::object{{"name", "Sallyport"}, {"vendor_name", "Sallyport"}, {"version", version}}}});
  out.emplace("device", json::object{{"hostname", node}, {"type_id", k_other}, {"type", "gateway"}});
  const std::string who = actor_of(fields);
  json::object user = who.empty() ? json::object{{"name", "sallyport"}, {"type", "System"}, {"type_id", 3}} : json::object{{"name", who}};
  json::object actor{{"user", user}};
  if (!event.session.empty()) actor.emplace("session", json::object{{"uid", event.session}});
  out.emplace("actor", std::move(actor));
  if (json::object from = endpoint(fields.first({"source", "from"})); !from.empty()) {
    if (const std::string port = fields.text("source_port"); !port.empty() && port.size() < 6 && port.find_first_not_of("0123456789") == std::string::npos) from.emplace("port", std::stoi(port));
    out.emplace("src_endpoint", std::move(from));
  } else if (uid == OcsfClass::api_activity || uid == OcsfClass::ssh_activity) {
    out.emplace("src_endpoint", json::object{{"name", "local"}});
  }
  if (json::object to = endpoint(fields.text("target")); !to.empty() && uid != OcsfClass::account_change) {
    to.emplace("name", fields.text("target"));
    out.emplace("dst_endpoint", std::move(to));
  }
  switch (uid) {
    case OcsfClass::authentication:
      out.emplace("user", std::move(user));
      if (const std::string method = fields.text("method"); !method.empty()) {
        out.emplace("auth_protocol", method);
        out.emplace("auth_protocol_id", k_other);
      }
      if (!event.session.empty()) out.emplace("session", json::object{{"uid", event.session}});
      out.emplace("service", json::object{{"name", event.name.starts_with("auth.") ? "ssh" : "api"}});
      break;
    case OcsfClass::account_change: {
      const std::string subject = fields.first({"locked_principal", "locked_account", "locked_target", "secret", "for", "principal"});
      out.emplace("user", subject.empty() ? user : json::object{{"name", subject}});
      break;
    }
    case OcsfClass::api_activity: {
      const std::string act = fields.text("act");
      out.emplace("api", json::object{{"operation", act.empty() ? event.name : act}});
      break;
    }
    case OcsfClass::ssh_activity: break;  // the class has no place for the account; it stands in `unmapped`
  }
  out.emplace("unmapped", fields.all());
  return out;
}

std::string cef_header(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || c == '|') out += '\\';
    out += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  }
  return out;
}

void cef_pair(std::string& out, std::string_view key, std::string_view value) {
  if (value.empty()) return;
  out += (out.ends_with('|') ? "" : " ") + std::string(key) + "=";
  for (const char c : value) {
    if (c == '\n') out += "\\n";
    else if (c == '\r') out += "\\r";
    else if (c == '\\' || c == '=') out += std::string("\\") + c;
    else out += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  }
}

std::string cef_of(const OutgoingEvent& event, const Fields& fields, const std::string& node, const std::string& version) {
  const int severity = severity_of(event.name, fields);
  std::string out = "CEF:0|Sallyport|Sallyport|" + cef_header(version) + "|" + cef_header(event.name) + "|" + cef_header(event.name) + "|" +
                    (severity == 5 ? "10" : severity == 3 ? "6" : "3") + "|";
  const Result3 result = result_of(event.name, fields);
  cef_pair(out, "rt", std::to_string(event.wall_us / 1000));
  cef_pair(out, "externalId", event.id);
  cef_pair(out, "dvchost", node);
  const std::string from = fields.first({"source", "from"});
  cef_pair(out, from.find(':') == std::string::npos ? "src" : "c6a2", from);
  if (from.find(':') != std::string::npos) cef_pair(out, "c6a2Label", "Source IPv6 Address");
  cef_pair(out, "suser", actor_of(fields));
  cef_pair(out, "dhost", fields.text("target"));
  cef_pair(out, "duser", fields.text("account"));
  cef_pair(out, "outcome", result == Result3::done ? "success" : "failure");
  cef_pair(out, "act", fields.first({"act", "kind", "decision"}));
  cef_pair(out, "reason", fields.first({"code", "reason", "why"}));
  cef_pair(out, "filePath", fields.text("path"));
  cef_pair(out, "msg", fields.first({"command", "detail", "what", "why"}));
  if (!event.session.empty()) {
    cef_pair(out, "cs1", event.session);
    cef_pair(out, "cs1Label", "session");
  }
  if (const std::string rule = fields.text("rule"); !rule.empty()) {
    cef_pair(out, "cs2", rule);
    cef_pair(out, "cs2Label", "rule");
  }
  return out;
}

}  // namespace

Result<EventFormat> event_format_of(std::string_view word) {
  if (word == "json") return EventFormat::json;
  if (word == "ocsf") return EventFormat::ocsf;
  if (word == "cef") return EventFormat::cef;
  return fail(Errc::invalid, "`" + std::string(word) + "` is no format of events: ocsf, cef or json");
}

OcsfClass ocsf_class_of(std::string_view name) {
  if (begins(name, {"auth.", "web.session_", "api.token_refused", "web.step_up"})) return OcsfClass::authentication;
  if (begins(name, {"lock.", "secret.", "token.", "invite.", "principal.", "factor.", "key."})) return OcsfClass::account_change;
  if (begins(name, {"admin.", "policy.", "vault.", "recording.", "store.", "checkpoint.", "keeper.", "control.", "request.", "notify.", "session.end_ordered", "service.",
                    "clock.", "journal.", "database.", "web."}))
    return OcsfClass::api_activity;
  return OcsfClass::ssh_activity;
}

std::string format_event(const OutgoingEvent& event, EventFormat format, const std::string& node, const std::string& version) {
  const Fields fields(event.json);
  if (format == EventFormat::cef) return cef_of(event, fields, node, version);
  if (format == EventFormat::ocsf) return json::serialize(ocsf_of(event, fields, node, version));
  return json::serialize(json::object{{"id", event.id}, {"sequence", event.leaf}, {"time_us", event.wall_us}, {"node", node}, {"name", event.name}, {"session", event.session}, {"fields", fields.all()}});
}

}  // namespace sallyport::admin
