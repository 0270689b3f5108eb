#include <openssl/crypto.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "policy/authority/administration.h"

namespace sallyport::authority {
namespace {

Secret joined(const Secret& key, std::string_view password) {
  std::vector<std::byte> both(key.size() + password.size());
  std::copy_n(bytes_of(password).begin(), password.size(), std::copy_n(key.reveal().begin(), key.size(), both.begin()));
  Secret all{std::span<const std::byte>(both)};
  OPENSSL_cleanse(both.data(), both.size());
  return all;
}

}  // namespace

void Administration::search_access(const Operator& who, const std::string& reason, bool with_password, Done<Secret> done) {
  const std::string name = authority_.settings.text("search_password_secret");
  if (!with_password || name.empty()) return search_key(who, reason, std::move(done));
  search_key(who, reason, [this, name, reason, done = std::move(done)](Result<Secret> lent) mutable {
    if (!lent) return done(std::move(lent));
    control::Envelope question;
    question.mutable_secret_read()->set_name(name);
    question.mutable_secret_read()->set_principal("gateway");
    question.mutable_secret_read()->set_reason(reason);
    authority_.vault.ask(std::move(question), [name, key = std::make_shared<Secret>(std::move(*lent)), done = std::move(done)](Result<control::Received> answer) {
      if (!answer) return done(fail(answer.error().code == Errc::sealed ? Errc::sealed : Errc::unavailable, "search.password_secret: the vault does not lend `" + name + "`: " + answer.error().detail));
      std::string* password = answer->envelope.mutable_lent_password()->mutable_password();
      Secret all = joined(*key, *password);
      OPENSSL_cleanse(password->data(), password->size());
      done(std::move(all));
    });
  });
}

}  // namespace sallyport::authority
