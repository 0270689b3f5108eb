#include "vault/service.h"

#include <openssl/crypto.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "platform/crypto/ulid.h"
#include "platform/model/json_text.h"
#include "platform/os/log.h"
#include "vault/answers.h"
#include "vault/authority_desk.h"
#include "vault/lending.h"
#include "vault/setup.h"

namespace sallyport::vault {
namespace {

using control::Envelope;
using Body = Envelope::BodyCase;

constexpr int k_exit_settings = 2;
constexpr int k_exit_unavailable = 7;
constexpr std::chrono::seconds k_without_keeper{25};
constexpr std::chrono::hours k_maintenance{12};
constexpr std::chrono::milliseconds k_unseal_pause{1000};

// Host key signatures of one session: a burst for a bulk transfer that rekeys every MiB, then a steady rate. An RSA signature costs as much
// CPU as 32 ed25519 ones and counts as 8.
constexpr double k_signature_burst = 512;
constexpr double k_signatures_per_second = 20;
constexpr double k_rsa_weight = 8;
constexpr std::chrono::seconds k_authority_wait{6};  // less than a session waits for its signature

/// What each peer may ask for. Everything else ends the peer.
bool may_ask(control::Peer peer, Body body) {
  switch (peer) {
    case control::PEER_KEEPER:
      return body == Body::kAttach || body == Body::kReload || body == Body::kShutdown || body == Body::kPing || body == Body::kPublicKeys ||
             body == Body::kSealStatus;
    case control::PEER_AUTHORITY:
      return body == Body::kSignCertificate || body == Body::kLendPassword || body == Body::kMakeAgent || body == Body::kSecretPut ||
             body == Body::kSecretList || body == Body::kSecretDelete || body == Body::kSecretRead || body == Body::kTotpCheck || body == Body::kSealStatus ||
             body == Body::kUnseal || body == Body::kSealNow || body == Body::kPublicKeys || body == Body::kEndLeases || body == Body::kRecordingKeyRequest ||
             body == Body::kUnwrapRecordingKey || body == Body::kRecordingKeyAct || body == Body::kSearchKeyAsk || body == Body::kMaskValuesAsk;
    case control::PEER_RECORDER: return body == Body::kSignCheckpoint || body == Body::kPublicKeys;
    case control::PEER_SESSION: return body == Body::kHostkeySign || body == Body::kRecordingKeyRequest;
    default: return false;
  }
}

/// What works while the vault is sealed.
bool works_sealed(Body body) {
  return body == Body::kAttach || body == Body::kReload || body == Body::kShutdown || body == Body::kPing || body == Body::kSealStatus ||
         body == Body::kUnseal || body == Body::kSealNow || body == Body::kEndLeases;
}

struct SessionState {
  LineId line = 0;
  Bytes first_hash;  ///< the session identifier, once its exchange hash was signed
  std::optional<Envelope> held;  ///< a first signature that waits for an authority that is being started again
  double tokens = k_signature_burst;
  std::chrono::steady_clock::time_point refilled = std::chrono::steady_clock::now();
  bool recording_key_given = false;
  unsigned certificates = 0;
};

/// Not dumpable, no core, memory not swapped where the limit allows. False: memory could not be locked.
bool harden_process() {
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
  CRYPTO_secure_malloc_init(1024 * 1024, 32);  // long-term private keys of OpenSSL: locked, guarded, not dumped
  rlimit limit{RLIM_INFINITY, RLIM_INFINITY};
  setrlimit(RLIMIT_MEMLOCK, &limit);  // works as root
  getrlimit(RLIMIT_MEMLOCK, &limit);
  // With a finite limit MCL_FUTURE would make a later allocation fail.
  return limit.rlim_cur == RLIM_INFINITY && mlockall(MCL_CURRENT | MCL_FUTURE) == 0;
}

class Service {
 public:
  Service(std::unique_ptr<Switchboard> board, const VaultOptions& options, bool memory_locked)
      : board_(std::move(board)), options_(options), trail_(*board_), memory_locked_(memory_locked) {}

  int run(Fd keeper) {
    auto line = board_->add_link(
        std::move(keeper), [this](LineId from, control::Received received) { on_message(control::PEER_KEEPER, "", from, std::move(received)); },
        [this](LineId) { on_keeper_gone(); });
    if (!line) return give_up(k_exit_unavailable, line.error());
    keeper_ = *line;
    board_->run();
    if (vault_) vault_->seal();
    return exit_code_;
  }

