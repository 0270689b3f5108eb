#include "policy/authority/enrolment.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "platform/crypto/base64.h"
#include "platform/crypto/hash.h"
#include "platform/crypto/hex.h"
#include "platform/crypto/ssh_public_key.h"
#include "platform/crypto/ssh_wire.h"
#include "platform/crypto/ulid.h"
#include "platform/model/bytes.h"
#include "platform/os/log.h"
#include "policy/access/fields.h"
#include "policy/authority/live_sessions.h"
#include "policy/authority/qr_text.h"
#include "policy/authority/sign_on.h"
#include "policy/identity/login_key.h"

namespace sallyport::authority {
namespace {

using Answer = policy::LoginAnswer;

constexpr std::string_view k_invite = "invite-";
constexpr std::size_t k_code_letters = 20;  ///< 100 bits
constexpr std::size_t k_group = 5;
constexpr std::size_t k_most_invites = 1000;
constexpr std::size_t k_most_keys = 20;
constexpr std::size_t k_most_groups = 500;
constexpr std::size_t k_recovery_codes = 10;
constexpr unsigned k_most_failures = 5;
constexpr std::chrono::minutes k_fresh{10};
constexpr std::chrono::minutes k_new_code_lasts{15};
constexpr std::chrono::hours k_invite_default{24};
constexpr std::chrono::hours k_invite_longest{24 * 7};
constexpr std::string_view k_letters = "abcdefghijklmnopqrstuvwxyz234567";  ///< RFC 4648 base32, lower case

std::string hash_of(std::string_view text) { return crypto::to_hex(crypto::sha256(bytes_of(text))); }

std::string random_letters(crypto::Random& random, std::size_t count) {
  std::vector<std::byte> bytes(count);
  random.fill(bytes);
  std::string text;
  for (const std::byte b : bytes) text += k_letters[static_cast<std::size_t>(b) % k_letters.size()];
  OPENSSL_cleanse(bytes.data(), bytes.size());
  return text;
}

std::string in_groups(std::string_view letters, std::size_t group) {
  std::string text;
  for (std::size_t i = 0; i < letters.size(); ++i) {
    if (i != 0 && i % group == 0) text += '-';
    text += letters[i];
  }
  return text;
}

std::string upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return text;
}

std::vector<std::string> split(std::string_view text, std::size_t most) {
  std::vector<std::string> parts;
  while (parts.size() + 1 < most) {
    const auto blank = text.find(' ');
    if (blank == std::string_view::npos) break;
    parts.emplace_back(text.substr(0, blank));
    text.remove_prefix(blank + 1);
  }
  parts.emplace_back(text);
  return parts;
}

std::int64_t number(std::string_view text) {
  std::int64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::optional<policy::LoginKey> key_of(const std::string& line) {
  const auto parsed = crypto::parse_authorized_key(line);
  if (!parsed || !parsed->key || !parsed->options.empty()) return std::nullopt;
  policy::LoginKey key;
  key.blob = std::string(text_of(parsed->blob));
  key.algorithm = std::string(parsed->key->name());
  key.fingerprint = parsed->key->fingerprint();
  key.comment = parsed->comment;
  return key;
}

bool is_code(std::string_view text) {
  return text.size() >= 6 && text.size() <= 8 && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

SelfText told(std::string_view code, std::string_view why = {}) { return {{}, 1, render(make_notice(code, why)) + "\n"}; }

SelfText told(const Error& error) { return told(error.code == Errc::sealed ? "SP-3011" : error.code == Errc::invalid ? "SP-7001" : "SP-4004", printable(error.detail)); }

Operator herself(const std::string& principal, const std::string& source) {
  Operator who;
  who.name = principal;
  who.principal = principal;
  who.source = source;
  return who;
}

std::string moment_text(WallTime moment) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(std::chrono::time_point_cast<std::chrono::system_clock::duration>(moment));
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  return std::string(text, std::strftime(text, sizeof text, "%Y-%m-%d %H:%M UTC", &parts));
}

}  // namespace

/// "VERB [THING] words... --code 123456 --for 8h --from 10.0.0.0/8"
struct EnrolmentDesk::Words {
  std::vector<std::string> plain;
  std::string code;
  std::string lasts;
  std::string from;
  std::string wrong;

