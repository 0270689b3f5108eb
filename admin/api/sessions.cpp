// GET /v1/sessions, GET and DELETE /v1/sessions/{session}
#include <boost/json.hpp>
#include <charconv>

#include "admin/api/call.h"
#include "admin/api/web_login.h"
#include "policy/access/fields.h"
#include "policy/authority/authority.h"
#include "policy/authority/coded_error.h"
#include "policy/authority/moderation.h"
#include "policy/authority/requests.h"

namespace sallyport::admin {
namespace {

/// What keeps live sessions still just now.
struct Stills {
  explicit Stills(const authority::Authority& authority) : moderation(*authority.moderation), waiting(authority.requests->waiting()) {}
  const authority::Moderation& moderation;
  std::map<std::string, std::string> waiting;
};

/// `brief`: without what only a page of its own shows.
json::object object_of(const authority::SessionRow& row, const Stills& stills, bool brief = false) {
  json::object out;
  if (row.ended_us == 0) {
    if (stills.moderation.is_held(row.label)) out["held"] = true;
    if (const auto found = stills.waiting.find(row.label); found != stills.waiting.end()) out["waiting_for"] = found->second;
  }
  out["session"] = row.label;
  out["state"] = row.state;
  out["principal"] = row.principal;
  out["target"] = row.target;
  out["account"] = row.account;
  out["peer"] = row.source + (row.source.empty() ? "" : ":" + std::to_string(row.source_port));
  out["started"] = utc_text(row.started_us);
  if (!row.outer.empty()) out["outer"] = row.outer;
  if (!brief) {
    if (!row.address.empty()) out["address"] = row.address;
    if (!row.factors.empty()) out["factors"] = row.factors;
    if (!row.key_fingerprint.empty()) out["key"] = row.key_fingerprint;
    if (!row.credential.empty()) out["credential"] = row.credential;
    if (row.serial != 0) out["certificate_serial"] = row.serial;
    if (!row.client_algorithms.empty()) out["client_algorithms"] = row.client_algorithms;
    if (!row.target_algorithms.empty()) out["target_algorithms"] = row.target_algorithms;
  }
  out["channels"] = row.channels;
  out["bytes_in"] = row.bytes_in;
  out["bytes_out"] = row.bytes_out;
  if (!row.code.empty()) out["code"] = row.code;
  if (row.ended_us != 0) {
    out["ended"] = utc_text(row.ended_us);
    out["outcome"] = row.outcome;
    out["exit_code"] = row.exit_code;
    out["signal"] = row.signal;
    out["cpu_us"] = row.cpu_us;
    if (row.recorded_complete) out["recorded"] = *row.recorded_complete ? "complete" : "incomplete";
  }
  return out;
}

void list(const CallPtr& call) {
  authority::SessionQuery query;
  const std::string state = call->request.argument("state", "live");
  query.live = state != "ended";
  query.ended = state != "live";
  if (state != "live" && state != "ended" && state != "all") return call->refuse(Error{Errc::invalid, "state is live, ended or all"});
  query.principal = call->request.argument("principal");
  query.target = call->request.argument("target");
  query.before = call->request.argument("cursor", call->request.argument("before"));
  for (const auto& [name, place] : {std::pair{"since", &query.since_us}, std::pair{"until", &query.until_us}}) {
    const std::string text = call->request.argument(name);
    if (text.empty()) continue;
    const auto moment = policy::parse_moment(text);
    if (!moment) return call->refuse(Error{Errc::invalid, std::string(name) + ": `" + text + "` is no moment; write 2026-11-22T08:00:00Z"});
    *place = moment->time_since_epoch().count();
  }
  const std::string wanted = call->request.argument("brief", "false");
  if (wanted != "true" && wanted != "false") return call->refuse(Error{Errc::invalid, "brief is true or false"});
  const bool brief = wanted == "true";
  query.limit = call->limit(100, 10'000);
  if (query.limit == 0) return;
  if (wants_stream(*call)) {
    auto last = std::make_shared<std::string>();
    return stream(call, policy::AdminRight::audit, [call, last, brief]() -> std::string {
      json::array out;
      const Stills stills(call->administration.authority());
      for (const auto& [label, session] : call->administration.authority().sessions)
        if (session->is_logged_in() && session->link != nullptr) out.push_back(object_of(session->row, stills, brief));
      std::string now = json::serialize(json::object{{"sessions", std::move(out)}});
      if (now == *last) return {};
      *last = now;
      return sse("sessions", {}, now);
    });
  }
  call->administration.list_sessions(query, [call, brief, most = query.limit](const Result<std::vector<authority::SessionRow>>& rows) {
    if (!rows) return call->refuse(rows.error());
    json::array out;
    const Stills stills(call->administration.authority());
    for (const auto& row : *rows) out.push_back(object_of(row, stills, brief));
    call->reply(json::object{{"sessions", std::move(out)}, {"next", rows->size() == most ? rows->back().label : std::string()}});
  });
}

/// Who is present as its moderator may speak, hold and end, as over ssh; everybody else needs the right `lock`.
bool may_act(const CallPtr& call) {
  return call->administration.authority().moderation->may_act(call->who, call->parts[2]) || call->may(policy::AdminRight::lock);
}

/// POST /v1/sessions/{session}/message, /hold, /release
void tell(const CallPtr& call) {
  const std::string& label = call->parts[2];
  const std::string& what = call->parts[3];
  if (what != "message" && what != "hold" && what != "release") return call->refuse(Error{Errc::not_found, "there is nothing at " + call->request.path});
  if (!may_act(call)) return;
  const bool says = what == "message";
  const auto body = says ? call->body({{"text", Field::Type::text, true, 500}}) : call->body({{"reason", Field::Type::text, true, 500}});
  if (!body) return;
  const auto answer = [call, label, what](const Result<void>& done) {
    if (!done) return call->refuse(done.error());
    call->reply(json::object{{"session", label}, {"done", what}, {"dry_run", call->who.dry_run}});
  };
  if (says) return call->administration.tell_session(call->who, label, text_of(*body, "text"), answer);
  call->administration.hold_session(call->who, label, what == "hold", text_of(*body, "reason"), answer);
}

/// POST /v1/sessions/{session}/join {reason} -> {seat}; with {seat} says that one is still there. DELETE takes it back.
void join(const CallPtr& call) {
  authority::Moderation& moderation = *call->administration.authority().moderation;
  const std::string& label = call->parts[2];
  const auto body = call->body({{"reason", Field::Type::text, false, 1024}, {"seat", Field::Type::text, false, 26}});
  if (!body) return;
  const std::string seat = text_of(*body, "seat");
  const bool leaves = call->request.method == "DELETE";
  if (leaves || !seat.empty()) {
    const bool known = call->who.dry_run || (leaves ? moderation.leave(call->who, seat) : moderation.still_here(call->who, seat));
    if (!known) return call->refuse(Error{Errc::not_found, "no seat of yours has this id; the session may have ended"});
    return call->reply(json::object{{"session", label}, {"seat", seat}, {"left", leaves}});
  }
  // Staying and leaving ask for no fresh factor: a moderator who stays for an hour would be gone after ten minutes.
  if (!call->who.dry_run && !is_fresh_enough(call)) return;
  const std::string reason = text_of(*body, "reason");
  if (reason.empty()) return call->refuse(Error{Errc::invalid, ""}, "SP-7005");
  if (call->who.dry_run) {
    if (const auto may = moderation.may_join(call->who, label); !may) return call->refuse(may.error(), may.error().code == Errc::denied ? "SP-9802" : "");
    return call->reply(json::object{{"session", label}, {"dry_run", true}});
  }
  moderation.join(call->who, label, reason, nullptr, 0, [call, label](const Result<std::string>& made) {
    if (!made) return call->refuse(made.error(), made.error().code == Errc::denied ? "SP-9802" : "");
    const auto& seats = *call->administration.authority().moderation;
    const auto session = seats.find_to_join(label);
    const bool acts = session && seats.may_act(call->who, (*session)->label);
    const bool takes_over = session && seats.may_take_over(call->who, (*session)->label);
    call->reply(json::object{{"session", label}, {"seat", *made}, {"left", false}, {"may_act", acts}, {"may_take_over", takes_over}});
  });
}

void refuse_seat(const CallPtr& call, const Error& error) {
  authority::has_code(error) ? call->refuse_with(Error{error.code, authority::reason_of(error)}, authority::code_of(error), {}) : call->refuse(error);
}

/// POST /v1/sessions/{session}/keyboard {seat, taken}, /keys {seat, keys}: of who is present and moderates a role that lets her take over.
void use_keyboard(const CallPtr& call) {
  authority::Moderation& moderation = *call->administration.authority().moderation;
  const std::string& label = call->parts[2];
  const bool types = call->parts[3] == "keys";
  const auto body = types ? call->body({{"seat", Field::Type::text, true, 26}, {"keys", Field::Type::text, true, 4096}})
                          : call->body({{"seat", Field::Type::text, true, 26}, {"taken", Field::Type::flag, true}});
  if (!body) return;
  const std::string seat = text_of(*body, "seat");
  if (call->who.dry_run) {
    if (!moderation.is_seated(call->who, label, seat)) return call->refuse(Error{Errc::not_found, "no seat of yours has this id; the session may have ended"});
    return call->reply(json::object{{"session", label}, {"dry_run", true}});
  }
  if (types) {
    const auto typed = moderation.type(call->who, label, seat, text_of(*body, "keys"));
    if (!typed) return refuse_seat(call, typed.error());
    return call->reply(json::object{{"session", label}, {"typed", true}});
  }
  const bool taken = body->at("taken").as_bool();
  // Giving it back, and going on to type, ask for no fresh factor.
  if (taken && !is_fresh_enough(call)) return;
  moderation.use_keyboard(call->who, label, seat, taken, [call, label, taken](const Result<void>& done) {
    if (!done) return refuse_seat(call, done.error());
    call->reply(json::object{{"session", label}, {"taken", taken}});
  });
}

/// GET /v1/sessions/{session}/join: who is present.
void list_present(const CallPtr& call) {
  if (!call->may(policy::AdminRight::audit)) return;
  json::array present;
  for (const auto* seat : call->administration.authority().moderation->seats_of(call->parts[2]))
    present.push_back(json::object{{"who", seat->who.principal}, {"moderates", !seat->roles.empty()}, {"has_keyboard", seat->has_keyboard}});
  call->reply(json::object{{"session", call->parts[2]}, {"present", std::move(present)}});
}

}  // namespace

void serve_sessions(const CallPtr& call) {
  if (call->parts.size() == 2 && call->request.method == "GET") {
    if (call->may(policy::AdminRight::audit)) list(call);
    return;
  }
  if (call->parts.size() == 4 && call->parts[3] == "join") return call->request.method == "GET" ? list_present(call) : join(call);
  if (call->parts.size() == 4 && call->request.method == "POST" && (call->parts[3] == "keyboard" || call->parts[3] == "keys")) return use_keyboard(call);
  if (call->parts.size() == 4 && call->request.method == "POST") return tell(call);
  if (call->parts.size() != 3 || call->request.method == "POST") return call->refuse(Error{Errc::not_found, "name one session"});
  const std::string label = call->parts[2];
  if (call->request.method == "GET") {
    if (!call->may(policy::AdminRight::audit)) return;
    call->administration.find_session(label, [call](const Result<authority::SessionRow>& row) {
      if (!row) return call->refuse(row.error());
      call->reply(object_of(*row, Stills(call->administration.authority())));
    });
    return;
  }
  if (!may_act(call)) return;
  const auto body = call->body({{"reason", Field::Type::text, false, 1024}});
  if (!body) return;
  call->administration.end_session(call->who, label, text_of(*body, "reason"), [call, label](const Result<void>& ended) {
    if (!ended) return call->refuse(ended.error());
    call->reply(json::object{{"session", label}, {"ended", true}});
  });
}

}  // namespace sallyport::admin
