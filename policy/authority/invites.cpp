#include "policy/authority/invites.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <utility>

#include "platform/crypto/ssh_public_key.h"
#include "platform/crypto/ulid.h"
#include "platform/model/bytes.h"
#include "policy/authority/qr_text.h"
#include "policy/authority/row_text.h"
#include "policy/authority/sign_on.h"
#include "policy/authority/spoken_code.h"
#include "policy/identity/login_key.h"

namespace sallyport::authority {
namespace {

using Answer = policy::LoginAnswer;

constexpr std::string_view k_invite = "invite-";
constexpr std::size_t k_code_letters = 20;  ///< 100 bits
constexpr std::size_t k_group = 5;
constexpr std::size_t k_most_invites = 1000;
constexpr unsigned k_most_failures = 5;
constexpr std::chrono::hours k_invite_default{24};
constexpr std::chrono::hours k_invite_longest{24 * 7};

}  // namespace

bool InviteDesk::remember(const EnrolmentRow& row) {
  const auto parts = split_row(row.value, 3);
  if (parts.size() != 3) return true;
  Invite invite;
  invite.id = row.id;
  invite.principal = row.principal;
  invite.hash = parts[0];
  invite.expires = WallTime(std::chrono::microseconds(row_number(parts[1])));
  invite.by = parts[2];
  if (invite.expires <= authority_.now()) return false;
  invites_[row.id] = std::move(invite);
  return true;
}

void InviteDesk::make(const Operator& who, const std::string& principal, std::chrono::seconds lasts, Done<std::shared_ptr<InviteMade>> done) {
  const policy::Principal* person = authority_.snapshot->find_principal(principal);
  if (person == nullptr)
    return done(fail(Errc::not_found, "there is no principal `" + printable(principal.substr(0, 63)) +
                                          "` in the policy; the policy says who exists, an invite only lets her enrol"));
  if (person->type != policy::PrincipalType::person || person->enrol.empty())
    return done(fail(Errc::conflict, "`" + principal + "` may enrol nothing herself; add `enrol: [keys, totp]` to her entry in the policy"));
  if (lasts > k_invite_longest) return done(fail(Errc::invalid, "an invite lasts a week at most"));
  if (open().size() >= k_most_invites) return done(fail(Errc::conflict, "there are too many open invites; revoke some"));
  auto made = std::make_shared<InviteMade>();
  Invite& invite = made->invite;
  invite.id = crypto::make_ulid(authority_.clock, authority_.random);
  invite.principal = principal;
  invite.by = who.principal.empty() ? who.name : who.principal;
  invite.expires = authority_.now() + (lasts.count() > 0 ? lasts : std::chrono::seconds(k_invite_default));
  std::string code = std::string(k_invite) + in_groups(random_letters(authority_.random, k_code_letters), k_group);
  invite.hash = hash_of_code(code);
  made->code = Secret(std::string_view(code));
  OPENSSL_cleanse(code.data(), code.size());
  EventJson details;
  details.text("invite", invite.id).text("for", principal).number("expires_us", invite.expires.time_since_epoch().count());
  run_act(
      authority_, who, "invite.create", details,
      [this, made, details](const std::string& intent, std::uint64_t, const std::function<void(Result<EventJson>)>& outcome) {
        const Invite& one = made->invite;
        EnrolmentRow row{"invite", one.principal, one.id, one.hash + " " + std::to_string(one.expires.time_since_epoch().count()) + " " + one.by,
                         authority_.now_us()};
        authority_.store->change_enrolments({std::move(row)}, {}, intent, [this, made, details, outcome](const Result<void>& stored) {
          if (!stored) return outcome(tl::unexpected(stored.error()));
          invites_[made->invite.id] = made->invite;
          outcome(details);
        });
      },
      [made, done = std::move(done)](const Result<void>& result) {
        if (!result) return done(tl::unexpected(result.error()));
        done(made);
      });
}

std::vector<Invite> InviteDesk::open() {
  std::vector<Invite> still;
  for (auto at = invites_.begin(); at != invites_.end();) {
    if (at->second.expires <= authority_.now()) {
      authority_.sign_on->codes.drop(at->second.totp_secret);
      authority_.store->change_enrolments({}, {{"invite", at->second.principal, at->first, {}, 0}}, {}, [](const Result<void>&) {});
      at = invites_.erase(at);
    } else {
      still.push_back((at++)->second);
    }
  }
  return still;
}

void InviteDesk::revoke(const Operator& who, const std::string& id, Done<void> done) {
  const auto found = invites_.find(id);
  if (found == invites_.end()) return done(fail(Errc::not_found, "no open invite " + printable(id.substr(0, 40))));
  EventJson details;
  details.text("invite", id).text("for", found->second.principal);
  run_act(
      authority_, who, "invite.revoke", details,
      [this, id, principal = found->second.principal, details](const std::string& intent, std::uint64_t,
                                                               const std::function<void(Result<EventJson>)>& outcome) {
        authority_.store->change_enrolments({}, {{"invite", principal, id, {}, 0}}, intent, [this, id, details, outcome](const Result<void>& removed) {
          if (!removed) return outcome(tl::unexpected(removed.error()));
          forget(id);
          outcome(details);
        });
      },
      std::move(done));
}

bool InviteDesk::is_code(std::string_view user) {
  constexpr std::size_t k_size = k_invite.size() + k_code_letters + k_code_letters / k_group - 1;
  return user.size() == k_size && user.starts_with(k_invite);
}

Invite* InviteDesk::find(std::string_view code) {
  const std::string hash = hash_of_code(code);
  Invite* found = nullptr;
  for (auto& [id, invite] : invites_)
    if (CRYPTO_memcmp(invite.hash.data(), hash.data(), hash.size()) == 0 && invite.expires > authority_.now()) found = &invite;
  return found;
}

std::string InviteDesk::hindrance(const policy::Principal& person, const IpAddress& source) const {
  if (const policy::Lock* lock = authority_.locks.find(person.name.view(), {}, {}, authority_.now()); lock != nullptr) return "locked: " + lock->reason;
  if (person.expires && *person.expires <= authority_.now()) return "the principal has expired";
  if (!person.networks.empty() && std::none_of(person.networks.begin(), person.networks.end(), [&](const Network& n) { return n.contains(source); }))
    return "the principal's networks do not hold " + source.str();
  return {};
}

Answer InviteDesk::attempt(Session& session, const policy::LoginAttempt& attempt) {
  Answer answer;
  answer.event.user = "(invite)";  // the code itself is as good as a key until it is used
  answer.event.method = "invite";
  const auto refuse = [&](std::string reason, bool counts) {
    answer.result = Answer::Result::refused;
    answer.event.result = "refused";
    answer.event.reason = std::move(reason);
    answer.event.code = "SP-9306";
    answer.methods_left = {"publickey"};
    if (counts) {
      answer.event.counted = true;
      authority_.throttle.failed(session.source, "invite", false, authority_.clock.boot());
      answer.delay = authority_.throttle.penalty(session.source, authority_.clock.boot());
      if (++session.invite_failures >= k_most_failures) {
        answer.result = Answer::Result::disconnect;
        answer.event.result = "disconnect";
        answer.message = render(make_notice("SP-9306"));
      }
    }
    return answer;
  };
  if (attempt.method != policy::LoginAttempt::Method::publickey) {
    if (attempt.method == policy::LoginAttempt::Method::none) answer.event.method = "none";
    return refuse("an invite is used with a key", attempt.method != policy::LoginAttempt::Method::none);
  }
  Invite* invite = find(attempt.user);
  const policy::Principal* person = invite == nullptr ? nullptr : authority_.snapshot->find_principal(invite->principal);
  const auto key = crypto::SshPublicKey::parse_blob(bytes_of(attempt.key_blob));
  if (key) answer.event.fingerprint = key->fingerprint();
  if (person == nullptr || person->enrol.empty()) return refuse("unknown, used or expired invite", true);
  answer.event.principal = person->name.str();
  if (!key) return refuse("a plain public key is needed", true);
  const policy::Principal* owner = authority_.sign_on->enrolled.find_owner(*authority_.snapshot, attempt.key_blob);
  if (owner != nullptr && owner != person) return refuse("the key is of another principal", true);
  if (attempt.probe && !attempt.invalid_signature) {
    answer.result = Answer::Result::key_ok;
    answer.event.result = "offered";
    return answer;
  }
  const auto signature =
      attempt.invalid_signature ? policy::SignatureFacts{false, true, false, "the library refused the signature"} : policy::check_signature(attempt);
  if (!signature.right || !signature.user_present) return refuse("wrong signature: " + signature.reason, true);
  if (std::string why = hindrance(*person, session.source); !why.empty()) return refuse(std::move(why), true);
  session.invite = invite->id;
  session.invite_key = key->line();
  policy::LoginIdentity identity;
  identity.principal = person->name;
  identity.display = person->display.empty() ? person->name.str() : person->display;
  identity.bare = true;  // and nothing of hers is open to it: SessionLinks lets an invited session enrol only
  answer.result = Answer::Result::success;
  answer.event.result = "success";
  answer.identity = std::move(identity);
  return answer;
}

void InviteDesk::on_invited(Session& session, const std::vector<std::string>& words, const Reply& reply) {
  const auto found = invites_.find(session.invite);
  const policy::Principal* person = found == invites_.end() ? nullptr : authority_.snapshot->find_principal(found->second.principal);
  if (person == nullptr || found->second.expires <= authority_.now()) return reply(told("SP-9306"));
  const std::string id = session.invite;
  const auto complete = [this, id, label = session.label, principal = person->name.str(), reply] {
    const Session* here = authority_.find(label);
    if (here == nullptr) return reply(told("SP-9306"));
    finish({id, here->invite_key, here->row.source, label}, [principal, reply](const Result<std::string>& codes) {
      if (!codes) return reply(told(codes.error()));
      std::string text = "Enrolled. From now on: ssh " + principal + "@gateway\n";
      if (!codes->empty()) text += "\nKeep these recovery codes where your phone is not. Each is good once, in place of a one-time code:\n" + *codes;
      reply(SelfText{std::move(text), 0, {}});
    });
  };
  if (!authority_.sign_on->codes.may_enrol(person->name.view())) return complete();
  if (words.size() == 1 && is_one_time_code(words[0])) {
    return check(id, words[0], [complete, reply](const Result<void>& right) {
      if (!right) return reply(told(right.error()));
      complete();
    });
  }
  if (!words.empty() && !(words.size() == 1 && words[0] == "enrol")) return reply(told("SP-9306", "with an invite one enrols, and nothing else"));
  show_secret(id, [principal = person->name.str(), reply](const Result<std::string>& uri) {
    if (!uri) return reply(told(uri.error()));
    reply(SelfText{
        "Welcome, " + principal + ". Scan this with your authenticator app:\n\n" + qr_text(*uri) + "\nor give it this line:\n  " + *uri +
            "\n\nThen prove that it works, with the same key, within this invite's time:\n  ssh THIS-CODE@gateway 123456      (123456: what the app shows)\n",
        0,
        {}});
  });
}

Invite* InviteDesk::admit(const std::string& code, const IpAddress& source, const std::function<void(Error)>& refuse) {
  Invite* invite = find(code);
  const policy::Principal* person = invite == nullptr ? nullptr : authority_.snapshot->find_principal(invite->principal);
  std::string why = person == nullptr || person->enrol.empty() ? "unknown, used or expired invite" : hindrance(*person, source);
  if (why.empty()) return invite;
  authority_.note("auth.attempted", EventJson()
                                        .text("via", "web")
                                        .text("source", source.str())
                                        .text("user", "(invite)")
                                        .text("principal", person == nullptr ? "" : person->name.view())
                                        .text("method", "invite")
                                        .text("result", "refused")
                                        .text("reason", why)
                                        .text("decision", "deny")
                                        .text("code", "SP-9306"));
  // Not even the form of one: nothing was guessed.
  if (!is_code(code)) {
    refuse(Error{Errc::denied, "SP-9306"});
    return nullptr;
  }
  authority_.throttle.failed(source, "invite", false, authority_.clock.boot());
  static_cast<void>(authority_.deadlines.after(authority_.throttle.penalty(source, authority_.clock.boot()), [refuse] {
    refuse(Error{Errc::denied, "SP-9306"});
  }));
  return nullptr;
}

void InviteDesk::look(const std::string& code, const IpAddress& source, const Done<Welcome>& done) {
  const Invite* invite = admit(code, source, [done](Error error) { done(tl::unexpected(std::move(error))); });
  if (invite == nullptr) return;
  const policy::Principal& person = *authority_.snapshot->find_principal(invite->principal);
  authority_.note("auth.attempted", EventJson()
                                        .text("via", "web")
                                        .text("source", source.str())
                                        .text("user", "(invite)")
                                        .text("principal", person.name.view())
                                        .text("method", "invite")
                                        .text("invite", invite->id)
                                        .text("result", "success"));
  done(Welcome{invite->principal, person.display, invite->expires, policy::may_enrol(person, "keys"),
               authority_.sign_on->codes.may_enrol(invite->principal).has_value()});
}

void InviteDesk::show(const std::string& code, const IpAddress& source, Done<std::string> done) {
  const Invite* invite = admit(code, source, [done](Error error) { done(tl::unexpected(std::move(error))); });
  if (invite == nullptr) return;
  if (const auto may = authority_.sign_on->codes.may_enrol(invite->principal); !may) return done(tl::unexpected(may.error()));
  show_secret(invite->id, std::move(done));
}

void InviteDesk::use(const std::string& code, const IpAddress& source, const Brought& brought, Done<std::string> done) {
  const Invite* invite = admit(code, source, [done](Error error) { done(tl::unexpected(std::move(error))); });
  if (invite == nullptr) return;
  const policy::Principal& person = *authority_.snapshot->find_principal(invite->principal);
  if (!brought.key_line.empty()) {
    const auto key = plain_key(brought.key_line);
    if (!key) return done(fail(Errc::invalid, "SP-7001 this is no plain public key line"));
    if (!policy::may_enrol(person, "keys")) return done(fail(Errc::denied, "SP-9307"));
    const policy::Principal* owner = authority_.sign_on->enrolled.find_owner(*authority_.snapshot, key->blob);
    if (owner != nullptr && owner != &person) return done(fail(Errc::conflict, "SP-7004 this key is enrolled already"));
  }
  Guest guest{invite->id, brought.key_line, source.str(), "web"};
  if (!authority_.sign_on->codes.may_enrol(invite->principal)) {
    if (brought.key_line.empty()) return done(fail(Errc::invalid, "SP-7001 a public key is needed"));
    return finish(guest, std::move(done));
  }
  if (!is_one_time_code(brought.one_time_code)) return done(fail(Errc::denied, "SP-9305 what the app shows is needed"));
  check(invite->id, brought.one_time_code, [this, guest = std::move(guest), done = std::move(done)](const Result<void>& right) {
    if (!right) return done(tl::unexpected(right.error()));
    finish(guest, done);
  });
}

void InviteDesk::show_secret(const std::string& id, Done<std::string> done) {
  const auto found = invites_.find(id);
  if (found == invites_.end()) return done(fail(Errc::denied, "SP-9306"));
  if (!found->second.totp_secret.empty()) return done(found->second.uri);
  authority_.sign_on->codes.make_secret(found->second.principal, [this, id, done = std::move(done)](const Result<ShownSecret>& made) {
    if (!made) return done(tl::unexpected(coded(made.error())));
    const auto here = invites_.find(id);
    if (here == invites_.end()) return done(fail(Errc::denied, "SP-9306"));
    here->second.totp_secret = made->name;
    here->second.uri = made->uri;
    done(made->uri);
  });
}

void InviteDesk::check(const std::string& id, const std::string& code, Done<void> done) {
  const auto found = invites_.find(id);
  if (found == invites_.end()) return done(fail(Errc::denied, "SP-9306"));
  if (found->second.totp_secret.empty()) return done(fail(Errc::denied, "SP-9305 no secret was shown yet: connect without a code first"));
  authority_.sign_on->codes.check(found->second.totp_secret, code, [this, id, done = std::move(done)](bool right) {
    const auto here = invites_.find(id);
    if (here == invites_.end()) return done(fail(Errc::denied, "SP-9306"));
    if (right) return done({});
    if (++here->second.failures < k_most_failures) return done(fail(Errc::denied, "SP-9305"));
    authority_.note(
        "invite.exhausted",
        EventJson().text("invite", id).text("principal", here->second.principal).text("decision", "deny").text("code", "SP-9306").flag("alarm", true));
    authority_.store->change_enrolments({}, {{"invite", here->second.principal, id, {}, 0}}, {}, [](const Result<void>&) {});
    forget(id);
    done(fail(Errc::denied, "SP-9306 too many wrong codes"));
  });
}

void InviteDesk::forget(const std::string& id) {
  const auto here = invites_.find(id);
  if (here == invites_.end()) return;
  authority_.sign_on->codes.drop(here->second.totp_secret);
  invites_.erase(here);
}

void InviteDesk::finish(const Guest& guest, Done<std::string> done) {
  const auto found = invites_.find(guest.invite);
  if (found == invites_.end()) return done(fail(Errc::denied, "SP-9306"));
  // Out of the list before anything is awaited: an invite is used once.
  const auto invite = std::make_shared<Invite>(std::move(found->second));
  invites_.erase(found);
  const policy::Principal* person = authority_.snapshot->find_principal(invite->principal);
  struct Work {
    std::optional<policy::LoginKey> key;
    RecoveryCodes codes;
    std::string old_secret;
  };
  auto work = std::make_shared<Work>();
  const std::string principal = invite->principal;
  if (person != nullptr && policy::may_enrol(*person, "keys") && !guest.key_line.empty()) work->key = plain_key(guest.key_line);
  const bool is_new_key = work->key && (authority_.sign_on->enrolled.find_key(*authority_.snapshot, *person, work->key->blob) == nullptr);
  if (!is_new_key) work->key.reset();
  if (!invite->totp_secret.empty()) {
    work->old_secret = authority_.sign_on->enrolled.totp_of(principal);
    work->codes = authority_.sign_on->codes.make_recovery(principal);
    work->codes.put.push_back({"totp", principal, {}, invite->totp_secret, authority_.now_us()});
  }
  if (work->key) work->codes.put.push_back({"key", principal, work->key->fingerprint, guest.key_line + " enrolled by invite", authority_.now_us()});
  work->codes.remove.push_back({"invite", principal, invite->id, {}, 0});
  EventJson details;
  details.text("invite", invite->id)
      .text("for", principal)
      .text("fingerprint", work->key ? work->key->fingerprint : std::string())
      .flag("totp", !invite->totp_secret.empty());
  details.number("recovery_codes", static_cast<std::int64_t>(work->codes.hashes.size())).text("session", guest.session);
  run_act(
      authority_, herself(principal, guest.source), "enrolment.complete", details,
      [this, work, invite, principal, details](const std::string& intent, std::uint64_t, const std::function<void(Result<EventJson>)>& outcome) {
        authority_.store->change_enrolments(work->codes.put, work->codes.remove, intent,
                                            [this, work, invite, principal, details, outcome](const Result<void>& stored) {
                                              if (!stored) return outcome(tl::unexpected(stored.error()));
                                              policy::Enrolments& enrolled = authority_.sign_on->enrolled;
                                              if (work->key) enrolled.add_key(principal, std::move(*work->key));
                                              if (!invite->totp_secret.empty()) {
                                                authority_.sign_on->codes.drop(work->old_secret);
                                                enrolled.set_totp(principal, invite->totp_secret);
                                                authority_.sign_on->codes.take_recovery(principal, work->codes);
                                              }
                                              authority_.sign_on->memory.forget(principal);
                                              outcome(details);
                                            });
      },
      [this, work, invite, done = std::move(done)](const Result<void>& stored) {
        if (!stored) {
          invites_[invite->id] = *invite;  // nothing was enrolled: she may try again
          return done(tl::unexpected(coded(stored.error())));
        }
        done(work->codes.text);
      });
}

}  // namespace sallyport::authority
