#include "platform/control/state_table.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <string>

namespace sallyport::control {
namespace {

using Body = Envelope::BodyCase;
using State = SessionState;

constexpr std::uint32_t in(std::initializer_list<State> states) {
  std::uint32_t set = 0;
  for (const State state : states) set |= 1U << static_cast<unsigned>(state);
  return set;
}

/// Row: a body that a session may send, the states in which it is accepted, and whether it may be repeated after a restart
/// of the authority in a state that is already past it.
struct Row {
  Body body;
  std::uint32_t states;
  std::uint32_t again;
};

constexpr std::array k_session_rows = {
    Row{Body::kAuthAttempt, in({State::logging_in}), in({State::bare, State::identified})},
    Row{Body::kOpenTarget, in({State::bare, State::identified}), in({State::granted})},
    Row{Body::kCredentialRequest, in({State::granted}), 0},
    Row{Body::kTargetOutcome, in({State::granted, State::ready}), in({State::identified})},
    Row{Body::kChannelAsk, in({State::bare, State::identified, State::dialling, State::granted, State::ready}), 0},
    Row{Body::kChannelClosed, in({State::bare, State::identified, State::dialling, State::granted, State::ready}), 0},
    Row{Body::kApprovalAsk, in({State::ready}), 0},
    Row{Body::kApprovalCancel, in({State::bare, State::identified, State::dialling, State::granted, State::ready}), 0},
    Row{Body::kGuardFiles, in({State::ready}), 0},
    Row{Body::kOpenJump, in({State::bare}), 0},
    Row{Body::kSelfService, in({State::bare}), 0},
    Row{Body::kJoinedKeys, in({State::bare}), 0},
    Row{Body::kSessionEvent,
        in({State::logging_in, State::bare, State::identified, State::dialling, State::granted, State::ready}), 0},
};

bool is_in(State state, std::uint32_t set) { return ((set >> static_cast<unsigned>(state)) & 1U) != 0; }

/// Bodies that travel between two services, in this direction.
struct Route {
  Peer from;
  Peer to;
  Body body;
};
constexpr std::array k_routes = {
    Route{PEER_LISTENER, PEER_AUTHORITY, Body::kSessionStarted},
    Route{PEER_LISTENER, PEER_AUTHORITY, Body::kSessionExited},
    Route{PEER_AUTHORITY, PEER_LISTENER, Body::kSessionProven},
    Route{PEER_AUTHORITY, PEER_LISTENER, Body::kSpawnInner},
    Route{PEER_AUTHORITY, PEER_LISTENER, Body::kKillSession},
    Route{PEER_AUTHORITY, PEER_LISTENER, Body::kSourcePenalty},
    Route{PEER_LISTENER, PEER_KEEPER, Body::kKitRequest},
    Route{PEER_LISTENER, PEER_KEEPER, Body::kDiscardKit},
    Route{PEER_AUTHORITY, PEER_KEEPER, Body::kStartDesk},
    Route{PEER_KEEPER, PEER_LISTENER, Body::kSessionKit},
    Route{PEER_KEEPER, PEER_LISTENER, Body::kListenSockets},
    Route{PEER_KEEPER, PEER_VAULT, Body::kPublicKeys},
    Route{PEER_VAULT, PEER_KEEPER, Body::kPublicKeySet},
    Route{PEER_SESSION, PEER_VAULT, Body::kHostkeySign},
    Route{PEER_VAULT, PEER_SESSION, Body::kHostkeySignature},
    Route{PEER_SESSION, PEER_VAULT, Body::kRecordingKeyRequest},
    Route{PEER_VAULT, PEER_SESSION, Body::kRecordingKey},
    Route{PEER_SESSION, PEER_RECORDER, Body::kRingBell},
    Route{PEER_RECORDER, PEER_SESSION, Body::kRingSpace},
    Route{PEER_RECORDER, PEER_SESSION, Body::kRecordingFailed},
    Route{PEER_AUTHORITY, PEER_SESSION, Body::kAuthAnswer},
    Route{PEER_AUTHORITY, PEER_SESSION, Body::kTargetGrant},
    Route{PEER_AUTHORITY, PEER_SESSION, Body::kCredential},
    Route{PEER_AUTHORITY, PEER_SESSION, Body::kChannelAnswer},
    Route{PEER_AUTHORITY, PEER_SESSION, Body::kJumpGrant},
    Route{PEER_AUTHORITY, PEER_SESSION, Body::kEndSession},
    Route{PEER_AUTHORITY, PEER_SESSION, Body::kEndChannel},
    Route{PEER_AUTHORITY, PEER_SESSION, Body::kGuardRules},
    Route{PEER_AUTHORITY, PEER_SESSION, Body::kRulesChanged},
    Route{PEER_AUTHORITY, PEER_SESSION, Body::kLimitsChanged},
    Route{PEER_AUTHORITY, PEER_SESSION, Body::kSelfServiceAnswer},
    Route{PEER_AUTHORITY, PEER_SESSION, Body::kHoldNotice},
    Route{PEER_AUTHORITY, PEER_SESSION, Body::kApprovalAnswer},
    Route{PEER_AUTHORITY, PEER_SESSION, Body::kApprovalNotice},
    Route{PEER_AUTHORITY, PEER_SESSION, Body::kSessionMessage},
    Route{PEER_AUTHORITY, PEER_SESSION, Body::kJoinedOutput},
    Route{PEER_AUTHORITY, PEER_SESSION, Body::kTakenKeys},
    Route{PEER_AUTHORITY, PEER_VAULT, Body::kSignCertificate},
    Route{PEER_AUTHORITY, PEER_VAULT, Body::kLendPassword},
    Route{PEER_AUTHORITY, PEER_VAULT, Body::kMakeAgent},
    Route{PEER_AUTHORITY, PEER_VAULT, Body::kSecretPut},
    Route{PEER_AUTHORITY, PEER_VAULT, Body::kSecretList},
    Route{PEER_AUTHORITY, PEER_VAULT, Body::kSecretDelete},
    Route{PEER_AUTHORITY, PEER_VAULT, Body::kSecretRead},
    Route{PEER_AUTHORITY, PEER_VAULT, Body::kTotpCheck},
    Route{PEER_AUTHORITY, PEER_VAULT, Body::kSealStatus},
    Route{PEER_AUTHORITY, PEER_VAULT, Body::kUnseal},
    Route{PEER_AUTHORITY, PEER_VAULT, Body::kSealNow},
    Route{PEER_AUTHORITY, PEER_VAULT, Body::kPublicKeys},
    Route{PEER_AUTHORITY, PEER_VAULT, Body::kEndLeases},
    Route{PEER_AUTHORITY, PEER_VAULT, Body::kRecordingKeyRequest},
    Route{PEER_AUTHORITY, PEER_VAULT, Body::kUnwrapRecordingKey},
    Route{PEER_AUTHORITY, PEER_VAULT, Body::kRecordingKeyAct},
    Route{PEER_VAULT, PEER_AUTHORITY, Body::kExchangeSigned},
    Route{PEER_VAULT, PEER_AUTHORITY, Body::kSignedCertificate},
    Route{PEER_VAULT, PEER_AUTHORITY, Body::kLentPassword},
    Route{PEER_VAULT, PEER_AUTHORITY, Body::kAgentReady},
    Route{PEER_VAULT, PEER_AUTHORITY, Body::kSecretStored},
    Route{PEER_VAULT, PEER_AUTHORITY, Body::kSecretRows},
    Route{PEER_VAULT, PEER_AUTHORITY, Body::kTotpAnswer},
    Route{PEER_VAULT, PEER_AUTHORITY, Body::kSealState},
    Route{PEER_VAULT, PEER_AUTHORITY, Body::kPublicKeySet},
    Route{PEER_VAULT, PEER_AUTHORITY, Body::kRecordingKey},
    Route{PEER_AUTHORITY, PEER_VAULT, Body::kSearchKeyAsk},
    Route{PEER_AUTHORITY, PEER_VAULT, Body::kMaskValuesAsk},
    Route{PEER_VAULT, PEER_AUTHORITY, Body::kMaskValues},
    Route{PEER_AUTHORITY, PEER_SESSION, Body::kMaskValues},
    Route{PEER_VAULT, PEER_RECORDER, Body::kAppendEvent},
    Route{PEER_VAULT, PEER_RECORDER, Body::kCheckpointSignature},
    Route{PEER_RECORDER, PEER_VAULT, Body::kSignCheckpoint},
    Route{PEER_RECORDER, PEER_VAULT, Body::kEventAppended},
    Route{PEER_KEEPER, PEER_RECORDER, Body::kAppendEvent},
    Route{PEER_RECORDER, PEER_KEEPER, Body::kEventAppended},
    Route{PEER_AUTHORITY, PEER_RECORDER, Body::kAppendEvent},
    Route{PEER_AUTHORITY, PEER_RECORDER, Body::kRecorderStatusAsk},
    Route{PEER_AUTHORITY, PEER_RECORDER, Body::kGlassSpentAsk},
    Route{PEER_RECORDER, PEER_AUTHORITY, Body::kGlassSpent},
    Route{PEER_RECORDER, PEER_AUTHORITY, Body::kEventAppended},
    Route{PEER_RECORDER, PEER_AUTHORITY, Body::kRecorderStatus},
    Route{PEER_RECORDER, PEER_AUTHORITY, Body::kSessionRecorded},
};

constexpr std::size_t k_max_name = 1024;
constexpr std::size_t k_max_blob = 32 * 1024;
constexpr std::size_t k_max_command = 256 * 1024;
constexpr std::size_t k_max_json = 64 * 1024;

class Bounds {
 public:
  Bounds& text(std::string_view field, std::string_view value, std::size_t most) {
    if (value.size() > most && wrong_.empty()) wrong_ = field;
    return *this;
  }
  Bounds& number(std::string_view field, std::uint64_t value, std::uint64_t most) {
    if (value > most && wrong_.empty()) wrong_ = field;
    return *this;
  }
  [[nodiscard]] Result<void> result() const {
    if (wrong_.empty()) return {};
    return fail(Errc::invalid, "field " + std::string(wrong_) + " is out of bounds");
  }

