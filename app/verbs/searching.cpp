// sallyport index, sallyport search.
#include <poll.h>
#include <signal.h>

#include <atomic>
#include <boost/json.hpp>
#include <chrono>
#include <cstdio>
#include <ctime>

#include "app/verbs/exit_codes.h"
#include "app/verbs/moments.h"
#include "app/verbs/recording_view.h"
#include "platform/crypto/hex.h"
#include "platform/os/step_back.h"
#include "recorder/search/search_index.h"

namespace sallyport::app {
namespace {

namespace json = boost::json;

std::atomic<bool> interrupted{false};

Result<search::SearchPlace> database_of(const RecordingPlace& place, const std::string& given) {
  const auto folder = place.index.empty() ? replay::KeptCheckpoints::usual_folder() : place.index;
  if (!given.empty() && !given.starts_with("postgresql:")) return search::SearchPlace{given, {}, {}, {}, {}};
  Settings settings = place.search;
  if (!given.empty()) settings.set("search_database", given);
  return search::search_place(settings, (folder / "search.sqlite").string());
}

/// The database's password comes with it, where the vault has that.
Result<Secret> search_key(const std::function<Result<std::string>(const std::string&)>& ask, const std::string& reason, search::SearchPlace& place) {
  if (!ask) return fail(Errc::invalid, "no way to the key of the search index");
  const auto digits = ask(reason);
  if (!digits) return tl::unexpected(digits.error());
  const auto bytes = crypto::from_hex(*digits);
  if (!bytes || bytes->size() < search::k_key_bytes) return fail(Errc::internal, "the gateway's answer is no key");
  const ByteView all(*bytes);
  place.password = Secret(all.subspan(search::k_key_bytes));
  return Secret(all.first(search::k_key_bytes));
}

Error no_index_at(const search::SearchPlace& place) { return {Errc::not_found, "there is no search index at " + place.name() + "; make it: sallyport index --reason '...'"}; }

Error trouble_at(const search::SearchPlace& place, const Error& why) {
  if (why.code == Errc::corrupt || why.code == Errc::conflict) return {Errc::corrupt, "SP-4205 " + place.name() + ": " + why.detail + "; build it anew: sallyport index --rebuild"};
  if (place.server && why.code != Errc::invalid) return {why.code, "SP-4206 " + place.name() + ": " + why.detail};
  return why;
}

Result<search::SearchIndex> open_search(const search::SearchPlace& place, const Secret& key, bool make) {
  std::error_code error;
  const auto folder = std::filesystem::path(place.file).parent_path();
  if (!folder.empty() && std::filesystem::create_directories(folder, error)) std::filesystem::permissions(folder, std::filesystem::perms::owner_all, error);
  auto index = search::SearchIndex::open(place, key, make);
  if (!index) return tl::unexpected(index.error().code == Errc::not_found && !make ? no_index_at(place) : trouble_at(place, index.error()));
  return index;
}

/// "1:02:03" from the session's beginning.
std::string offset_text(std::int64_t microseconds) {
  const std::int64_t whole = std::max<std::int64_t>(microseconds, 0) / 1'000'000;
  char text[48];
  std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", static_cast<long long>(whole / 3600), static_cast<long long>(whole / 60 % 60), static_cast<long long>(whole % 60));
  return text;
}

struct Pass {
  std::uint64_t done = 0, failed = 0;
  Error last;
};

/// Every ended session that the index does not know yet.
Result<Pass> index_pass(const IndexVerbOptions& options, search::SearchIndex& index) {
  auto seek = open_index(options.place);
  if (!seek) return tl::unexpected(seek.error());
  const auto sessions = seek->sessions(liveness(options.place));
  if (!sessions) return tl::unexpected(sessions.error());
  Pass pass;
  for (const auto& session : *sessions) {
    if (interrupted) return fail(Errc::cancelled, "interrupted");
    if (session.state == "live" || session.state == "open") continue;
    const auto reach = index.reach(session.session);
    if (!reach) return tl::unexpected(reach.error());
    if (*reach >= session.entries) continue;
    const auto one = [&]() -> Result<void> {
      auto proof = replay::ShownProof::make(*seek, session, {}, {});
      if (!proof) return tl::unexpected(proof.error());
      RecordingView view{std::move(*seek), session, std::move(*proof)};
      const auto give_back = [&] { *seek = std::move(view.index); };
      auto key = session_key(options.keys, session.session, session.wrapped_key);
      if (!key) {
        give_back();
        return tl::unexpected(key.error());
      }
      search::IndexedSession about{session.session, session.principal, session.account, session.target, session.began_us, session.last_us, 0, session.entries};
      auto first = view.read(options.place, 1, [&](const replay::StoredEntry& entry, const std::optional<crypto::Tag>&) {
        about.boot_us = entry.header.boot_us;
        return false;
      });
      std::vector<search::IndexedLine> lines;
      auto watched = first ? watch_session(options.place, view, *key,
                                           [&](const ViewedLine& line) {
                                             lines.push_back({line.channel, line.when.wall_us, line.when.boot_us, line.when.sequence, line.is_command,
                                                              line.status >= 0 ? std::optional(line.status) : std::nullopt, std::string(line.text)});
                                           },
                                           [] { return interrupted.load(); })
                           : first;
      give_back();
      if (!watched) return watched;
      return index.put(about, lines);
    }();
    if (one) {
      ++pass.done;
    } else if (one.error().code == Errc::sealed || one.error().code == Errc::unavailable || one.error().code == Errc::denied) {
      return tl::unexpected(one.error());
    } else {
      ++pass.failed;
      pass.last = one.error();
      note("sallyport: session " + session.session.str() + " was not indexed: " + one.error().detail);
    }
  }
  return pass;
}

}  // namespace

int run_index(const IndexVerbOptions& options) {
  auto place = database_of(options.place, options.database);
  if (!place) return report(place.error());
  Secret key;
  if (!options.drop || !place->password_secret.empty()) {
    auto lent = search_key(options.ask_search_key, options.keys.reason, *place);
    if (!lent) return report(lent.error());
    key = std::move(*lent);
  }
  if (options.drop || options.rebuild)
    if (auto dropped = search::SearchIndex::drop(*place); !dropped) return report(trouble_at(*place, dropped.error()));
  if (options.drop) return k_exit_ok;
  struct sigaction action {};
  action.sa_handler = [](int) { interrupted = true; };
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  os::step_back(19);  // never in the way of sessions; the replay processes inherit it
  auto index = open_search(*place, key, true);
  if (!index) return report(index.error());
  if (!place->server) key = Secret();
  for (;;) {
    const auto pass = index_pass(options, *index);
    if (interrupted) return k_exit_interrupted;
    if (!pass && !options.follow) return report(pass.error());
    if (!pass) note("sallyport: " + pass.error().detail);
    if (!pass && place->server)  // it may have been away: the connection does not come back by itself
      if (auto again = open_search(*place, key, true); again) *index = std::move(*again);
    if (!options.follow) {
      const auto size = index->size();
      if (size)
        print_object(options.common, {{"indexed", pass->done}, {"failed", pass->failed}, {"sessions", size->sessions}, {"lines", size->lines}, {"words", size->words}});
      return pass->failed == 0 ? k_exit_ok : report(pass->last);
    }
    for (int i = 0; i < 20 && !interrupted; ++i) poll(nullptr, 0, 100);
    if (interrupted) return k_exit_ok;
  }
}

Result<void> forget_in_search(const RecordingPlace& place, const std::function<Result<std::string>(const std::string&)>& ask_search_key, const std::string& reason,
                              const SessionId& session) {
  auto where = database_of(place, {});
  if (!where) return tl::unexpected(where.error());
  std::error_code error;
  if (!where->server && !std::filesystem::exists(where->file, error)) return {};
  const auto key = search_key(ask_search_key, reason, *where);
  if (!key) return tl::unexpected(key.error());
  auto index = open_search(*where, *key, false);
  if (!index && index.error().code == Errc::not_found) return {};
  if (!index) return tl::unexpected(index.error());
  return index->remove(session);
}

int run_search(const SearchVerbOptions& options) {
  search::Query query{options.text, options.regex, options.commands, options.principal, options.target, 0, 0, options.limit};
  const auto window = window_between(options.since, options.until);
  if (!window) return report(window.error());
  query.since_us = window->since_us;
  query.until_us = window->until_us;
  auto place = database_of(options.place, options.database);
  if (!place) return report(place.error());
  std::error_code error;
  if (!place->server && !std::filesystem::exists(place->file, error)) return report(no_index_at(*place));
  auto key = search_key(options.ask_search_key, options.reason, *place);
  if (!key) return report(key.error());
  auto index = open_search(*place, *key, false);
  if (!index) return report(index.error());
  *key = Secret();
  const auto hits = index->find(query);
  if (!hits) return report(trouble_at(*place, hits.error()));
  json::array rows;
  for (const auto& hit : *hits) {
    const std::string at = offset_text(hit.line.boot_us != 0 ? hit.line.boot_us - hit.session.boot_us : hit.line.wall_us - hit.session.began_us);
    const std::string play = "sallyport play " + hit.session.session.str() + " --at " + at + (hit.line.channel == 0 ? "" : " --channel " + std::to_string(hit.line.channel));
    json::object row{{"time", replay::time_text(hit.line.wall_us)}, {"principal", hit.session.principal}, {"account", hit.session.account},
                     {"target", hit.session.target}, {"session", hit.session.session.str()}, {"channel", hit.line.channel},
                     {"command", hit.line.is_command}, {"line", hit.line.text}, {"play", play}};
    if (hit.line.status) row["exit"] = *hit.line.status;
    rows.push_back(std::move(row));
  }
  print_rows(options.common, rows, {{"TIME", "time"}, {"PRINCIPAL", "principal"}, {"TARGET", "target"}, {"LINE", "line"}, {"PLAY", "play"}}, "nobody saw that");
  return rows.empty() ? k_exit_not_found : k_exit_ok;
}

}  // namespace sallyport::app
