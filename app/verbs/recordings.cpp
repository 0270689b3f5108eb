#include "app/verbs/recordings.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/json.hpp>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>

#include "app/verbs/exit_codes.h"
#include "platform/crypto/cms.h"
#include "platform/crypto/hex.h"
#include "platform/os/fd.h"
#include "recorder/replay/kept_checkpoints.h"
#include "recorder/replay/playback.h"
#include "recorder/replay/verify.h"

namespace sallyport::app {
namespace {

namespace json = boost::json;
using replay::KeptCheckpoints;

std::atomic<bool> interrupted{false};

/// Ctrl-C ends a play or an export in good order. Restores what was before.
class InterruptGuard {
 public:
  InterruptGuard() {
    interrupted = false;
    struct sigaction action {};
    action.sa_handler = [](int) { interrupted = true; };
    sigaction(SIGINT, &action, &before_);
    struct sigaction ignore {};
    ignore.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &ignore, &before_pipe_);
  }
  ~InterruptGuard() {
    sigaction(SIGINT, &before_, nullptr);
    sigaction(SIGPIPE, &before_pipe_, nullptr);
  }
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

 private:
  struct sigaction before_ {};
  struct sigaction before_pipe_ {};
};

bool write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EAGAIN) {
      pollfd wait{fd, POLLOUT, 0};
      poll(&wait, 1, 1000);
      if (interrupted) return false;
      continue;
    }
    if (written < 0 && errno == EINTR && !interrupted) continue;
    if (written <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

std::function<bool(const SessionId&)> liveness(const RecordingPlace& place) {
  if (place.ring_dir.empty()) return {};
  return [folder = place.ring_dir](const SessionId& session) {
    std::error_code error;
    return std::filesystem::exists(folder / (session.str() + ".ring"), error);
  };
}

KeptCheckpoints kept_of(const RecordingPlace& place) { return KeptCheckpoints(place.kept.empty() ? KeptCheckpoints::usual_folder() : place.kept); }
bool may_keep(const RecordingPlace& place) { return place.keep && !(place.kept.empty() && KeptCheckpoints::usual_folder().empty()); }

void note(std::string_view text) { std::fprintf(stderr, "%s\n", printable(text).c_str()); }

std::optional<std::string> load_text(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(in), {});
}

Result<std::vector<crypto::NoteKey>> keys_in(std::string_view text) {
  std::vector<crypto::NoteKey> keys;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.remove_suffix(1);
    if (line.empty() || line.front() == '#') continue;
    auto key = crypto::parse_vkey(line);
    if (!key) return tl::unexpected(key.error());
    keys.push_back(std::move(*key));
  }
  return keys;
}

struct KnownKeys {
  std::vector<crypto::NoteKey> keys;
  std::optional<crypto::NoteKey> first_use;  ///< to be remembered when the journal verifies
  std::string changed;                       ///< the gateway's copy says another key than the one remembered
};

/// Given ones; else the one remembered for this journal; else the gateway's copy.
Result<KnownKeys> checkpoint_keys(const RecordingPlace& place) {
  KnownKeys known;
  for (const std::string& given : place.checkpoint_keys) {
    const auto text = std::filesystem::exists(given) ? load_text(given) : std::optional(given);
    auto keys = text ? keys_in(*text) : Result<std::vector<crypto::NoteKey>>(fail(Errc::invalid, "cannot be read"));
    if (!keys) return fail(Errc::invalid, "--checkpoint-key " + given + " is neither a file nor a key: " + keys.error().detail);
    known.keys.insert(known.keys.end(), keys->begin(), keys->end());
  }
  if (!known.keys.empty()) return known;
  const auto own_text = place.default_key.empty() ? std::nullopt : load_text(place.default_key);
  auto own = own_text ? keys_in(*own_text) : Result<std::vector<crypto::NoteKey>>(std::vector<crypto::NoteKey>());
  const auto remembered = kept_of(place).key_of(place.journal);
  if (remembered) {
    known.keys.push_back(*remembered);
    if (own && !own->empty() && std::none_of(own->begin(), own->end(), [&](const auto& key) { return key.public_key == remembered->public_key; }))
      known.changed = "the gateway now names another checkpoint key than the one that was used for this journal before (" + crypto::vkey_of(*remembered) + ")";
  } else if (own && !own->empty()) {
    known.keys = *own;
    known.first_use = own->front();
  }
  return known;
}