 private:
  std::string_view wrong_;
};

Result<void> check_attempt(const AuthAttempt& attempt) {
  Bounds bounds;
  bounds.text("user", attempt.user(), k_max_name)
      .text("method", attempt.method(), 64)
      .text("algorithm", attempt.algorithm(), 128)
      .text("key_blob", attempt.key_blob(), k_max_blob)
      .text("session_hash", attempt.session_hash(), 64)
      .text("signed_data", attempt.signed_data(), 2 * k_max_blob)
      .text("signature", attempt.signature(), k_max_blob)
      .text("password", attempt.password(), k_max_blob)
      .text("failure_reason", attempt.failure_reason(), k_max_name)
      .number("responses", static_cast<std::uint64_t>(attempt.responses_size()), 16);
  for (const std::string& response : attempt.responses()) bounds.text("responses", response, k_max_blob);
  return bounds.result();
}

Result<void> check_channel_ask(const ChannelAsk& ask) {
  return Bounds()
      .text("kind", ask.kind(), 64)
      .text("command", ask.command(), k_max_command)
      .text("host", ask.host(), k_max_name)
      .text("origin_host", ask.origin_host(), k_max_name)
      .text("term", ask.term(), 256)
      .text("path", ask.path(), 4096)
      .text("direction", ask.direction(), 16)
      .number("port", ask.port(), 65535)
      .number("origin_port", ask.origin_port(), 65535)
      .result();
}

Result<void> check_outcome(const TargetOutcome& outcome) {
  return Bounds()
      .text("detail", outcome.detail(), 4096)
      .text("host_key", outcome.host_key(), k_max_blob)
      .text("client_algorithms", outcome.client_algorithms(), 2048)
      .text("target_algorithms", outcome.target_algorithms(), 2048)
      .text("credential", outcome.credential(), 64)
      .number("step", static_cast<std::uint64_t>(static_cast<std::uint32_t>(outcome.step())), 5)
      .result();
}

}  // namespace

std::string_view name_of(SessionState state) noexcept {
  switch (state) {
    case SessionState::kit: return "kit";
    case SessionState::logging_in: return "logging_in";
    case SessionState::bare: return "bare";
    case SessionState::identified: return "identified";
    case SessionState::dialling: return "dialling";
    case SessionState::granted: return "granted";
    case SessionState::ready: return "ready";
    case SessionState::ending: return "ending";
  }
  return "ending";
}

Judgement judge_session_message(SessionState state, const Envelope& message, std::size_t descriptors, bool restored) {
  // A session only asks and tells: it never answers us, never hands over descriptors.
  if (message.reply() || message.has_failure() || descriptors != 0) return Judgement::violation;
  const auto* row = std::find_if(k_session_rows.begin(), k_session_rows.end(),
                                 [&](const Row& candidate) { return candidate.body == message.body_case(); });
  if (row == k_session_rows.end()) return Judgement::violation;
  if (state == SessionState::ending) return Judgement::ignore;
  if (is_in(state, row->states)) return Judgement::accept;
  if (restored && is_in(state, row->again)) return Judgement::accept;
  return Judgement::violation;
}

bool may_travel(Peer from, Peer to, Envelope::BodyCase body) noexcept {
  switch (body) {
    case Body::kAttach:
    case Body::kShutdown:
    case Body::kReload:
    case Body::kPing: return from == PEER_KEEPER;
    case Body::kReady:
    case Body::kNotice: return to == PEER_KEEPER;
    case Body::kResume: return from != PEER_SESSION && from != PEER_KEEPER;
    case Body::BODY_NOT_SET: return true;  // a Failure, or an answer without contents
    default: break;
  }
  if (from == PEER_SESSION && to == PEER_AUTHORITY)
    return std::any_of(k_session_rows.begin(), k_session_rows.end(), [&](const Row& row) { return row.body == body; });
  return std::any_of(k_routes.begin(), k_routes.end(),
                     [&](const Route& route) { return route.from == from && route.to == to && route.body == body; });
}

Result<void> check_bounds(const Envelope& message) {
  switch (message.body_case()) {
    case Body::kAuthAttempt: return check_attempt(message.auth_attempt());
    case Body::kChannelAsk: return check_channel_ask(message.channel_ask());
    case Body::kTargetOutcome: return check_outcome(message.target_outcome());
    case Body::kOpenTarget:
      return Bounds()
          .text("ephemeral_public_key", message.open_target().ephemeral_public_key(), 256)
          .text("target", message.open_target().target(), 255)
          .text("account", message.open_target().account(), 255)
          .result();
    case Body::kCredentialRequest:
      return Bounds()
          .text("kind", message.credential_request().kind(), 64)
          .text("host_key", message.credential_request().host_key(), k_max_blob)
          .text("session_hash", message.credential_request().session_hash(), 64)
          .result();
    case Body::kOpenJump:
      return Bounds().text("host", message.open_jump().host(), k_max_name).number("port", message.open_jump().port(), 65535).result();
    case Body::kSelfService:
      return Bounds()
          .text("command", message.self_service().command(), 4096)
          .text("filter", message.self_service().filter(), k_max_name)
          .result();
    case Body::kSessionEvent:
      return Bounds()
          .text("name", message.session_event().name(), 64)
          .text("json", message.session_event().json(), k_max_json)
          .result();
    case Body::kGuardFiles:
      if (message.guard_files().files_size() > 64) return fail(Errc::invalid, "too many files");
      for (const auto& file : message.guard_files().files()) {
        if (auto bounded = Bounds().text("path", file.path(), 1024).text("sha256", file.sha256(), 64).text("text", file.text(), 16 * 1024).result(); !bounded) return bounded;
      }
      return {};
    case Body::kApprovalAsk:
      return Bounds()
          .text("kind", message.approval_ask().kind(), 64)
          .text("text", message.approval_ask().text(), 16 * 1024)
          .text("rule", message.approval_ask().rule(), 255)
          .text("why", message.approval_ask().why(), 4096)
          .result();
    case Body::kJoinedKeys: return Bounds().text("data", message.joined_keys().data(), 32 * 1024).result();
    case Body::kChannelClosed: return Bounds().text("exit_signal", message.channel_closed().exit_signal(), 64).result();
    default: return {};
  }
}

std::string_view name_of(Envelope::BodyCase body) noexcept {
  switch (body) {
    case Body::BODY_NOT_SET: return "nothing";
    case Body::kAttach: return "attach";
    case Body::kShutdown: return "shutdown";
    case Body::kReload: return "reload";
    case Body::kPing: return "ping";
    case Body::kReady: return "ready";
    case Body::kNotice: return "notice";
    case Body::kKitRequest: return "kit_request";
    case Body::kSessionKit: return "session_kit";
    case Body::kListenSockets: return "listen_sockets";
    case Body::kDiscardKit: return "discard_kit";
    case Body::kStartDesk: return "start_desk";
    case Body::kSessionStarted: return "session_started";
    case Body::kSessionExited: return "session_exited";
    case Body::kSessionProven: return "session_proven";
    case Body::kSpawnInner: return "spawn_inner";
    case Body::kKillSession: return "kill_session";
    case Body::kSourcePenalty: return "source_penalty";
    case Body::kHostkeySign: return "hostkey_sign";
    case Body::kHostkeySignature: return "hostkey_signature";
    case Body::kRecordingKeyRequest: return "recording_key_request";
    case Body::kRecordingKey: return "recording_key";
    case Body::kAuthAttempt: return "auth_attempt";
    case Body::kAuthAnswer: return "auth_answer";
    case Body::kOpenTarget: return "open_target";
    case Body::kTargetGrant: return "target_grant";
    case Body::kCredentialRequest: return "credential_request";
    case Body::kCredential: return "credential";
    case Body::kTargetOutcome: return "target_outcome";
    case Body::kChannelAsk: return "channel_ask";
    case Body::kChannelAnswer: return "channel_answer";
    case Body::kChannelClosed: return "channel_closed";
    case Body::kOpenJump: return "open_jump";
    case Body::kJumpGrant: return "jump_grant";
    case Body::kEndSession: return "end_session";
    case Body::kEndChannel: return "end_channel";
    case Body::kGuardRules: return "guard_rules";
    case Body::kGuardFiles: return "guard_files";
    case Body::kSessionEvent: return "session_event";
    case Body::kResume: return "resume";
    case Body::kSelfService: return "self_service";
    case Body::kSelfServiceAnswer: return "self_service_answer";
    case Body::kHoldNotice: return "hold_notice";
    case Body::kApprovalAsk: return "approval_ask";
    case Body::kApprovalAnswer: return "approval_answer";
    case Body::kApprovalNotice: return "approval_notice";
    case Body::kSessionMessage: return "session_message";
    case Body::kJoinedOutput: return "joined_output";
    case Body::kJoinedKeys: return "joined_keys";
    case Body::kTakenKeys: return "taken_keys";
    case Body::kApprovalCancel: return "approval_cancel";
    case Body::kRulesChanged: return "rules_changed";
    case Body::kLimitsChanged: return "limits_changed";
    case Body::kRingBell: return "ring_bell";
    case Body::kRingSpace: return "ring_space";
    case Body::kRecordingFailed: return "recording_failed";
    case Body::kSignCertificate: return "sign_certificate";
    case Body::kSignedCertificate: return "signed_certificate";
    case Body::kLendPassword: return "lend_password";
    case Body::kLentPassword: return "lent_password";
    case Body::kMakeAgent: return "make_agent";
    case Body::kAgentReady: return "agent_ready";
    case Body::kSecretPut: return "secret_put";
    case Body::kSecretList: return "secret_list";
    case Body::kSecretRows: return "secret_rows";
    case Body::kSecretDelete: return "secret_delete";
    case Body::kSecretRead: return "secret_read";
    case Body::kTotpCheck: return "totp_check";
    case Body::kTotpAnswer: return "totp_answer";
    case Body::kSealStatus: return "seal_status";
    case Body::kSealState: return "seal_state";
    case Body::kUnseal: return "unseal";
    case Body::kSealNow: return "seal_now";
    case Body::kPublicKeys: return "public_keys";
    case Body::kPublicKeySet: return "public_key_set";
    case Body::kEndLeases: return "end_leases";
    case Body::kExchangeSigned: return "exchange_signed";
    case Body::kUnwrapRecordingKey: return "unwrap_recording_key";
    case Body::kSecretStored: return "secret_stored";
    case Body::kAppendEvent: return "append_event";
    case Body::kEventAppended: return "event_appended";
    case Body::kRecorderStatusAsk: return "recorder_status_ask";
    case Body::kRecorderStatus: return "recorder_status";
    case Body::kSessionRecorded: return "session_recorded";
    case Body::kGlassSpentAsk: return "glass_spent_ask";
    case Body::kGlassSpent: return "glass_spent";
    case Body::kSearchKeyAsk: return "search_key_ask";
    case Body::kMaskValuesAsk: return "mask_values_ask";
    case Body::kMaskValues: return "mask_values";
    case Body::kSignCheckpoint: return "sign_checkpoint";
    case Body::kCheckpointSignature: return "checkpoint_signature";
    case Body::kShipUpTo: return "ship_up_to";
    case Body::kShipReport: return "ship_report";
    case Body::kShipEvent: return "ship_event";
    case Body::kShipHold: return "ship_hold";
    case Body::kRecordingKeyAct: return "recording_key_act";
  }
  return "unknown";
}

}  // namespace sallyport::control