 private:
  int give_up(int code, const Error& error) {
    os::log_line(os::LogEvent::vault_failed, error.detail);
    exit_code_ = code;
    board_->stop();
    return code;
  }

  void notice(os::LogEvent event, const std::string& text) {
    Envelope envelope;
    envelope.mutable_notice()->set_text(os::notice_text(event, text));
    board_->send(keeper_, std::move(envelope));
  }

  // ------------------------------------------------------------------------------------------------ links

  void on_message(control::Peer peer, const std::string& session, LineId from, control::Received received) {
    const Envelope& envelope = received.envelope;
    if (envelope.reply()) {
      if (peer == control::PEER_RECORDER) trail_.on_reply(envelope);
      return;
    }
    const Body body = envelope.body_case();
    const std::size_t descriptors = body == Body::kAttach ? 1 : 0;
    if (!may_ask(peer, body) || received.descriptors.size() != descriptors) return expel(peer, session, from);
    if (!works_sealed(body) && (!vault_ || vault_->is_sealed())) return refuse(from, envelope, {Errc::sealed, "the vault is sealed"});
    switch (peer) {
      case control::PEER_KEEPER: return on_keeper(from, std::move(received));
      case control::PEER_AUTHORITY: return on_authority(from, received.envelope);
      case control::PEER_RECORDER: return on_recorder(from, envelope);
      case control::PEER_SESSION: return on_session(session, from, envelope);
      default: return;
    }
  }

  void expel(control::Peer peer, const std::string& session, LineId from) {
    notice(os::LogEvent::service_unexpected_message, "a peer sent a message that it may not send (kind " + std::to_string(static_cast<int>(peer)) + ")" + (session.empty() ? "" : ", session " + session));
    trail_.tell("vault.peer_expelled", "{\"peer\":" + std::to_string(static_cast<int>(peer)) + ",\"decision\":\"deny\"}", session);
    board_->close(from);
    on_line_gone(peer, session, from);
  }

  void on_line_gone(control::Peer peer, const std::string& session, LineId line) {
    if (peer == control::PEER_AUTHORITY && line == authority_) authority_ = 0;
    if (peer == control::PEER_RECORDER && line == recorder_) {
      recorder_ = 0;
      trail_.detach();
    }
    if (peer != control::PEER_SESSION) return;
    const auto found = sessions_.find(session);
    if (found == sessions_.end() || found->second.line != line) return;
    sessions_.erase(found);
    if (lending_) lending_->end_session(session, "the session ended");
    if (keeper_gone_ && sessions_.empty()) board_->stop();
  }

  void on_keeper_gone() {
    // Live sessions may still rekey, but nobody can restart us: end with them, or after a while.
    keeper_gone_ = true;
    if (sessions_.empty()) return board_->stop();
    board_->after(k_without_keeper, [this] { board_->stop(); });
  }

  void reply(LineId to, Envelope envelope) { board_->send(to, std::move(envelope)); }
  void refuse(LineId to, const Envelope& question, const Error& error) { vault::refuse(*board_, to, question, error); }
  template <class T>
  bool refused(LineId to, const Envelope& question, const Result<T>& result) {
    return vault::refused(*board_, to, question, result);
  }

  // ------------------------------------------------------------------------------------------------ keeper

  void on_keeper(LineId from, control::Received received) {
    const Envelope& envelope = received.envelope;
    switch (envelope.body_case()) {
      case Body::kReload: return on_reload(envelope.reload());
      case Body::kAttach: return on_attach(envelope.attach(), std::move(received.descriptors.front()));
      case Body::kShutdown: return board_->stop();
      case Body::kPing: return say_ready(envelope);
      case Body::kPublicKeys: return on_public_keys(from, envelope);
      case Body::kSealStatus: return on_seal_status(from, envelope);
      default: return;
    }
  }

  void say_ready(const Envelope& question) {
    if (!vault_) return;
    Envelope answer = control::reply_to(question);
    answer.mutable_ready()->set_detail(vault_->is_sealed() ? "sealed" : "");
    reply(keeper_, std::move(answer));
  }