/// Kept ones and those of the files that the caller brought.
Result<std::vector<replay::OutsideCheckpoint>> outside_checkpoints(const RecordingPlace& place, const std::vector<std::string>& files, const KnownKeys& known,
                                                                   std::vector<replay::Finding>& findings) {
  std::vector<replay::OutsideCheckpoint> outside;
  for (const std::string& file : files) {
    auto notes = replay::read_checkpoint_file(file);
    if (!notes) return tl::unexpected(notes.error());
    for (const auto& each : *notes) {
      if (!known.keys.empty() && !crypto::verify_note(each, known.keys)) {
        replay::Finding finding;
        finding.kind = "outside-signature";
        finding.text = "a checkpoint in " + file + " is not signed by the checkpoint key";
        findings.push_back(std::move(finding));
        continue;
      }
      outside.push_back({crypto::parse_checkpoint(each.body).value(), file});
    }
  }
  const KeptCheckpoints kept = kept_of(place);
  for (const auto& key : known.keys)
    if (const auto newest = kept.newest(key.name, key.id); newest && crypto::verify_note(*newest, std::vector{key}))
      outside.push_back({crypto::parse_checkpoint(newest->body).value(), kept.file_of(key.name, key.id).string()});
  return outside;
}

Result<Secret> local_key(const KeySource& source, ByteView wrapped) {
  const auto key = load_text(source.recipient_key);
  const auto certificate = load_text(source.recipient_cert);
  if (!key) return fail(Errc::invalid, "cannot read " + source.recipient_key);
  if (!certificate) return fail(Errc::invalid, "cannot read " + source.recipient_cert + " (--recipient-cert)");
  const auto der = crypto::certificate_der_of(*certificate);
  if (!der) return tl::unexpected(der.error());
  return crypto::unwrap_with(wrapped, Secret(*key), *der);
}

Result<Secret> session_key(const KeySource& source, const SessionId& session, ByteView wrapped) {
  if (!source.recipient_key.empty()) return local_key(source, wrapped);
  if (!source.ask_gateway) return fail(Errc::invalid, "no way to a session key: give --recipient-key and --recipient-cert");
  const auto digits = source.ask_gateway(session.str(), source.reason);
  if (!digits) return tl::unexpected(digits.error());
  const auto bytes = crypto::from_hex(*digits);
  if (!bytes || bytes->size() != 32) return fail(Errc::internal, "the gateway's answer is no session key");
  return Secret(ByteView(*bytes));
}

std::string place_text(const replay::Finding& finding) {
  std::string text;
  if (!finding.session.empty()) text += "session " + finding.session;
  if (finding.first_entry != 0)
    text += (text.empty() ? "" : ", ") +
            (finding.first_entry == finding.last_entry ? "entry " + std::to_string(finding.first_entry)
                                                       : "entries " + std::to_string(finding.first_entry) + " to " + std::to_string(finding.last_entry));
  if (finding.leaf != 0) text += (text.empty() ? "" : ", ") + ("leaf " + std::to_string(finding.leaf));
  if (finding.since_us != 0) text += (text.empty() ? "" : ", ") + ("since " + replay::time_text(finding.since_us));
  return text;
}

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

void print_findings(std::FILE* to, const std::vector<replay::Finding>& findings, std::size_t most) {
  for (std::size_t i = 0; i < findings.size() && i < most; ++i) {
    const auto& finding = findings[i];
    const std::string place = place_text(finding);
    std::fprintf(to, "FOUND %s: %s%s%s%s", finding.kind.c_str(), printable(place).c_str(), place.empty() ? "" : ": ", printable(finding.text).c_str(), "");
    if (finding.file != 0)
      std::fprintf(to, " (file %llu, byte %llu)", static_cast<unsigned long long>(finding.file), static_cast<unsigned long long>(finding.offset));
    std::fputc('\n', to);
  }
  if (findings.size() > most) std::fprintf(to, "... and %zu more findings\n", findings.size() - most);
}

/// Remembers what this run saw; only of a journal without findings.
void keep_newest(const RecordingPlace& place, const KnownKeys& known, const replay::VerifyReport& report) {
  if (!may_keep(place) || !report.is_clean() || known.keys.empty()) return;
  const KeptCheckpoints kept = kept_of(place);
  if (known.first_use)
    if (auto stored = kept.keep_key(place.journal, *known.first_use); !stored) note("sallyport: " + stored.error().detail);
  if (report.newest_checkpoint)
    if (auto stored = kept.keep(*report.newest_checkpoint); !stored) note("sallyport: " + stored.error().detail);
}

