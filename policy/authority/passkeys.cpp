#include "policy/authority/passkeys.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "platform/crypto/base64.h"
#include "platform/crypto/hash.h"
#include "platform/model/bytes.h"
#include "policy/authority/sign_on.h"

namespace sallyport::authority {
namespace {

constexpr std::size_t k_most_challenges = 2000;
constexpr std::size_t k_most_passkeys = 20;
constexpr std::size_t k_most_name = 60;
constexpr std::chrono::minutes k_challenge_lasts{2};

template <class T>
std::optional<T> number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? std::optional<T>(value) : std::nullopt;
}

std::string_view name_of(passkey::Algorithm algorithm) {
  switch (algorithm) {
    case passkey::Algorithm::es256: return "ES256";
    case passkey::Algorithm::eddsa: return "EdDSA";
    case passkey::Algorithm::rs256: return "RS256";
  }
  return "";
}

std::string text_id(std::string_view id) { return crypto::to_base64url(bytes_of(id)); }

}  // namespace

EnrolmentRow row_of(std::string_view principal, const policy::Passkey& passkey) {
  std::string value = std::to_string(passkey.algorithm) + " " + std::to_string(passkey.counter) + " " + std::to_string(passkey.used.time_since_epoch().count());
  value += " " + crypto::to_base64url(bytes_of(passkey.public_key)) + " " + passkey.name;
  return {"passkey", std::string(principal), text_id(passkey.id), std::move(value), passkey.enrolled.time_since_epoch().count()};
}

std::optional<policy::Passkey> passkey_of(const EnrolmentRow& row) {
  std::string_view rest = row.value;
  const auto next = [&] {
    const auto blank = rest.find(' ');
    const std::string_view word = rest.substr(0, blank);
    rest = blank == std::string_view::npos ? std::string_view{} : rest.substr(blank + 1);
    return word;
  };
  const auto algorithm = number<int>(next());
  const auto counter = number<std::uint32_t>(next());
  const auto used = number<std::int64_t>(next());
  const auto key = crypto::from_base64url(next());
  const auto id = crypto::from_base64url(row.id);
  if (!algorithm || !passkey::is_algorithm(*algorithm) || !counter || !used || !key || !id) return std::nullopt;
  policy::Passkey passkey;
  passkey.id = std::string(text_of(*id));
  passkey.name = std::string(rest);
  passkey.algorithm = *algorithm;
  passkey.public_key = std::string(text_of(*key));
  passkey.counter = *counter;
  passkey.enrolled = WallTime(std::chrono::microseconds(row.at_us));
  passkey.used = WallTime(std::chrono::microseconds(*used));
  return passkey;
}

Result<void> PasskeyDesk::use(std::string_view origin) {
  if (origin.empty()) return {};
  auto parsed = passkey::parse_origin(origin);
  if (!parsed) return fail(Errc::invalid, "admin.origin: `" + printable(origin) + "`: " + parsed.error().detail);
  origin_ = std::move(*parsed);
  return {};
}

Result<std::string> PasskeyDesk::challenge_for(const std::string& place) {
  const BootTime now = authority_.clock.boot();
  std::erase_if(challenges_, [&](const auto& one) { return now - one.second.began > k_challenge_lasts; });
  if (challenges_.size() >= k_most_challenges && !challenges_.contains(place)) return fail(Errc::unavailable, "SP-7010 too many passkeys are asked for");
  std::array<std::byte, 32> bytes{};
  authority_.random.fill(bytes);
  std::string text = crypto::to_base64url(bytes);
  challenges_[place] = {text, now};
  return text;
}

std::string PasskeyDesk::take_challenge(const std::string& place) {
  const auto found = challenges_.find(place);
  if (found == challenges_.end()) return {};
  const Challenge challenge = std::move(found->second);
  challenges_.erase(found);
  return authority_.clock.boot() - challenge.began > k_challenge_lasts ? std::string() : challenge.text;
}