  void on_reload(const control::Reload& reload) {
    const auto lines = Settings::parse(reload.config_yaml());
    auto settings = lines ? vault_settings_of(*lines, options_.credentials_directory) : Result<VaultSettings>(tl::unexpected(lines.error()));
    if (!settings && !vault_) {
      give_up(k_exit_settings, settings.error());
      return;
    }
    if (!settings) return notice(os::LogEvent::service_settings_refused, "settings were not taken: " + settings.error().detail);
    if (vault_) {
      if (auto taken = vault_->reconfigure(std::move(*settings)); !taken) notice(os::LogEvent::service_settings_refused, "settings were not taken in full: " + taken.error().detail);
      push_public_keys();
      return;
    }
    auto vault = Vault::open(std::move(*settings), *options_.clock, *options_.random);
    if (!vault) {
      give_up(k_exit_unavailable, vault.error());
      return;
    }
    vault_ = std::move(*vault);
    lending_.emplace(*vault_, *board_, trail_, *options_.clock, *options_.random);
    desk_.emplace(*vault_, *board_, *lending_, trail_,
                  AuthorityDesk::Service{[this](const std::string& session) {
                                           const auto found = sessions_.find(session);
                                           return found == sessions_.end() ? nullptr : &found->second.certificates;
                                         },
                                         [this] { push_public_keys(); }});
    if (!memory_locked_) notice(os::LogEvent::vault_memory_unlocked, "memory is not locked (RLIMIT_MEMLOCK is finite): swap should be encrypted or off");
    maintain();
    lending_->recover(options_.orphan_grace, [this](const std::string& session) { return sessions_.contains(session); });
    const auto opened = vault_->unseal(nullptr);
    if (!opened) {
      seal_detail_ = opened.error().detail;
      notice(os::LogEvent::vault_sealed, "the vault is sealed: " + seal_detail_);
    } else {
      on_unsealed();
    }
    Envelope ready;
    ready.mutable_ready()->set_detail(vault_->is_sealed() ? "sealed" : "");
    reply(keeper_, std::move(ready));
  }

  void maintain() {
    const bool due = !vault_->is_sealed();
    if (due)
      if (auto renewed = vault_->renew_host_certificate(); !renewed) notice(os::LogEvent::vault_host_certificate_failed, "the host certificate was not renewed: " + renewed.error().detail);
    if (due) push_public_keys();
    board_->after(k_maintenance, [this] { maintain(); });
  }

  void on_attach(const control::Attach& attach, Fd socket) {
    const control::Peer peer = attach.peer();
    const std::string session = attach.session();
    const bool known = peer == control::PEER_AUTHORITY || peer == control::PEER_RECORDER || (peer == control::PEER_SESSION && crypto::is_ulid(session));
    if (!known) return notice(os::LogEvent::service_unexpected_message, "an attachment of an unknown kind was refused");
    auto line = board_->add_link(
        std::move(socket), [this, peer, session](LineId from, control::Received received) { on_message(peer, session, from, std::move(received)); },
        [this, peer, session](LineId gone) { on_line_gone(peer, session, gone); });
    if (!line) return notice(os::LogEvent::service_link_failed, "an attachment failed: " + line.error().detail);
    if (peer == control::PEER_AUTHORITY) {
      if (authority_ != 0) board_->close(authority_);
      authority_ = *line;
      for (const auto& [label, state] : sessions_)
        if (!state.first_hash.empty()) tell_exchange(label, state.first_hash);
      answer_held();
    } else if (peer == control::PEER_RECORDER) {
      if (recorder_ != 0) {
        board_->close(recorder_);
        trail_.detach();
      }
      recorder_ = *line;
      trail_.attach(*line);
    } else {
      SessionState& state = sessions_[session];
      if (state.line != 0) board_->close(state.line);
      state.line = *line;
      if (!attach.again()) return;
      Envelope resume;  // a question that a former process read is lost; it shall be asked again
      resume.mutable_resume()->set_generation(1);
      reply(*line, std::move(resume));
    }
  }

  void fill_public_keys(control::PublicKeySet* set) {
    const OwnKeys* own = vault_->own_keys();
    for (const auto& key : vault_->offered_host_keys()) set->add_host_keys(text_copy(key.blob()));
    set->set_user_ca(text_copy(own->user_ca.public_key().blob()));
    set->set_host_ca(text_copy(own->host_ca.public_key().blob()));
    set->set_login_ca(text_copy(own->login_ca.public_key().blob()));
    set->set_checkpoint_key(vault_->checkpoint_vkey());
    if (!own->host_certificate.empty()) set->add_host_certificates(text_copy(own->host_certificate));
    for (const Bytes& recipient : vault_->recipients()) set->add_recipients(text_copy(recipient));
  }

