#include "policy/authority/directory_desk.h"

#include <algorithm>
#include <utility>

#include "platform/os/log.h"
#include "policy/authority/sign_on.h"

namespace sallyport::authority {
namespace {

constexpr std::size_t k_workers = 4;
constexpr std::size_t k_waiting = 64;
constexpr std::string_view k_name = "ldap";
constexpr int k_steps = 8;  // of one login: the deadlines of connecting, StartTLS, binding and searching add up

}  // namespace

/// Of one login, or of all whose groups are kept.
struct DirectoryDesk::Question {
  struct One {
    std::string name;
    bool known = false;
    std::string too_much;  ///< why nothing is known of her groups: they are more than are read
    std::vector<std::string> groups;
  };
  std::shared_ptr<const DirectorySettings> settings;
  std::vector<One> people;
  bool is_login = false;
  bool wants_groups = true;
  Secret bind_password;
  Secret password;  ///< of a login
  bool right = false;
  std::optional<Error> error;
  std::function<void(FactorChecks::Password)> done;  ///< of a login; called once

  void run() {
    auto client = directory::LdapClient::open(settings->place, bind_password);
    bind_password = Secret();
    if (!client) {
      error = client.error();
      return;
    }
    for (One& one : people) {
      auto entry = client->find(one.name);
      if (!entry && entry.error().code == Errc::denied && !is_login) continue;  // one who cannot be told from another is in no group
      if (!entry) {
        error = entry.error();
        return;
      }
      if (!*entry) continue;
      one.known = true;
      if (is_login) {
        auto same = client->is_password(**entry, password);
        password = Secret();
        if (!same) error = same.error();
        right = same && *same;
        if (!right) return;
      }
      if (!wants_groups) continue;
      auto groups = client->groups_of(**entry, one.name);
      if (!groups && groups.error().code == Errc::conflict && !is_login) {
        one.too_much = groups.error().detail;  // the others are not to wait for her
        continue;
      }
      if (!groups) {
        error = groups.error();
        return;
      }
      one.groups = std::move(*groups);
    }
  }
  void answer(FactorChecks::Password said) {
    if (auto call = std::exchange(done, nullptr)) call(said);
  }
};

DirectoryDesk::DirectoryDesk(Authority& authority) : authority_(authority), workers_(authority.io, k_workers, k_waiting) {}
DirectoryDesk::~DirectoryDesk() { authority_.deadlines.cancel(refresh_); }

void DirectoryDesk::open(const Settings& settings) {
  auto read = read_directory_settings(settings);
  if (!read) os::log_line(os::LogEvent::directory_failed, "the directory is not asked: " + read.error().detail);
  settings_ = read && *read ? std::make_shared<const DirectorySettings>(std::move(**read)) : nullptr;
  authority_.deadlines.cancel(refresh_);
  if (settings_) refresh();
}

void DirectoryDesk::check(const std::string& name, Secret password, std::function<void(FactorChecks::Password)> done) {
  using Password = FactorChecks::Password;
  if (password.empty()) return done(Password::wrong);
  const policy::Principal* principal = authority_.snapshot->find_principal(name);
  if (!settings_ || principal == nullptr || !policy::asks_directory(*principal, "password")) {
    failed(name, {Errc::unavailable, settings_ ? "the policy does not leave the password to it" : "no directory is configured, or its settings are wrong"}, "SP-9320");
    return done(Password::unchecked);
  }
  auto question = std::make_shared<Question>();
  question->settings = settings_;
  question->people.push_back({name, false, {}, {}});
  question->is_login = true;
  question->wants_groups = policy::asks_directory(*principal, "groups");
  question->password = std::move(password);
  question->done = std::move(done);
  // Whatever a worker is stuck in, the login hears an answer.
  static_cast<void>(authority_.deadlines.after(settings_->place.patience * k_steps, [this, question] {
    if (!question->done) return;
    failed(question->people.front().name, {Errc::unavailable, "no answer in time"}, "SP-9320");
    question->answer(Password::unchecked);
  }));
  ask(question);
}

void DirectoryDesk::refresh() {
  authority_.deadlines.cancel(refresh_);
  refresh_ = authority_.deadlines.after(settings_->refresh, [this] { refresh(); });
  if (refreshing_ || !authority_.snapshot) return;
  forget_strangers();
  auto question = std::make_shared<Question>();
  question->settings = settings_;
  for (const policy::Principal& principal : authority_.snapshot->principals())
    if (policy::asks_directory(principal, "groups")) question->people.push_back({principal.name.str(), false, {}, {}});
  if (question->people.empty()) return;
  refreshing_ = true;
  ask(question);
}

/// Whom the policy does not mark any more.
void DirectoryDesk::forget_strangers() {
  for (const std::string& name : authority_.sign_on->enrolled.in_groups_by(k_name)) {
    const policy::Principal* principal = authority_.snapshot->find_principal(name);
    if (principal == nullptr || !policy::asks_directory(*principal, "groups")) learn(name, {}, [] {});
  }
}

void DirectoryDesk::ask(const QuestionPtr& question) {
  control::Envelope lend;
  lend.mutable_secret_read()->set_name(question->settings->bind_secret);
  lend.mutable_secret_read()->set_principal("gateway");
  lend.mutable_secret_read()->set_reason(question->is_login ? "login by the directory" : "groups of the directory");
  authority_.vault.ask(std::move(lend), [this, question](Result<control::Received> answer) {
    if (!answer) {
      question->error = Error{Errc::unavailable, "the vault does not lend `" + question->settings->bind_secret + "`: " + answer.error().detail};
      return on_answer(question);
    }
    question->bind_password = Secret(std::string_view(answer->envelope.lent_password().password()));
    if (workers_.post([question] { question->run(); }, [this, question] { on_answer(question); })) return;
    question->error = Error{Errc::unavailable, "too many logins wait for it"};
    on_answer(question);
  });
}

void DirectoryDesk::on_answer(const QuestionPtr& question) {
  using Password = FactorChecks::Password;
  const bool is_login = question->is_login;
  question->password = Secret();
  if (!is_login) refreshing_ = false;
  const std::string name = is_login ? question->people.front().name : std::string();
  if (question->error) {
    const bool several = question->error->code == Errc::denied;
    if (is_login || !away_) failed(name, *question->error, "SP-9320");
    if (!several && question->error->code != Errc::conflict) away_ = true;
    return question->answer(several ? Password::wrong : Password::unchecked);
  }
  if (std::exchange(away_, false)) authority_.note("directory.recovered", EventJson().text("directory", k_name));
  if (!is_login) {
    for (const auto& one : question->people) {
      if (one.too_much.empty()) {
        too_much_.erase(one.name);
        learn(one.name, question->settings->groups.map(one.groups), [] {});
      } else if (too_much_.insert(one.name).second) {
        failed(one.name, {Errc::conflict, one.too_much}, "SP-9320");
      }
    }
    return;
  }
  if (!question->right || !question->wants_groups) return question->answer(question->right ? Password::right : Password::wrong);
  // Groups first: by them the login is judged.
  learn(name, question->settings->groups.map(question->people.front().groups), [question] { question->answer(Password::right); });
}

void DirectoryDesk::learn(const std::string& principal, const std::vector<std::string>& groups, std::function<void()> done) {
  if (!settings_) return done();
  // The same word again is written only when half of its time is over.
  auto& enrolled = authority_.sign_on->enrolled;
  const auto lasts = settings_->groups_last;
  const auto later = authority_.now() + std::chrono::duration_cast<std::chrono::microseconds>(lasts / 2);
  if (enrolled.groups_by(principal, k_name) == groups && (groups.empty() || enrolled.groups_until(principal, k_name) > later)) return done();
  learn_groups(authority_, principal, k_name, groups, lasts, [done = std::move(done)](const Result<void>& stored) {
    if (!stored) os::log_line(os::LogEvent::authority_store_failed, "groups of the directory could not be stored: " + stored.error().detail);
    done();
  });
}

void DirectoryDesk::failed(const std::string& principal, const Error& error, std::string_view code) {
  EventJson json;
  json.text("directory", k_name).text("why", error.detail);
  if (!principal.empty()) json.text("principal", principal).text("decision", "deny");
  authority_.note("directory.failed", json.text("code", code));
  os::log_line(os::LogEvent::directory_failed, "directory: " + error.detail);
}

}  // namespace sallyport::authority