Result<PasskeyAsk> PasskeyDesk::begin_make(const Operator& who) {
  const policy::Principal* person = authority_.snapshot->find_principal(who.principal);
  if (!has_origin()) return fail(Errc::conflict, "SP-9312");
  if (person == nullptr || !policy::may_enrol(*person, "passkeys")) {
    authority_.note("enrolment.refused", EventJson().text("principal", who.principal).text("what", "passkey").text("decision", "deny").text("code", "SP-9307"));
    return fail(Errc::denied, "SP-9307");
  }
  auto challenge = challenge_for("make:" + who.web_session);
  if (!challenge) return tl::unexpected(challenge.error());
  PasskeyAsk ask;
  ask.challenge = std::move(*challenge);
  ask.host = origin_.host;
  ask.user = crypto::to_base64url(crypto::sha256("sallyport person " + who.principal));
  ask.principal = who.principal;
  ask.verified = policy::wants_verified_passkeys(*person);
  for (const policy::Passkey& one : authority_.sign_on->enrolled.passkeys_of(who.principal)) ask.ids.push_back(text_id(one.id));
  return ask;
}

void PasskeyDesk::finish_make(const Operator& who, const std::string& name, const PasskeyShown& shown, Done<std::string> done) {
  const std::string& principal = who.principal;
  policy::Enrolments& enrolled = authority_.sign_on->enrolled;
  const policy::Principal* person = authority_.snapshot->find_principal(principal);
  const std::string challenge = take_challenge("make:" + who.web_session);
  const auto refuse = [&](const std::string& code, const std::string& reason) {
    authority_.note("enrolment.refused", EventJson().text("principal", principal).text("what", "passkey").text("web_session", who.web_session).text("reason", reason).text("decision", "deny").text("code", code));
    done(fail(Errc::denied, code + " " + reason));
  };
  if (person == nullptr || !policy::may_enrol(*person, "passkeys")) return refuse("SP-9307", "the policy does not let her");
  if (challenge.empty()) return refuse("SP-9304", "no passkey is being made, or it took too long");
  if (name.empty() || name.size() > k_most_name || printable(name) != name) return done(fail(Errc::invalid, "SP-7001 the name has 1 to 60 printable characters"));
  const auto made = passkey::check_made({origin_, challenge, policy::wants_verified_passkeys(*person)}, shown.client_data, shown.authenticator_data);
  if (!made) return refuse("SP-9311", made.error().detail);
  if (enrolled.passkeys_of(principal).size() >= k_most_passkeys) return refuse("SP-7004", "20 passkeys are the most");
  if (enrolled.owns_passkey(made->id)) return refuse("SP-7004", "this passkey is enrolled already");
  struct Work {
    policy::Passkey passkey;
    RecoveryCodes codes;
  };
  auto work = std::make_shared<Work>();
  work->passkey = {made->id, name, static_cast<int>(made->algorithm), made->public_key, made->counter, authority_.now(), {}};
  if (authority_.sign_on->codes.recovery_left(principal) == 0) work->codes = authority_.sign_on->codes.make_recovery(principal);
  work->codes.put.push_back(row_of(principal, work->passkey));
  EventJson details;
  details.text("for", principal).text("what", "passkey added").text("passkey", text_id(made->id)).text("device", name).text("algorithm", name_of(made->algorithm));
  details.flag("verified", made->flags.verified).flag("portable", made->flags.portable).number("recovery_codes", static_cast<std::int64_t>(work->codes.hashes.size()));
  run_act(
      authority_, who, "enrolment.change", details,
      [this, work, principal, details](const std::string& intent, std::uint64_t, const std::function<void(Result<EventJson>)>& outcome) {
        authority_.store->change_enrolments(work->codes.put, work->codes.remove, intent, [this, work, principal, details, outcome](const Result<void>& stored) {
          if (!stored) return outcome(tl::unexpected(stored.error()));
          authority_.sign_on->enrolled.add_passkey(principal, work->passkey);
          if (!work->codes.hashes.empty()) authority_.sign_on->codes.take_recovery(principal, work->codes);
          outcome(details);
        });
      },
      [work, done](const Result<void>& result) {
        if (!result) return done(fail(result.error().code, "SP-4004 " + result.error().detail));
        done(work->codes.text);
      });
}

