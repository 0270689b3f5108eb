#include "app/verbs/viewing_desk.h"

#include <poll.h>
#include <sys/prctl.h>

#include <algorithm>
#include <boost/json.hpp>
#include <csignal>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "app/verbs/feeding.h"
#include "app/verbs/recording_facts.h"
#include "platform/crypto/base64.h"
#include "platform/model/json_text.h"
#include "platform/os/write_limits.h"
#include "recorder/replay/playback.h"
#include "recorder/replay/view_wire.h"
#include "recorder/search/search_index.h"

namespace sallyport::app {
namespace {

namespace json = boost::json;
using replay::Part;
using replay::ViewJob;

constexpr int k_socket = 3;

/// The other side has something new to say, or is gone: what is being shown is not wanted any more.
bool is_called() {
  pollfd wait{k_socket, POLLIN, 0};
  return poll(&wait, 1, 0) > 0;
}

std::string text_in(const json::object& job, std::string_view name) {
  const json::value* value = job.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(std::string_view(value->get_string())) : std::string();
}
std::int64_t number_in(const json::object& job, std::string_view name, std::int64_t fallback = 0) {
  const json::value* value = job.if_contains(name);
  return value != nullptr && value->is_int64() ? value->get_int64() : fallback;
}
bool flag_in(const json::object& job, std::string_view name) {
  const json::value* value = job.if_contains(name);
  return value != nullptr && value->is_bool() && value->get_bool();
}

json::object badge_of(const RecordingView& view) {
  if (!view.proof) return {{"verified", false}, {"text", "NOT VERIFIED: the recording or the journal was changed"}};
  const replay::Badge& badge = view.proof->badge();
  json::array outside(badge.outside.begin(), badge.outside.end());
  return {{"verified", true},
          {"signed", badge.is_signed},
          {"entries", badge.entries},
          {"proven", badge.proven},
          {"head_leaf", badge.head_leaf},
          {"checkpoint_size", badge.checkpoint_size},
          {"checkpoint_origin", badge.checkpoint_origin},
          {"outside", std::move(outside)},
          {"text", badge.text()}};
}

json::object summary_of(const replay::SessionSummary& session) {
  json::array channels;
  for (const auto& channel : session.channels)
    channels.push_back(json::object{{"channel", channel.channel}, {"kind", channel.kind}, {"command", printable(channel.command)}, {"pty", channel.pty},
                                    {"exit", channel.exit}, {"bytes_in", channel.bytes_in}, {"bytes_out", channel.bytes_out}, {"bytes_err", channel.bytes_err}});
  return {{"session", session.session.str()}, {"principal", session.principal}, {"account", session.account}, {"target", session.target},
          {"source", session.source},         {"state", session.state},         {"end_reason", session.end_reason}, {"entries", session.entries},
          {"stored_bytes", session.stored_bytes}, {"began", replay::time_text(session.began_us)}, {"duration_ms", (session.last_us - session.began_us) / 1000},
          {"channels", std::move(channels)}};
}

class Desk {
 public:
  explicit Desk(const std::vector<std::string>& fixed) : fixed_(fixed) {}
  int serve();

 private:
  Result<json::object> open(const json::object& job);
  Result<json::object> frames(const json::object& job);
  Result<json::object> lines();
  Result<json::object> whole(const json::object& job, ViewJob::Kind kind);
  Result<json::object> find(const json::object& job);
  Result<json::object> run(const json::object& job);
  bool out(std::string_view bytes);
  [[nodiscard]] ViewJob job_for(const json::object& asked, ViewJob::Kind kind) const;
  Result<json::object> show(const ViewJob& job, std::uint64_t from, const std::optional<replay::KeyFrame>& screen);