  void on_public_keys(LineId from, const Envelope& question) {
    Envelope answer = control::reply_to(question);
    fill_public_keys(answer.mutable_public_key_set());
    reply(from, std::move(answer));
  }

  /// The keeper hands them to the listener; they change when the vault is unsealed and with a new host certificate.
  void push_public_keys() {
    if (vault_->is_sealed()) return;
    if (auto written = write_public_files(*vault_); !written) notice(os::LogEvent::vault_public_files_failed, "public keys were not written to files: " + written.error().detail);
    Envelope envelope;
    fill_public_keys(envelope.mutable_public_key_set());
    reply(keeper_, std::move(envelope));
  }

  // ------------------------------------------------------------------------------------------------ seal

  void on_unsealed() {
    seal_detail_.clear();
    trail_.tell("vault.unsealed", "{\"source\":" + json_quote(name_of(vault_->seal_kind())) + "}");
    push_public_keys();
  }

  void on_seal_status(LineId from, const Envelope& question) {
    Envelope answer = control::reply_to(question);
    auto* state = answer.mutable_seal_state();
    state->set_sealed(!vault_ || vault_->is_sealed());
    if (vault_) state->set_source(std::string(name_of(vault_->seal_kind())));
    state->set_detail(seal_detail_);
    reply(from, std::move(answer));
  }

  void on_unseal(LineId from, Envelope& question) {
    const Secret typed{question.unseal().passphrase()};
    wipe(question.mutable_unseal()->mutable_passphrase());
    if (!vault_->is_sealed()) return on_seal_status(from, question);
    const auto now = std::chrono::steady_clock::now();
    if (now < next_unseal_) return refuse(from, question, {Errc::unavailable, "wait a second between two attempts"});
    const auto opened = vault_->unseal(typed.empty() ? nullptr : &typed);
    if (!opened) {
      next_unseal_ = std::chrono::steady_clock::now() + k_unseal_pause;
      seal_detail_ = opened.error().detail;
      trail_.tell("vault.unseal_failed", "{\"decision\":\"deny\",\"source\":" + json_quote(name_of(vault_->seal_kind())) + ",\"reason\":" + json_quote(seal_detail_) + "}");
      return refuse(from, question, opened.error());
    }
    on_unsealed();
    on_seal_status(from, question);
  }

  void on_seal_now(LineId from, const Envelope& question) {
    if (!vault_->is_sealed()) {
      lending_->close_agents();
      vault_->seal();
      seal_detail_ = "sealed by an operator";
      trail_.tell("vault.sealed", "{\"reason\":" + json_quote(seal_detail_) + "}");
    }
    on_seal_status(from, question);
  }

  // ------------------------------------------------------------------------------------------------ session

  /// Before the session has the signature, so that the authority knows the session identifier before anybody can sign it.
  bool tell_exchange(const std::string& session, const Bytes& hash) {
    Envelope envelope;
    envelope.mutable_exchange_signed()->set_session(session);
    envelope.mutable_exchange_signed()->set_exchange_hash(text_copy(hash));
    return board_->send(authority_, std::move(envelope));
  }

  static bool take_token(SessionState& state, double weight) {
    const auto now = std::chrono::steady_clock::now();
    state.tokens = std::min(k_signature_burst, state.tokens + k_signatures_per_second * std::chrono::duration<double>(now - state.refilled).count());
    state.refilled = now;
    if (state.tokens < weight) return false;
    state.tokens -= weight;
    return true;
  }

  void on_session(const std::string& session, LineId from, const Envelope& question) {
    const auto found = sessions_.find(session);
    if (found == sessions_.end() || found->second.line != from) return;
    if (question.body_case() == Body::kHostkeySign) return on_hostkey_sign(session, found->second, question);
    on_recording_key(found->first, found->second, question);
  }

  void on_hostkey_sign(const std::string& session, SessionState& state, const Envelope& question) {
    const control::HostKeySign& asked = question.hostkey_sign();
    const LineId line = state.line;
    if (!take_token(state, asked.algorithm().starts_with("rsa-") ? k_rsa_weight : 1))
      return refuse(line, question, {Errc::denied, "too many host key signatures in a short time"});
    sign_exchange(session, state, question);
  }

