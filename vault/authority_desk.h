// vault/authority_desk.h -- what the authority asks of an unsealed vault: certificates, loans, secrets, codes and keys of recordings.
#pragma once

#include <functional>
#include <string>

#include "platform/control/link.h"
#include "vault/lending.h"
#include "vault/lent_values.h"
#include "vault/switchboard.h"
#include "vault/vault.h"

namespace sallyport::vault {

/// Answers on the line that asked. What leaves the vault for a person is told to the audit trail before it is sent.
class AuthorityDesk {
 public:
  /// What the service knows and the desk does not.
  struct Service {
    std::function<unsigned*(const std::string& session)> certificates_of;  ///< how many it was given; nullptr: no such session is attached
    std::function<void()> recipients_changed;
  };

  AuthorityDesk(Vault& vault, Switchboard& board, Lending& lending, AuditTrail& trail, Service service)
      : vault_(vault), board_(board), lending_(lending), trail_(trail), service_(std::move(service)) {}
  AuthorityDesk(const AuthorityDesk&) = delete;

  /// A question that the authority may ask. Its secret parts are overwritten.
  void on_question(LineId from, control::Envelope& question);

 private:
  bool is_attached(LineId from, const control::Envelope& question, const std::string& session);
  void on_sign_certificate(LineId from, const control::Envelope& question);
  void on_lend_password(LineId from, const control::Envelope& question);
  void on_make_agent(LineId from, const control::Envelope& question);
  void on_secret_put(LineId from, control::Envelope& question);
  void on_secret_list(LineId from, const control::Envelope& question);
  void on_secret_delete(LineId from, const control::Envelope& question);
  void on_secret_read(LineId from, const control::Envelope& question);
  void on_totp_check(LineId from, control::Envelope& question);
  void on_search_key(LineId from, const control::Envelope& question);
  void on_mask_values(LineId from, const control::Envelope& question);
  void on_unwrap(LineId from, const control::Envelope& question);
  void give_text_key(LineId from, const control::Envelope& question);
  void on_text_key(LineId from, const control::Envelope& question);
  void on_key_act(LineId from, const control::Envelope& question);

  Vault& vault_;
  Switchboard& board_;
  Lending& lending_;
  AuditTrail& trail_;
  Service service_;
  LentValues lent_to_;
};

}  // namespace sallyport::vault
