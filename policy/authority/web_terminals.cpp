#include "policy/authority/web_terminals.h"

#include <utility>

#include "policy/authority/session_links.h"
#include "policy/authority/sign_on.h"

namespace sallyport::authority {
namespace {

constexpr std::chrono::seconds k_spawn_deadline{10};

}  // namespace

std::optional<policy::WebLogin> WebTerminals::login_of(const std::string& label) const {
  const auto found = logins_.find(label);
  return found == logins_.end() ? std::nullopt : std::optional(found->second);
}

void WebTerminals::open(const Operator& who, const std::string& key_blob, std::uint16_t peer_port, const Fd& theirs, std::function<void(Result<std::string>)> done) {
  const policy::Principal* principal = authority_.snapshot->find_principal(who.principal);
  if (who.principal.empty() || principal == nullptr) return done(fail(Errc::denied, "`" + who.name + "` is no principal of the policy"));
  if (!authority_.listener) return done(fail(Errc::unavailable, "the listener is not there"));
  policy::WebLogin login;
  login.principal = principal->name;
  login.key_blob = key_blob;
  if (const WebSession* session = authority_.sign_on->web.find(who.web_session); session != nullptr) login.factors = session->factors;
  login.proven_by = !who.web_session.empty() ? "web session " + who.web_session : "token " + who.token;
  control::Envelope question;
  question.mutable_spawn_inner()->set_peer_address(who.source.empty() ? "127.0.0.1" : who.source);
  question.mutable_spawn_inner()->set_peer_port(peer_port);
  const int handed = theirs.get();
  authority_.listener->ask(
      std::move(question), k_spawn_deadline,
      [this, login = std::move(login), done = std::move(done)](Result<control::Received> answer) {
        if (!answer) return done(tl::unexpected(answer.error()));
        if (!answer->envelope.has_session_started()) return done(fail(Errc::unavailable, "the listener started nothing"));
        const control::SessionStarted& started = answer->envelope.session_started();
        logins_[started.session()] = login;  // before the session's first word is looked at
        authority_.session_links->on_started(started);
        if (const Session* session = authority_.find(started.session()))
          authority_.note(*session, "web.terminal_opened", authority_.event_of(*session).text("principal", login.principal.view()).text("by", login.proven_by));
        done(started.session());
      },
      std::span(&handed, 1));
}

}  // namespace sallyport::authority