  void sign_exchange(const std::string& session, SessionState& state, const Envelope& question) {
    const control::HostKeySign& asked = question.hostkey_sign();
    const LineId line = state.line;
    const ByteView hash = bytes_of(asked.exchange_hash());
    const auto signature = vault_->sign_exchange_hash(asked.algorithm(), hash);
    if (refused(line, question, signature)) return;
    if (state.first_hash.empty()) {
      Bytes first = copy_of(hash);
      if (!tell_exchange(session, first)) return hold(session, state, question);
      state.first_hash = std::move(first);
    }
    Envelope answer = control::reply_to(question);
    answer.mutable_hostkey_signature()->set_signature(text_copy(*signature));
    reply(line, std::move(answer));
  }

  /// A session that began while the authority is being started again waits for it instead of failing.
  void hold(const std::string& session, SessionState& state, const Envelope& question) {
    state.held = question;
    board_->after(k_authority_wait, [this, session, line = state.line, call = question.call()] {
      const auto found = sessions_.find(session);
      if (found == sessions_.end() || found->second.line != line || !found->second.held || found->second.held->call() != call) return;
      const Envelope late = *std::exchange(found->second.held, std::nullopt);
      refuse(line, late, {Errc::unavailable, "there is no authority"});
    });
  }

  void answer_held() {
    std::vector<std::string> waiting;
    for (const auto& [session, state] : sessions_)
      if (state.held) waiting.push_back(session);
    for (const std::string& session : waiting)
      if (const auto found = sessions_.find(session); found != sessions_.end())
        if (const auto question = std::exchange(found->second.held, std::nullopt)) sign_exchange(session, found->second, *question);
  }

  void on_recording_key(const std::string& session, SessionState& state, const Envelope& question) {
    if (state.recording_key_given) return refuse(state.line, question, {Errc::conflict, "this session has its recording key already"});
    auto made = vault_->make_recording_key(session);
    if (refused(state.line, question, made)) return;
    state.recording_key_given = true;
    Envelope answer = control::reply_to(question);
    auto* key = answer.mutable_recording_key();
    key->set_key(std::string(made->key.reveal_text()));
    key->set_wrapped(text_copy(made->wrapped));
    key->set_recipients(made->recipients);
    reply(state.line, std::move(answer));
  }

  // ------------------------------------------------------------------------------------------------ recorder

  void on_recorder(LineId from, const Envelope& question) {
    if (question.body_case() == Body::kPublicKeys) return on_public_keys(from, question);
    auto line = vault_->sign_checkpoint(question.sign_checkpoint().body(), question.sign_checkpoint().may_rotate(), question.sign_checkpoint().newest());
    if (!line) trail_.tell("checkpoint.refused", "{\"decision\":\"deny\",\"reason\":" + json_quote(line.error().detail) + "}");
    if (refused(from, question, line)) return;
    Envelope answer = control::reply_to(question);
    answer.mutable_checkpoint_signature()->set_line(std::move(line->line));
    answer.mutable_checkpoint_signature()->set_body(std::move(line->body));
    answer.mutable_checkpoint_signature()->set_handover(std::move(line->handover));
    reply(from, std::move(answer));
  }

  // ------------------------------------------------------------------------------------------------ authority

  void on_authority(LineId from, Envelope& question) {
    switch (question.body_case()) {
      case Body::kSealStatus: return on_seal_status(from, question);
      case Body::kUnseal: return on_unseal(from, question);
      case Body::kSealNow: return on_seal_now(from, question);
      case Body::kPublicKeys: return on_public_keys(from, question);
      default:
        return desk_->on_question(from, question);
    }
  }

  std::unique_ptr<Switchboard> board_;
  VaultOptions options_;
  AuditTrail trail_;
  std::unique_ptr<Vault> vault_;
  std::optional<Lending> lending_;
  std::optional<AuthorityDesk> desk_;  ///< as long as there is a vault
  LineId keeper_ = 0;
  LineId authority_ = 0;
  LineId recorder_ = 0;
  std::unordered_map<std::string, SessionState> sessions_;
  std::string seal_detail_;
  std::chrono::steady_clock::time_point next_unseal_{};
  bool memory_locked_;
  bool keeper_gone_ = false;
  int exit_code_ = 0;
};

}  // namespace

int run_service(Fd keeper, const VaultOptions& options) {
  const bool locked = !options.harden || harden_process();
  auto board = Switchboard::make();
  if (!board) {
    os::log_line(os::LogEvent::vault_failed, board.error().detail);
    return k_exit_unavailable;
  }
  return Service(std::move(*board), options, locked).run(std::move(keeper));
}

}  // namespace sallyport::vault
