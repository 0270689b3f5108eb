#include "admin/api/viewings.h"

#include "admin/api/joined_view.h"

#include <algorithm>
#include <boost/json.hpp>
#include <filesystem>

#include "platform/crypto/base64.h"
#include "platform/crypto/ulid.h"
#include "platform/model/bytes.h"
#include "policy/authority/authority.h"
#include "recorder/search/search_place.h"

namespace sallyport::admin {
namespace {

constexpr std::size_t k_most_viewings = 32;
constexpr std::size_t k_most_of_one = 4;
constexpr std::chrono::minutes k_idle{10};
constexpr std::size_t k_most_found = 8 * 1024 * 1024;  ///< a thousand hits are far below it
constexpr std::size_t k_much_unread = 256 * 1024;
constexpr std::chrono::milliseconds k_look{20};
constexpr unsigned k_looks_between_rights = 25;

std::string owner_of(const authority::Operator& who) { return who.is_root ? "root" : who.principal; }

/// A refusal's detail may begin with its code in the catalogue.
std::string code_in(const Error& error) { return error.detail.starts_with("SP-") ? error.detail.substr(0, 7) : std::string(); }

json::object object_in(const std::string& text) {
  json::error_code error;
  json::value value = json::parse(text, error);
  return !error && value.is_object() ? std::move(value.get_object()) : json::object{};
}

}  // namespace

struct Viewings::Viewing {
  std::string id;
  std::string owner;
  std::string session;
  json::object facts;
  bool input = false;
  bool ready = false;
  std::unique_ptr<DeskProcess> desk;
  authority::Deadlines::Handle idle = 0;
  std::uint64_t turn = 0;  ///< counts jobs: an older one's end is not a newer one's
};

namespace {

/// One answer on its way from a helper to a reader, who may be slower than it.
struct Going {
  CallPtr call;
  std::shared_ptr<net::HttpStream> to;
  bool over = false;
  bool held = false;
  unsigned looks = 0;
};

}  // namespace

std::string code_of_search(const Error& error) {
  if (error.code == Errc::sealed) return "SP-4204";
  return error.detail.starts_with("search.password_secret") ? "SP-4206" : "";
}

Viewings::Viewings(authority::Administration& administration, const Settings& settings) : administration_(administration) {
  // The authority's own folder is one of several below the gateway's.
  state_dir_ = std::filesystem::path(settings.text("state_dir", ".")).parent_path().string();
  run_dir_ = settings.text("run_dir", ".");
  ring_dir_ = settings.text("ring_dir", run_dir_ + "/rings");
  for (const char* name : search::k_place_settings) search_.set(name, settings.text(name));
  administration_.authority().moderation->watch = [this](const authority::Operator& who, const std::string& session, const std::string& reason, authority::WatchOut out, authority::WatchOver over) {
    return join_view(administration_, json::serialize(place()), who, session, reason, std::move(out), std::move(over));
  };
}

Viewings::~Viewings() {
  administration_.authority().moderation->watch = nullptr;
  for (auto& [id, viewing] : viewings_) administration_.authority().deadlines.cancel(viewing->idle);
}

json::object Viewings::place() const {
  json::object place{{"do", "open"},
                     {"journal", state_dir_ + "/recorder/journal"},
                     {"ring_dir", ring_dir_},
                     {"checkpoint_key", run_dir_ + "/keys/checkpoint.vkey"},
                     {"index", state_dir_ + "/index"}};
  for (const char* name : search::k_place_settings) place[name] = search_.text(name);
  return place;
}

Viewings::ViewingPtr Viewings::find(const Call& call, const std::string& id) const {
  const auto found = viewings_.find(id);
  return found == viewings_.end() || found->second->owner != owner_of(call.who) || !found->second->ready ? nullptr : found->second;
}

void Viewings::touch(const ViewingPtr& viewing) {
  auto& deadlines = administration_.authority().deadlines;
  deadlines.cancel(viewing->idle);
  viewing->idle = deadlines.after(k_idle, [this, id = viewing->id] { end(id); });
}

void Viewings::end(const std::string& id) {
  const auto found = viewings_.find(id);
  if (found == viewings_.end()) return;
  administration_.authority().deadlines.cancel(found->second->idle);
  viewings_.erase(found);
}

void Viewings::create(const CallPtr& call) {
  const auto body = call->body({{"reason", Field::Type::text, false, 1024}, {"input", Field::Type::flag}, {"damaged", Field::Type::flag}});
  if (!body) return;
  const std::string reason = text_of(*body, "reason");
  if (reason.empty()) return call->refuse(Error{Errc::invalid, ""}, "SP-7005");
  const auto flag = [&](std::string_view name) {
    const json::value* value = body->if_contains(name);
    return value != nullptr && value->is_bool() && value->get_bool();
  };
  const std::string owner = owner_of(call->who);
  const auto mine = std::count_if(viewings_.begin(), viewings_.end(), [&](const auto& one) { return one.second->owner == owner; });
  if (static_cast<std::size_t>(mine) >= k_most_of_one) {
    // Who opens a fifth leaves the first one alone: labels sort by time.
    const auto oldest = std::find_if(viewings_.begin(), viewings_.end(), [&](const auto& one) { return one.second->owner == owner; });
    end(std::string(oldest->first));
  } else if (viewings_.size() >= k_most_viewings) {
    return call->refuse_status(429, "SP-9401", "", {{"Retry-After", "60"}});
  }
  auto& authority = administration_.authority();
  auto viewing = std::make_shared<Viewing>();
  viewing->id = crypto::make_ulid(authority.clock, authority.random);
  viewing->owner = owner;
  viewing->session = call->parts[2];
  viewing->input = flag("input");
  auto desk = DeskProcess::start(authority.io, "viewing-desk", authority.start_desk);
  if (!desk) return call->refuse(desk.error());
  viewing->desk = std::move(*desk);
  json::object job = place();
  job["session"] = viewing->session;
  job["input"] = viewing->input;
  job["damaged"] = flag("damaged");
  viewings_[viewing->id] = viewing;
  touch(viewing);
  viewing->desk->ask(json::serialize(job), {}, [this, call, id = viewing->id, reason](Result<std::string> opened) {
    const auto here = viewings_.find(id);
    if (here == viewings_.end()) return call->refuse(Error{Errc::cancelled, "the viewing was ended"});
    if (opened) return open(call, here->second, reason, *opened);
    const Error error = opened.error();
    end(id);
    // A damaged recording is no fault of this request: the code says what it is.
    call->refuse(error.code == Errc::corrupt ? Error{Errc::conflict, error.detail} : error, code_in(error));
  });
}

void Viewings::open(const CallPtr& call, const ViewingPtr& viewing, const std::string& reason, const std::string& answer) {
  viewing->facts = object_in(answer);
  const auto wrapped = crypto::from_base64(text_of(viewing->facts, "wrapped"));
  viewing->facts.erase("wrapped");
  if (!wrapped || wrapped->empty()) {
    end(viewing->id);
    return call->refuse(Error{Errc::corrupt, "the recording has no wrapped key"});
  }
  administration_.recording_key(call->who, viewing->session, std::string(sallyport::text_of(*wrapped)), reason, viewing->input,
                                [this, call, id = viewing->id](const Result<Secret>& key) {
    const auto here = viewings_.find(id);
    if (here == viewings_.end()) return call->refuse(Error{Errc::cancelled, "the viewing was ended"});
    if (!key) {
      const Error error = key.error();
      end(id);
      return call->refuse(error, code_in(error));
    }
    Viewing& ready = *here->second;
    ready.desk->give_key(*key);
    ready.ready = true;
    json::object body = ready.facts;
    body["id"] = id;
    body["input"] = ready.input;
    call->reply(body, 201);
  });
}

void Viewings::stream(const CallPtr& call, const ViewingPtr& viewing, json::object job, std::string_view type) {
  net::HttpResponse response;
  response.content_type = std::string(type);
  const bool tells_end = type == "application/x-ndjson";
  response.stream = [this, call, id = viewing->id, turn = ++viewing->turn, job = json::serialize(job), tells_end](std::shared_ptr<net::HttpStream> to) {
    const auto here = viewings_.find(id);
    if (here == viewings_.end() || here->second->turn != turn) return to->close();
    auto going = std::make_shared<Going>(Going{call, std::move(to)});
    const auto stop = [this, id, turn, going] {
      if (std::exchange(going->over, true)) return;
      const auto still = viewings_.find(id);
      if (still == viewings_.end()) return;
      still->second->desk->hold(false);
      if (still->second->turn == turn) still->second->desk->ask("{\"do\":\"stop\"}", {}, {});
    };
    here->second->desk->hold(false);
    here->second->desk->ask(
        job,
        [this, id, going, stop](std::string_view bytes) {
          if (going->over) return;
          if (!going->to->push(std::string(bytes))) return stop();
          if (going->to->unread() < k_much_unread || going->held) return;
          going->held = true;
          if (const auto still = viewings_.find(id); still != viewings_.end()) still->second->desk->hold(true);
        },
        [going, tells_end](const Result<std::string>& done) {
          if (std::exchange(going->over, true)) return;
          if (tells_end && done) going->to->push("{\"k\":\"end\"}\n");
          if (tells_end && !done) {
            const std::string code = code_in(done.error());
            going->to->push(json::serialize(json::object{{"k", "trouble"}, {"code", code.empty() ? "SP-7010" : code}, {"detail", done.error().detail}}) + "\n");
          }
          going->to->close();
        });
    // Room in the reader's queue, rights, and that the viewing is in use: looked at from time to time.
    auto look = std::make_shared<std::function<void()>>();
    *look = [this, id, going, stop, weak = std::weak_ptr(look)] {
      if (going->over) return;
      const auto still = viewings_.find(id);
      if (still == viewings_.end() || (++going->looks % k_looks_between_rights == 0 && !still_may(*going->call, policy::AdminRight::view))) {
        going->to->push("{\"k\":\"trouble\",\"code\":\"SP-7003\",\"detail\":\"the viewing was ended\"}\n");
        going->to->close();
        stop();
        return end(std::string(id));
      }
      if (going->looks % k_looks_between_rights == 0) touch(still->second);
      if (going->held && going->to->unread() < k_much_unread / 2) {
        going->held = false;
        still->second->desk->hold(false);
      }
      // Nothing is said for a while in what is followed: a reader that left is noticed by this.
      if (going->looks % 500 == 0 && !going->to->push("\n")) return stop();
      if (const auto self = weak.lock()) static_cast<void>(administration_.authority().deadlines.after(k_look, [self] { (*self)(); }));
    };
    (*look)();
  };
  call->answer(std::move(response));
}

void Viewings::serve(const CallPtr& call) {
  if (call->parts.size() < 3) return call->refuse(Error{Errc::not_found, "name one viewing"});
  const ViewingPtr viewing = find(*call, call->parts[2]);
  if (!viewing) return call->refuse(Error{Errc::not_found, "no viewing of yours has this id; it may have ended by itself"});
  touch(viewing);
  if (call->parts.size() == 3 && call->request.method == "DELETE") {
    end(std::string(viewing->id));
    return call->reply(json::object{{"id", viewing->id}, {"ended", true}});
  }
  if (call->parts.size() == 3) {
    json::object body = viewing->facts;
    body["id"] = viewing->id;
    body["input"] = viewing->input;
    return call->reply(body);
  }
  const std::string what = call->parts.size() == 4 ? call->parts[3] : "";
  const auto channel = call->number("channel", -1);
  if (!channel) return;
  json::object job{{"do", what}, {"channel", *channel}};
  if (call->request.method != "GET") return call->refuse_status(405, "SP-7009", call->request.path + " takes GET", {{"Allow", "GET"}});
  if (what == "frames") {
    const auto at = call->number("at_ms", 0);
    if (!at) return;
    job["at_us"] = std::clamp<std::int64_t>(*at, 0, 1'000'000'000'000) * 1000;
    job["follow"] = call->request.argument("follow") == "true";
    return stream(call, viewing, std::move(job), "application/x-ndjson");
  }
  if (what == "lines") return stream(call, viewing, std::move(job), "application/x-ndjson");
  if (what == "text" || what == "files") return stream(call, viewing, std::move(job), "text/plain; charset=utf-8");
  if (what == "asciicast") return stream(call, viewing, std::move(job), "application/x-asciicast");
  call->refuse(Error{Errc::not_found, "there is nothing at " + call->request.path});
}

void Viewings::search(const CallPtr& call) {
  const auto body = call->body({{"text", Field::Type::text, true, 1024},
                                {"regex", Field::Type::flag},
                                {"commands", Field::Type::flag},
                                {"principal", Field::Type::text, false, 255},
                                {"target", Field::Type::text, false, 255},
                                {"since", Field::Type::text, false, 64},
                                {"until", Field::Type::text, false, 64},
                                {"limit", Field::Type::number, false, 1000},
                                {"reason", Field::Type::text, false, 1024}});
  if (!body) return;
  const std::string reason = text_of(*body, "reason");
  if (reason.empty()) return call->refuse(Error{Errc::invalid, ""}, "SP-7005");
  json::object job = *body;
  job["do"] = "find";
  for (const char* name : {"since", "until"}) {
    const std::string text = text_of(*body, name);
    if (text.empty()) continue;
    const auto moment = parse_utc(text);
    if (!moment) return call->refuse_with(moment.error(), "SP-7001", json::array{json::object{{"pointer", std::string("/") + name}, {"message", moment.error().detail}}});
    job[std::string(name) + "_us"] = moment->time_since_epoch().count();
  }
  if (searches_.size() >= k_most_viewings) return call->refuse_status(429, "SP-9401", "", {{"Retry-After", "10"}});
  administration_.search_access(call->who, reason, true, [this, call, job = std::move(job)](const Result<Secret>& key) {
    if (!key) return call->refuse(key.error(), code_of_search(key.error()));
    auto& authority = administration_.authority();
    // An index in a file is the recorder's; one in a database is reached with what the authority has.
    const std::string database = search_.text("search_database");
    const bool is_file = database.empty() || database.starts_with('/');
    auto desk = DeskProcess::start(authority.io, "viewing-desk", is_file ? authority.start_desk : DeskProcess::Starter());
    if (!desk) return call->refuse(desk.error());
    const std::string id = crypto::make_ulid(authority.clock, authority.random);
    DeskProcess& process = *(searches_[id] = std::move(*desk));
    process.give_key(*key);
    process.ask(json::serialize(place()), {}, {});
    auto answer = std::make_shared<std::string>();
    process.ask(
        json::serialize(job),
        [answer](std::string_view bytes) {
          if (answer->size() + bytes.size() <= k_most_found) answer->append(bytes);
        },
        [this, call, id, answer](const Result<std::string>& done) {
          if (done) {
            call->reply(object_in(*answer));
          } else {
            call->refuse(done.error().code == Errc::corrupt ? Error{Errc::unavailable, done.error().detail} : done.error(), code_in(done.error()));
          }
          searches_.erase(std::string(id));
        });
  });
}

void serve_viewings(const CallPtr& call) {
  if (call->may(policy::AdminRight::view)) call->viewings->serve(call);
}

}  // namespace sallyport::admin
