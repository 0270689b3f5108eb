#include <boost/json.hpp>
#include <cstdio>
#include <map>

#include "app/config.h"
#include "app/suggest.h"
#include "app/verbs/admin_client.h"
#include "app/verbs/exit_codes.h"
#include "app/verbs/past_decisions.h"
#include "app/verbs/policy_files.h"
#include "app/verbs/text_keys.h"
#include "app/verbs/verb.h"
#include "platform/model/clock.h"
#include "platform/model/messages.h"
#include "policy/access/fields.h"
#include "policy/access/load.h"

namespace sallyport::app {
namespace {

namespace json = boost::json;

struct ExplainOptions {
  std::string what;
  std::string principal;
  std::string target;
  std::string account;
  std::string channel;
  std::string destination;
  std::string from;
  std::string at;
};

const std::map<std::string, std::vector<Column>>& kinds() {
  static const std::map<std::string, std::vector<Column>> table{
      {"principals", {{"NAME", "name"}, {"TYPE", "type"}, {"GROUPS", "groups"}, {"KEYS", "keys"}, {"EXPIRES", "expires"}}},
      {"groups", {{"NAME", "name"}, {"MEMBERS", "members"}}},
      {"targets", {{"NAME", "name"}, {"ADDRESS", "address"}, {"PORT", "port"}, {"LABELS", "labels"}, {"ACCOUNTS", "accounts"}}},
      {"roles", {{"NAME", "name"}, {"ALLOW", "allow"}, {"DENY", "deny"}, {"ADMIN", "admin"}}},
      {"accounts", {{"ID", "id"}, {"CREDENTIALS", "credentials"}, {"FILE", "file"}}},
      {"guard-rules", {{"ROLE", "id"}, {"GUARD", "guard"}, {"FILE", "file"}}},
      {"certificate-authorities", {{"NAME", "name"}, {"KEY", "key"}, {"FILE", "file"}}},
      {"bindings", {{"ID", "id"}, {"ROLE", "role"}, {"GROUPS", "groups"}, {"PRINCIPALS", "principals"}, {"EXPIRES", "expires"}}},
      {"locks", {{"ID", "id"}, {"KIND", "kind"}, {"NAME", "name"}, {"REASON", "reason"}, {"BY", "by"}, {"SINCE", "since"}, {"EXPIRES", "expires"}}}};
  return table;
}

/// The list in an answer: the answer itself, or its one member that is an array.
json::array rows_of(const json::value& answer) {
  if (const json::array* rows = answer.if_array()) return *rows;
  if (const json::object* object = answer.if_object())
    for (const auto& [key, value] : *object)
      if (const json::array* rows = value.if_array()) return *rows;
  return {};
}

int print_text_or_json(const Common& common, const json::value& answer) {
  const json::object* object = answer.if_object();
  const json::value* text = object == nullptr ? nullptr : object->if_contains("text");
  if (common.format == Format::table && text != nullptr && text->is_string()) {
    const auto& lines = text->get_string();
    std::printf("%s%s", lines.c_str(), lines.ends_with('\n') ? "" : "\n");
  } else if (object != nullptr) {
    print_object(common, *object);
  }
  return k_exit_ok;
}

struct PolicyOptions {
  std::string folder;
  std::string plan;    ///< hash that was shown
  std::string reason;  ///< kept with the version
  std::string replay;  ///< how far back
  std::string journal;
  TextKeySource keys{{}, {}, "plan --replay"};
};

std::string hash_in(const json::value& answer) {
  const json::object* object = answer.if_object();
  const json::value* hash = object == nullptr ? nullptr : object->if_contains("plan");
  return hash != nullptr && hash->is_string() ? std::string(std::string_view(hash->get_string())) : std::string();
}

int run_plan(const Common& common, const PolicyOptions& options) {
  auto client = AdminClient::find(common);
  if (!client) return report(client.error());
  auto answer = send_policy(*client, "plan", options.folder);
  if (!answer) return report(answer.error());
  json::object* object = answer->if_object();
  if (object == nullptr) return report(Error{Errc::corrupt, "the gateway's answer is no object"});
  std::string text(std::string_view(object->at("text").as_string()));
  if (!options.replay.empty()) {
    const auto back = policy::parse_duration(options.replay);
    if (!back) return usage_error("`" + options.replay + "` is no duration; write 7d or 12h");
    std::filesystem::path journal = options.journal;
    if (journal.empty()) {
      auto config = load_config(common.config);
      if (!config) return report(config.error());
      journal = config->state_of("recorder") / "journal";
    }
    auto files = policy::read_policy_folder(options.folder);
    if (!files) return report(files.error());
    auto loaded = policy::load_policy(*files);
    if (!loaded.snapshot) return report(Error{Errc::invalid, loaded.problems.front().str()});
    const auto since = system_clock().wall().time_since_epoch() - std::chrono::microseconds(*back);
    auto replayed = replay_decisions(journal, loaded.snapshot, since.count(), text_keys_of(common, options.keys));
    if (!replayed) return report(replayed.error());
    text += text_of(*replayed);
    (*object)["replayed"] = replayed->decisions;
    (*object)["not_replayed"] = replayed->not_replayed;
    (*object)["sealed"] = replayed->sealed;
    (*object)["differ"] = replayed->differ;
    (*object)["differing"] = std::move(replayed->rows);
  }
  text += "plan " + hash_in(*answer) + "\n";
  (*object)["text"] = text;
  return print_text_or_json(common, *answer);
}

/// Without a hash the plan is made and taken in one go; a change in between is a conflict all the same.
int run_apply(const Common& common, const PolicyOptions& options) {
  auto client = AdminClient::find(common);
  if (!client) return report(client.error());
  std::string hash = options.plan;
  if (hash.empty()) {
    auto plan = send_policy(*client, "plan", options.folder);
    if (!plan) return report(plan.error());
    hash = hash_in(*plan);
  }
  auto answer = send_policy(*client, "apply", options.folder, hash, options.reason);
  if (!answer) return report(answer.error());
  return print_text_or_json(common, *answer);
}

int run_get(const Common& common, std::string kind, const std::string& name) {
  if (kinds().find(kind) == kinds().end() && kinds().find(kind + "s") != kinds().end()) kind += "s";
  if (kinds().find(kind) == kinds().end()) {
    std::vector<std::string_view> known;
    std::string list;
    for (const auto& [known_kind, columns] : kinds()) {
      known.push_back(known_kind);
      list += " " + known_kind;
    }
    if (kind == "sessions" || kind == "events") return usage_error("`" + kind + "` have a verb of their own: sallyport " + kind);
    const std::string_view meant = nearest(kind, known);
    return usage_error("there is no kind `" + kind + "`." + (meant.empty() ? " There are:" + list : " Did you mean `" + std::string(meant) + "`?"));
  }
  auto client = AdminClient::find(common);
  if (!client) return report(client.error());
  json::array rows;
  for (std::string cursor;;) {
    auto answer = client->get("/v1/" + kind + query_of({{"cursor", cursor}}));
    if (!answer) return report(answer.error());
    for (json::value& row : rows_of(*answer)) rows.push_back(std::move(row));
    const json::object* page = answer->if_object();
    const json::value* next = page == nullptr ? nullptr : page->if_contains("next");
    cursor = next != nullptr && next->is_string() ? std::string(std::string_view(next->get_string())) : std::string();
    if (cursor.empty()) break;
  }
  if (name.empty()) {
    print_rows(common, rows, kinds().at(kind), "there are no " + kind);
    return k_exit_ok;
  }
  for (const json::value& row : rows) {
    const json::object* object = row.if_object();
    const json::value* named = object == nullptr ? nullptr : object->if_contains("name");
    if (named == nullptr || !named->is_string() || named->get_string() != name) continue;
    print_object(common, *object);
    return k_exit_ok;
  }
  return report(Error{Errc::not_found, "there is no `" + name + "` among the " + kind});
}

/// From the catalogue in this program: who was refused can ask with no gateway and no configuration at hand.
int explain_code(const Common& common, const std::string& code) {
  const Message* message = find_message(code);
  if (message == nullptr) return report(Error{Errc::not_found, "there is no message " + code + "; all of them stand in docs/reference/messages.md"});
  const std::string text = std::string(message->code) + " " + std::string(message->what) + "\n  why:  " + std::string(message->why) +
                           "\n  then: " + std::string(message->remedy) + "\n";
  return print_text_or_json(common,
                            json::object{{"code", message->code}, {"what", message->what}, {"why", message->why}, {"remedy", message->remedy}, {"text", text}});
}

int run_explain(const Common& common, const ExplainOptions& options) {
  const bool is_code = options.what.starts_with("SP-") || options.what.starts_with("sp-") ||
                       (!options.what.empty() && options.what.find_first_not_of("0123456789") == std::string::npos);
  if (is_code && !common.output_curl) return explain_code(common, options.what);
  auto client = AdminClient::find(common);
  if (!client) return report(client.error());
  const std::string query = query_of({{"code", is_code ? options.what : ""},
                                      {"session", is_code ? "" : options.what},
                                      {"principal", options.principal},
                                      {"target", options.target},
                                      {"account", options.account},
                                      {"channel", options.channel},
                                      {"destination", options.destination},
                                      {"from", options.from},
                                      {"at", options.at}});
  if (query.empty()) return usage_error("explain what? A code (SP-2001), a session, or --as PRINCIPAL --target TARGET");
  auto answer = client->get("/v1/explain" + query);
  if (!answer) return report(answer.error());
  const int shown = print_text_or_json(common, *answer);
  const json::object* object = answer->if_object();
  const json::value* allowed = object == nullptr ? nullptr : object->if_contains("allowed");
  if (shown != k_exit_ok || allowed == nullptr || !allowed->is_bool()) return shown;
  if (allowed->get_bool()) {
    const json::value* held = object->if_contains("held");
    return held != nullptr && held->is_bool() && held->get_bool() ? k_exit_approval_needed : shown;
  }
  const json::value* code = object->if_contains("code");
  return code != nullptr && code->is_string() && code->get_string() == "SP-9201" ? k_exit_approval_needed : k_exit_denied;
}

}  // namespace

void add_policy_verbs(CLI::App& app, Common& common, Outcome& outcome) {
  static PolicyOptions policy_options;
  static std::string kind;
  static std::string name;
  static ExplainOptions explain_options;

  CLI::App& plan = add_verb(app, "plan", "Say who would gain or lose what, which live sessions would end, and which past decisions would differ.",
                            "  sallyport plan -f policy/\n  sallyport plan -f policy/ --replay 30d\n");
  plan.add_option("-f,--folder", policy_options.folder, "folder with the policy files")->required();
  plan.add_option("--replay", policy_options.replay, "make the decisions of the last days again: 7d");
  plan.add_option("--journal", policy_options.journal, "folder of journal files (default: the gateway's)");
  add_text_key_options(plan, policy_options.keys);
  plan.callback([&] { outcome.status = run_plan(common, policy_options); });

  CLI::App& apply = add_verb(app, "apply", "Make the policy files the policy that is in force.", "  sallyport plan -f policy/ && sallyport apply -f policy/ --plan HASH\n");
  apply.add_option("-f,--folder", policy_options.folder, "folder with the policy files")->required();
  apply.add_option("--plan", policy_options.plan, "take exactly the plan that was shown");
  apply.add_option("--reason", policy_options.reason, "kept with the version: `policy list` shows it");
  apply.callback([&] { outcome.status = run_apply(common, policy_options); });

  CLI::App& get = add_verb(app, "get", "Show what is in force.", "  sallyport get targets\n  sallyport get principal engineer -o json\n");
  get.add_option("kind", kind, "principals, groups, targets, accounts, roles, guard-rules, bindings, certificate-authorities or locks")
      ->required();
  get.add_option("name", name, "only this one");
  get.callback([&] { outcome.status = run_get(common, kind, name); });

  CLI::App& explain = add_verb(app, "explain", "Say who may do what, and why not.",
                               "  sallyport explain SP-2001\n  sallyport explain 01JC3W9M6T5X1Q8Z7R4N2K0HFA\n"
                               "  sallyport explain --as engineer --target recs-1 --channel shell\n"
                               "  sallyport explain --as engineer --target recs-1 --destination db.internal:5432\n");
  explain.add_option("what", explain_options.what, "a code of a message, or a session");
  explain.add_option("--as", explain_options.principal, "principal");
  explain.add_option("--target", explain_options.target, "target");
  explain.add_option("--account", explain_options.account, "account on the target");
  explain.add_option("--channel", explain_options.channel, "shell, exec, sftp, scp, ... (default: all)");
  explain.add_option("--destination", explain_options.destination, "where a tunnel from the target leads: HOST:PORT or unix:PATH (channel: tunnel-local unless --channel says otherwise)");
  explain.add_option("--from", explain_options.from, "source address");
  explain.add_option("--at", explain_options.at, "moment, such as 2026-11-22T08:00:00Z (default: now)");
  explain.callback([&] { outcome.status = run_explain(common, explain_options); });
}

}  // namespace sallyport::app