struct Verified {
  replay::VerifyReport report;
  KnownKeys known;
  std::vector<replay::OutsideCheckpoint> outside;
};
/// The whole check, with everything the caller knows from elsewhere.
Result<Verified> verify(const RecordingPlace& place, std::vector<SessionId> sessions, const std::vector<std::string>& checkpoint_files,
                        decltype(replay::VerifyOptions::unwrap) unwrap) {
  auto known = checkpoint_keys(place);
  if (!known) return tl::unexpected(known.error());
  std::vector<replay::Finding> findings;
  auto outside = outside_checkpoints(place, checkpoint_files, *known, findings);
  if (!outside) return tl::unexpected(outside.error());
  replay::VerifyOptions options;
  options.journal = place.journal;
  options.sessions = std::move(sessions);
  options.checkpoint_keys = known->keys;
  options.outside = *outside;
  options.unwrap = std::move(unwrap);
  options.is_live = liveness(place);
  auto report = replay::verify_journal(options);
  if (!report) return tl::unexpected(report.error());
  if (!known->changed.empty()) {
    replay::Finding finding;
    finding.kind = "checkpoint-key-changed";
    finding.text = known->changed;
    findings.push_back(std::move(finding));
  }
  report->findings.insert(report->findings.begin(), findings.begin(), findings.end());
  keep_newest(place, *known, *report);
  return Verified{std::move(*report), std::move(*known), std::move(*outside)};
}

/// Before a person sees a recording: is it the one that was made? 0 when it may be shown.
int check_before_showing(const RecordingPlace& place, const SessionId& session, bool show_damaged) {
  const auto verified = verify(place, {session}, {}, {});
  if (!verified) return report(verified.error());
  if (verified->report.is_clean()) return k_exit_ok;
  print_findings(stderr, verified->report.findings, 20);
  if (show_damaged) return k_exit_ok;
  note("sallyport: SP-8001 the recording or journal was changed; `sallyport verify` says more, --damaged shows it nevertheless");
  return k_exit_verification_failed;
}

void say_what_is_missing(const replay::Played& played) {
  if (played.hashed_bytes > 0) note("sallyport: " + std::to_string(played.hashed_bytes) + " bytes passed that are recorded by their hash only");
  if (played.damaged > 0) note("sallyport: " + std::to_string(played.damaged) + " entries could not be read");
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
  const bool right = list.newest_checkpoint && crypto::verify_note(*list.newest_checkpoint, known->keys).has_value();
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
    if (auto stored = kept.keep(*list.newest_checkpoint); !stored) note("sallyport: " + stored.error().detail);
}

