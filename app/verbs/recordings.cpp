#include "app/verbs/recordings.h"

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <cstdio>

#include "app/verbs/exit_codes.h"
#include "app/verbs/moments.h"
#include "app/verbs/recording_proof.h"
#include "app/verbs/recording_view.h"
#include "app/verbs/witness_count.h"
#include "platform/os/step_back.h"
#include "recorder/replay/playback.h"
#include "recorder/replay/session_list.h"

namespace sallyport::app {
namespace {

namespace json = boost::json;
constexpr int k_verify_nice = 10;
using replay::KeptCheckpoints;

json::object finding_json(const replay::Finding& finding) {
  json::object object{{"kind", finding.kind}, {"text", finding.text}};
  if (!finding.session.empty()) object["session"] = finding.session;
  if (finding.first_entry != 0) {
    object["first_entry"] = finding.first_entry;
    object["last_entry"] = finding.last_entry;
  }
  if (finding.leaf != 0) object["leaf"] = finding.leaf;
  if (finding.since_us != 0) object["since"] = replay::time_text(finding.since_us);
  if (finding.file != 0) {
    object["file"] = finding.file;
    object["offset"] = finding.offset;
  }
  return object;
}

std::string channel_text(const replay::ChannelSummary& channel) {
  std::string text = channel.kind.empty() ? "channel" : channel.kind;
  if (!channel.command.empty()) text += " " + channel.command;
  return text.size() > 60 ? text.substr(0, 57) + "..." : text;
}

/// "0.4s", "12s", "3m05s", "2h10m".
std::string duration_text(std::int64_t microseconds) {
  const std::int64_t whole = std::max<std::int64_t>(microseconds, 0) / 1'000'000;
  char text[48];
  if (whole < 10) std::snprintf(text, sizeof text, "%.1fs", static_cast<double>(std::max<std::int64_t>(microseconds, 0)) / 1e6);
  else if (whole < 60) std::snprintf(text, sizeof text, "%llds", static_cast<long long>(whole));
  else if (whole < 3600) std::snprintf(text, sizeof text, "%lldm%02llds", static_cast<long long>(whole / 60), static_cast<long long>(whole % 60));
  else std::snprintf(text, sizeof text, "%lldh%02lldm", static_cast<long long>(whole / 3600), static_cast<long long>(whole / 60 % 60));
  return text;
}

json::object session_json(const replay::SessionSummary& session, bool with_header) {
  json::array channels;
  std::string what;
  for (const auto& channel : session.channels) {
    what += (what.empty() ? "" : "; ") + channel_text(channel);
    channels.push_back(json::object{{"channel", channel.channel},     {"kind", channel.kind},           {"command", channel.command},
                                    {"pty", channel.pty},             {"exit", channel.exit},           {"bytes_in", channel.bytes_in},
                                    {"bytes_out", channel.bytes_out}, {"bytes_err", channel.bytes_err}});
  }
  json::object object{{"session", session.session.str()},
                      {"began", replay::time_text(session.began_us)},
                      {"last", replay::time_text(session.last_us)},
                      {"duration_ms", (session.last_us - session.began_us) / 1000},
                      {"lasted", duration_text(session.last_us - session.began_us)},
                      {"principal", session.principal},
                      {"account", session.account},
                      {"target", session.target},
                      {"source", session.source},
                      {"state", session.state},
                      {"end_reason", session.end_reason},
                      {"entries", session.entries},
                      {"stored_bytes", session.stored_bytes},
                      {"channels", std::move(channels)}};
  if (!session.outer_session.empty()) object["outer_session"] = session.outer_session;
  if (with_header) {
    json::error_code error;
    auto header = json::parse(session.header_json, error);
    if (!error) object["header"] = std::move(header);
  }
  object["what"] = what;
  return object;
}

/// Keeps the newest checkpoint that a listing saw; warns when the journal is older than what was seen before.
void keep_from_list(const RecordingPlace& place, const replay::SessionList& list) {
  const auto known = checkpoint_keys(place);
  if (!known || known->keys.empty()) return;
  const KeptCheckpoints kept = kept_of(place);
  // Who may sign by now: the known key, then whom each named as its successor.
  std::vector<crypto::NoteKey> signers = known->keys;
  bool right = false;
  for (const auto& handover : list.handovers) {
    right = list.newest_checkpoint && handover.body == list.newest_checkpoint->body && crypto::verify_note(handover, signers).has_value();
    const auto checkpoint = crypto::parse_checkpoint(handover.body);
    auto next = checkpoint && crypto::verify_note(handover, signers) ? crypto::next_key_of(*checkpoint) : std::nullopt;
    if (next) signers = {std::move(*next)};
  }
  right = right || (list.newest_checkpoint && crypto::verify_note(*list.newest_checkpoint, signers).has_value());
  const auto seen = right ? crypto::parse_checkpoint(list.newest_checkpoint->body) : Result<crypto::Checkpoint>(fail(Errc::not_found, ""));
  for (const auto& key : known->keys) {
    const auto before = kept.newest(key.name, key.id);
    const auto old = before ? crypto::parse_checkpoint(before->body) : Result<crypto::Checkpoint>(fail(Errc::not_found, ""));
    if (old && (!seen || seen->size < old->size))
      note("sallyport: SP-8003 the journal is older than a checkpoint that was seen before; run `sallyport verify`");
    if (old && seen && seen->size == old->size && seen->root != old->root)
      note("sallyport: SP-8001 the journal contradicts a checkpoint that was seen before; run `sallyport verify`");
  }
  if (list.newest_checkpoint && !right) note("sallyport: SP-8001 the newest checkpoint is not signed by the known key; run `sallyport verify`");
  if (right && may_keep(place))
    if (auto stored = kept.keep(*list.newest_checkpoint, known->keys.front().id); !stored) note("sallyport: " + stored.error().detail);
}

/// From the index, which reads only what was appended since.
Result<replay::SessionList> list_of(replay::SeekIndex& index, const SessionsOptions& options) {
  replay::SessionList list;
  std::string wanted = options.session;
  std::transform(wanted.begin(), wanted.end(), wanted.begin(), [](unsigned char c) { return static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c); });
  auto all = index.sessions(liveness(options.place));
  if (!all) return tl::unexpected(all.error());
  list.sessions = std::move(*all);
  std::erase_if(list.sessions, [&](const auto& session) { return !session.session.view().starts_with(wanted); });
  constexpr std::size_t k_all = 2'000'000;
  const auto notes = index.checkpoints(k_all);
  if (!notes) return tl::unexpected(notes.error());
  for (auto text = notes->rbegin(); text != notes->rend(); ++text) {
    const bool is_newest = std::next(text) == notes->rend();
    if (!is_newest && text->find("\nnext-key ") == std::string::npos) continue;
    auto parsed = crypto::parse_note(*text);
    if (!parsed) continue;
    if (text->find("\nnext-key ") != std::string::npos) list.handovers.push_back(*parsed);
    if (is_newest) list.newest_checkpoint = std::move(*parsed);
  }
  return list;
}

}  // namespace