  static Words read(const std::vector<std::string>& words) {
    Words out;
    std::string* slot = nullptr;
    for (const std::string& word : words) {
      if (slot != nullptr) {
        *slot = word;
        slot = nullptr;
      } else if (word == "--code") {
        slot = &out.code;
      } else if (word == "--for") {
        slot = &out.lasts;
      } else if (word == "--from") {
        slot = &out.from;
      } else if (word.starts_with("--")) {
        out.wrong = "there is no option " + printable(word.substr(0, 40));
      } else {
        out.plain.push_back(word);
      }
    }
    if (slot != nullptr) out.wrong = "the last option has no value";
    return out;
  }
};

void EnrolmentDesk::remember(std::vector<EnrolmentRow> rows) {
  policy::Enrolments& enrolled = authority_.sign_on->enrolled;
  const WallTime now = authority_.now();
  std::vector<EnrolmentRow> over;
  for (EnrolmentRow& row : rows) {
    if (row.kind == "key") {
      if (auto key = key_of(row.value)) enrolled.add_key(row.principal, std::move(*key));
    } else if (row.kind == "totp") {
      enrolled.set_totp(row.principal, row.value);
    } else if (row.kind == "passkey") {
      if (auto passkey = passkey_of(row)) enrolled.add_passkey(row.principal, std::move(*passkey));
    } else if (row.kind == "recovery") {
      recovery_[row.principal].insert(row.id);
    } else if (row.kind == "invite") {
      const auto parts = split(row.value, 3);
      if (parts.size() != 3) continue;
      Invite invite;
      invite.id = row.id;
      invite.principal = row.principal;
      invite.hash = parts[0];
      invite.expires = WallTime(std::chrono::microseconds(number(parts[1])));
      invite.by = parts[2];
      if (invite.expires <= now) over.push_back(row);
      else invites_[row.id] = std::move(invite);
    } else if (row.kind == "certificate") {
      const auto parts = split(row.value, 4);
      if (parts.size() != 4) continue;
      policy::IssuedCertificate certificate;
      certificate.serial = static_cast<std::uint64_t>(number(row.id));
      certificate.principal = row.principal;
      certificate.fingerprint = parts[0];
      certificate.issued = WallTime(std::chrono::microseconds(row.at_us));
      certificate.expires = WallTime(std::chrono::microseconds(number(parts[1])));
      certificate.revoked = parts[2] == "1";
      certificate.factors = policy::decode_factors(parts[3]);
      last_serial_ = std::max(last_serial_, number(row.id));
      if (certificate.expires <= now) over.push_back(row);
      else enrolled.add_certificate(std::move(certificate));
    } else if (row.kind == "groups") {
      const auto parts = split(row.value, 2);
      const WallTime until{std::chrono::microseconds(number(parts[0]))};
      if (parts.size() != 2 || until <= now) over.push_back(row);
      else enrolled.set_groups(row.principal, row.id, split(parts[1], k_most_groups), until);
    }
  }
  if (!over.empty()) authority_.store->change_enrolments({}, std::move(over), {}, [](const Result<void>&) {});
  authority_.sign_on->checks.recovery = [this](const std::string& principal, const Secret& code, std::function<void(bool)> done) {
    use_recovery_code(principal, code, std::move(done));
  };
}

void EnrolmentDesk::learn_login_ca() {
  if (!authority_.sign_on->enrolled.login_ca().empty()) return;
  authority_.vault.with_keys([this](const Result<control::PublicKeySet>& keys) {
    if (keys && !keys->login_ca().empty()) authority_.sign_on->enrolled.set_login_ca(keys->login_ca());
  });
}

// ---------------------------------------------------------------- invites

void EnrolmentDesk::invite(const Operator& who, const std::string& principal, std::chrono::seconds lasts, Done<std::shared_ptr<InviteMade>> done) {
  const policy::Principal* person = authority_.snapshot->find_principal(principal);
  if (person == nullptr) return done(fail(Errc::not_found, "there is no principal `" + printable(principal.substr(0, 63)) + "` in the policy; the policy says who exists, an invite only lets her enrol"));
  if (person->type != policy::PrincipalType::person || person->enrol.empty())
    return done(fail(Errc::conflict, "`" + principal + "` may enrol nothing herself; add `enrol: [keys, totp]` to her entry in the policy"));
  if (lasts > k_invite_longest) return done(fail(Errc::invalid, "an invite lasts a week at most"));
  if (invites().size() >= k_most_invites) return done(fail(Errc::conflict, "there are too many open invites; revoke some"));
  auto made = std::make_shared<InviteMade>();
  Invite& invite = made->invite;
  invite.id = crypto::make_ulid(authority_.clock, authority_.random);
  invite.principal = principal;
  invite.by = who.principal.empty() ? who.name : who.principal;
  invite.expires = authority_.now() + (lasts.count() > 0 ? lasts : std::chrono::seconds(k_invite_default));
  std::string code = std::string(k_invite) + in_groups(random_letters(authority_.random, k_code_letters), k_group);
  invite.hash = hash_of(code);
  made->code = Secret(std::string_view(code));
  OPENSSL_cleanse(code.data(), code.size());
  EventJson details;
  details.text("invite", invite.id).text("for", principal).number("expires_us", invite.expires.time_since_epoch().count());
  run_act(
      authority_, who, "invite.create", details,
      [this, made, details](const std::string& intent, std::uint64_t, const std::function<void(Result<EventJson>)>& outcome) {
        const Invite& one = made->invite;
        EnrolmentRow row{"invite", one.principal, one.id, one.hash + " " + std::to_string(one.expires.time_since_epoch().count()) + " " + one.by, authority_.now_us()};
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

std::vector<Invite> EnrolmentDesk::invites() {
  std::vector<Invite> open;
  for (auto at = invites_.begin(); at != invites_.end();) {
    if (at->second.expires <= authority_.now()) {
      drop_secret(at->second.totp_secret);
      authority_.store->change_enrolments({}, {{"invite", at->second.principal, at->first, {}, 0}}, {}, [](const Result<void>&) {});
      at = invites_.erase(at);
    } else {
      open.push_back((at++)->second);
    }
  }
  return open;
}

void EnrolmentDesk::revoke_invite(const Operator& who, const std::string& id, Done<void> done) {
  const auto found = invites_.find(id);
  if (found == invites_.end()) return done(fail(Errc::not_found, "no open invite " + printable(id.substr(0, 40))));
  EventJson details;
  details.text("invite", id).text("for", found->second.principal);
  run_act(
      authority_, who, "invite.revoke", details,
      [this, id, principal = found->second.principal, details](const std::string& intent, std::uint64_t, const std::function<void(Result<EventJson>)>& outcome) {
        authority_.store->change_enrolments({}, {{"invite", principal, id, {}, 0}}, intent, [this, id, details, outcome](const Result<void>& removed) {
          if (!removed) return outcome(tl::unexpected(removed.error()));
          if (const auto here = invites_.find(id); here != invites_.end()) {
            drop_secret(here->second.totp_secret);
            invites_.erase(here);
          }
          outcome(details);
        });
      },
      std::move(done));
}

void EnrolmentDesk::remove_all(const Operator& who, const std::string& principal, Done<void> done) {
  policy::Enrolments& enrolled = authority_.sign_on->enrolled;
  std::vector<EnrolmentRow> gone;
  for (const policy::LoginKey& key : enrolled.keys_of(principal)) gone.push_back({"key", principal, key.fingerprint, {}, 0});
  if (!enrolled.totp_of(principal).empty()) gone.push_back({"totp", principal, {}, {}, 0});
  for (const policy::Passkey& one : enrolled.passkeys_of(principal)) gone.push_back(row_of(principal, one));
  if (const auto codes = recovery_.find(principal); codes != recovery_.end())
    for (const std::string& hash : codes->second) gone.push_back({"recovery", principal, hash, {}, 0});
  if (gone.empty()) return done(fail(Errc::not_found, "`" + printable(principal.substr(0, 63)) + "` has enrolled nothing"));
  EventJson details;
  details.text("for", principal).number("removed", static_cast<std::int64_t>(gone.size()));
  run_act(
      authority_, who, "enrolment.remove", details,
      [this, principal, details](const std::string& intent, std::uint64_t, const std::function<void(Result<EventJson>)>& outcome) {
        authority_.store->remove_enrolments_of(principal, intent, [this, principal, details, outcome](const Result<void>& removed) {
          if (!removed) return outcome(tl::unexpected(removed.error()));
          drop_secret(authority_.sign_on->enrolled.totp_of(principal));
          authority_.sign_on->enrolled.forget(principal);
          recovery_.erase(principal);
          on_locked(principal);
          ++authority_.generation;
          authority_.live->judge_all();
          outcome(details);
        });
      },
      std::move(done));
}

std::size_t EnrolmentDesk::recovery_codes_left(const std::string& principal) const {
  const auto found = recovery_.find(principal);
  return found == recovery_.end() ? 0 : found->second.size();
}

bool EnrolmentDesk::is_invite_code(std::string_view user) {
  constexpr std::size_t k_size = k_invite.size() + k_code_letters + k_code_letters / k_group - 1;
  return user.size() == k_size && user.starts_with(k_invite);
}

Invite* EnrolmentDesk::find_invite(std::string_view code) {
  const std::string hash = hash_of(code);
  Invite* found = nullptr;
  for (auto& [id, invite] : invites_)
    if (CRYPTO_memcmp(invite.hash.data(), hash.data(), hash.size()) == 0 && invite.expires > authority_.now()) found = &invite;
  return found;
}

Answer EnrolmentDesk::attempt(Session& session, const policy::LoginAttempt& attempt) {
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
  Invite* invite = find_invite(attempt.user);
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
  const auto signature = attempt.invalid_signature ? policy::SignatureFacts{false, true, false, "the library refused the signature"} : policy::check_signature(attempt);
  if (!signature.right || !signature.user_present) return refuse("wrong signature: " + signature.reason, true);
  if (const policy::Lock* lock = authority_.locks.find(person->name.view(), {}, {}, authority_.now()); lock != nullptr) return refuse("locked: " + lock->reason, true);
  if (person->expires && *person->expires <= authority_.now()) return refuse("the principal has expired", true);
  if (!person->networks.empty() && std::none_of(person->networks.begin(), person->networks.end(), [&](const Network& n) { return n.contains(session.source); }))
    return refuse("the principal's networks do not hold " + session.source.str(), true);
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

void EnrolmentDesk::on_invited(Session& session, const std::vector<std::string>& words, const Reply& reply) {
  const auto found = invites_.find(session.invite);
  const policy::Principal* person = found == invites_.end() ? nullptr : authority_.snapshot->find_principal(found->second.principal);
  if (person == nullptr || found->second.expires <= authority_.now()) return reply(told("SP-9306"));
  Invite& invite = found->second;
  const bool wants_code = policy::may_enrol(*person, "totp") && person->totp_secret.empty();
  if (!wants_code) return finish_invite(session.label, invite.id, reply);
  const std::string id = invite.id;
  const std::string label = session.label;
  if (words.size() == 1 && is_code(words[0])) {
    if (invite.totp_secret.empty()) return reply(told("SP-9305", "no secret was shown yet: connect without a code first"));
    return check_new_code(invite.totp_secret, words[0], [this, id, label, reply](bool right) {
      const auto here = invites_.find(id);
      if (here == invites_.end()) return reply(told("SP-9306"));
      if (right) return finish_invite(label, id, reply);
      if (++here->second.failures >= k_most_failures) {
        authority_.note("invite.exhausted", EventJson().text("invite", id).text("principal", here->second.principal).text("decision", "deny").text("code", "SP-9306").flag("alarm", true));
        authority_.store->change_enrolments({}, {{"invite", here->second.principal, id, {}, 0}}, {}, [](const Result<void>&) {});
        drop_secret(here->second.totp_secret);
        invites_.erase(here);
        return reply(told("SP-9306", "too many wrong codes"));
      }
      reply(told("SP-9305"));
    });
  }
  if (!words.empty() && !(words.size() == 1 && words[0] == "enrol")) return reply(told("SP-9306", "with an invite one enrols, and nothing else"));
  const auto show = [this, id, reply] {
    const auto here = invites_.find(id);
    if (here == invites_.end()) return reply(told("SP-9306"));
    reply(SelfText{"Welcome, " + here->second.principal + ". Scan this with your authenticator app:\n\n" + qr_text(here->second.uri) + "\nor give it this line:\n  " + here->second.uri +
                       "\n\nThen prove that it works, with the same key, within this invite's time:\n  ssh THIS-CODE@gateway 123456      (123456: what the app shows)\n",
                   0, {}});
  };
  if (!invite.totp_secret.empty()) return show();
  show_secret(invite.principal, invite.principal, [this, id, reply, show](Result<std::pair<std::string, std::string>> made) {
    if (!made) return reply(told(made.error()));
    const auto here = invites_.find(id);
    if (here == invites_.end()) return reply(told("SP-9306"));
    here->second.totp_secret = made->first;
    here->second.uri = made->second;
    show();
  });
}

void EnrolmentDesk::show_secret(const std::string& principal, const std::string& label, std::function<void(Result<std::pair<std::string, std::string>>)> done) {
  std::string secret = upper(random_letters(authority_.random, 32));  // 160 bits, RFC 4226 section 4
  std::string ulid = crypto::make_ulid(authority_.clock, authority_.random);
  std::transform(ulid.begin(), ulid.end(), ulid.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const std::string name = "enrolled/totp/" + principal + "/" + ulid;
  std::string issuer;
  for (const char c : authority_.settings.text("node", "gateway"))
    if (std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '-') issuer += c;
  const std::string uri = "otpauth://totp/Sallyport%20" + issuer + ":" + label + "?secret=" + secret + "&issuer=Sallyport%20" + issuer;
  control::Envelope question;
  auto* put = question.mutable_secret_put();
  put->set_name(name);
  put->set_value(secret);
  put->set_kind("totp");
  OPENSSL_cleanse(secret.data(), secret.size());
  authority_.vault.ask(std::move(question), [name, uri, done = std::move(done)](Result<control::Received> answer) {
    if (!answer) return done(tl::unexpected(answer.error()));
    done(std::pair{name, uri});
  });
}

void EnrolmentDesk::check_new_code(const std::string& secret, const std::string& code, std::function<void(bool)> done) {
  control::Envelope question;
  auto* body = question.mutable_totp_check();
  body->set_secret(secret);
  body->set_code(code);
  body->set_now(std::chrono::duration_cast<std::chrono::seconds>(authority_.now().time_since_epoch()).count());
  authority_.vault.ask(std::move(question), [done = std::move(done)](Result<control::Received> answer) { done(answer && answer->envelope.totp_answer().right()); });
}

void EnrolmentDesk::drop_secret(const std::string& name) {
  if (name.empty()) return;
  control::Envelope question;
  question.mutable_secret_delete()->set_name(name);
  authority_.vault.ask(std::move(question), [](const Result<control::Received>&) {});
}

void EnrolmentDesk::new_recovery_codes(const std::string& principal, std::vector<EnrolmentRow>& put, std::vector<EnrolmentRow>& remove, std::string& text, std::set<std::string>& hashes) {
  for (const std::string& hash : recovery_[principal]) remove.push_back({"recovery", principal, hash, {}, 0});
  for (std::size_t i = 0; i < k_recovery_codes; ++i) {
    std::string code = in_groups(random_letters(authority_.random, 16), 4);
    hashes.insert(hash_of(code));
    put.push_back({"recovery", principal, hash_of(code), {}, authority_.now_us()});
    text += "  " + code + "\n";
    OPENSSL_cleanse(code.data(), code.size());
  }
}

RecoveryCodes EnrolmentDesk::make_codes(const std::string& principal) {
  RecoveryCodes codes;
  new_recovery_codes(principal, codes.put, codes.remove, codes.text, codes.hashes);
  return codes;
}

void EnrolmentDesk::finish_invite(const std::string& label, const std::string& id, const Reply& reply) {
  Session* session = authority_.find(label);
  const auto found = invites_.find(id);
  if (session == nullptr || found == invites_.end()) return reply(told("SP-9306"));
  // Out of the list before anything is awaited: an invite is used once.
  const auto invite = std::make_shared<Invite>(std::move(found->second));
  invites_.erase(found);
  const policy::Principal* person = authority_.snapshot->find_principal(invite->principal);
  struct Work {
    std::vector<EnrolmentRow> put, remove;
    std::optional<policy::LoginKey> key;
    std::string codes;
    std::set<std::string> hashes;
    std::string old_secret;
  };
  auto work = std::make_shared<Work>();
  const std::string principal = invite->principal;
  if (person != nullptr && policy::may_enrol(*person, "keys")) work->key = key_of(session->invite_key);
  const bool is_new_key = work->key && (authority_.sign_on->enrolled.find_key(*authority_.snapshot, *person, work->key->blob) == nullptr);
  if (is_new_key) work->put.push_back({"key", principal, work->key->fingerprint, session->invite_key + " enrolled by invite", authority_.now_us()});
  else work->key.reset();
  if (!invite->totp_secret.empty()) {
    work->old_secret = authority_.sign_on->enrolled.totp_of(principal);
    work->put.push_back({"totp", principal, {}, invite->totp_secret, authority_.now_us()});
    new_recovery_codes(principal, work->put, work->remove, work->codes, work->hashes);
  }
  work->remove.push_back({"invite", principal, id, {}, 0});
  EventJson details;
  details.text("invite", id).text("for", principal).text("fingerprint", work->key ? work->key->fingerprint : std::string()).flag("totp", !invite->totp_secret.empty());
  details.number("recovery_codes", static_cast<std::int64_t>(work->hashes.size())).text("session", label);
  run_act(
      authority_, herself(principal, session->row.source), "enrolment.complete", details,
      [this, work, invite, principal, details](const std::string& intent, std::uint64_t, const std::function<void(Result<EventJson>)>& outcome) {
        authority_.store->change_enrolments(work->put, work->remove, intent, [this, work, invite, principal, details, outcome](const Result<void>& stored) {
          if (!stored) return outcome(tl::unexpected(stored.error()));
          policy::Enrolments& enrolled = authority_.sign_on->enrolled;
          if (work->key) enrolled.add_key(principal, std::move(*work->key));
          if (!invite->totp_secret.empty()) {
            drop_secret(work->old_secret);
            enrolled.set_totp(principal, invite->totp_secret);
            recovery_[principal] = work->hashes;
          }
          authority_.sign_on->memory.forget(principal);
          outcome(details);
        });
      },
      [this, work, invite, principal, reply](const Result<void>& done) {
        if (!done) {
          invites_[invite->id] = *invite;  // nothing was enrolled: she may try again
          return reply(told(done.error()));
        }
        std::string text = "Enrolled. From now on: ssh " + principal + "@gateway\n";
        if (!work->codes.empty()) text += "\nKeep these recovery codes where your phone is not. Each is good once, in place of a one-time code:\n" + work->codes;
        reply(SelfText{std::move(text), 0, {}});
      });
}

// ---------------------------------------------------------------- people about themselves

bool EnrolmentDesk::ask(Session& session, const std::vector<std::string>& all, const Reply& reply) {
  const std::string& verb = all.front();
  if (verb != "keys" && verb != "enrol" && verb != "recovery-codes" && verb != "certificate") return false;
  const Words words = Words::read(all);
  if (!words.wrong.empty()) {
    reply({{}, 2, "sallyport: " + words.wrong + "\n"});
    return true;
  }
  const std::string principal = session.identity->principal.str();
  if (verb == "keys") {
    if (words.plain.size() == 1 || words.plain[1] == "list") reply({list_keys(principal), 0, {}});
    else change_keys(session, words, reply);
  } else if (verb == "enrol") {
    enrol_totp(session, words, reply);
  } else if (verb == "recovery-codes") {
    with_fresh_factor(session, words, reply, [this, principal, source = session.row.source, reply] {
      if (authority_.sign_on->enrolled.totp_of(principal).empty() && authority_.sign_on->enrolled.passkeys_of(principal).empty())
        return reply(told("SP-9307", "recovery codes go with a one-time code or a passkey that you enrolled yourself"));
      struct Work {
        std::vector<EnrolmentRow> put, remove;
        std::string codes;
        std::set<std::string> hashes;
      };
      auto work = std::make_shared<Work>();
      new_recovery_codes(principal, work->put, work->remove, work->codes, work->hashes);
      EventJson details;
      details.text("for", principal).text("what", "recovery codes").number("recovery_codes", static_cast<std::int64_t>(work->hashes.size()));
      run_act(
          authority_, herself(principal, source), "enrolment.change", details,
          [this, work, principal, details](const std::string& intent, std::uint64_t, const std::function<void(Result<EventJson>)>& outcome) {
            authority_.store->change_enrolments(work->put, work->remove, intent, [this, work, principal, details, outcome](const Result<void>& stored) {
              if (!stored) return outcome(tl::unexpected(stored.error()));
              recovery_[principal] = work->hashes;
              outcome(details);
            });
          },
          [work, reply](const Result<void>& done) { reply(done ? SelfText{"Your recovery codes from now on, each good once:\n" + work->codes, 0, {}} : told(done.error())); });
    });
  } else {
    if (!session.identity->certificate_id.empty()) {
      reply(told("SP-9309", "a certificate is not given by a certificate: log in with your key"));
      return true;
    }
    std::chrono::seconds lasts{0};
    if (!words.lasts.empty()) {
      const auto parsed = policy::parse_duration(words.lasts);
      if (!parsed) {
        reply({{}, 2, "sallyport: `" + printable(words.lasts.substr(0, 40)) + "` is no duration; write 1h, 8h\n"});
        return true;
      }
      lasts = *parsed;
    }
    if (words.plain.size() < 3) {
      reply({{}, 2, "sallyport: which key?\nWrite: ssh PRINCIPAL@gateway certificate \"$(cat KEY.pub)\" [--for 8h] [--from here|10.0.0.0/8] [--code 123456]\n"});
      return true;
    }
    const std::string line = words.plain[1] + " " + words.plain[2];
    const std::string source = words.from == "here" ? session.row.source : words.from;
    with_fresh_factor(session, words, reply, [this, label = session.label, principal, line, lasts, source, reply] {
      const Session* here = authority_.find(label);
      if (here == nullptr || !here->identity) return;
      certify(principal, line, lasts, source, here->identity->factors, [reply](const Result<std::string>& certificate) {
        if (certificate) return reply(SelfText{*certificate + "\n", 0, {}});
        reply(told("SP-9309", printable(certificate.error().detail)));
      });
    });
  }
  return true;
}

std::string EnrolmentDesk::list_keys(const std::string& principal) const {
  std::string text;
  const policy::Principal* person = authority_.snapshot->find_principal(principal);
  const policy::Enrolments& enrolled = authority_.sign_on->enrolled;
  if (person == nullptr) return text;
  for (const policy::LoginKey& key : person->keys) text += key.algorithm + " " + key.fingerprint + " " + printable(key.comment) + " (in the policy)\n";
  for (const policy::LoginKey& key : enrolled.keys_of(principal))
    text += key.algorithm + " " + key.fingerprint + " " + printable(key.comment) + (enrolled.find_key(*authority_.snapshot, *person, key.blob) == nullptr ? " (does not count: the policy forbids it)" : " (enrolled)") + "\n";
  const std::string secret = enrolled.totp_secret(*person);
  text += std::string("one-time code: ") + (secret.empty() ? "none" : person->totp_secret.empty() ? "enrolled, " + std::to_string(recovery_codes_left(principal)) + " recovery codes left" : "in the policy") + "\n";
  for (const policy::Passkey& one : enrolled.passkeys_of(principal)) text += "passkey " + printable(one.name) + " (for the page" + (policy::may_enrol(*person, "passkeys") ? ")\n" : "; does not count: the policy forbids it)\n");
  for (const auto& [serial, certificate] : enrolled.certificates())
    if (certificate.principal == principal && certificate.expires > authority_.now() && !certificate.revoked)
      text += "certificate " + std::to_string(serial) + " for " + certificate.fingerprint + " until " + moment_text(certificate.expires) + "\n";
  return text;
}

void EnrolmentDesk::with_fresh_factor(Session& session, const Words& words, const Reply& reply, std::function<void()> go_on) {
  const policy::Principal* person = authority_.snapshot->find_principal(session.identity->principal.view());
  if (person == nullptr) return reply(told("SP-2001"));
  const std::string secret = authority_.sign_on->enrolled.totp_secret(*person);
  const auto second = policy::second_factor_time(session.identity->factors);
  if (second && authority_.now() - *second <= k_fresh) return go_on();
  if (secret.empty() && person->password_hash.empty() && !policy::asks_directory(*person, "password")) return go_on();  // the key is all she has
  if (words.code.empty() || secret.empty()) {
    authority_.note(session, "selfservice.refused", authority_.event_of(session).text("decision", "deny").text("code", "SP-9308"));
    return reply(told("SP-9308", secret.empty() ? std::string_view() : std::string_view("add --code and what your app shows")));
  }
  const auto verdict = authority_.throttle.ask_guessable(session.source, person->name.view(), authority_.clock.boot());
  if (!verdict.evaluate) {
    authority_.note(session, "selfservice.refused", authority_.event_of(session).text("decision", "deny").text("code", "SP-5003"));
    return reply(told("SP-5003"));
  }
  authority_.sign_on->checks.code({person->name, secret, Secret(std::string_view(words.code))}, [this, label = session.label, name = person->name.str(), reply, go_on = std::move(go_on)](bool right) {
    Session* here = authority_.find(label);
    if (here == nullptr || !here->identity) return;
    if (!right) {
      authority_.throttle.failed(here->source, name, true, authority_.clock.boot());
      authority_.note(*here, "auth.attempted", authority_.event_of(*here).text("method", "totp").text("result", "refused").text("decision", "deny").text("code", "SP-9305"));
      return reply(told("SP-9305"));
    }
    here->identity->factors.push_back({policy::FactorKind::totp, authority_.now(), false});
    authority_.note(*here, "auth.proven_again", authority_.event_of(*here).text("factor", "totp"));
    go_on();
  });
}

void EnrolmentDesk::change_keys(Session& session, const Words& words, const Reply& reply) {
  const std::string principal = session.identity->principal.str();
  const bool adds = words.plain.size() >= 4 && words.plain[1] == "add";
  const bool removes = words.plain.size() == 3 && words.plain[1] == "remove";
  if (!adds && !removes) return reply({{}, 2, "sallyport: write keys list, keys add \"ssh-ed25519 AAAA... comment\", keys remove SHA256:...\n"});
  std::string line;
  for (std::size_t i = 2; i < words.plain.size(); ++i) line += (i == 2 ? "" : " ") + words.plain[i];
  with_fresh_factor(session, words, reply, [this, principal, source = session.row.source, line, adds, reply] {
    const policy::Principal* person = authority_.snapshot->find_principal(principal);
    policy::Enrolments& enrolled = authority_.sign_on->enrolled;
    if (person == nullptr || !policy::may_enrol(*person, "keys")) {
      authority_.note("enrolment.refused", EventJson().text("principal", principal).text("what", "keys").text("decision", "deny").text("code", "SP-9307"));
      return reply(told("SP-9307"));
    }
    const auto& mine = enrolled.keys_of(principal);
    std::optional<policy::LoginKey> key;
    if (adds) {
      key = key_of(line);
      if (!key) return reply(told("SP-7001", "this is no plain public key line"));
      if (enrolled.find_owner(*authority_.snapshot, key->blob) != nullptr) return reply(told("SP-7004", "this key is enrolled already"));
      if (mine.size() >= k_most_keys) return reply(told("SP-7004", "20 keys are the most"));
    } else {
      const auto found = std::find_if(mine.begin(), mine.end(), [&](const policy::LoginKey& one) { return one.fingerprint == line; });
      if (found == mine.end()) return reply(told("SP-7002", "you have enrolled no key with this fingerprint; keys of the policy are removed there"));
      key = *found;
    }
    EventJson details;
    details.text("for", principal).text("what", adds ? "key added" : "key removed").text("fingerprint", key->fingerprint);
    run_act(
        authority_, herself(principal, source), "enrolment.change", details,
        [this, principal, key = *key, line, adds, details](const std::string& intent, std::uint64_t, const std::function<void(Result<EventJson>)>& outcome) {
          const EnrolmentRow row{"key", principal, key.fingerprint, line, authority_.now_us()};
          using Rows = std::vector<EnrolmentRow>;
          authority_.store->change_enrolments(adds ? Rows{row} : Rows{}, adds ? Rows{} : Rows{row}, intent, [this, principal, key, adds, details, outcome](const Result<void>& stored) {
            if (!stored) return outcome(tl::unexpected(stored.error()));
            if (adds) authority_.sign_on->enrolled.add_key(principal, key);
            else authority_.sign_on->enrolled.remove_key(principal, key.fingerprint);
            ++authority_.generation;
            outcome(details);
          });
        },
        [this, reply, adds](const Result<void>& done) {
          reply(done ? SelfText{adds ? "Added.\n" : "Removed.\n", 0, {}} : told(done.error()));
          if (done && !adds) authority_.live->judge_all();  // sessions by that key end, this one too if it is of it
        });
  });
}

void EnrolmentDesk::enrol_totp(Session& session, const Words& words, const Reply& reply) {
  const std::string principal = session.identity->principal.str();
  if (words.plain.size() < 2 || words.plain.size() > 3 || words.plain[1] != "totp") return reply({{}, 2, "sallyport: write enrol totp, then enrol totp 123456\n"});
  const policy::Principal* person = authority_.snapshot->find_principal(principal);
  if (person == nullptr || !policy::may_enrol(*person, "totp") || !person->totp_secret.empty()) {
    authority_.note(session, "enrolment.refused", authority_.event_of(session).text("what", "totp").text("decision", "deny").text("code", "SP-9307"));
    return reply(told("SP-9307", person != nullptr && !person->totp_secret.empty() ? "your one-time code is set in the policy" : ""));
  }
  if (words.plain.size() == 2) {
    return with_fresh_factor(session, words, reply, [this, principal, reply] {
      show_secret(principal, principal, [this, principal, reply](Result<std::pair<std::string, std::string>> made) {
        if (!made) return reply(told(made.error()));
        if (const auto old = new_codes_.find(principal); old != new_codes_.end()) drop_secret(old->second.secret);
        new_codes_[principal] = {made->first, authority_.now()};
        reply(SelfText{"Scan this with your authenticator app:\n\n" + qr_text(made->second) + "\nor give it this line:\n  " + made->second +
                           "\n\nThen, within 15 minutes: ssh " + principal + "@gateway enrol totp 123456      (123456: what the app shows)\n",
                       0, {}});
      });
    });
  }
  const auto pending = new_codes_.find(principal);
  if (pending == new_codes_.end() || authority_.now() - pending->second.made > k_new_code_lasts || !is_code(words.plain[2])) return reply(told("SP-9305", "no secret was shown lately: enrol totp"));
  check_new_code(pending->second.secret, words.plain[2], [this, principal, source = session.row.source, reply](bool right) {
    const auto here = new_codes_.find(principal);
    if (here == new_codes_.end()) return reply(told("SP-9305"));
    const NewCode fresh = here->second;
    new_codes_.erase(here);  // right or wrong: one try
    if (!right) {
      drop_secret(fresh.secret);
      return reply(told("SP-9305", "begin again with enrol totp"));
    }
    struct Work {
      std::vector<EnrolmentRow> put, remove;
      std::string codes;
      std::set<std::string> hashes;
    };
    auto work = std::make_shared<Work>();
    work->put.push_back({"totp", principal, {}, fresh.secret, authority_.now_us()});
    new_recovery_codes(principal, work->put, work->remove, work->codes, work->hashes);
    EventJson details;
    details.text("for", principal).text("what", "one-time code").number("recovery_codes", static_cast<std::int64_t>(work->hashes.size()));
    run_act(
        authority_, herself(principal, source), "enrolment.change", details,
        [this, work, principal, secret = fresh.secret, details](const std::string& intent, std::uint64_t, const std::function<void(Result<EventJson>)>& outcome) {
          authority_.store->change_enrolments(work->put, work->remove, intent, [this, work, principal, secret, details, outcome](const Result<void>& stored) {
            if (!stored) return outcome(tl::unexpected(stored.error()));
            drop_secret(authority_.sign_on->enrolled.totp_of(principal));
            authority_.sign_on->enrolled.set_totp(principal, secret);
            recovery_[principal] = work->hashes;
            authority_.sign_on->memory.forget(principal);
            outcome(details);
          });
        },
        [work, reply](const Result<void>& done) {
          reply(done ? SelfText{"Enrolled. Recovery codes, each good once:\n" + work->codes, 0, {}} : told(done.error()));
        });
  });
}

void EnrolmentDesk::use_recovery_code(const std::string& principal, const Secret& code, std::function<void(bool)> done) {
  std::string text;
  for (const char c : code.reveal_text())
    if (c != ' ') text += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  const std::string hash = hash_of(text);
  OPENSSL_cleanse(text.data(), text.size());
  const auto hers = recovery_.find(principal);
  if (hers == recovery_.end() || hers->second.erase(hash) == 0) return done(false);
  authority_.note("recovery_code.used", EventJson().text("principal", principal).number("left", static_cast<std::int64_t>(hers->second.size())).flag("alarm", true));
  authority_.store->change_enrolments({}, {{"recovery", principal, hash, {}, 0}}, {}, [done = std::move(done)](const Result<void>& removed) { done(removed.has_value()); });
}

// ---------------------------------------------------------------- certificates for logins

void EnrolmentDesk::certify(const std::string& principal, const std::string& key_line, std::chrono::seconds lasts, const std::string& source,
                            std::vector<policy::ProvenFactor> factors, Done<std::string> done) {
  const policy::Principal* person = authority_.snapshot->find_principal(principal);
  if (person == nullptr || person->type != policy::PrincipalType::person) return done(fail(Errc::denied, "certificates are for people of the policy"));
  const auto key = crypto::SshPublicKey::parse_line(key_line);
  if (!key) return done(fail(Errc::invalid, "this is no plain public key: " + key.error().detail));
  if (!source.empty() && !Network::parse(source) && !IpAddress::parse(source)) return done(fail(Errc::invalid, "`" + printable(source.substr(0, 60)) + "` is no network"));
  const auto longest = std::chrono::duration_cast<std::chrono::seconds>(authority_.settings.duration("login_certificate_ms", std::chrono::hours(8)));
  if (lasts > longest) return done(fail(Errc::invalid, "a certificate lasts " + std::to_string(longest.count() / 60) + " minutes at most here"));
  const WallTime now = authority_.clock.wall();
  policy::IssuedCertificate certificate;
  certificate.principal = principal;
  certificate.fingerprint = key->fingerprint();
  certificate.issued = now;
  certificate.expires = now + (lasts.count() > 0 ? lasts : longest);
  if (person->expires) certificate.expires = std::min(certificate.expires, *person->expires);
  std::erase_if(factors, [](const policy::ProvenFactor& f) { return f.kind == policy::FactorKind::key || f.kind == policy::FactorKind::certificate; });
  certificate.factors = std::move(factors);
  last_serial_ = std::max(last_serial_ + 1, authority_.now_us());
  certificate.serial = static_cast<std::uint64_t>(last_serial_);
  control::Envelope question;
  auto* body = question.mutable_sign_certificate();
  body->set_session("login:" + principal);
  body->set_public_key(std::string(text_of(key->blob())));
  body->add_principals(principal);
  body->set_serial(certificate.serial);
  const auto seconds = [](WallTime moment) { return std::chrono::duration_cast<std::chrono::seconds>(moment.time_since_epoch()).count(); };
  body->set_valid_after(seconds(now) - 60);
  body->set_valid_before(seconds(certificate.expires));
  if (!source.empty()) body->add_source_addresses(source);
  for (const char* extension : {"permit-X11-forwarding", "permit-agent-forwarding", "permit-port-forwarding", "permit-pty"}) body->add_extensions(extension);
  body->set_ca("login");
  EventJson details;
  details.text("for", principal).text("fingerprint", certificate.fingerprint).number("serial", last_serial_).number("expires_us", certificate.expires.time_since_epoch().count()).text("source_address", source);
  auto line = std::make_shared<std::string>();
  auto asked = std::make_shared<control::Envelope>(std::move(question));
  run_act(
      authority_, herself(principal, source), "certificate.issue", details,
      [this, asked, certificate, details, line](const std::string& intent, std::uint64_t, const std::function<void(Result<EventJson>)>& outcome) {
        authority_.vault.ask(std::move(*asked), [this, intent, certificate, details, line, outcome](Result<control::Received> answer) {
          if (!answer) return outcome(tl::unexpected(answer.error()));
          const std::string& blob = answer->envelope.signed_certificate().certificate();
          crypto::SshReader reader(blob);
          *line = std::string(reader.text()) + " " + crypto::to_base64(bytes_of(blob)) + " login:" + certificate.principal;
          EnrolmentRow row{"certificate", certificate.principal, std::to_string(certificate.serial),
                           certificate.fingerprint + " " + std::to_string(certificate.expires.time_since_epoch().count()) + " 0 " + policy::encode_factors(certificate.factors), authority_.now_us()};
          authority_.store->change_enrolments({std::move(row)}, {}, intent, [this, certificate, details, outcome](const Result<void>& stored) {
            if (!stored) return outcome(tl::unexpected(stored.error()));
            authority_.sign_on->enrolled.forget_certificates_before(authority_.now());
            authority_.sign_on->enrolled.add_certificate(certificate);
            learn_login_ca();
            outcome(details);
          });
        });
      },
      [line, done = std::move(done)](const Result<void>& issued) {
        if (!issued) return done(tl::unexpected(issued.error()));
        done(*line);
      });
}

void EnrolmentDesk::on_locked(const std::string& principal) {
  policy::Enrolments& enrolled = authority_.sign_on->enrolled;
  std::vector<EnrolmentRow> revoked;
  for (const auto& [serial, certificate] : enrolled.certificates())
    if (certificate.principal == principal && !certificate.revoked)
      revoked.push_back({"certificate", principal, std::to_string(serial),
                         certificate.fingerprint + " " + std::to_string(certificate.expires.time_since_epoch().count()) + " 1 " + policy::encode_factors(certificate.factors),
                         certificate.issued.time_since_epoch().count()});
  authority_.sign_on->memory.forget(principal);
  authority_.sign_on->web.close_all_of(principal, "the principal was locked, or her factors were taken away");
  if (revoked.empty()) return;
  enrolled.revoke_certificates(principal);
  authority_.note("certificate.revoked", EventJson().text("principal", principal).number("count", static_cast<std::int64_t>(revoked.size())));
  authority_.store->change_enrolments(std::move(revoked), {}, {}, [](const Result<void>& stored) {
    if (!stored) os::log_line(os::LogEvent::authority_store_failed, "revoked certificates could not be stored: " + stored.error().detail);
  });
}

}  // namespace sallyport::authority
