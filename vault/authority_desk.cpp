#include "vault/authority_desk.h"

#include <utility>
#include <vector>

#include "platform/crypto/random.h"
#include "platform/model/bytes.h"
#include "platform/model/json_text.h"
#include "vault/answers.h"

namespace sallyport::vault {
namespace {

using control::Envelope;
using Body = Envelope::BodyCase;

constexpr unsigned k_most_certificates = 16;

}  // namespace

void AuthorityDesk::on_question(LineId from, Envelope& question) {
  switch (question.body_case()) {
    case Body::kSignCertificate:
      return on_sign_certificate(from, question);
    case Body::kLendPassword:
      return on_lend_password(from, question);
    case Body::kMakeAgent:
      return on_make_agent(from, question);
    case Body::kSecretPut:
      return on_secret_put(from, question);
    case Body::kSecretList:
      return on_secret_list(from, question);
    case Body::kSecretDelete:
      return on_secret_delete(from, question);
    case Body::kSecretRead:
      return on_secret_read(from, question);
    case Body::kTotpCheck:
      return on_totp_check(from, question);
    case Body::kEndLeases:
      lending_.end_session(question.end_leases().session(), "the authority ended it");
      if (question.call() != 0) board_.send(from, control::reply_to(question));
      return;
    case Body::kUnwrapRecordingKey:
      return on_unwrap(from, question);
    case Body::kRecordingKeyRequest:
      return on_text_key(from, question);
    case Body::kRecordingKeyAct:
      return on_key_act(from, question);
    case Body::kSearchKeyAsk:
      return on_search_key(from, question);
    case Body::kMaskValuesAsk:
      return on_mask_values(from, question);
    default:
      return;
  }
}

bool AuthorityDesk::is_attached(LineId from, const Envelope& question, const std::string& session) {
  if (service_.certificates_of(session) != nullptr) return true;
  refuse(board_, from, question, {Errc::denied, "no such session is attached"});
  return false;
}

void AuthorityDesk::on_sign_certificate(LineId from, const Envelope& question) {
  const control::SignCertificate& asked = question.sign_certificate();
  const bool host = asked.host() || asked.ca() == "host";
  if (host != (asked.host() && asked.ca() == "host"))
    return refuse(board_, from, question, {Errc::invalid, "a host certificate is made by the host CA and by no other"});
  CertificateRequest request{asked.session(),
                             bytes_copy(asked.public_key()),
                             {asked.principals().begin(), asked.principals().end()},
                             asked.serial(),
                             asked.valid_after(),
                             asked.valid_before(),
                             {asked.source_addresses().begin(), asked.source_addresses().end()},
                             {asked.extensions().begin(), asked.extensions().end()}};
  const bool login = !host && asked.ca() == "login";
  if (!host && !login) {
    if (!is_attached(from, question, asked.session())) return;
    if (++*service_.certificates_of(asked.session()) > k_most_certificates)
      return refuse(board_, from, question, {Errc::denied, "too many certificates for one session"});
  }
  const auto certificate = host    ? vault_.sign_host_certificate(std::move(request))
                           : login ? vault_.sign_login_certificate(request)
                                   : vault_.sign_user_certificate(request);
  if (refused(board_, from, question, certificate)) return;
  Envelope answer = control::reply_to(question);
  answer.mutable_signed_certificate()->set_certificate(text_copy(*certificate));
  answer.mutable_signed_certificate()->set_serial(asked.serial());
  board_.send(from, std::move(answer));
}

void AuthorityDesk::on_lend_password(LineId from, const Envelope& question) {
  const std::string session = question.lend_password().session();
  if (!is_attached(from, question, session)) return;
  lending_.lend_password(session, question.lend_password().secret(), [this, from, question](Result<std::pair<Secret, Lease>> lent) {
    if (refused(board_, from, question, lent)) return;
    lent_to_.note(question.lend_password().principal(), lent->second.secret, lent->second.version);
    Envelope answer = control::reply_to(question);
    auto* body = answer.mutable_lent_password();
    body->set_password(std::string(lent->first.reveal_text()));
    body->set_lease(lent->second.id);
    body->set_version(lent->second.version);
    board_.send(from, std::move(answer));
  });
}

void AuthorityDesk::on_make_agent(LineId from, const Envelope& question) {
  const control::MakeAgent& asked = question.make_agent();
  if (!is_attached(from, question, asked.session())) return;
  LoginScope scope{asked.account(), bytes_copy(asked.session_hash()), bytes_copy(asked.host_key())};
  lending_.make_agent(asked.session(), asked.secret(), std::move(scope), std::chrono::milliseconds(asked.deadline_ms()),
                      [this, from, question](Result<Lending::Agent> agent) {
                        if (refused(board_, from, question, agent)) return;
                        Envelope answer = control::reply_to(question);
                        answer.mutable_agent_ready()->set_public_key(text_copy(agent->public_key));
                        answer.mutable_agent_ready()->set_lease(agent->lease);
                        std::vector<Fd> descriptors;
                        descriptors.push_back(std::move(agent->stream));
                        board_.send(from, std::move(answer), std::move(descriptors));
                      });
}

void AuthorityDesk::on_secret_put(LineId from, Envelope& question) {
  control::SecretPut* asked = question.mutable_secret_put();
  Secret value{asked->value()};
  wipe(asked->mutable_value());
  const Labels labels(asked->labels().begin(), asked->labels().end());
  const auto stored = vault_.put_secret(asked->name(), asked->kind(), std::move(value), asked->generate(), labels);
  if (refused(board_, from, question, stored)) return;
  Envelope answer = control::reply_to(question);
  auto* body = answer.mutable_secret_stored();
  body->set_name(asked->name());
  body->set_version(stored->version);
  body->set_public_key(text_copy(stored->public_key));
  if (asked->name() == Vault::k_own_recipient && asked->generate()) service_.recipients_changed();
  board_.send(from, std::move(answer));
}

void AuthorityDesk::on_secret_list(LineId from, const Envelope& question) {
  const auto all = vault_.list_secrets(question.secret_list().prefix());
  if (refused(board_, from, question, all)) return;
  Envelope answer = control::reply_to(question);
  auto* rows = answer.mutable_secret_rows();
  for (const SecretInfo& info : *all) {
    auto* row = rows->add_rows();
    row->set_name(info.name);
    row->set_kind(info.kind);
    row->set_version(info.version);
    row->set_changed_us(info.changed_us);
    row->set_leases(lending_.count_for(info.name));
    row->mutable_labels()->insert(info.labels.begin(), info.labels.end());
    row->set_public_key(text_copy(info.public_key));
  }
  board_.send(from, std::move(answer));
}

void AuthorityDesk::on_secret_delete(LineId from, const Envelope& question) {
  const control::SecretDelete& asked = question.secret_delete();
  if (lending_.count_for(asked.name()) > 0) return refuse(board_, from, question, {Errc::conflict, "this secret is on loan to a live session"});
  if (refused(board_, from, question, vault_.remove_secret(asked.name(), asked.version()))) return;
  Envelope answer = control::reply_to(question);
  answer.mutable_secret_stored()->set_name(asked.name());
  answer.mutable_secret_stored()->set_version(asked.version());
  board_.send(from, std::move(answer));
}

void AuthorityDesk::on_secret_read(LineId from, const Envelope& question) {
  const control::SecretRead& asked = question.secret_read();
  if (asked.principal().empty() || asked.reason().empty()) return refuse(board_, from, question, {Errc::invalid, "a reading has a reader and a reason"});
  lending_.read_password(asked.name(), asked.principal(), asked.reason(), [this, from, question](Result<std::pair<Secret, Lease>> lent) {
    if (refused(board_, from, question, lent)) return;
    lent_to_.note(question.secret_read().principal(), lent->second.secret, lent->second.version);
    Envelope answer = control::reply_to(question);
    answer.mutable_lent_password()->set_password(std::string(lent->first.reveal_text()));
    answer.mutable_lent_password()->set_lease(lent->second.id);
    answer.mutable_lent_password()->set_version(lent->second.version);
    board_.send(from, std::move(answer));
  });
}

void AuthorityDesk::on_totp_check(LineId from, Envelope& question) {
  control::TotpCheck* asked = question.mutable_totp_check();
  const auto step = vault_.check_totp(asked->secret(), asked->code(), asked->not_before_step());
  wipe(asked->mutable_code());
  if (refused(board_, from, question, step)) return;
  Envelope answer = control::reply_to(question);
  answer.mutable_totp_answer()->set_right(step->has_value());
  answer.mutable_totp_answer()->set_step(step->value_or(0));
  board_.send(from, std::move(answer));
}

void AuthorityDesk::on_search_key(LineId from, const Envelope& question) {
  const control::SearchKeyAsk& asked = question.search_key_ask();
  if (asked.reason().empty() || asked.principal().empty())
    return refuse(board_, from, question, {Errc::invalid, "the search key needs a principal and a reason"});
  trail_.tell_durably("recording.search_key_lent", "{\"principal\":" + json_quote(asked.principal()) + ",\"reason\":" + json_quote(asked.reason()) + "}", {},
                      [this, from, question](Result<void> told) {
                        if (refused(board_, from, question, told)) return;
                        const auto key = vault_.search_key();
                        if (refused(board_, from, question, key)) return;
                        Envelope answer = control::reply_to(question);
                        answer.mutable_recording_key()->set_key(std::string(key->reveal_text()));
                        board_.send(from, std::move(answer));
                      });
}

void AuthorityDesk::on_mask_values(LineId from, const Envelope& question) {
  Envelope answer = control::reply_to(question);
  const auto values = lent_to_.recognisers(question.mask_values_ask().principal(), vault_.store(), crypto::system_random());
  if (refused(board_, from, question, values)) return;
  auto* body = answer.mutable_mask_values();
  body->set_key(std::string(values->key.reveal_text()));
  for (const seal::MaskValue& value : values->values) {
    auto* row = body->add_values();
    row->set_length(value.length);
    row->set_window(value.window);
    row->set_digest(std::string(text_of(value.digest)));
  }
  board_.send(from, std::move(answer));
}

void AuthorityDesk::on_unwrap(LineId from, const Envelope& question) {
  const control::UnwrapRecordingKey& asked = question.unwrap_recording_key();
  if (asked.reason().empty() || asked.principal().empty())
    return refuse(board_, from, question, {Errc::invalid, "unwrapping a recording key needs a principal and a reason"});
  const bool is_of_texts = asked.session().empty();
  trail_.tell_durably(is_of_texts ? "audit.text_key_unwrapped" : "recording.key_unwrapped",
                      "{\"principal\":" + json_quote(asked.principal()) + ",\"reason\":" + json_quote(asked.reason()) + "}", asked.session(),
                      [this, from, question, is_of_texts](Result<void> told) {
                        if (refused(board_, from, question, told)) return;
                        if (is_of_texts) return give_text_key(from, question);
                        const control::UnwrapRecordingKey& wanted = question.unwrap_recording_key();
                        const auto wrapped = vault_.wrapped_key_of(wanted.session(), bytes_of(wanted.wrapped()));
                        if (refused(board_, from, question, wrapped)) return;
                        const auto key = vault_.unwrap_recording_key(*wrapped);
                        if (refused(board_, from, question, key)) return;
                        Envelope answer = control::reply_to(question);
                        answer.mutable_recording_key()->set_key(std::string(key->reveal_text()));
                        board_.send(from, std::move(answer));
                      });
}

void AuthorityDesk::give_text_key(LineId from, const Envelope& question) {
  const auto key = vault_.unwrap_text_key(bytes_of(question.unwrap_recording_key().wrapped()));
  if (refused(board_, from, question, key)) return;
  Envelope answer = control::reply_to(question);
  answer.mutable_recording_key()->set_key(std::string(key->reveal_text()));
  board_.send(from, std::move(answer));
}

/// A new key for the texts of the authority's events, wrapped to the recipients.
void AuthorityDesk::on_text_key(LineId from, const Envelope& question) {
  const auto made = vault_.make_text_key();
  if (refused(board_, from, question, made)) return;
  Envelope answer = control::reply_to(question);
  auto* key = answer.mutable_recording_key();
  key->set_key(std::string(made->key.reveal_text()));
  key->set_wrapped(text_copy(made->wrapped));
  key->set_recipients(made->recipients);
  board_.send(from, std::move(answer));
}

/// The wrapped key of one recording: erased, wrapped to the present recipients, or given as it is. The event comes first.
void AuthorityDesk::on_key_act(LineId from, const Envelope& question) {
  const control::RecordingKeyAct& asked = question.recording_key_act();
  if (asked.reason().empty() || asked.principal().empty() || asked.session().empty())
    return refuse(board_, from, question, {Errc::invalid, "this needs a session, a principal and a reason"});
  using Act = control::RecordingKeyAct;
  const auto wrapped = bytes_of(asked.wrapped());
  const char* name = nullptr;
  Result<void> may;
  if (asked.act() == Act::ERASE) {
    name = "recording.key_erased";
    may = vault_.may_erase_recording_key(asked.session(), wrapped);
  } else if (asked.act() == Act::REWRAP || asked.act() == Act::READ) {
    name = asked.act() == Act::REWRAP ? "recording.key_rewrapped" : "recording.wrapped_key_given";
    if (const auto there = vault_.wrapped_key_of(asked.session(), wrapped); !there) may = tl::unexpected(there.error());
  } else {
    may = fail(Errc::invalid, "an unknown act");
  }
  if (refused(board_, from, question, may)) return;
  trail_.tell_durably(name, "{\"principal\":" + json_quote(asked.principal()) + ",\"reason\":" + json_quote(asked.reason()) + "}", asked.session(),
                      [this, from, question](Result<void> told) {
                        if (refused(board_, from, question, told)) return;
                        const control::RecordingKeyAct& act = question.recording_key_act();
                        Envelope answer = control::reply_to(question);
                        auto* out = answer.mutable_recording_key();
                        if (act.act() == Act::ERASE) {
                          if (refused(board_, from, question, vault_.erase_recording_key(act.session()))) return;
                        } else if (act.act() == Act::REWRAP) {
                          auto recipients = vault_.rewrap_recording_key(act.session(), bytes_of(act.wrapped()));
                          if (refused(board_, from, question, recipients)) return;
                          out->set_recipients(*recipients);
                        } else {
                          const auto cms = vault_.wrapped_key_of(act.session(), bytes_of(act.wrapped()));
                          if (refused(board_, from, question, cms)) return;
                          out->set_wrapped(text_copy(*cms));
                        }
                        board_.send(from, std::move(answer));
                      });
}

}  // namespace sallyport::vault
