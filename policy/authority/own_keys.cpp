#include "policy/authority/own_keys.h"

#include <algorithm>
#include <utility>

#include "platform/crypto/ssh_public_key.h"
#include "platform/model/bytes.h"
#include "policy/authority/live_sessions.h"
#include "policy/authority/sign_on.h"
#include "policy/identity/login_key.h"

namespace sallyport::authority {
namespace {

constexpr std::size_t k_most_keys = 20;

}  // namespace

std::optional<policy::LoginKey> plain_key(const std::string& line) {
  const auto parsed = crypto::parse_authorized_key(line);
  if (!parsed || !parsed->key || !parsed->options.empty()) return std::nullopt;
  policy::LoginKey key;
  key.blob = std::string(text_of(parsed->blob));
  key.algorithm = std::string(parsed->key->name());
  key.fingerprint = parsed->key->fingerprint();
  key.comment = parsed->comment;
  return key;
}

Result<void> OwnKeys::may_change(const Operator& who) {
  const policy::Principal* person = authority_.snapshot->find_principal(who.principal);
  if (person != nullptr && policy::may_enrol(*person, "keys")) return {};
  authority_.note("enrolment.refused", EventJson().text("principal", who.principal).text("what", "keys").text("decision", "deny").text("code", "SP-9307"));
  return fail(Errc::denied, "SP-9307");
}

void OwnKeys::add(const Operator& who, const std::string& line, Done<std::string> done) {
  if (auto may = may_change(who); !may) return done(tl::unexpected(may.error()));
  const policy::Enrolments& enrolled = authority_.sign_on->enrolled;
  const auto key = plain_key(line);
  if (!key) return done(fail(Errc::invalid, "SP-7001 this is no plain public key line"));
  if (enrolled.find_owner(*authority_.snapshot, key->blob) != nullptr) return done(fail(Errc::conflict, "SP-7004 this key is enrolled already"));
  if (enrolled.keys_of(who.principal).size() >= k_most_keys) return done(fail(Errc::conflict, "SP-7004 20 keys are the most"));
  change(who, *key, line, true, [fingerprint = key->fingerprint, done = std::move(done)](const Result<void>& stored) {
    if (!stored) return done(tl::unexpected(stored.error()));
    done(fingerprint);
  });
}

void OwnKeys::remove(const Operator& who, const std::string& fingerprint, Done<void> done) {
  if (auto may = may_change(who); !may) return done(tl::unexpected(may.error()));
  const auto& hers = authority_.sign_on->enrolled.keys_of(who.principal);
  const auto found = std::find_if(hers.begin(), hers.end(), [&](const policy::LoginKey& one) { return one.fingerprint == fingerprint; });
  if (found == hers.end()) return done(fail(Errc::not_found, "SP-7002 you have enrolled no key with this fingerprint; keys of the policy are removed there"));
  change(who, *found, {}, false, [this, dry_run = who.dry_run, done = std::move(done)](const Result<void>& stored) {
    done(stored);
    if (stored && !dry_run) authority_.live->judge_all();  // sessions by that key end, the one that asked too if it is of it
  });
}

void OwnKeys::change(const Operator& who, const policy::LoginKey& key, const std::string& line, bool adds, std::function<void(Result<void>)> done) {
  EventJson details;
  details.text("for", who.principal).text("what", adds ? "key added" : "key removed").text("fingerprint", key.fingerprint);
  run_act(
      authority_, who, "enrolment.change", details,
      [this, principal = who.principal, key, line, adds, details](const std::string& intent, std::uint64_t,
                                                                  const std::function<void(Result<EventJson>)>& outcome) {
        const EnrolmentRow row{"key", principal, key.fingerprint, line, authority_.now_us()};
        using Rows = std::vector<EnrolmentRow>;
        authority_.store->change_enrolments(adds ? Rows{row} : Rows{}, adds ? Rows{} : Rows{row}, intent,
                                            [this, principal, key, adds, details, outcome](const Result<void>& stored) {
                                              if (!stored) return outcome(tl::unexpected(stored.error()));
                                              if (adds) authority_.sign_on->enrolled.add_key(principal, key);
                                              else authority_.sign_on->enrolled.remove_key(principal, key.fingerprint);
                                              ++authority_.generation;
                                              outcome(details);
                                            });
      },
      [done = std::move(done)](const Result<void>& result) {
        if (!result) return done(tl::unexpected(coded(result.error())));
        done({});
      });
}

}  // namespace sallyport::authority
