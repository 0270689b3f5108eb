#include "policy/authority/factor_checks.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "platform/os/log.h"
#include "policy/authority/directory_desk.h"
#include "policy/authority/sign_on.h"
#include "policy/identity/password.h"

namespace sallyport::authority {
namespace {

/// What an app shows: 6 to 8 digits. Everything else may be a recovery code.
bool is_digits(const Secret& code) {
  const std::string_view text = code.reveal_text();
  return !text.empty() && text.size() <= 8 && std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9'); });
}

}  // namespace

void FactorChecks::password(policy::PasswordCheck check, std::function<void(Password)> done) {
  if (!check.directory.empty()) return authority_.sign_on->directory->check(check.directory, std::move(check.password), std::move(done));
  struct Work {
    policy::PasswordCheck check;
    bool right = false;
  };
  auto work = std::make_shared<Work>();
  work->check = std::move(check);
  auto told = std::make_shared<std::function<void(Password)>>(std::move(done));
  const bool queued = authority_.hashing.post(
      [work] {
        work->right = policy::verify_password(work->check.hash, work->check.password);
        work->check.password = Secret();
      },
      [work, told] { (*told)(work->right ? Password::right : Password::wrong); });
  if (!queued) (*told)(Password::wrong);
}

void FactorChecks::code(const policy::TotpCheck& check, std::function<void(bool right)> done) {
  const std::string principal = check.principal.str();
  if (!is_digits(check.code) || check.secret.empty()) {
    if (!recovery) return done(false);
    return recovery(principal, check.code, std::move(done));
  }
  const auto used = authority_.totp_steps.find(principal);
  control::Envelope question;
  auto* body = question.mutable_totp_check();
  body->set_secret(check.secret);
  body->set_code(check.code.reveal().data(), check.code.size());
  body->set_not_before_step(used == authority_.totp_steps.end() ? 0 : used->second + 1);
  body->set_now(std::chrono::duration_cast<std::chrono::seconds>(authority_.now().time_since_epoch()).count());
  authority_.vault.ask(std::move(question), [this, principal, done = std::move(done)](Result<control::Received> answer) {
    if (!answer || !answer->envelope.totp_answer().right()) return done(false);
    // Whoever comes second with the same step loses.
    const std::int64_t step = answer->envelope.totp_answer().step();
    auto& last = authority_.totp_steps.try_emplace(principal, -1).first->second;
    if (step <= last) return done(false);
    last = step;
    authority_.store->use_totp_step(principal, step, [done](const Result<void>& stored) {
      if (!stored) os::log_line(os::LogEvent::authority_store_failed, "a used one-time code could not be stored: " + stored.error().detail);
      done(stored.has_value());
    });
  });
}

}  // namespace sallyport::authority
