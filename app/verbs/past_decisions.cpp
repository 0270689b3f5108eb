#include "app/verbs/past_decisions.h"

#include <boost/json.hpp>
#include <map>
#include <set>

#include "platform/model/json_text.h"
#include "recorder/replay/journal_files.h"
#include "recorder/replay/playback.h"

namespace sallyport::app {
namespace {

namespace json = boost::json;

constexpr std::size_t k_most_rows = 1000;

Result<void> walk(const std::filesystem::path& journal, policy::History& history,
                  const std::function<void(const policy::PastDecision&, const policy::Locks&)>& take, const std::function<bool()>& goes_on = {}) {
  auto files = replay::JournalFiles::open(journal);
  if (!files) return tl::unexpected(files.error());
  while (auto frame = files->next()) {
    if (goes_on && !goes_on()) break;
    if (frame->header.type != 2) continue;  // an event, docs/format/journal.md section 6
    const auto event = replay::parse_audit_event(frame->payload);
    if (event && frame->crc_right) history.feed(event->name, event->json, event->id, event->session, event->wall_us, take);
  }
  return {};
}

json::object row_of(const policy::Differing& one) {
  const policy::AccessRequest& r = one.past.request;
  return json::object{{"event", one.past.event},
                      {"at", replay::time_text(one.past.at_us)},
                      {"session", one.past.session},
                      {"principal", r.principal.str()},
                      {"target", r.target.str()},
                      {"account", r.account.str()},
                      {"kind", std::string(policy::name_of(r.kind))},
                      {"act", !one.past.act ? "channel" : one.past.act->kind == policy::PastAct::Kind::command ? "command" : one.past.act->operation == policy::FileOperation::up ? "write" : "read"},
                      {"path", one.past.act && one.past.act->kind == policy::PastAct::Kind::file ? printable(one.past.act->text.substr(0, 400)) : std::string()},
                      {"command", printable(r.command.substr(0, 200))},
                      {"was", one.past.verdict},
                      {"would_be", one.verdict},
                      {"code", one.now.code},
                      {"why", one.now.why},
                      {"rule", one.now.rule.role.empty() ? std::string() : one.now.rule.str()}};
}

}  // namespace

Result<Replayed> replay_decisions(const std::filesystem::path& journal, std::shared_ptr<const policy::Snapshot> policy, std::int64_t since_us,
                                  policy::History::Unwrap unwrap, std::chrono::seconds budget) {
  policy::History history(std::move(unwrap), since_us);
  policy::Comparison comparison(std::move(policy), k_most_rows);
  const auto until = std::chrono::steady_clock::now() + budget;
  bool complete = true;
  auto walked = walk(journal, history, [&](const policy::PastDecision& past, const policy::Locks& locks) {
    if (past.at_us >= since_us) comparison.judge(past, locks);
  }, [&, frames = std::uint64_t{0}]() mutable {
    if (++frames % 4096 == 0 && std::chrono::steady_clock::now() > until) complete = false;
    return complete;
  });
  if (!walked) return tl::unexpected(walked.error());
  Replayed out{comparison.judged(), history.not_replayed() + history.sealed(), history.sealed(), comparison.differ_in_all(), {}, complete};
  for (const policy::Differing& one : comparison.differing()) out.rows.push_back(row_of(one));
  return out;
}

Result<Replayed> check_decisions(const std::filesystem::path& journal,
                                 const std::function<std::shared_ptr<const policy::Snapshot>(std::int64_t version)>& version_of,
                                 policy::History::Unwrap unwrap) {
  policy::History history(std::move(unwrap));
  std::map<std::int64_t, std::unique_ptr<policy::Comparison>> by_version;
  std::uint64_t unknown = 0;
  auto walked = walk(journal, history, [&](const policy::PastDecision& past, const policy::Locks& locks) {
    auto& comparison = by_version[past.policy_version];
    if (!comparison) comparison = std::make_unique<policy::Comparison>(version_of(past.policy_version), k_most_rows);
    if (!comparison->has_policy()) ++unknown;
    else comparison->judge(past, locks);
  });
  if (!walked) return tl::unexpected(walked.error());
  Replayed out{0, history.not_replayed() + history.sealed() + unknown, history.sealed(), 0, {}};
  for (const auto& [version, comparison] : by_version) {
    out.decisions += comparison->judged();
    out.differ += comparison->differ_in_all();
    for (const policy::Differing& one : comparison->differing())
      if (out.rows.size() < k_most_rows) out.rows.push_back(row_of(one));
  }
  return out;
}

std::string text_of(const Replayed& replayed) {
  std::string out = std::to_string(replayed.decisions) + " past decisions were made again; " +
                    (replayed.differ == 0 ? std::string("none differs") : std::to_string(replayed.differ) + (replayed.differ == 1 ? " differs" : " differ")) + ".\n";
  if (replayed.sealed > 0) out += std::to_string(replayed.sealed) + " decisions not replayed (sealed).\n";
  if (const auto bare = replayed.not_replayed - replayed.sealed; bare > 0)
    out += std::to_string(bare) + " decisions not replayed (without their whole input).\n";
  if (!replayed.complete) out += "The time for it was over before the journal was: there are later decisions.\n";
  const auto text = [](const json::object& row, const char* key) { return std::string(std::string_view(row.at(key).get_string())); };
  for (const json::value& each : replayed.rows) {
    const json::object& row = each.get_object();
    out += "  " + text(row, "at") + " " + text(row, "principal") + " " + text(row, "kind") + (text(row, "act") == "channel" ? std::string() : " " + text(row, "act") + (text(row, "path").empty() ? std::string() : " of " + text(row, "path"))) + " on " + text(row, "account") + "@" + text(row, "target") + ": was " +
           text(row, "was") + ", would be " + text(row, "would_be") + (text(row, "code").empty() ? "" : " (" + text(row, "code") + " " + text(row, "why") + ")") +
           (text(row, "rule").empty() ? "" : " by " + text(row, "rule")) + ", event " + text(row, "event") + "\n";
  }
  if (replayed.differ > replayed.rows.size()) out += "  ... and " + std::to_string(replayed.differ - replayed.rows.size()) + " more\n";
  return out;
}

}  // namespace sallyport::app
