#include "policy/authority/enrolment.h"

#include <algorithm>
#include <utility>

#include "policy/access/fields.h"
#include "policy/authority/live_sessions.h"
#include "policy/authority/qr_text.h"
#include "policy/authority/row_text.h"
#include "policy/authority/sign_on.h"

namespace sallyport::authority {
namespace {

constexpr std::size_t k_most_groups = 500;
constexpr std::chrono::minutes k_fresh{10};

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
  SignOn& sign_on = *authority_.sign_on;
  policy::Enrolments& enrolled = sign_on.enrolled;
  const WallTime now = authority_.now();
  std::vector<EnrolmentRow> over;
  for (EnrolmentRow& row : rows) {
    bool counts = true;
    if (row.kind == "key") {
      if (auto key = plain_key(row.value)) enrolled.add_key(row.principal, std::move(*key));
    } else if (row.kind == "totp") {
      enrolled.set_totp(row.principal, row.value);
    } else if (row.kind == "passkey") {
      if (auto passkey = passkey_of(row)) enrolled.add_passkey(row.principal, std::move(*passkey));
    } else if (row.kind == "recovery") {
      sign_on.codes.remember_recovery(row.principal, row.id);
    } else if (row.kind == "invite") {
      counts = sign_on.invites.remember(row);
    } else if (row.kind == "certificate") {
      counts = sign_on.certificates.remember(row);
    } else if (row.kind == "groups") {
      const auto parts = split_row(row.value, 2);
      const WallTime until{std::chrono::microseconds(row_number(parts[0]))};
      counts = parts.size() == 2 && until > now;
      if (counts) enrolled.set_groups(row.principal, row.id, split_row(parts[1], k_most_groups), until);
    }
    if (!counts) over.push_back(std::move(row));
  }
  if (!over.empty()) authority_.store->change_enrolments({}, std::move(over), {}, [](const Result<void>&) {});
  sign_on.checks.recovery = [&codes = sign_on.codes](const std::string& principal, const Secret& code, std::function<void(bool)> done) {
    codes.use_recovery(principal, code, std::move(done));
  };
}

void EnrolmentDesk::remove_all(const Operator& who, const std::string& principal, Done<void> done) {
  SignOn& sign_on = *authority_.sign_on;
  const policy::Enrolments& enrolled = sign_on.enrolled;
  const std::size_t count = enrolled.keys_of(principal).size() + enrolled.passkeys_of(principal).size() + (enrolled.totp_of(principal).empty() ? 0 : 1) +
                            sign_on.codes.recovery_left(principal);
  if (count == 0) return done(fail(Errc::not_found, "`" + printable(principal.substr(0, 63)) + "` has enrolled nothing"));
  EventJson details;
  details.text("for", principal).number("removed", static_cast<std::int64_t>(count));
  run_act(
      authority_, who, "enrolment.remove", details,
      [this, principal, details](const std::string& intent, std::uint64_t, const std::function<void(Result<EventJson>)>& outcome) {
        authority_.store->remove_enrolments_of(principal, intent, [this, principal, details, outcome](const Result<void>& removed) {
          if (!removed) return outcome(tl::unexpected(removed.error()));
          SignOn& here = *authority_.sign_on;
          here.codes.drop(here.enrolled.totp_of(principal));
          here.enrolled.forget(principal);
          here.codes.forget_recovery(principal);
          on_locked(principal);
          ++authority_.generation;
          authority_.live->judge_all();
          outcome(details);
        });
      },
      std::move(done));
}

void EnrolmentDesk::on_locked(const std::string& principal) {
  authority_.sign_on->memory.forget(principal);
  authority_.sign_on->web.close_all_of(principal, "the principal was locked, or her factors were taken away");
  authority_.sign_on->certificates.revoke_all(principal);
}

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
    with_fresh_factor(session, words, reply, [this, who = herself(principal, session.row.source), reply] {
      authority_.sign_on->codes.renew_recovery(who, [reply](const Result<std::string>& codes) {
        reply(codes ? SelfText{"Your recovery codes from now on, each good once:\n" + *codes, 0, {}} : told(codes.error()));
      });
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
      authority_.sign_on->certificates.certify(principal, line, lasts, source, here->identity->factors, [reply](const Result<std::string>& certificate) {
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
  text += std::string("one-time code: ") +
          (secret.empty()                ? "none"
           : person->totp_secret.empty() ? "enrolled, " + std::to_string(authority_.sign_on->codes.recovery_left(principal)) + " recovery codes left"
                                         : "in the policy") +
          "\n";
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
  const bool adds = words.plain.size() >= 4 && words.plain[1] == "add";
  const bool removes = words.plain.size() == 3 && words.plain[1] == "remove";
  if (!adds && !removes) return reply({{}, 2, "sallyport: write keys list, keys add \"ssh-ed25519 AAAA... comment\", keys remove SHA256:...\n"});
  std::string line;
  for (std::size_t i = 2; i < words.plain.size(); ++i) line += (i == 2 ? "" : " ") + words.plain[i];
  with_fresh_factor(session, words, reply, [this, who = herself(session.identity->principal.str(), session.row.source), line, adds, reply] {
    OwnKeys& keys = authority_.sign_on->keys;
    if (adds) keys.add(who, line, [reply](const Result<std::string>& added) { reply(added ? SelfText{"Added.\n", 0, {}} : told(added.error())); });
    else keys.remove(who, line, [reply](const Result<void>& removed) { reply(removed ? SelfText{"Removed.\n", 0, {}} : told(removed.error())); });
  });
}

void EnrolmentDesk::enrol_totp(Session& session, const Words& words, const Reply& reply) {
  const Operator who = herself(session.identity->principal.str(), session.row.source);
  if (words.plain.size() < 2 || words.plain.size() > 3 || words.plain[1] != "totp") return reply({{}, 2, "sallyport: write enrol totp, then enrol totp 123456\n"});
  OneTimeCodes& codes = authority_.sign_on->codes;
  if (const auto may = codes.may_enrol(who.principal); !may) {
    authority_.note(session, "enrolment.refused", authority_.event_of(session).text("what", "totp").text("decision", "deny").text("code", "SP-9307"));
    return reply(told(may.error()));
  }
  if (words.plain.size() == 3) {
    return codes.confirm(who, words.plain[2], [reply](const Result<std::string>& recovery) {
      reply(recovery ? SelfText{"Enrolled. Recovery codes, each good once:\n" + *recovery, 0, {}} : told(recovery.error()));
    });
  }
  with_fresh_factor(session, words, reply, [&codes, who, reply] {
    codes.begin(who, [who, reply](const Result<ShownSecret>& shown) {
      if (!shown) return reply(told(shown.error()));
      reply(SelfText{"Scan this with your authenticator app:\n\n" + qr_text(shown->uri) + "\nor give it this line:\n  " + shown->uri +
                         "\n\nThen, within 15 minutes: ssh " + who.principal + "@gateway enrol totp 123456      (123456: what the app shows)\n",
                     0,
                     {}});
    });
  });
}

}  // namespace sallyport::authority
