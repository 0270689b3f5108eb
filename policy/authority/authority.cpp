#include "policy/authority/authority.h"

#include <boost/asio/io_context.hpp>

#include "policy/authority/channels.h"
#include "policy/authority/glass.h"
#include "policy/authority/jumps.h"
#include "policy/authority/live_sessions.h"
#include "policy/authority/logins.h"
#include "policy/authority/moderation.h"
#include "policy/authority/requests.h"
#include "policy/authority/self_service.h"
#include "policy/authority/session_links.h"
#include "policy/authority/sign_on.h"
#include "policy/authority/targets.h"
#include "policy/authority/tokens.h"
#include "policy/authority/web_terminals.h"

namespace sallyport::authority {

Authority::Authority(boost::asio::io_context& io_in, Clock& clock_in, crypto::Random& random_in)
    : io(io_in),
      clock(clock_in),
      random(random_in),
      deadlines(io_in, clock_in),
      policy_clock(clock_in),
      hashing(io_in, policy::k_max_password_checks_at_once, 256),
      resolving(io_in, 4, 1024),
      journal(io_in, deadlines, clock_in),
      vault(io_in, deadlines),
      host_certificates(vault, clock_in),
      snapshot(policy::Snapshot::make_empty()),
      logins(std::make_unique<Logins>(*this)),
      targets(std::make_unique<Targets>(*this)),
      channels(std::make_unique<Channels>(*this)),
      jumps(std::make_unique<Jumps>(*this)),
      live(std::make_unique<LiveSessions>(*this)),
      requests(std::make_unique<Requests>(*this)),
      moderation(std::make_unique<Moderation>(*this)),
      tokens(std::make_unique<Tokens>(*this)),
      sign_on(std::make_unique<SignOn>(*this)),
      web_terminals(std::make_unique<WebTerminals>(*this)),
      glass(std::make_unique<GlassDesk>(*this)),
      self_service(std::make_unique<SelfServiceDesk>(*this)),
      session_links(std::make_unique<SessionLinks>(*this)) {}

Authority::~Authority() = default;

Session* Authority::find(const std::string& label) const {
  const auto found = sessions.find(label);
  return found == sessions.end() ? nullptr : found->second.get();
}

EventJson Authority::event_of(const Session& session) const {
  EventJson json;
  json.text("session", session.label).text("source", session.row.source);
  if (session.identity) {
    json.text("principal", session.identity->principal.view())
        .text("target", session.identity->target.view())
        .text("account", session.identity->account.view());
  }
  return json;
}

std::vector<std::string> Authority::groups_of(std::string_view principal) const {
  return sign_on ? sign_on->enrolled.groups_of(principal, now()) : std::vector<std::string>();
}

policy::AccessRequest Authority::request_of(const Session& session) const {
  policy::AccessRequest request;
  request.principal = session.identity->principal;
  request.factors = session.identity->factors;
  request.certificate = session.identity->certificate;
  request.source = session.source;
  request.target = session.identity->target;
  request.account = session.identity->account;
  request.now = now();
  request.session_age = std::chrono::duration_cast<std::chrono::seconds>(clock.boot() - session.started);
  request.approvals = requests->standing(request.principal.str(), request.target.str(), request.account.str(), session.label);
  request.moderated = moderation->standing(session.label);
  request.groups = groups_of(request.principal.view());
  request.glass = glass->grant_of(request.principal.str(), request.target.str(), request.account.str());
  return request;
}

void Authority::tell_listener(control::Envelope envelope) {
  if (listener) listener->send(std::move(envelope));
}

control::Refusal refusal_of(const Notice& notice) {
  control::Refusal refusal;
  refusal.set_code(notice.code);
  refusal.set_what(notice.what);
  refusal.set_why(notice.why);
  refusal.set_remedy(notice.remedy);
  refusal.set_reference(notice.reference);
  return refusal;
}

}  // namespace sallyport::authority
