#include "policy/authority/jumps.h"

#include <sys/socket.h>

#include <utility>

#include "policy/authority/glass.h"
#include "policy/authority/session_links.h"

namespace sallyport::authority {
namespace {

constexpr std::size_t k_most_inner = 64;          // alive at once in one outer session
constexpr std::uint32_t k_most_per_second = 20;   // forks that one outer session may cause
constexpr std::chrono::seconds k_spawn_deadline{10};

}  // namespace

struct Jumps::Order {
  std::string label;
  control::Envelope question;  ///< only its call number
  std::string host;            ///< as the client wrote it
  std::string target;
  std::uint32_t port = 0;
  std::string decision;
  Fd end;
};

void Jumps::on_open(Session& outer, const control::Envelope& question) {
  const control::OpenJump& asked = question.open_jump();
  policy::Decision decision;
  policy::AccessRequest request = authority_.request_of(outer);
  request.kind = policy::ChannelKind::jump;
  request.account = AccountName();
  const policy::Target* target = authority_.snapshot->find_jump_target(asked.host(), asked.port());
  if (const std::string code = authority_.glass->refusal(outer.identity->principal.view()); !code.empty()) {
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
  json.number("policy_version", authority_.policy_version);
  if (decision.code != "SP-5008" && !request.target.empty() && authority_.journal.refusal().empty()) json.raw("input", policy::encode_request(request));
  if (!allowed) json.text("code", decision.code).text("why", decision.why);
  auto order = std::make_shared<Order>();
  order->label = outer.label;
  order->question.set_call(question.call());
  order->host = asked.host();
  order->port = asked.port();
  if (allowed) order->target = target->name.str();
  authority_.journal.append("channel.decided", json.str(), outer.label, [this, order, decision](Result<Appended> stored) {
    Session* here = authority_.find(order->label);
    if (here == nullptr || here->link == nullptr) return;
    if (!stored) return refuse(*here, order->question, make_notice("SP-4004", stored.error().detail));
    order->decision = stored->id;
    if (!decision.allowed()) return refuse(*here, order->question, make_notice(decision.code, decision.why, stored->id));
    authority_.host_certificates.with({order->target, order->host}, [this, order](std::vector<std::string> certificates) {
      spawn(order, std::move(certificates));
    });
  });
}

void Jumps::spawn(const std::shared_ptr<Order>& order, std::vector<std::string> certificates) {
  Session* outer = authority_.find(order->label);
  if (outer == nullptr || outer->link == nullptr) return;
  if (outer->state != control::SessionState::bare) return refuse(*outer, order->question, make_notice("SP-2015", {}, order->decision));
  int ends[2];
  if (!authority_.listener || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
    return refuse(*outer, order->question, make_notice("SP-5004", {}, order->decision));
  order->end = Fd(ends[0]);
  const Fd theirs(ends[1]);
  control::Envelope envelope;
  auto* body = envelope.mutable_spawn_inner();
  body->set_outer_session(order->label);
  body->set_target(order->target);
  body->set_port(order->port);
  for (std::string& certificate : certificates) body->add_host_certificates(std::move(certificate));
  const int handed = theirs.get();
  authority_.listener->ask(
      std::move(envelope), k_spawn_deadline,
      [this, order](Result<control::Received> answer) {
        if (answer && answer->envelope.has_session_started()) authority_.session_links->on_started(answer->envelope.session_started());
        Session* here = authority_.find(order->label);
        if (here == nullptr || here->link == nullptr) return;
        if (!answer || !answer->envelope.has_session_started())
          return refuse(*here, order->question, make_notice("SP-5001", answer ? "the listener started nothing" : answer.error().detail, order->decision));
        control::Envelope granted;
        granted.mutable_jump_grant()->set_allowed(true);
        granted.mutable_jump_grant()->set_inner_session(answer->envelope.session_started().session());
        const int end = order->end.get();
        here->link->answer(order->question, std::move(granted), std::span(&end, 1));
        order->end.reset();
        authority_.note(*here, "jump.opened",
                        authority_.event_of(*here).text("inner", answer->envelope.session_started().session()).text("reference", order->decision));
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
