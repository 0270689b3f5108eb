#include "app/verbs/recording_acts.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <set>

#include "app/verbs/admin_client.h"
#include "app/verbs/exit_codes.h"
#include "app/verbs/recording_proof.h"
#include "app/verbs/recording_view.h"
#include "platform/crypto/base64.h"
#include "platform/os/fd.h"
#include "recorder/shipping/parcel.h"

namespace sallyport::app {
namespace {

namespace json = boost::json;

Result<json::object> order(const Common& common, const std::string& session, const char* what, json::object body) {
  auto client = AdminClient::find(common);
  if (!client) return tl::unexpected(client.error());
  auto answer = client->send("POST", "/v1/recordings/" + segment_of(session) + "/" + what, std::move(body));
  if (!answer) return tl::unexpected(answer.error());
  const json::object* object = answer->if_object();
  if (object == nullptr) return fail(Errc::corrupt, "the gateway's answer is no object");
  return *object;
}

Result<replay::SessionSummary> find(const RecordingPlace& place, replay::SeekIndex& index, const std::string& name) { return index.find_session(name, liveness(place)); }

/// Where the session's entries are.
struct Extent {
  std::vector<replay::Spot> spots;
  std::uint64_t first_file = 0, last_file = 0;
};

Result<Extent> extent_of(replay::SeekIndex& index, const replay::SessionSummary& session) {
  auto spots = index.spots(session.session, 1);
  if (!spots) return tl::unexpected(spots.error());
  Extent extent;
  extent.spots = std::move(*spots);
  if (extent.spots.empty()) return extent;
  extent.first_file = extent.spots.front().file;
  extent.last_file = session.state == "live" || session.state == "open" ? 0 : extent.spots.back().file;
  return extent;
}

/// The objects that hold entries of the session.
Result<std::vector<std::string>> objects_of(recorder::ObjectStore& store, const std::string& node, const Extent& extent) {
  std::set<std::uint64_t> files;
  for (const auto& spot : extent.spots) files.insert(spot.file);
  std::vector<std::string> wanted;
  for (const std::uint64_t file : files) {
    const std::string name = replay::journal_file_name(file);
    const auto keys = store.list(node + "/journal/" + name.substr(0, name.find('.')) + "/");
    if (!keys) return tl::unexpected(keys.error());
    for (const std::string& key : *keys) {
      const auto parsed = recorder::parse_parcel_key(key);
      if (!parsed || parsed->span.file != file) continue;
      // With several lanes the session's entries are in one of them: all are held rather than one too few.
      if (std::any_of(extent.spots.begin(), extent.spots.end(),
                      [&](const auto& spot) { return spot.file == file && spot.offset >= parsed->span.from && spot.offset < parsed->span.to; }))
        wanted.push_back(key);
    }
  }
  return wanted;
}

}  // namespace

int run_erase(const RecordingActOptions& options) {
  auto index = open_index(options.place);
  if (!index) return report(index.error());
  const auto session = find(options.place, *index, options.session);
  if (!session) return report(session.error());
  const auto done = order(options.common, session->session.str(), "erase", {{"reason", options.reason}, {"wrapped", crypto::to_base64(session->wrapped_key)}});
  if (!done) return report(done.error());
  // The lines that were made searchable are sealed under another key.
  if (auto forgotten = forget_in_search(options.place, options.ask_search_key, options.reason, session->session); !forgotten)
    return report(Error{forgotten.error().code, "the key is erased, but not what the search index holds of it: " + forgotten.error().detail + "; drop the index: sallyport index --drop"});
  std::printf("the key of session %s is erased: nobody can read it any more; its place in the log stays\n", session->session.str().c_str());
  return k_exit_ok;
}

int run_rewrap(const RecordingActOptions& options) {
  if (options.all == !options.session.empty()) return usage_error("name a session, or give --all");
  auto index = open_index(options.place);
  if (!index) return report(index.error());
  std::vector<replay::SessionSummary> sessions;
  if (options.all) {
    auto every = index->sessions(liveness(options.place));
    if (!every) return report(every.error());
    sessions = std::move(*every);
  } else {
    auto one = find(options.place, *index, options.session);
    if (!one) return report(one.error());
    sessions.push_back(std::move(*one));
  }
  json::array rows;
  std::uint64_t failed = 0;
  Error last;
  for (const auto& session : sessions) {
    const auto done = order(options.common, session.session.str(), "rewrap", {{"reason", options.reason}, {"wrapped", crypto::to_base64(session.wrapped_key)}});
    json::object row{{"session", session.session.str()}, {"result", done ? "wrapped anew" : done.error().detail}};
    if (done && done->contains("recipients")) row["recipients"] = done->at("recipients");
    rows.push_back(std::move(row));
    if (done || done.error().detail.starts_with("SP-4301")) continue;  // what was erased stays so
    ++failed;
    last = done.error();
  }
  print_rows(options.common, rows, {{"SESSION", "session"}, {"RESULT", "result"}, {"RECIPIENTS", "recipients"}}, "no sessions recorded");
  return failed == 0 ? k_exit_ok : report(last);
}

int run_wrapped_key(const RecordingActOptions& options) {
  auto index = open_index(options.place);
  if (!index) return report(index.error());
  const auto session = find(options.place, *index, options.session);
  if (!session) return report(session.error());
  const auto done = order(options.common, session->session.str(), "wrapped-key", {{"reason", options.reason}, {"wrapped", crypto::to_base64(session->wrapped_key)}});
  if (!done) return report(done.error());
  const auto* text = done->if_contains("wrapped");
  const auto cms = crypto::from_base64(text != nullptr && text->is_string() ? std::string_view(text->get_string()) : std::string_view());
  if (!cms || cms->empty()) return report(Error{Errc::corrupt, "the gateway's answer has no wrapped key"});
  const Fd out(::open(options.file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!out || ::write(out.get(), cms->data(), cms->size()) != static_cast<ssize_t>(cms->size()))
    return report(Error{errno == EEXIST ? Errc::conflict : Errc::invalid, "writing " + options.file + ": " + std::strerror(errno)});
  return k_exit_ok;
}

int run_hold(const RecordingActOptions& options, bool on) {
  auto index = open_index(options.place);
  if (!index) return report(index.error());
  const auto session = find(options.place, *index, options.session);
  if (!session) return report(session.error());
  const auto extent = extent_of(*index, *session);
  if (!extent) return report(extent.error());
  std::vector<std::string> objects;
  recorder::OpenedStore writer;
  if (options.open_store) {
    auto reader = options.open_store(recorder::StoreUse::read);
    auto opened = options.open_store(recorder::StoreUse::write);
    if (!reader || !opened) return report(reader ? opened.error() : reader.error());
    writer = std::move(*opened);
    if (reader->s3 == nullptr) {
      note("sallyport: the store is a folder: nothing there keeps a file from being removed; the hold is the gateway's alone");
    } else if (const auto lock = reader->s3->lock_of_bucket(); on && (!lock || !lock->enabled)) {
      return report(Error{lock ? Errc::invalid : lock.error().code, "the store cannot hold objects: " + (lock ? std::string("its bucket has no object lock") : lock.error().detail)});
    } else {
      auto found = objects_of(*reader->store, options.node, *extent);
      if (!found) return report(found.error());
      objects = std::move(*found);
    }
  }
  // The gateway first: what is shipped from now on, and the erasing of keys, follow it.
  json::object body{{"reason", options.reason}};
  if (on) {
    body["first_file"] = extent->first_file;
    body["last_file"] = extent->last_file;
  }
  if (const auto done = order(options.common, session->session.str(), on ? "hold" : "release", std::move(body)); !done) return report(done.error());
  for (const std::string& key : objects)
    if (auto held = writer.s3->set_legal_hold(key, on); !held)
      return report(Error{held.error().code, std::string(on ? "held at the gateway, but not" : "released at the gateway, but not") + " the object " + key + ": " + held.error().detail + "; run it again"});
  print_object(options.common, {{"session", session->session.str()}, {"held", on}, {"objects", objects.size()}, {"state", session->state}});
  return k_exit_ok;
}

int run_holds(const RecordingActOptions& options) {
  auto client = AdminClient::find(options.common);
  if (!client) return report(client.error());
  auto answer = client->get("/v1/recordings/holds");
  if (!answer) return report(answer.error());
  const json::object* object = answer->if_object();
  const json::value* rows = object == nullptr ? nullptr : object->if_contains("holds");
  if (rows == nullptr || !rows->is_array()) return report(Error{Errc::corrupt, "the gateway's answer has no holds"});
  print_rows(options.common, rows->get_array(), {{"SESSION", "session"}, {"REASON", "reason"}}, "no recording is under legal hold");
  return k_exit_ok;
}

}  // namespace sallyport::app
