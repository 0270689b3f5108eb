// What is done to a recording as a whole: its key erased, wrapped anew or read; legal hold. Each is an intent, an effect and an outcome.
#include "policy/authority/administration.h"

namespace sallyport::authority {
namespace {

using Deed = RecordingOrder::Act;

std::string kind_of(Deed act) {
  switch (act) {
    case Deed::erase: return "recording.erase";
    case Deed::rewrap: return "recording.rewrap";
    case Deed::read: return "recording.read_key";
    case Deed::hold: return "recording.hold";
    case Deed::release: return "recording.release";
  }
  return "recording.act";
}

control::RecordingKeyAct::Act wire_act(Deed act) {
  if (act == Deed::erase) return control::RecordingKeyAct::ERASE;
  return act == Deed::rewrap ? control::RecordingKeyAct::REWRAP : control::RecordingKeyAct::READ;
}

}  // namespace

Result<RecordingHolds*> Administration::holds() {
  if (!holds_) {
    auto loaded = RecordingHolds::load(authority_.settings.text("state_dir", ".") + "/recording_holds");
    if (!loaded) return tl::unexpected(loaded.error());
    holds_.emplace(std::move(*loaded));
  }
  return &*holds_;
}

void Administration::recording_act(const Operator& who, RecordingOrder order, Done<std::string> done) {
  if (order.reason.empty()) return done(fail(Errc::invalid, "a reason is needed"));
  const auto held = holds();
  if (!held) return done(tl::unexpected(held.error()));
  EventJson details;
  details.text("session", order.session).text("reason", order.reason);
  if (order.act == Deed::erase && (*held)->is_held(order.session)) {
    EventJson json = details;
    json.text("by", who.name).number("uid", who.uid).text("principal", who.principal).text("decision", "deny").text("code", "SP-4303");
    return authority_.journal.append("recording.erase_refused", json.str(), {}, [done = std::move(done)](Result<Appended>) { done(fail(Errc::denied, "SP-4303")); });
  }
  if (order.act == Deed::release && !(*held)->is_held(order.session))
    return done(fail(Errc::not_found, "session " + order.session + " is not under legal hold"));
  if (order.act == Deed::hold)
    details.number("first_file", static_cast<std::int64_t>(order.first_file)).number("last_file", static_cast<std::int64_t>(order.last_file));
  auto answer = std::make_shared<std::string>();
  with_intent(
      who, kind_of(order.act), details,
      [this, who, order, answer, details](const std::string&, std::uint64_t, const std::function<void(Result<EventJson>)>& outcome) {
        if (order.act == Deed::hold || order.act == Deed::release) {
          const auto present = holds();
          if (!present) return outcome(tl::unexpected(present.error()));
          const auto changed = order.act == Deed::hold ? (*present)->hold(order.session, order.reason) : (*present)->release(order.session);
          if (!changed) return outcome(tl::unexpected(changed.error()));
          return outcome(details);
        }
        control::Envelope question;
        auto* body = question.mutable_recording_key_act();
        body->set_act(wire_act(order.act));
        body->set_session(order.session);
        body->set_wrapped(order.wrapped);
        body->set_principal(who.principal.empty() ? who.name : who.principal);
        body->set_reason(order.reason);
        authority_.vault.ask(std::move(question), [order, answer, details, outcome](Result<control::Received> got) {
          if (!got) return outcome(tl::unexpected(got.error()));
          const auto& key = got->envelope.recording_key();
          EventJson result = details;
          if (order.act == Deed::rewrap) result.text("recipients", key.recipients());
          *answer = order.act == Deed::rewrap ? key.recipients() : key.wrapped();
          outcome(result);
        });
      },
      [answer, done = std::move(done)](const Result<void>& result) {
        if (!result) return done(tl::unexpected(result.error()));
        done(std::move(*answer));
      });
}

}  // namespace sallyport::authority