int run_sessions(const SessionsOptions& options) {
  const auto window = window_between(options.since, options.until);
  if (!window) return report(window.error());
  auto index = open_index(options.place);
  if (!index) return report(index.error());
  auto list = list_of(*index, options);
  if (!list) return report(list.error());
  keep_from_list(options.place, *list);
  if (!options.session.empty() && list->sessions.empty()) return report(Error{Errc::not_found, "no session " + options.session + " in the journal"});
  auto& sessions = list->sessions;
  std::erase_if(sessions, [&](const auto& session) {
    return (!options.principal.empty() && session.principal != options.principal) || (!options.target.empty() && session.target != options.target) ||
           (!options.state.empty() && session.state != options.state) ||
           std::max(session.last_us, session.began_us) < window->since_us || session.began_us > window->until_us;
  });
  if (options.limit != 0 && sessions.size() > options.limit) sessions.erase(sessions.begin(), sessions.end() - static_cast<std::ptrdiff_t>(options.limit));
  json::array rows;
  for (const auto& session : sessions) rows.push_back(session_json(session, !options.session.empty()));
  print_rows(options.common, rows,
             {{"SESSION", "session"}, {"BEGAN", "began"}, {"LASTED", "lasted"}, {"PRINCIPAL", "principal"}, {"ACCOUNT", "account"},
              {"TARGET", "target"}, {"STATE", "state"}, {"ENTRIES", "entries"}, {"BYTES", "stored_bytes"}, {"WHAT", "what"}},
             "no sessions recorded");
  if (options.common.format == Format::table && !options.session.empty())
    for (const auto& row : rows) {
      std::printf("\n");
      print_rows(options.common, row.at("channels").as_array(),
                 {{"CHANNEL", "channel"}, {"KIND", "kind"}, {"COMMAND", "command"}, {"PTY", "pty"}, {"IN", "bytes_in"}, {"OUT", "bytes_out"}, {"ERR", "bytes_err"}, {"EXIT", "exit"}},
                 "no channels");
    }
  if (!index->file_trouble().empty()) note("sallyport: the journal cannot be read as a whole: " + index->file_trouble() + "; run `sallyport verify`");
  return k_exit_ok;
}