  const std::vector<std::string>& fixed_;
  RecordingPlace place_;
  std::optional<RecordingView> view_;
  std::optional<Secret> key_;
  std::int64_t first_boot_us_ = 0;
  bool input_ = false;
};

bool Desk::out(std::string_view bytes) {
  constexpr std::size_t k_piece = 64 * 1024;
  while (!bytes.empty()) {
    if (!replay::send_part(k_socket, Part::out, bytes_of(bytes.substr(0, k_piece)))) return false;
    bytes.remove_prefix(std::min(bytes.size(), k_piece));
  }
  return true;
}

Result<json::object> Desk::open(const json::object& job) {
  const bool is_fixed = fixed_.size() >= 4;
  place_.journal = std::filesystem::path(is_fixed ? fixed_[0] : text_in(job, "journal"));
  place_.ring_dir = is_fixed ? fixed_[1] : text_in(job, "ring_dir");
  place_.default_key = is_fixed ? fixed_[2] : text_in(job, "checkpoint_key");
  place_.index = is_fixed ? fixed_[3] : text_in(job, "index");
  place_.kept = place_.index / "kept";
  if (!is_fixed) {
    for (const char* name : search::k_place_settings) place_.search.set(name, text_in(job, name));
  } else if (fixed_.size() > 4) {
    place_.search.set("search_database", fixed_[4]);
  }
  input_ = flag_in(job, "input");
  if (text_in(job, "session").empty()) return json::object{};  // a search needs no session
  auto view = open_view(place_, text_in(job, "session"), flag_in(job, "damaged"));
  if (!view) return tl::unexpected(view.error());
  view_.emplace(std::move(*view));
  const auto first = view_->read(place_, 1, [&](const replay::StoredEntry& entry, const std::optional<crypto::Tag>&) {
    first_boot_us_ = entry.header.boot_us;
    return false;
  });
  if (!first) return tl::unexpected(first.error());
  return json::object{{"badge", badge_of(*view_)},
                      {"recording", summary_of(view_->session)},
                      {"zero", first_boot_us_},
                      {"usual_channel", static_cast<std::int64_t>(replay::usual_channel(view_->session).value_or(0))},
                      {"wrapped", crypto::to_base64(view_->session.wrapped_key)}};
}

ViewJob Desk::job_for(const json::object& asked, ViewJob::Kind kind) const {
  ViewJob job;
  job.kind = kind;
  job.session = view_->session;
  if (const auto channel = number_in(asked, "channel", -1); channel >= 0) job.channel = static_cast<std::uint32_t>(channel);
  job.with_input = input_;
  return job;
}

Result<json::object> Desk::show(const ViewJob& job, std::uint64_t from, const std::optional<replay::KeyFrame>& screen) {
  const auto give = [this](std::string_view bytes) { return out(bytes); };
  auto process = ViewingProcess::start(job, *key_, {.out = give, .err = give, .screen = {}, .line = {}, .interrupted = is_called});
  if (!process) return tl::unexpected(process.error());
  if (screen) process->send(Part::key_frame, replay::key_frame_part(*screen));
  auto fed = job.with_input && from <= 1 ? feed(place_, *view_, *process, 1, true) : Result<void>();
  if (fed) fed = job.follow ? feed_live(place_, *view_, *process, from) : feed(place_, *view_, *process, from);
  const auto played = process->finish();
  if (!fed) return tl::unexpected(fed.error());
  if (!played) return tl::unexpected(played.error());
  return json::object{{"bytes", played->bytes}, {"damaged", played->damaged}};
}

Result<json::object> Desk::frames(const json::object& asked) {
  ViewJob job = job_for(asked, ViewJob::Kind::frames);
  job.follow = flag_in(asked, "follow");
  std::uint64_t from = 1;
  std::optional<replay::KeyFrame> screen;
  if (const std::int64_t at = number_in(asked, "at_us"); at > 0) {
    job.at_boot_us = first_boot_us_ + at;
    const auto entry = view_->index.entry_before(view_->session.session, job.at_boot_us);
    if (entry && *entry > 0 && view_->proof) {
      auto nearest = view_->index.key_frame_before(view_->session.session, job.channel.value_or(0), *entry);
      if (nearest && *nearest) {
        screen = std::move(**nearest);
        from = screen->sequence + 1;
      }
    }
  }
  return show(job, from, screen);
}

Result<json::object> Desk::lines() {
  bool wanted = true;
  const auto watched = watch_session(place_, *view_, *key_, [&](const ViewedLine& line) {
    wanted = wanted && out("{\"b\":" + std::to_string(line.when.boot_us) + ",\"c\":" + std::to_string(line.channel) + ",\"command\":" + (line.is_command ? "true" : "false") +
                           ",\"status\":" + std::to_string(line.status) + ",\"text\":" + json_quote(line.text) + "}\n");
  }, [&] { return !wanted || is_called(); });
  if (!watched) return tl::unexpected(watched.error());
  return json::object{};
}

Result<json::object> Desk::whole(const json::object& asked, ViewJob::Kind kind) { return show(job_for(asked, kind), 1, std::nullopt); }

Result<json::object> Desk::find(const json::object& asked) {
  auto where = search::search_place(place_.search, (place_.index / "search.sqlite").string());
  if (!where) return fail(Errc::unavailable, "SP-4206 " + where.error().detail);
  const ByteView given = key_->reveal();
  if (given.size() < search::k_key_bytes) return fail(Errc::invalid, "no key of a search was given");
  where->password = Secret(given.subspan(search::k_key_bytes));
  const Secret key(given.first(search::k_key_bytes));
  std::error_code error;
  const Error none{Errc::not_found, "SP-9402 there is no search index yet"};
  if (!where->server && !std::filesystem::exists(where->file, error)) {
    if (error == std::errc::permission_denied) return fail(Errc::unavailable, "SP-4206 the search index is closed to the user of this process; on the machine, as root: sallyport search");
    return tl::unexpected(none);
  }
  auto index = search::SearchIndex::open(*where, key, false);
  if (!index && index.error().code == Errc::not_found) return tl::unexpected(none);
  const auto trouble = [&](const Error& why) -> Error {
    const bool unreadable = !where->server || why.code == Errc::corrupt || why.code == Errc::conflict;
    if (why.code == Errc::invalid && index) return why;  // of what was asked
    return {unreadable ? Errc::corrupt : Errc::unavailable, (unreadable ? "SP-4205 " : "SP-4206 ") + why.detail};
  };
  if (!index) return tl::unexpected(trouble(index.error()));
  search::Query query{text_in(asked, "text"), flag_in(asked, "regex"), flag_in(asked, "commands"), text_in(asked, "principal"), text_in(asked, "target"),
                      number_in(asked, "since_us"), number_in(asked, "until_us"), static_cast<std::size_t>(number_in(asked, "limit", 100))};
  const auto hits = index->find(query);
  if (!hits) return tl::unexpected(trouble(hits.error()));
  json::array rows;
  for (const auto& hit : *hits) {
    const std::int64_t at = hit.line.boot_us != 0 ? hit.line.boot_us - hit.session.boot_us : hit.line.wall_us - hit.session.began_us;
    json::object row{{"at", replay::time_text(hit.line.wall_us)}, {"session", hit.session.session.str()}, {"principal", hit.session.principal}, {"account", hit.session.account},
                     {"target", hit.session.target}, {"channel", hit.line.channel}, {"command", hit.line.is_command}, {"line", printable(hit.line.text)},
                     {"offset_ms", std::max<std::int64_t>(at, 0) / 1000}};
    if (hit.line.status) row["exit"] = *hit.line.status;
    rows.push_back(std::move(row));
  }
  out(json::serialize(json::object{{"hits", std::move(rows)}, {"complete", hits->size() < query.limit}}));
  return json::object{};
}

Result<json::object> Desk::run(const json::object& job) {
  const std::string what = text_in(job, "do");
  if (what == "open") return open(job);
  if (what == "stop") return json::object{};
  if (what == "find" && key_) return find(job);
  if (!view_) return fail(Errc::invalid, "no recording is open");
  if (what == "files") {
    const auto written = write_file_list(place_, *view_, [this](std::string_view bytes) { return !is_called() && out(bytes); });
    if (!written) return tl::unexpected(written.error());
    return json::object{};
  }
  if (!key_) return fail(Errc::invalid, "no key was given");
  if (what == "frames") return frames(job);
  if (what == "lines") return lines();
  if (what == "text") return whole(job, ViewJob::Kind::text);
  if (what == "asciicast") return whole(job, ViewJob::Kind::asciicast);
  return fail(Errc::invalid, "not a job of a viewing");
}

int Desk::serve() {
  for (;;) {
    auto received = replay::receive_part(k_socket);
    if (!received || !*received) return 0;
    const replay::ReceivedPart& part = **received;
    if (part.part == Part::key) {
      key_.emplace(ByteView(part.body));
      continue;
    }
    if (part.part != Part::job) return 1;
    json::error_code error;
    const json::value job = json::parse(text_of(ByteView(part.body)), error);
    const auto done = !error && job.is_object() ? run(job.get_object()) : Result<json::object>(fail(Errc::invalid, "not a job"));
    if (done) {
      const std::string text = json::serialize(*done);
      if (!replay::send_part(k_socket, Part::done, bytes_of(text))) return 0;
      continue;
    }
    Bytes body(4);
    seal::put_number(body.data(), static_cast<std::uint32_t>(done.error().code));
    const ByteView detail = bytes_of(done.error().detail);
    body.insert(body.end(), detail.begin(), detail.end());
    if (!replay::send_part(k_socket, Part::trouble, body)) return 0;
  }
}

}  // namespace

int run_viewing_desk(const std::vector<std::string>& fixed) {
  std::signal(SIGPIPE, SIG_IGN);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  prctl(PR_SET_DUMPABLE, 0);
  if (fixed.size() >= 4) {
    std::vector<std::filesystem::path> folders{fixed[3]};
    std::error_code error;
    // SQLite's own files stand beside it.
    if (const auto search = std::filesystem::path(fixed.size() > 4 ? fixed[4] : "").parent_path(); std::filesystem::is_directory(search, error)) folders.push_back(search);
    if (auto limited = os::write_only_below(folders); !limited) return 1;
  }
  return Desk(fixed).serve();
}

}  // namespace sallyport::app