void PasskeyDesk::remove(const Operator& who, const std::string& id, Done<void> done) {
  const auto& hers = authority_.sign_on->enrolled.passkeys_of(who.principal);
  const auto found = std::find_if(hers.begin(), hers.end(), [&](const policy::Passkey& one) { return text_id(one.id) == id; });
  if (found == hers.end()) return done(fail(Errc::not_found, "you have no such passkey"));
  EventJson details;
  details.text("for", who.principal).text("what", "passkey removed").text("passkey", id).text("device", found->name);
  run_act(
      authority_, who, "enrolment.change", details,
      [this, raw = found->id, id, principal = who.principal, details](const std::string& intent, std::uint64_t, const std::function<void(Result<EventJson>)>& outcome) {
        authority_.store->change_enrolments({}, {{"passkey", principal, id, {}, 0}}, intent, [this, raw, principal, details, outcome](const Result<void>& stored) {
          if (!stored) return outcome(tl::unexpected(stored.error()));
          authority_.sign_on->enrolled.remove_passkey(principal, raw);
          outcome(details);
        });
      },
      std::move(done));
}

Result<PasskeyAsk> PasskeyDesk::begin_show(const std::string& place, const std::string& principal) {
  const policy::Principal* person = authority_.snapshot->find_principal(principal);
  if (!has_origin()) return fail(Errc::conflict, "SP-9312");
  if (person == nullptr || !authority_.sign_on->enrolled.has_passkeys(*person)) return fail(Errc::denied, "SP-9311 no passkey is enrolled");
  auto challenge = challenge_for(place);
  if (!challenge) return tl::unexpected(challenge.error());
  PasskeyAsk ask;
  ask.challenge = std::move(*challenge);
  ask.host = origin_.host;
  ask.principal = principal;
  ask.verified = policy::wants_verified_passkeys(*person);
  for (const policy::Passkey& one : authority_.sign_on->enrolled.passkeys_of(principal)) ask.ids.push_back(text_id(one.id));
  return ask;
}

void PasskeyDesk::finish_show(const std::string& place, const std::string& principal, const PasskeyShown& shown, Done<policy::ProvenFactor> done) {
  const policy::Principal* person = authority_.snapshot->find_principal(principal);
  const std::string challenge = take_challenge(place);
  if (challenge.empty()) return done(fail(Errc::denied, "SP-9304 no passkey was asked for, or it took too long"));
  if (person == nullptr || !authority_.sign_on->enrolled.has_passkeys(*person)) return done(fail(Errc::denied, "SP-9311 no passkey is enrolled"));
  const auto& hers = authority_.sign_on->enrolled.passkeys_of(principal);
  const auto found = std::find_if(hers.begin(), hers.end(), [&](const policy::Passkey& one) { return one.id == shown.id; });
  if (found == hers.end()) return done(fail(Errc::denied, "SP-9311 not one of her passkeys"));
  const auto proven = passkey::check_shown({origin_, challenge, policy::wants_verified_passkeys(*person)}, static_cast<passkey::Algorithm>(found->algorithm), found->public_key,
                                           shown.client_data, shown.authenticator_data, shown.signature);
  if (!proven) return done(fail(Errc::denied, "SP-9311 " + proven.error().detail));
  if (!passkey::is_counted_on(found->counter, proven->counter)) {
    authority_.note("passkey.counted_back", EventJson().text("principal", principal).text("passkey", text_id(found->id)).text("device", found->name).number("known", found->counter)
                                                .number("shown", proven->counter).text("decision", "deny").text("code", "SP-9313").flag("alarm", true));
    return done(fail(Errc::denied, "SP-9313 the device's counter went back"));
  }
  const WallTime now = authority_.now();
  authority_.sign_on->enrolled.use_passkey(principal, shown.id, proven->counter, now);
  policy::Passkey used = *found;
  used.counter = proven->counter;
  used.used = now;
  const policy::ProvenFactor factor{policy::FactorKind::passkey, now, proven->flags.verified, !proven->flags.portable};
  // The counter stands before it counts: after a restart an older one is refused as well.
  authority_.store->use_enrolment(row_of(principal, used), [factor, done = std::move(done)](const Result<void>& stored) {
    if (!stored && stored.error().code == Errc::denied) return done(fail(Errc::denied, "SP-9311 the passkey was removed meanwhile"));
    if (!stored) return done(fail(stored.error().code, "SP-4004 " + stored.error().detail));
    done(factor);
  });
}

}  // namespace sallyport::authority
