// Secrets, the vault's seal and its public keys.
#include "policy/authority/administration.h"

#include <openssl/crypto.h>

#include <utility>

#include "platform/crypto/ssh_public_key.h"
#include "platform/model/bytes.h"
#include "policy/authority/channels.h"

namespace sallyport::authority {

void Administration::list_secrets(const std::string& prefix, Done<std::vector<control::SecretRow>> done) {
  control::Envelope question;
  question.mutable_secret_list()->set_prefix(prefix);
  authority_.vault.ask(std::move(question), [done = std::move(done)](Result<control::Received> answer) {
    if (!answer) return done(tl::unexpected(answer.error()));
    const auto& rows = answer->envelope.secret_rows().rows();
    done(std::vector<control::SecretRow>(rows.begin(), rows.end()));
  });
}

void Administration::put_secret(const Operator& who, control::SecretPut secret, Done<control::SecretStored> done) {
  EventJson details;
  details.text("secret", secret.name()).text("kind", secret.kind()).flag("generated", secret.generate());
  auto held = std::shared_ptr<control::SecretPut>(new control::SecretPut(std::move(secret)), [](control::SecretPut* put) {
    OPENSSL_cleanse(put->mutable_value()->data(), put->value().size());
    delete put;
  });
  auto stored = std::make_shared<control::SecretStored>();
  with_intent(
      who, "secret.put", details,
      [this, held, stored, details](const std::string&, std::uint64_t, const std::function<void(Result<EventJson>)>& outcome) {
        control::Envelope question;
        *question.mutable_secret_put() = *held;
        authority_.vault.ask(std::move(question), [this, held, stored, details, outcome](Result<control::Received> answer) {
          if (!answer) return outcome(tl::unexpected(answer.error()));
          if (held->kind() == "recording-recipient") authority_.channels->texts().forget();
          *stored = answer->envelope.secret_stored();
          EventJson json = details;
          outcome(json.number("version", stored->version()));
        });
      },
      [stored, done = std::move(done)](const Result<void>& put) {
        if (!put) return done(tl::unexpected(put.error()));
        done(*stored);
      });
}

void Administration::read_secret(const Operator& who, const std::string& name, const std::string& reason, Done<Secret> done) {
  EventJson details;
  details.text("secret", name).text("reason", reason);
  auto value = std::make_shared<Secret>();
  with_intent(
      who, "secret.read", details,
      [this, name, reason, details, value, reader = who.principal.empty() ? who.name : who.principal](const std::string&, std::uint64_t,
                                                                                                      const std::function<void(Result<EventJson>)>& outcome) {
        control::Envelope question;
        question.mutable_secret_read()->set_name(name);
        question.mutable_secret_read()->set_principal(reader);
        question.mutable_secret_read()->set_reason(reason);
        authority_.vault.ask(std::move(question), [details, value, outcome](Result<control::Received> answer) {
          if (!answer) return outcome(tl::unexpected(answer.error()));
          if (!answer->envelope.has_lent_password()) return outcome(fail(Errc::internal, "the vault gave nothing"));
          auto* lent = answer->envelope.mutable_lent_password();
          *value = Secret(std::string_view(lent->password()));
          OPENSSL_cleanse(lent->mutable_password()->data(), lent->password().size());
          EventJson json = details;
          outcome(json.text("lease", lent->lease()).number("version", lent->version()));
        });
      },
      [value, done = std::move(done)](const Result<void>& read) {
        if (!read) return done(tl::unexpected(read.error()));
        done(std::move(*value));
      });
}

void Administration::delete_secret(const Operator& who, const std::string& name, std::uint32_t version, Done<void> done) {
  EventJson details;
  details.text("secret", name);
  if (version != 0) details.number("version", version);
  with_intent(
      who, "secret.delete", details,
      [this, name, version, details](const std::string&, std::uint64_t, const std::function<void(Result<EventJson>)>& outcome) {
        control::Envelope question;
        question.mutable_secret_delete()->set_name(name);
        question.mutable_secret_delete()->set_version(version);
        authority_.vault.ask(std::move(question), [this, details, outcome](const Result<control::Received>& answer) {
          if (!answer) return outcome(tl::unexpected(answer.error()));
          authority_.channels->texts().forget();  // it may have been a recipient
          outcome(details);
        });
      },
      std::move(done));
}

void Administration::unseal(const Operator& who, Secret passphrase, Done<control::SealState> done) {
  auto held = std::make_shared<Secret>(std::move(passphrase));
  auto state = std::make_shared<control::SealState>();
  with_intent(
      who, "vault.unseal", {},
      [this, held, state](const std::string&, std::uint64_t, const std::function<void(Result<EventJson>)>& outcome) {
        control::Envelope question;
        question.mutable_unseal()->set_passphrase(held->reveal().data(), held->size());
        authority_.vault.ask(
            std::move(question),
            [this, state, outcome](Result<control::Received> answer) {
              if (!answer) return outcome(tl::unexpected(answer.error()));
              *state = answer->envelope.seal_state();
              authority_.vault.forget_keys();
              outcome(EventJson().flag("sealed", state->sealed()));
            },
            std::chrono::seconds(20));  // Argon2id over the passphrase
      },
      [state, done = std::move(done)](const Result<void>& result) {
        if (!result) return done(tl::unexpected(result.error()));
        done(*state);
      });
}

void Administration::seal(const Operator& who, Done<control::SealState> done) {
  auto state = std::make_shared<control::SealState>();
  with_intent(
      who, "vault.seal", {},
      [this, state](const std::string&, std::uint64_t, const std::function<void(Result<EventJson>)>& outcome) {
        control::Envelope question;
        question.mutable_seal_now();
        authority_.vault.ask(std::move(question), [state, outcome](Result<control::Received> answer) {
          if (!answer) return outcome(tl::unexpected(answer.error()));
          *state = answer->envelope.seal_state();
          outcome(EventJson().flag("sealed", state->sealed()));
        });
      },
      [state, done = std::move(done)](const Result<void>& result) {
        if (!result) return done(tl::unexpected(result.error()));
        done(*state);
      });
}

void Administration::public_keys(Done<control::PublicKeySet> done) { authority_.vault.with_keys(std::move(done)); }

void Administration::target_setup(const std::string& target, Done<std::string> done) {
  const policy::Target* found = authority_.snapshot->find_target(target);
  if (found == nullptr) return done(fail(Errc::not_found, "no target " + target));
  std::string principals;
  for (const policy::Account& account : found->accounts) {
    std::string names;
    for (const std::string& name : found->certificate_principals(account)) names += name + "\n";
    principals += "# /etc/ssh/sallyport/" + account.name.str() + "\n" + names;
  }
  authority_.vault.with_keys([target, principals, done = std::move(done)](const Result<control::PublicKeySet>& keys) {
    if (!keys) return done(tl::unexpected(keys.error()));
    const auto ca = crypto::SshPublicKey::parse_blob(bytes_of(keys->user_ca()));
    if (!ca) return done(fail(Errc::internal, "the vault has no user CA"));
    done("# ---- on " + target + ": /etc/ssh/sallyport/user_ca.pub\n" + ca->line() + " sallyport-user-ca\n# ---- /etc/ssh/sshd_config\n" +
         "TrustedUserCAKeys /etc/ssh/sallyport/user_ca.pub\nAuthorizedPrincipalsFile /etc/ssh/sallyport/%u\n# ---- principals, one file for each account\n" +
         principals + "# ---- then, on the machine: sshd -t && systemctl reload ssh\n");
  });
}

}  // namespace sallyport::authority
