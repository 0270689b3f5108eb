#include "policy/authority/jumps.h"

#include <sys/socket.h>

#include <utility>

#include "policy/authority/session_links.h"

namespace sallyport::authority {
namespace {

constexpr std::size_t k_most_inner = 64;          // alive at once in one outer session
constexpr std::uint32_t k_most_per_second = 20;   // forks that one outer session may cause
constexpr std::chrono::seconds k_spawn_deadline{10};

}  // namespace

void Jumps::on_open(Session& outer, const control::Envelope& question) {
  const control::OpenJump& asked = question.open_jump();
  control::Envelope call;
  call.set_call(question.call());
  policy::Decision decision;
  policy::AccessRequest request = authority_.request_of(outer);
  request.kind = policy::ChannelKind::jump;
  request.account = AccountName();
  const policy::Target* target = authority_.snapshot->find_jump_target(asked.host(), asked.port());
  if (const std::string code = authority_.journal.refusal(); !code.empty()) {
    decision.code = code;
  } else if (target == nullptr) {
    decision.code = "SP-2020";
  } else {
    request.target = target->name;
    decision = authority_.decide(request);
  }
  const BootTime now = authority_.clock.boot();
  if (now - outer.jump_second > std::chrono::seconds(1)) {
    outer.jump_second = now;
    outer.jumps_in_second = 0;
  }
  if (decision.allowed() && (outer.inner.size() >= k_most_inner || ++outer.jumps_in_second > k_most_per_second)) {
    decision.outcome = policy::Outcome::deny;
    decision.code = "SP-5008";
  }
  const bool allowed = decision.allowed();
  EventJson json = authority_.event_of(outer);
  json.number("channel", asked.channel())
      .text("kind", "jump")
      .text("host", asked.host())
      .number("port", asked.port())
      .text("jump_target", target == nullptr ? "" : target->name.view())
      .text("decision", allowed ? "allow" : "deny")
      .text("rule", decision.rule.str());
  if (!allowed) json.text("code", decision.code).text("why", decision.why);
  authority_.journal.append("channel.decided", json.str(), outer.label,
                            [this, label = outer.label, call, allowed, decision, name = request.target, port = asked.port()](Result<Appended> stored) {
                              Session* here = authority_.find(label);
                              if (here == nullptr || here->link == nullptr) return;
                              if (!stored) return refuse(*here, call, make_notice("SP-4004", stored.error().detail));
                              if (!allowed) return refuse(*here, call, make_notice(decision.code, decision.why, stored->id));
                              if (here->state != control::SessionState::bare) return refuse(*here, call, make_notice("SP-2015", {}, stored->id));
                              spawn(*here, call, name, port, stored->id);
                            });
}

void Jumps::spawn(Session& outer, const control::Envelope& question, const TargetId& target, std::uint32_t port,
                  const std::string& decision) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0 || !authority_.listener)
    return refuse(outer, question, make_notice("SP-5004", {}, decision));
  auto ours = std::make_shared<Fd>(ends[0]);
  const Fd theirs(ends[1]);
  control::Envelope order;
  order.mutable_spawn_inner()->set_outer_session(outer.label);
  order.mutable_spawn_inner()->set_target(target.str());
  order.mutable_spawn_inner()->set_port(port);
  const int handed = theirs.get();
  authority_.listener->ask(
      std::move(order), k_spawn_deadline,
      [this, label = outer.label, question, ours, decision](Result<control::Received> answer) {
        Session* here = authority_.find(label);
        if (answer && answer->envelope.has_session_started()) authority_.session_links->on_started(answer->envelope.session_started());
        if (here == nullptr || here->link == nullptr) return;
        if (!answer || !answer->envelope.has_session_started())
          return refuse(*here, question, make_notice("SP-5001", answer ? "the listener started nothing" : answer.error().detail, decision));
        control::Envelope envelope;
        envelope.mutable_jump_grant()->set_allowed(true);
        envelope.mutable_jump_grant()->set_inner_session(answer->envelope.session_started().session());
        const int end = ours->get();
        here->link->answer(question, std::move(envelope), std::span(&end, 1));
        authority_.note(*here, "jump.opened",
                        authority_.event_of(*here).text("inner", answer->envelope.session_started().session()).text("reference", decision));
      },
      std::span(&handed, 1));
}

void Jumps::refuse(Session& outer, const control::Envelope& question, const Notice& notice) {
  control::Envelope envelope;
  envelope.mutable_jump_grant()->set_allowed(false);
  *envelope.mutable_jump_grant()->mutable_refusal() = refusal_of(notice);
  outer.link->answer(question, std::move(envelope));
}

}  // namespace sallyport::authority