std::optional<std::chrono::microseconds> seconds(double value) {
  if (!(value > 0)) return std::nullopt;
  return std::chrono::microseconds(static_cast<std::int64_t>(std::min(value, 86'400.0 * 365) * 1e6));
}

}  // namespace

int run_sessions(const SessionsOptions& options) {
  auto list = replay::list_sessions({options.place.journal, options.session, liveness(options.place)});
  if (!list) return report(list.error());
  keep_from_list(options.place, *list);
  if (!options.session.empty() && list->sessions.empty()) return report(Error{Errc::not_found, "no session " + options.session + " in the journal"});
  auto& sessions = list->sessions;
  std::erase_if(sessions, [&](const auto& session) {
    return (!options.principal.empty() && session.principal != options.principal) || (!options.target.empty() && session.target != options.target) ||
           (!options.state.empty() && session.state != options.state);
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
  if (list->damages > 0) note("sallyport: " + std::to_string(list->damages) + " places of the journal could not be read; run `sallyport verify`");
  return k_exit_ok;
}

int run_play(const PlayVerbOptions& options) {
  if (!(options.speed >= 0)) return usage_error("--speed must not be negative");
  const auto session = replay::find_session(options.place.journal, options.session, liveness(options.place));
  if (!session) return report(session.error());
  if (const int status = check_before_showing(options.place, session->session, options.damaged); status != k_exit_ok) return status;
  auto key = session_key(options.keys, session->session, session->wrapped_key);
  if (!key) return report(key.error());
  const InterruptGuard guard;
  replay::PlayOptions play;
  play.walk.journal = options.place.journal;
  play.walk.session = session->session;
  play.walk.key = std::move(*key);
  play.walk.typed = false;
  play.walk.follow = options.follow;
  play.walk.stop = [] { return interrupted.load(); };
  play.channel = options.channel;
  if (!play.channel && session->channels.size() > 1 && !options.follow) play.channel = replay::usual_channel(*session);
  if (play.channel && session->channels.size() > 1)
    note("sallyport: playing channel " + std::to_string(*play.channel) + " of " + std::to_string(session->channels.size()) + "; --channel chooses another");
  play.speed = options.speed;
  play.idle_limit = seconds(options.idle_limit);
  play.raw = options.raw || isatty(STDOUT_FILENO) == 0;
  const auto played = replay::play_session(
      play, [](std::string_view bytes) { return write_all(STDOUT_FILENO, bytes); }, [](std::string_view bytes) { return write_all(STDERR_FILENO, bytes); });
  if (isatty(STDOUT_FILENO) != 0) write_all(STDOUT_FILENO, "\x1b[0m\x1b[?25h\x1b[?1049l\r\n");
  if (!played) return report(played.error());
  say_what_is_missing(*played);
  if (session->state == "truncated") note("sallyport: SP-8002 the session is incomplete: it has no end entry");
  return interrupted ? k_exit_interrupted : k_exit_ok;
}

int run_export(const ExportVerbOptions& options) {
  if (options.format != "asciicast" && options.format != "text" && options.format != "json")
    return usage_error("--format is asciicast, text or json, not " + options.format);
  auto session = replay::find_session(options.place.journal, options.session, liveness(options.place));
  if (!session) return report(session.error());
  if (const int status = check_before_showing(options.place, session->session, options.damaged); status != k_exit_ok) return status;
  auto key = session_key(options.keys, session->session, session->wrapped_key);
  if (!key) return report(key.error());
  const InterruptGuard guard;
  const bool to_file = options.output != "-";
  const std::string draft = options.output + ".part";
  const Fd file(to_file ? ::open(draft.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600) : -1);
  if (to_file && !file) return report(Error{errno == EEXIST ? Errc::conflict : Errc::invalid, "writing " + draft + ": " + std::strerror(errno)});
  std::string buffer;
  bool written = true;
  const auto flush = [&] {
    written = written && write_all(to_file ? file.get() : STDOUT_FILENO, buffer);
    buffer.clear();
    return written && !interrupted;
  };
  const replay::Sink sink = [&](std::string_view bytes) {
    buffer += bytes;
    return buffer.size() < 64 * 1024 || flush();
  };
  replay::ExportOptions how;
  how.walk.journal = options.place.journal;
  how.walk.session = session->session;
  how.walk.key = std::move(*key);
  how.walk.typed = options.with_input || options.format == "json";
  how.channel = options.channel;
  how.with_input = options.with_input;
  how.idle_limit = seconds(options.idle_limit);
  how.session = std::move(*session);
  const auto exported = options.format == "asciicast" ? export_asciicast(how, sink) : options.format == "text" ? export_text(how, sink) : export_json(how, sink);
  flush();
  const bool whole = exported && written && !interrupted;
  if (to_file && (!whole || rename(draft.c_str(), options.output.c_str()) != 0)) {
    unlink(draft.c_str());
    if (whole) return report(Error{Errc::invalid, "writing " + options.output + ": " + std::strerror(errno)});
  }
  if (!exported) return report(exported.error());
  if (interrupted) return k_exit_interrupted;
  if (!written) return report(Error{Errc::internal, "the export could not be written"});
  say_what_is_missing(*exported);
  return k_exit_ok;
}

int run_verify(const VerifyVerbOptions& options) {
  std::vector<SessionId> sessions;
  for (const std::string& name : options.sessions) {
    const auto session = replay::find_session(options.place.journal, name, {});
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
  const auto verified = verify(options.place, std::move(sessions), options.checkpoints, std::move(unwrap));
  if (!verified) return report(verified.error());
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
                                    {"signed", session.signed_entries}, {"seals_checked", session.seals_checked}, {"findings", session.findings}});
  }
  std::uint64_t outside_leaves = 0;
  for (const auto& outside : verified->outside) outside_leaves = std::max(outside_leaves, outside.checkpoint.size);
  const int status = result.is_clean() ? k_exit_ok : k_exit_verification_failed;
  if (options.common.format != Format::table) {
    print_object(options.common, json::object{{"verified", result.is_clean()}, {"findings", std::move(findings)}, {"more_findings", result.more_findings},
                                              {"not_checked", std::move(not_checked)}, {"notices", std::move(notices)}, {"sessions", std::move(verdicts)}, {"leaves", result.leaves}, {"outside_leaves", outside_leaves},
                                              {"signed_leaves", result.signed_leaves}, {"checkpoints", result.checkpoints}, {"bytes", result.bytes}, {"seconds", took}});
    return status;
  }
  std::printf("journal: %s, %.1f MB in %.2f s\n", options.place.journal.c_str(), static_cast<double>(result.bytes) / 1e6, took);
  std::printf("log: %llu leaves, %llu of them under %llu checkpoints\n", static_cast<unsigned long long>(result.leaves),
              static_cast<unsigned long long>(result.signed_leaves), static_cast<unsigned long long>(result.checkpoints));
  const auto newest = std::max_element(verified->outside.begin(), verified->outside.end(),
                                       [](const auto& a, const auto& b) { return a.checkpoint.size < b.checkpoint.size; });
  if (newest != verified->outside.end())
    std::printf("outside checkpoint: %llu leaves, from %s\n", static_cast<unsigned long long>(newest->checkpoint.size), newest->where.c_str());
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