int run_verify(const VerifyVerbOptions& options) {
  os::step_back(k_verify_nice);
  std::vector<SessionId> sessions;
  for (const std::string& name : options.sessions) {
    auto index = open_index(options.place);
    const auto session = index ? index->find_session(name, {}) : Result<replay::SessionSummary>(tl::unexpected(index.error()));
    if (!session && (session.error().code != Errc::not_found || name.size() != 26)) return report(session.error());
    sessions.push_back(session ? session->session : SessionId(name));
  }
  std::string key_trouble;
  decltype(replay::VerifyOptions::unwrap) unwrap;
  if (options.seals || !options.keys.recipient_key.empty())
    unwrap = [&](const SessionId& session, ByteView wrapped) -> std::optional<Secret> {
      auto key = session_key(options.keys, session, wrapped);
      if (key) return std::move(*key);
      key_trouble = key.error().detail;
      return std::nullopt;
    };
  const auto began = std::chrono::steady_clock::now();
  auto verified = verify(options.place, std::move(sessions), options.checkpoints, std::move(unwrap));
  if (!verified) return report(verified.error());
  auto witnessed = count_witnesses(options.witness_keys, options.witnesses, verified->known.keys, verified->outside);
  if (!witnessed) return report(witnessed.error());
  auto& found = verified->report;
  std::move(witnessed->findings.begin(), witnessed->findings.end(), std::back_inserter(found.findings));
  if (witnessed->wanted > 0 && witnessed->leaves < found.leaves)
    found.not_checked.push_back("leaves " + std::to_string(witnessed->leaves + 1) + " to " + std::to_string(found.leaves) + " (not under a checkpoint that " +
                                std::to_string(witnessed->wanted) + (witnessed->wanted == 1 ? " witness signed)" : " witnesses signed)"));
  const double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  const auto& result = verified->report;
  if (!key_trouble.empty()) note("sallyport: " + key_trouble);

  json::array findings, verdicts, not_checked, notices;
  for (const auto& line : result.notices) notices.push_back(json::value(line));
  std::vector<std::string> truncated;
  for (const auto& finding : result.findings) findings.push_back(finding_json(finding));
  for (const auto& line : result.not_checked) not_checked.push_back(json::value(line));
  for (const auto& session : result.sessions) {
    if (session.state == "truncated") truncated.push_back(session.session.str());
    verdicts.push_back(json::object{{"session", session.session.str()}, {"state", session.state}, {"entries", session.entries}, {"covered", session.covered},
                                    {"signed", session.signed_entries}, {"seals_checked", session.seals_checked}, {"erased", session.is_erased}, {"findings", session.findings}});
  }
  std::uint64_t outside_leaves = 0;
  for (const auto& outside : verified->outside) outside_leaves = std::max(outside_leaves, outside.checkpoint.size);
  const int status = result.is_clean() ? k_exit_ok : k_exit_verification_failed;
  if (options.common.format != Format::table) {
    print_object(options.common, json::object{{"verified", result.is_clean()}, {"findings", std::move(findings)}, {"more_findings", result.more_findings},
                                              {"not_checked", std::move(not_checked)}, {"notices", std::move(notices)}, {"sessions", std::move(verdicts)}, {"leaves", result.leaves}, {"outside_leaves", outside_leaves}, {"witnesses", witnessed->seen}, {"witnessed_leaves", witnessed->leaves},
                                              {"signed_leaves", result.signed_leaves}, {"checkpoints", result.checkpoints}, {"timestamps", result.stamps}, {"stamped_leaves", result.stamped_leaves}, {"stamped_at", result.stamped_at_us == 0 ? std::string() : replay::time_text(result.stamped_at_us)}, {"bytes", result.bytes}, {"seconds", took}});
    return status;
  }
  std::printf("journal: %s, %.1f MB in %.2f s\n", options.place.journal.c_str(), static_cast<double>(result.bytes) / 1e6, took);
  std::printf("log: %llu leaves, %llu of them under %llu checkpoints\n", static_cast<unsigned long long>(result.leaves),
              static_cast<unsigned long long>(result.signed_leaves), static_cast<unsigned long long>(result.checkpoints));
  const auto newest = std::max_element(verified->outside.begin(), verified->outside.end(),
                                       [](const auto& a, const auto& b) { return a.checkpoint.size < b.checkpoint.size; });
  if (newest != verified->outside.end())
    std::printf("outside checkpoint: %llu leaves, from %s\n", static_cast<unsigned long long>(newest->checkpoint.size), newest->where.c_str());
  if (witnessed->wanted > 0)
    std::printf("witnesses: %zu of %zu wanted, %llu leaves\n", witnessed->seen, witnessed->wanted, static_cast<unsigned long long>(witnessed->leaves));
  if (result.handovers > 0) std::printf("checkpoint key: handed over %llu times\n", static_cast<unsigned long long>(result.handovers));
  if (result.stamps > 0)
    std::printf("time stamps: %llu right, the newest over %llu leaves at %s\n", static_cast<unsigned long long>(result.stamps), static_cast<unsigned long long>(result.stamped_leaves),
                replay::time_text(result.stamped_at_us).c_str());
  std::printf("sessions: %zu", result.sessions.size());
  for (const char* state : {"complete", "live", "open", "truncated"}) {
    const auto count = std::count_if(result.sessions.begin(), result.sessions.end(), [&](const auto& session) { return session.state == state; });
    if (count > 0) std::printf(", %lld %s", static_cast<long long>(count), state);
  }
  std::printf("\n");
  for (std::size_t i = 0; i < truncated.size() && i < 20; ++i) std::printf("incomplete: session %s has no end entry\n", truncated[i].c_str());
  print_findings(stdout, result.findings, 200);
  for (const auto& line : result.notices) std::printf("notice: %s\n", printable(line).c_str());
  for (const auto& line : result.not_checked) std::printf("not checked: %s\n", line.c_str());
  if (verified->known.first_use) std::printf("checkpoint key, trusted on first use: %s\n", crypto::vkey_of(*verified->known.first_use).c_str());
  std::printf(result.is_clean() ? "verified\n" : "VERIFICATION FAILED: %zu findings\n", result.findings.size());
  return status;
}

}  // namespace sallyport::app
