// policy list, show, diff, rollback, check-history; reach: the policy's past.
#include <boost/json.hpp>
#include <cstdio>
#include <memory>

#include "app/config.h"
#include "app/verbs/admin_client.h"
#include "app/verbs/exit_codes.h"
#include "app/verbs/past_decisions.h"
#include "app/verbs/text_keys.h"
#include "app/verbs/verb.h"
#include "platform/crypto/base64.h"
#include "platform/model/bytes.h"
#include "policy/access/load.h"
#include "policy/access/plan.h"

namespace sallyport::app {
namespace {

namespace json = boost::json;

struct HistoryOptions {
  std::string version;
  std::string other;
  std::string reason;
  std::string target;
  std::string at;
  std::string journal;
  TextKeySource keys{{}, {}, "policy check-history"};
};

std::string text_at(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_string() ? std::string(std::string_view(value->get_string())) : std::string();
}

Result<json::array> files_of(AdminClient& client, const std::string& version) {
  auto answer = client.get("/v1/policy/" + segment_of(version));
  if (!answer) return tl::unexpected(answer.error());
  const json::object* object = answer->if_object();
  const json::value* files = object == nullptr ? nullptr : object->if_contains("files");
  if (files == nullptr || !files->is_array()) return fail(Errc::corrupt, "the gateway's answer has no files");
  return files->get_array();
}

Result<std::shared_ptr<const policy::Snapshot>> snapshot_of(AdminClient& client, const std::string& version) {
  auto files = files_of(client, version);
  if (!files) return tl::unexpected(files.error());
  std::vector<policy::SourceFile> sources;
  for (const json::value& each : *files) {
    const json::object* object = each.if_object();
    if (object == nullptr) continue;
    policy::SourceFile source{text_at(*object, "name"), text_at(*object, "content")};
    if (object->contains("content_base64")) {
      auto bytes = crypto::from_base64(text_at(*object, "content_base64"));
      if (!bytes) return tl::unexpected(bytes.error());
      source.content = sallyport::text_of(*bytes);
    }
    sources.push_back(std::move(source));
  }
  auto loaded = policy::load_policy(sources);
  if (!loaded.snapshot) return fail(Errc::corrupt, "version " + version + " cannot be read: " + (loaded.problems.empty() ? "" : loaded.problems.front().str()));
  return loaded.snapshot;
}

int show(const Common& common, const std::string& version) {
  auto client = AdminClient::find(common);
  if (!client) return report(client.error());
  auto files = files_of(*client, version);
  if (!files) return report(files.error());
  if (common.format != Format::table) {
    print_object(common, json::object{{"version", version}, {"files", *files}});
    return k_exit_ok;
  }
  for (const json::value& each : *files)
    if (const json::object* file = each.if_object())
      std::printf("# ---- %s\n%s", text_at(*file, "name").c_str(), text_at(*file, "content").c_str());
  return k_exit_ok;
}

int diff(const Common& common, const HistoryOptions& options) {
  auto client = AdminClient::find(common);
  if (!client) return report(client.error());
  auto before = snapshot_of(*client, options.version);
  if (!before) return report(before.error());
  auto after = snapshot_of(*client, options.other);
  if (!after) return report(after.error());
  const auto plan = policy::make_plan(**before, **after, policy::Locks(), {}, system_clock().wall());
  std::printf("%s", plan.text().c_str());
  return k_exit_ok;
}

int rollback(const Common& common, const HistoryOptions& options) {
  auto client = AdminClient::find(common);
  if (!client) return report(client.error());
  auto files = files_of(*client, options.version);
  if (!files) return report(files.error());
  auto plan = client->send("POST", "/v1/plan", json::object{{"files", *files}});
  if (!plan) return report(plan.error());
  const std::string reason = "rollback to version " + options.version + (options.reason.empty() ? "" : ": " + options.reason);
  auto applied = client->send("POST", "/v1/apply", json::object{{"files", *files}, {"reason", reason}, {"plan", text_at(plan->as_object(), "plan")}});
  if (!applied) return report(applied.error());
  if (common.format == Format::table) std::printf("%s", text_at(applied->as_object(), "text").c_str());
  else print_object(common, applied->as_object());
  return k_exit_ok;
}

int check_history(const Common& common, const HistoryOptions& options) {
  auto client = AdminClient::find(common);
  if (!client) return report(client.error());
  std::filesystem::path journal = options.journal;
  if (journal.empty()) {
    auto config = load_config(common.config);
    if (!config) return report(config.error());
    journal = config->state_of("recorder") / "journal";
  }
  auto replayed = check_decisions(
      journal,
      [&](std::int64_t version) -> std::shared_ptr<const policy::Snapshot> {
        if (version == 0) return policy::Snapshot::make_empty();
        auto snapshot = snapshot_of(*client, std::to_string(version));
        return snapshot ? *snapshot : nullptr;
      },
      text_keys_of(common, options.keys));
  if (!replayed) return report(replayed.error());
  if (common.format == Format::table) {
    std::printf("%s", text_of(*replayed).c_str());
  } else {
    print_object(common, json::object{{"decisions", replayed->decisions},
                                      {"differ", replayed->differ},
                                      {"not_replayed", replayed->not_replayed},
                                      {"sealed", replayed->sealed},
                                      {"rows", replayed->rows}});
  }
  return replayed->differ == 0 ? k_exit_ok : k_exit_verification_failed;
}

}  // namespace

void add_history_verbs(CLI::App& app, Common& common, Outcome& outcome) {
  static HistoryOptions options;
  CLI::App& policy = add_verb(app, "policy", "The versions of the policy: list, show, compare, go back, and whether it decided as it should.",
                              "  sallyport policy list\n  sallyport policy diff 11 12\n  sallyport policy rollback 11 --reason 'nobody could log in'\n  sallyport policy check-history\n");
  policy.require_subcommand(1);
  add_verb(policy, "list", "Show the versions.", "  sallyport policy list\n").callback([&] {
    auto client = AdminClient::find(common);
    auto answer = client ? client->get("/v1/policy") : Result<json::value>(tl::unexpected(client.error()));
    if (!answer) {
      outcome.status = report(answer.error());
      return;
    }
    print_rows(common, answer->as_object().at("versions").as_array(),
               {{"VERSION", "version"}, {"APPLIED", "applied"}, {"BY", "by"}, {"REASON", "reason"}, {"DIGEST", "digest"}}, "no policy was ever applied");
  });
  CLI::App& one = add_verb(policy, "show", "Print the files of a version.", "  sallyport policy show 11\n");
  one.add_option("version", options.version)->required();
  one.callback([&] { outcome.status = show(common, options.version); });
  CLI::App& compare = add_verb(policy, "diff", "Say who gained and lost what from one version to another.", "  sallyport policy diff 11 12\n");
  compare.add_option("from", options.version)->required();
  compare.add_option("to", options.other)->required();
  compare.callback([&] { outcome.status = diff(common, options); });
  CLI::App& back = add_verb(policy, "rollback", "Apply an old version again, as a new one.", "  sallyport policy rollback 11 --reason 'nobody could log in'\n");
  back.add_option("version", options.version)->required();
  back.add_option("--reason", options.reason);
  back.callback([&] { outcome.status = rollback(common, options); });
  CLI::App& check = add_verb(policy, "check-history", "Make every decision of the journal again under the policy of its time; 8 when one differs.",
                             "  sallyport policy check-history\n");
  check.add_option("--journal", options.journal, "folder of journal files (default: the gateway's)");
  add_text_key_options(check, options.keys);
  check.callback([&] { outcome.status = check_history(common, options); });

  CLI::App& reach = add_verb(app, "reach", "Say who could reach a target at a moment.", "  sallyport reach prod-db-1 --at 2026-11-01T00:00:00Z\n");
  reach.add_option("target", options.target)->required();
  reach.add_option("--at", options.at, "moment (default: now)");
  reach.callback([&] {
    auto client = AdminClient::find(common);
    auto answer = client ? client->get("/v1/policy/reach" + query_of({{"target", options.target}, {"at", options.at}})) : Result<json::value>(tl::unexpected(client.error()));
    if (!answer) {
      outcome.status = report(answer.error());
      return;
    }
    print_rows(common, answer->as_object().at("reach").as_array(), {{"PRINCIPAL", "principal"}, {"ACCOUNT", "account"}, {"HOW", "how"}, {"RULE", "rule"}}, "nobody could");
  });
}

}  // namespace sallyport::app
