#include "policy/authority/one_time_codes.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <cctype>
#include <utility>

#include "platform/crypto/ulid.h"
#include "policy/authority/sign_on.h"
#include "policy/authority/spoken_code.h"

namespace sallyport::authority {
namespace {

constexpr std::size_t k_recovery_codes = 10;
constexpr std::chrono::minutes k_shown_lasts{15};

std::string in_case(std::string text, int (*change)(int)) {
  std::transform(text.begin(), text.end(), text.begin(), [change](unsigned char c) { return static_cast<char>(change(c)); });
  return text;
}

}  // namespace

Result<void> OneTimeCodes::may_enrol(std::string_view principal) const {
  const policy::Principal* person = authority_.snapshot->find_principal(principal);
  if (person == nullptr || !policy::may_enrol(*person, "totp")) return fail(Errc::denied, "SP-9307");
  if (!person->totp_secret.empty()) return fail(Errc::denied, "SP-9307 your one-time code is set in the policy");
  return {};
}

void OneTimeCodes::begin(const Operator& who, Done<ShownSecret> done) {
  if (auto may = may_enrol(who.principal); !may) return done(tl::unexpected(may.error()));
  make_secret(who.principal, [this, principal = who.principal, done = std::move(done)](Result<ShownSecret> made) {
    if (!made) return done(tl::unexpected(coded(made.error())));
    if (const auto old = shown_.find(principal); old != shown_.end()) drop(old->second.secret);
    shown_[principal] = {made->name, authority_.now()};
    done(std::move(made));
  });
}

void OneTimeCodes::confirm(const Operator& who, const std::string& code, Done<std::string> done) {
  if (auto may = may_enrol(who.principal); !may) return done(tl::unexpected(may.error()));
  const auto waiting = shown_.find(who.principal);
  if (waiting == shown_.end() || authority_.now() - waiting->second.made > k_shown_lasts || !is_one_time_code(code))
    return done(fail(Errc::denied, "SP-9305 no secret was shown lately: enrol totp"));
  check(waiting->second.secret, code, [this, who, done = std::move(done)](bool right) {
    const std::string& principal = who.principal;
    const auto here = shown_.find(principal);
    if (here == shown_.end()) return done(fail(Errc::denied, "SP-9305"));
    const std::string secret = here->second.secret;
    shown_.erase(here);  // right or wrong: one try
    if (!right) {
      drop(secret);
      return done(fail(Errc::denied, "SP-9305 begin again with enrol totp"));
    }
    auto codes = std::make_shared<RecoveryCodes>(make_recovery(principal));
    codes->put.push_back({"totp", principal, {}, secret, authority_.now_us()});
    EventJson details;
    details.text("for", principal).text("what", "one-time code").number("recovery_codes", static_cast<std::int64_t>(codes->hashes.size()));
    run_act(
        authority_, who, "enrolment.change", details,
        [this, codes, principal, secret, details](const std::string& intent, std::uint64_t, const std::function<void(Result<EventJson>)>& outcome) {
          authority_.store->change_enrolments(codes->put, codes->remove, intent,
                                              [this, codes, principal, secret, details, outcome](const Result<void>& stored) {
                                                if (!stored) return outcome(tl::unexpected(stored.error()));
                                                drop(authority_.sign_on->enrolled.totp_of(principal));
                                                authority_.sign_on->enrolled.set_totp(principal, secret);
                                                take_recovery(principal, *codes);
                                                authority_.sign_on->memory.forget(principal);
                                                outcome(details);
                                              });
        },
        [codes, done](const Result<void>& result) {
          if (!result) return done(tl::unexpected(coded(result.error())));
          done(codes->text);
        });
  });
}

void OneTimeCodes::renew_recovery(const Operator& who, Done<std::string> done) {
  const std::string& principal = who.principal;
  if (authority_.sign_on->enrolled.totp_of(principal).empty() && authority_.sign_on->enrolled.passkeys_of(principal).empty())
    return done(fail(Errc::denied, "SP-9307 recovery codes go with a one-time code or a passkey that you enrolled yourself"));
  auto codes = std::make_shared<RecoveryCodes>(make_recovery(principal));
  EventJson details;
  details.text("for", principal).text("what", "recovery codes").number("recovery_codes", static_cast<std::int64_t>(codes->hashes.size()));
  run_act(
      authority_, who, "enrolment.change", details,
      [this, codes, principal, details](const std::string& intent, std::uint64_t, const std::function<void(Result<EventJson>)>& outcome) {
        authority_.store->change_enrolments(codes->put, codes->remove, intent, [this, codes, principal, details, outcome](const Result<void>& stored) {
          if (!stored) return outcome(tl::unexpected(stored.error()));
          take_recovery(principal, *codes);
          outcome(details);
        });
      },
      [codes, done = std::move(done)](const Result<void>& result) {
        if (!result) return done(tl::unexpected(coded(result.error())));
        done(codes->text);
      });
}

void OneTimeCodes::make_secret(const std::string& principal, Done<ShownSecret> done) {
  std::string secret = in_case(random_letters(authority_.random, 32), std::toupper);  // 160 bits, RFC 4226 section 4
  const std::string name = "enrolled/totp/" + principal + "/" + in_case(crypto::make_ulid(authority_.clock, authority_.random), std::tolower);
  std::string issuer;
  for (const char c : authority_.settings.text("node", "gateway"))
    if (std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '-') issuer += c;
  const std::string uri = "otpauth://totp/Sallyport%20" + issuer + ":" + principal + "?secret=" + secret + "&issuer=Sallyport%20" + issuer;
  control::Envelope question;
  auto* put = question.mutable_secret_put();
  put->set_name(name);
  put->set_value(secret);
  put->set_kind("totp");
  OPENSSL_cleanse(secret.data(), secret.size());
  authority_.vault.ask(std::move(question), [name, uri, done = std::move(done)](Result<control::Received> answer) {
    if (!answer) return done(tl::unexpected(answer.error()));
    done(ShownSecret{name, uri});
  });
}

void OneTimeCodes::check(const std::string& secret, const std::string& code, std::function<void(bool)> done) {
  control::Envelope question;
  auto* body = question.mutable_totp_check();
  body->set_secret(secret);
  body->set_code(code);
  body->set_now(std::chrono::duration_cast<std::chrono::seconds>(authority_.now().time_since_epoch()).count());
  authority_.vault.ask(std::move(question),
                       [done = std::move(done)](Result<control::Received> answer) { done(answer && answer->envelope.totp_answer().right()); });
}

void OneTimeCodes::drop(const std::string& secret) {
  if (secret.empty()) return;
  control::Envelope question;
  question.mutable_secret_delete()->set_name(secret);
  authority_.vault.ask(std::move(question), [](const Result<control::Received>&) {});
}

RecoveryCodes OneTimeCodes::make_recovery(const std::string& principal) const {
  RecoveryCodes codes;
  if (const auto old = recovery_.find(principal); old != recovery_.end())
    for (const std::string& hash : old->second) codes.remove.push_back({"recovery", principal, hash, {}, 0});
  for (std::size_t i = 0; i < k_recovery_codes; ++i) {
    std::string code = in_groups(random_letters(authority_.random, 16), 4);
    codes.hashes.insert(hash_of_code(code));
    codes.put.push_back({"recovery", principal, hash_of_code(code), {}, authority_.now_us()});
    codes.text += "  " + code + "\n";
    OPENSSL_cleanse(code.data(), code.size());
  }
  return codes;
}

std::size_t OneTimeCodes::recovery_left(const std::string& principal) const {
  const auto found = recovery_.find(principal);
  return found == recovery_.end() ? 0 : found->second.size();
}

void OneTimeCodes::use_recovery(const std::string& principal, const Secret& code, std::function<void(bool)> done) {
  std::string text;
  for (const char c : code.reveal_text())
    if (c != ' ') text += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  const std::string hash = hash_of_code(text);
  OPENSSL_cleanse(text.data(), text.size());
  const auto hers = recovery_.find(principal);
  if (hers == recovery_.end() || hers->second.erase(hash) == 0) return done(false);
  authority_.note("recovery_code.used",
                  EventJson().text("principal", principal).number("left", static_cast<std::int64_t>(hers->second.size())).flag("alarm", true));
  authority_.store->change_enrolments({}, {{"recovery", principal, hash, {}, 0}}, {},
                                      [done = std::move(done)](const Result<void>& removed) { done(removed.has_value()); });
}

}  // namespace sallyport::authority
