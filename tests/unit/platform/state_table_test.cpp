#include "platform/control/state_table.h"

#include <catch2/catch.hpp>

namespace sallyport::control::test {
namespace {

using Body = Envelope::BodyCase;

Envelope of(Body body) {
  Envelope envelope;
  switch (body) {
    case Body::kAuthAttempt: envelope.mutable_auth_attempt(); break;
    case Body::kOpenTarget: envelope.mutable_open_target(); break;
    case Body::kCredentialRequest: envelope.mutable_credential_request(); break;
    case Body::kTargetOutcome: envelope.mutable_target_outcome(); break;
    case Body::kChannelAsk: envelope.mutable_channel_ask(); break;
    case Body::kChannelClosed: envelope.mutable_channel_closed(); break;
    case Body::kOpenJump: envelope.mutable_open_jump(); break;
    case Body::kSelfService: envelope.mutable_self_service(); break;
    case Body::kSessionEvent: envelope.mutable_session_event(); break;
    default: break;
  }
  return envelope;
}

constexpr Body k_session_bodies[] = {Body::kAuthAttempt,   Body::kOpenTarget, Body::kCredentialRequest, Body::kTargetOutcome, Body::kChannelAsk,
                                     Body::kChannelClosed, Body::kOpenJump,   Body::kSelfService,       Body::kSessionEvent};

}  // namespace

TEST_CASE("nobody who is not logged in may ask for anything but a login", "[control]") {
  for (const Body body : k_session_bodies) {
    const auto judgement = judge_session_message(SessionState::logging_in, of(body), 0, false);
    const bool may = body == Body::kAuthAttempt || body == Body::kSessionEvent;
    INFO(name_of(body));
    CHECK(judgement == (may ? Judgement::accept : Judgement::violation));
  }
}

TEST_CASE("a kit without a connection may say nothing at all", "[control]") {
  for (const Body body : k_session_bodies)
    for (const bool restored : {false, true})
      CHECK(judge_session_message(SessionState::kit, of(body), 0, restored) == Judgement::violation);
}

TEST_CASE("an ending session is ignored, but what no session may say stays a violation", "[control]") {
  for (const Body body : k_session_bodies) CHECK(judge_session_message(SessionState::ending, of(body), 0, false) == Judgement::ignore);
  Envelope foreign;
  foreign.mutable_sign_certificate();
  CHECK(judge_session_message(SessionState::ending, foreign, 0, false) == Judgement::violation);
}

TEST_CASE("a session never answers, never fails and never hands over descriptors", "[control]") {
  Envelope ask = of(Body::kChannelAsk);
  CHECK(judge_session_message(SessionState::ready, ask, 0, false) == Judgement::accept);
  CHECK(judge_session_message(SessionState::ready, ask, 1, false) == Judgement::violation);
  ask.set_reply(true);
  CHECK(judge_session_message(SessionState::ready, ask, 0, false) == Judgement::violation);
  Envelope failed = of(Body::kChannelAsk);
  failed.mutable_failure();
  CHECK(judge_session_message(SessionState::ready, failed, 0, false) == Judgement::violation);
}

TEST_CASE("credentials are for granted sessions, jumps and self service for bare ones", "[control]") {
  for (unsigned i = 0; i < k_session_states; ++i) {
    const auto state = static_cast<SessionState>(i);
    if (state == SessionState::ending) continue;
    INFO(name_of(state));
    CHECK((judge_session_message(state, of(Body::kCredentialRequest), 0, false) == Judgement::accept) == (state == SessionState::granted));
    CHECK((judge_session_message(state, of(Body::kOpenJump), 0, false) == Judgement::accept) == (state == SessionState::bare));
    CHECK((judge_session_message(state, of(Body::kSelfService), 0, false) == Judgement::accept) == (state == SessionState::bare));
    CHECK((judge_session_message(state, of(Body::kOpenTarget), 0, false) == Judgement::accept) ==
          (state == SessionState::identified || state == SessionState::bare));  // a bare one whose menu was answered
  }
}

TEST_CASE("every message has its routes and no service speaks out of its place", "[control]") {
  CHECK(may_travel(PEER_VAULT, PEER_AUTHORITY, Body::kExchangeSigned));
  CHECK_FALSE(may_travel(PEER_SESSION, PEER_AUTHORITY, Body::kExchangeSigned));
  CHECK_FALSE(may_travel(PEER_LISTENER, PEER_AUTHORITY, Body::kExchangeSigned));
  CHECK_FALSE(may_travel(PEER_SESSION, PEER_VAULT, Body::kLendPassword));
  CHECK_FALSE(may_travel(PEER_SESSION, PEER_RECORDER, Body::kAppendEvent));
  CHECK_FALSE(may_travel(PEER_LISTENER, PEER_VAULT, Body::kSignCertificate));
  CHECK(may_travel(PEER_KEEPER, PEER_AUTHORITY, Body::kAttach));
  CHECK_FALSE(may_travel(PEER_SESSION, PEER_AUTHORITY, Body::kAttach));
}

TEST_CASE("fields that a session fills are bounded", "[control]") {
  Envelope envelope;
  envelope.mutable_auth_attempt()->set_user(std::string(1025, 'x'));
  CHECK_FALSE(check_bounds(envelope).has_value());
  envelope.mutable_auth_attempt()->set_user("engineer");
  CHECK(check_bounds(envelope).has_value());
  for (int i = 0; i < 17; ++i) envelope.mutable_auth_attempt()->add_responses("x");
  CHECK_FALSE(check_bounds(envelope).has_value());
  Envelope ask;
  ask.mutable_channel_ask()->set_port(65536);
  CHECK_FALSE(check_bounds(ask).has_value());
}

}  // namespace sallyport::control::test
