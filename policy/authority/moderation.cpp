#include "policy/authority/moderation.h"

#include <algorithm>
#include <utility>

#include "platform/crypto/ulid.h"
#include "platform/model/json_text.h"
#include "policy/access/compiled.h"
#include "policy/authority/live_sessions.h"

namespace sallyport::authority {
namespace {

constexpr std::size_t k_most_seats = 256;
constexpr std::size_t k_least_suffix = 6;
constexpr std::size_t k_piece = 16 * 1024;
constexpr std::chrono::seconds k_lease{15};  // of who joined over the API and says nothing more

std::string for_terminal(std::string_view line) { return "\r\n\x1b[7m sallyport: " + printable(line) + " \x1b[27m\r\n"; }

}  // namespace

Moderation::~Moderation() = default;

// ---------------------------------------------------------------- sessions

void Moderation::wait_for(Session& session, std::uint32_t channel, const policy::Decision& asked, Requests::Decided decided) {
  authority_.requests->wait_for_presence(session, channel, asked.rule.role, *asked.moderation, std::move(decided));
}

std::vector<std::string> Moderation::standing(const std::string& session) const {
  std::vector<std::string> roles;
  for (const auto& [id, seat] : seats_)
    if (seat->session == session) roles.insert(roles.end(), seat->roles.begin(), seat->roles.end());
  return roles;
}

std::vector<const Moderation::Seat*> Moderation::seats_of(const std::string& session) const {
  std::vector<const Seat*> seats;
  for (const auto& [id, seat] : seats_)
    if (seat->session == session && !seat->has_left) seats.push_back(seat.get());
  return seats;
}

void Moderation::note_hold(const std::string& session, bool held) {
  if (held && authority_.find(session) != nullptr) held_.insert(session);
  else held_.erase(session);
}

void Moderation::on_session_gone(const std::string& label) {
  held_.erase(label);
  std::vector<std::string> over;
  std::vector<std::string> left;
  for (const auto& [id, seat] : seats_) {
    if (seat->session == label) over.push_back(id);
    else if (seat->own_session == label) left.push_back(id);
  }
  for (const std::string& id : over) {
    if (const auto found = seats_.find(id); found != seats_.end()) show(*found->second, for_terminal("the session has ended"), true);
    remove(id);
  }
  for (const std::string& id : left) stand_up(id, "her connection ended");
}

void Moderation::judge_all() {
  std::vector<std::shared_ptr<Seat>> present;
  for (const auto& [id, seat] : seats_)
    if (!seat->has_left) present.push_back(seat);
  for (const auto& seat : present) {
    const Session* session = authority_.find(seat->session);
    if (seat->has_left || session == nullptr || !session->identity) continue;
    const auto rights = rights_of(seat->who, *session);
    if (rights && std::includes(rights->roles.begin(), rights->roles.end(), seat->roles.begin(), seat->roles.end())) {
      seat->may_act = rights->may_act;
      seat->may_take_over = rights->may_take_over;
      if (seat->has_keyboard && !seat->may_take_over) take(*seat, false);
      continue;
    }
    const std::string why = rights ? "she no longer moderates a role of that session" : rights.error().detail;
    authority_.note(*session, "moderation.refused",
                    authority_.event_of(*session).text("by", seat->who.principal).text("seat", seat->id).text("why", why).text("decision", "deny").text("code", "SP-9802"));
    show(*seat, for_terminal(render(make_notice("SP-9802", why))), true);
    stand_up(seat->id, why);
  }
}

// ---------------------------------------------------------------- rights

Result<Session*> Moderation::find_to_join(const std::string& label) const {
  Session* match = nullptr;
  for (const auto& [full, session] : authority_.sessions) {
    const bool fits = full == label || (label.size() >= k_least_suffix && full.ends_with(label));
    if (!fits || !session->has_target() || session->link == nullptr || session->state == control::SessionState::ending) continue;
    if (match != nullptr) return fail(Errc::conflict, "more than one live session ends in " + printable(label.substr(0, 40)));
    match = session.get();
  }
  if (match == nullptr) return fail(Errc::not_found, "no live session " + printable(label.substr(0, 40)));
  return match;
}

Result<Moderation::Seat> Moderation::rights_of(const Operator& who, const Session& session) const {
  if (who.principal.empty()) return fail(Errc::denied, "who joins has a name; `" + who.name + "` is no principal");
  if (who.principal == session.identity->principal.view()) return fail(Errc::denied, "nobody moderates her own session");
  const policy::Principal* person = authority_.snapshot->find_principal(who.principal);
  if (person == nullptr || person->type == policy::PrincipalType::machine) return fail(Errc::denied, "only people join");
  if (person->expires && *person->expires <= authority_.now()) return fail(Errc::denied, "`" + who.principal + "` has expired");
  if (authority_.locks.find(who.principal, {}, {}, authority_.now()) != nullptr) return fail(Errc::denied, "`" + who.principal + "` is locked");
  const std::vector<std::string> added = authority_.groups_of(who.principal);
  const auto is_in = [&](const std::string& group) {
    return std::find(person->groups.begin(), person->groups.end(), group) != person->groups.end() || std::find(added.begin(), added.end(), group) != added.end();
  };
  Seat seat;
  seat.who = who;
  seat.session = session.label;
  const policy::Compiled& compiled = authority_.snapshot->compiled();
  const auto owner = compiled.principal_ids.find(session.identity->principal.view());
  if (owner != compiled.principal_ids.end()) {
    std::vector<policy::Grant> room;
    for (const policy::Grant& grant : policy::grants_of(compiled, owner->second, authority_.groups_of(session.identity->principal.view()), room)) {
      const policy::Role& role = authority_.snapshot->roles()[grant.role];
      if (!role.moderation || !who.has_scope("approve") || !is_in(role.moderation->moderators)) continue;
      seat.grace = seat.roles.empty() ? role.moderation->grace : std::min(seat.grace, role.moderation->grace);
      seat.roles.push_back(role.name);
      seat.may_take_over = seat.may_take_over || role.moderation->take_over;
    }
    std::sort(seat.roles.begin(), seat.roles.end());
  }
  const auto has = [&](policy::AdminRight right) {
    return who.has_scope(policy::name_of(right)) && policy::decide_admin(*authority_.snapshot, authority_.locks, {person->name, right, authority_.now(), false, added}).allowed();
  };
  if (seat.roles.empty() && !has(policy::AdminRight::view)) return fail(Errc::denied, "`" + who.principal + "` moderates no role of that session and may not view recordings");
  seat.may_act = !seat.roles.empty() || has(policy::AdminRight::lock);
  return seat;
}

Result<void> Moderation::may_join(const Operator& who, const std::string& label) const {
  const auto session = find_to_join(label);
  if (!session) return tl::unexpected(session.error());
  const auto rights = rights_of(who, **session);
  return rights ? Result<void>() : tl::unexpected(rights.error());
}

// ---------------------------------------------------------------- coming and going

void Moderation::join(const Operator& who, const std::string& label, const std::string& reason, const Session* own, std::uint32_t channel, SeatDone done) {
  const auto session = find_to_join(label);
  if (!session) return done(tl::unexpected(session.error()));
  auto rights = rights_of(who, **session);
  EventJson facts = authority_.event_of(**session);
  facts.text("by", who.principal.empty() ? who.name : who.principal).text("by_source", who.source).text("reason", reason).text("own_session", own == nullptr ? "" : own->label);
  if (!rights || seats_.size() >= k_most_seats) {
    const std::string why = rights ? "too many people have joined sessions" : rights.error().detail;
    authority_.note(**session, "moderation.refused", facts.text("why", why).text("decision", "deny").text("code", "SP-9802"));
    return done(fail(Errc::denied, why));
  }
  auto seat = std::make_shared<Seat>(std::move(*rights));
  seat->id = crypto::make_ulid(authority_.clock, authority_.random);
  if (own != nullptr) seat->own_session = own->label;
  seat->channel = channel;
  facts.text("seat", seat->id).flag("moderates", !seat->roles.empty()).text("decision", "allow");
  // She counts as present only once the journal says so.
  authority_.journal.append(
      "moderation.joined", facts.str(), (*session)->label,
      [this, seat, reason, done = std::move(done)](const Result<Appended>& stored) {
        if (!stored) return done(fail(Errc::unavailable, "the journal does not take it: " + stored.error().detail));
        const Session* here = authority_.find(seat->session);
        const bool own_gone = !seat->own_session.empty() && (authority_.find(seat->own_session) == nullptr || authority_.find(seat->own_session)->link == nullptr);
        if (here == nullptr || here->link == nullptr || own_gone) return done(fail(Errc::not_found, "the session has ended meanwhile"));
        sit_down(seat, reason);
        done(seat->id);
      },
      true);
}

void Moderation::sit_down(std::shared_ptr<Seat> seat, const std::string& reason) {
  seats_[seat->id] = seat;
  if (seat->own_session.empty()) renew(*seat);
  const std::string verb = seat->roles.empty() ? " watches this session" : " has joined this session as its moderator";
  tell_session(seat->session, seat->who.principal + verb,
               EventJson().text("event", "moderation.joined").text("by", seat->who.principal).flag("moderates", !seat->roles.empty()).text("seat", seat->id).str());
  if (!seat->own_session.empty() && watch) {
    const std::string id = seat->id;
    seat->watching = watch(
        seat->who, seat->session, reason.empty() ? "joined the session" : reason,
        [this, id](std::string_view bytes) {
          if (const auto found = seats_.find(id); found != seats_.end()) show(*found->second, bytes);
        },
        [this, id](const std::string& why) {
          const auto found = seats_.find(id);
          if (found != seats_.end() && !why.empty()) show(*found->second, for_terminal("what happens cannot be shown: " + why));
        });
  }
  ++authority_.generation;
  authority_.requests->joined(seat->who, seat->session, seat->roles);
}

void Moderation::renew(Seat& seat) {
  authority_.deadlines.cancel(seat.lease);
  seat.lease = authority_.deadlines.after(k_lease, [this, id = seat.id] { stand_up(id, "she was not heard of any more"); });
}

bool Moderation::still_here(const Operator& who, const std::string& id) {
  const auto found = seats_.find(id);
  if (found == seats_.end() || found->second->who.principal != who.principal || found->second->has_left) return false;
  renew(*found->second);
  return true;
}

bool Moderation::may_act(const Operator& who, const std::string& session) const {
  return !who.principal.empty() && who.has_scope("approve") && std::any_of(seats_.begin(), seats_.end(), [&](const auto& one) {
    const Seat& seat = *one.second;
    return seat.session == session && seat.who.principal == who.principal && !seat.has_left && seat.may_act;
  });
}

bool Moderation::may_take_over(const Operator& who, const std::string& session) const {
  const auto seats = seats_of(session);
  return std::any_of(seats.begin(), seats.end(),
                     [&](const Seat* seat) { return who.has_scope("approve") && seat->who.principal == who.principal && seat->may_take_over; });
}

bool Moderation::leave(const Operator& who, const std::string& id) {
  const auto found = seats_.find(id);
  if (found == seats_.end() || found->second->who.principal != who.principal || found->second->has_left) return false;
  stand_up(id, "she left");
  return true;
}

Moderation::Seat* Moderation::seat_of(const Operator& who, const std::string& session, const std::string& id) const {
  const auto found = seats_.find(id);
  const bool hers = found != seats_.end() && who.has_scope("approve") && found->second->who.principal == who.principal && found->second->session == session &&
                    !found->second->has_left;
  return hers ? found->second.get() : nullptr;
}

void Moderation::use_keyboard(const Operator& who, const std::string& session, const std::string& id, bool taken, std::function<void(Result<void>)> done) {
  Seat* seat = seat_of(who, session, id);
  if (seat == nullptr) return done(fail(Errc::not_found, "no seat of yours has this id; the session may have ended"));
  take(*seat, taken, std::move(done));
}

Result<void> Moderation::type(const Operator& who, const std::string& session, const std::string& id, std::string_view keys) {
  Seat* seat = seat_of(who, session, id);
  if (seat == nullptr) return fail(Errc::not_found, "no seat of yours has this id; the session may have ended");
  if (!seat->has_keyboard) return fail(Errc::denied, "SP-9805 you do not have it");
  renew(*seat);
  send_keys(*seat, keys);
  return {};
}

void Moderation::stand_up(const std::string& id, const std::string& why) {
  const auto found = seats_.find(id);
  if (found == seats_.end() || found->second->has_left) return;
  const std::shared_ptr<Seat> seat = found->second;
  if (seat->has_keyboard) take(*seat, false);
  seat->has_left = true;
  seat->watching.reset();
  authority_.deadlines.cancel(seat->lease);
  const Session* session = authority_.find(seat->session);
  if (session == nullptr) return remove(id);
  authority_.note(*session, "moderation.left", authority_.event_of(*session).text("by", seat->who.principal).text("seat", id).text("why", why));
  const std::string name = seat->who.principal;
  // Is somebody else there for each of her roles?
  const auto others = seats_of(seat->session);
  const bool needed = std::any_of(seat->roles.begin(), seat->roles.end(), [&](const std::string& role) {
    return std::none_of(others.begin(), others.end(), [&](const Seat* other) { return std::find(other->roles.begin(), other->roles.end(), role) != other->roles.end(); });
  });
  const bool lingers = needed && seat->grace.count() > 0;
  tell_session(seat->session, name + " has left" + (lingers ? "; this ends in " + std::to_string(seat->grace.count()) + " s unless a moderator joins" : ""),
               EventJson().text("event", "moderation.left").text("by", name).text("seat", id).text("why", why).str());
  if (!lingers) {
    remove(id);
    return look_after(session->label, name);
  }
  seat->lease = authority_.deadlines.after(seat->grace, [this, id, label = seat->session, name] {
    remove(std::string(id));
    look_after(label, name);
  });
}

void Moderation::remove(const std::string& id) {
  const auto found = seats_.find(id);
  if (found == seats_.end()) return;
  authority_.deadlines.cancel(found->second->lease);
  seats_.erase(found);
}

void Moderation::look_after(const std::string& label, const std::string& who_left) {
  ++authority_.generation;
  Session* session = authority_.find(label);
  if (session == nullptr || session->link == nullptr || !session->opened) return;
  const Notice notice = authority_.live->judge_session(*session);
  if (!notice.code.empty()) return authority_.live->cut(*session, make_notice("SP-9803", who_left + " has left"));
  authority_.live->judge(*session);
}

// ---------------------------------------------------------------- what she does

void Moderation::show(const Seat& seat, std::string_view text, bool over) const {
  const Session* own = authority_.find(seat.own_session);
  if (own == nullptr || own->link == nullptr) return;
  do {
    control::Envelope told;
    auto* body = told.mutable_joined_output();
    body->set_channel(seat.channel);
    body->set_data(std::string(text.substr(0, k_piece)));
    text.remove_prefix(std::min(k_piece, text.size()));
    body->set_over(over && text.empty());
    own->link->send(std::move(told));
  } while (!text.empty());
}

void Moderation::tell_session(const std::string& label, const std::string& line, const std::string& fact, control::SessionMessage::Hold hold) const {
  const Session* session = authority_.find(label);
  if (session == nullptr || session->link == nullptr) return;
  control::Envelope told;
  told.mutable_session_message()->set_text(line);
  told.mutable_session_message()->set_fact(fact);
  told.mutable_session_message()->set_hold(hold);
  session->link->send(std::move(told));
}

void Moderation::on_keys(Session& own, const control::JoinedKeys& keys) {
  const auto found = std::find_if(seats_.begin(), seats_.end(), [&](const auto& one) { return one.second->own_session == own.label && one.second->channel == keys.channel(); });
  if (found == seats_.end() || found->second->has_left) return;
  const std::shared_ptr<Seat> seat = found->second;
  if (keys.closed()) return stand_up(seat->id, "she left");
  for (const JoinKey& key : seat->keys.read(keys.data())) {
    if (seat->has_left || !seats_.contains(seat->id)) return;
    act(*seat, key);
  }
}

void Moderation::act(Seat& seat, const JoinKey& key) {
  const auto act_of = [&](const std::string& kind, const EventJson& details, std::function<void()> effect) {
    run_act(
        authority_, seat.who, kind, details,
        [details, effect = std::move(effect)](const std::string&, std::uint64_t, const std::function<void(Result<EventJson>)>& outcome) {
          effect();
          outcome(details);
        },
        [](const Result<void>&) {});
  };
  const auto may = [&] {
    if (!seat.may_act) show(seat, for_terminal("you may only watch"));
    return seat.may_act;
  };
  const EventJson of = EventJson().text("session", seat.session);
  const std::string name = seat.who.principal;
  switch (key.what) {
    case JoinKey::What::keys: {
      if (!seat.has_keyboard) {
        if (key.text.find('\x03') == std::string::npos) return;
        show(seat, for_terminal("you have left"), true);
        return stand_up(seat.id, "she left");
      }
      return send_keys(seat, key.text);
    }
    case JoinKey::What::say:
      if (!may()) return;
      return act_of("session.message", EventJson(of).text("text", key.text), [this, session = seat.session, line = name + " says: " + key.text] { tell_session(session, line, {}); });
    case JoinKey::What::hold:
    case JoinKey::What::go_on: {
      if (!may()) return;
      const bool hold = key.what == JoinKey::What::hold;
      return act_of(hold ? "session.hold" : "session.release", of, [this, session = seat.session, name, hold] {
        note_hold(session, hold);
        tell_session(session, name + (hold ? " holds this session" : " lets this session go on"),
                     EventJson().text("event", hold ? "session.held" : "session.released").text("by", name).str(), hold ? control::SessionMessage::HOLD : control::SessionMessage::GO_ON);
      });
    }
    case JoinKey::What::take: return take(seat, true);
    case JoinKey::What::give_back: return take(seat, false);
    case JoinKey::What::end:
      if (!may()) return;
      return act_of("session.end", EventJson(of).text("reason", "ended by who joined it"), [this, label = seat.session, name] {
        if (Session* session = authority_.find(label)) authority_.live->cut(*session, make_notice("SP-2016", name + " ended it"));
      });
    case JoinKey::What::leave:
      show(seat, for_terminal("you have left"), true);
      return stand_up(seat.id, "she left");
    case JoinKey::What::help: return show(seat, for_terminal(join_help()));
    case JoinKey::What::echo: return show(seat, key.text);
  }
}

void Moderation::send_keys(const Seat& seat, std::string_view keys) const {
  const Session* session = authority_.find(seat.session);
  if (session == nullptr || session->link == nullptr) return;
  control::Envelope told;
  told.mutable_taken_keys()->set_step(control::TakenKeys::TYPED);
  told.mutable_taken_keys()->set_by(seat.who.principal);
  told.mutable_taken_keys()->set_data(std::string(keys));
  session->link->send(std::move(told));
}

void Moderation::take(Seat& seat, bool taken, std::function<void(Result<void>)> done) {
  const Session* session = authority_.find(seat.session);
  if (session == nullptr || session->link == nullptr) return done(fail(Errc::not_found, "the session has ended meanwhile"));
  if (seat.has_keyboard == taken) return done({});
  EventJson facts = authority_.event_of(*session);
  facts.text("by", seat.who.principal).text("seat", seat.id);
  const auto others = seats_of(seat.session);
  const bool elsewhere = std::any_of(others.begin(), others.end(), [](const Seat* other) { return other->has_keyboard; });
  if (taken && (!seat.may_take_over || elsewhere)) {
    authority_.note(*session, "moderation.take_over_refused", facts.text("decision", "deny").text("code", "SP-9805"));
    show(seat, for_terminal(render(make_notice("SP-9805", elsewhere ? "somebody else has it" : ""))));
    return done(fail(Errc::denied, elsewhere ? "SP-9805 somebody else has it" : "SP-9805"));
  }
  const auto tell = [this, seat_id = seat.id, taken, done] {
    const auto found = seats_.find(seat_id);
    const Session* joined = found == seats_.end() ? nullptr : authority_.find(found->second->session);
    if (joined == nullptr || joined->link == nullptr || (taken && found->second->has_left))
      return done(fail(Errc::not_found, "the session has ended meanwhile"));
    Seat& here = *found->second;
    if (here.has_keyboard == taken) return done({});
    const auto present = seats_of(here.session);
    // Somebody may have been faster while the journal wrote.
    if (taken && (!here.may_take_over || std::any_of(present.begin(), present.end(), [](const Seat* other) { return other->has_keyboard; })))
      return done(fail(Errc::denied, "SP-9805"));
    here.has_keyboard = taken;
    control::Envelope told;
    told.mutable_taken_keys()->set_step(taken ? control::TakenKeys::TAKEN : control::TakenKeys::RETURNED);
    told.mutable_taken_keys()->set_by(here.who.principal);
    joined->link->send(std::move(told));
    show(here, for_terminal(taken ? "you have the keyboard" : "the keyboard is returned"));
    done({});
  };
  if (!taken) {
    authority_.note(*session, "moderation.keyboard_returned", facts);
    return tell();
  }
  authority_.journal.append("moderation.keyboard_taken", facts.text("decision", "allow").str(), session->label, [tell, done](const Result<Appended>& stored) {
    if (!stored) return done(fail(Errc::unavailable, "the journal does not take it: " + stored.error().detail));
    tell();
  });
}

}  // namespace sallyport::authority
