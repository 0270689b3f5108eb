#include "policy/authority/oidc_sign_on.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <array>
#include <utility>

#include "platform/crypto/base64.h"
#include "platform/crypto/hash.h"
#include "platform/crypto/hex.h"
#include "platform/model/bytes.h"
#include "policy/authority/sign_on.h"

namespace sallyport::authority {
namespace {

constexpr std::size_t k_most_pending = 1000;
constexpr std::size_t k_most_devices = 64;
constexpr std::size_t k_most_devices_of_source = 8;
constexpr std::chrono::minutes k_web_takes{10};
constexpr std::chrono::minutes k_device_takes{10};
constexpr std::chrono::seconds k_round{15};  ///< below what the session process waits for one answer
constexpr std::chrono::seconds k_slow_down{5};
constexpr std::chrono::seconds k_longest_interval{30};

std::string hash_of(std::string_view text) { return crypto::to_hex(crypto::sha256(bytes_of(text))); }

bool same(std::string_view a, std::string_view b) { return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0; }

std::string joined(const std::vector<std::string>& items) {
  std::string text;
  for (const std::string& item : items) text += (text.empty() ? "" : ",") + printable(item);
  return text.substr(0, 1000);
}

}  // namespace

struct OidcSignOn::Device {
  DeviceGrant grant;
  std::string instruction;
  std::string source;
  BootTime until{};
  bool begun = false;
  std::optional<Word> settled;  ///< known, and nobody has heard it yet
  Told waiting;
  Deadlines::Handle round = 0;
};

Result<void> OidcSignOn::use(std::unique_ptr<IdentityProvider> provider) {
  auto groups = GroupMap::parse(authority_.settings.list("oidc_group_map"));
  if (!groups) return fail(Errc::invalid, "oidc.group_map: " + groups.error().detail);
  groups_ = std::move(*groups);
  provider_ = std::move(provider);
  return {};
}

void OidcSignOn::stop() {
  provider_.reset();
  devices_.clear();
  pending_.clear();
}

bool OidcSignOn::has_web() const { return provider_ && !authority_.settings.text("oidc_redirect_uri").empty(); }
bool OidcSignOn::has_ssh() const { return provider_ && authority_.settings.text("oidc_ssh", "first") != "off"; }
bool OidcSignOn::ssh_first() const { return authority_.settings.text("oidc_ssh", "first") == "first"; }

std::string OidcSignOn::random_text() const {
  std::array<std::byte, 32> bytes{};
  authority_.random.fill(bytes);
  return crypto::to_base64url(bytes);
}

// ---------------------------------------------------------------- whom it names

OidcSignOn::Word OidcSignOn::refusal(EventJson facts, std::string_view code, std::string reason) {
  authority_.note("sign_on.refused", facts.text("reason", reason).text("decision", "deny").text("code", code));
  Word word;
  word.state = Word::State::refused;
  word.code = std::string(code);
  word.reason = std::move(reason);
  return word;
}

OidcSignOn::Word OidcSignOn::failure(EventJson facts, const Error& error) {
  const bool away = error.code != Errc::denied;
  Word word = refusal(std::move(facts), away ? "SP-9701" : "SP-9702", printable(error.detail));
  if (away) word.state = Word::State::away;
  return word;
}

Result<std::string> OidcSignOn::principal_of(const policy::OidcIdentity& identity) const {
  const std::string claim = authority_.settings.text("oidc_principal_claim", "preferred_username");
  std::string name = identity.name;
  const std::string domain = authority_.settings.text("oidc_principal_domain");
  // An address that the provider did not check may be anybody's.
  if (claim == "email" && !identity.email_verified) return fail(Errc::denied, "the provider has not verified the address");
  if (!domain.empty()) {
    if (!name.ends_with("@" + domain)) return fail(Errc::denied, "`" + printable(name) + "` is not of " + domain);
    name.resize(name.size() - domain.size() - 1);
  }
  if (!policy::is_name(name)) return fail(Errc::denied, "`" + printable(name) + "` is no name of a principal");
  const policy::Principal* principal = authority_.snapshot->find_principal(name);
  if (principal == nullptr) return fail(Errc::denied, "the policy has no principal `" + name + "`");
  if (principal->type != policy::PrincipalType::person) return fail(Errc::denied, "`" + name + "` is a machine");
  return name;
}

bool OidcSignOn::is_second_factor(const policy::OidcIdentity& identity) const {
  const auto methods = authority_.settings.list("oidc_second_factor_amr");
  const auto classes = authority_.settings.list("oidc_second_factor_acr");
  const bool by_method = std::any_of(identity.amr.begin(), identity.amr.end(), [&](const std::string& one) { return std::find(methods.begin(), methods.end(), one) != methods.end(); });
  return by_method || (!identity.acr.empty() && std::find(classes.begin(), classes.end(), identity.acr) != classes.end());
}

void OidcSignOn::judge(const policy::OidcIdentity& identity, EventJson facts, Told told) {
  facts.text("subject", printable(identity.subject)).text("named", printable(identity.name));
  const auto name = principal_of(identity);
  if (!name) return told(refusal(facts, "SP-9703", name.error().detail));
  const bool second = is_second_factor(identity);
  Word word;
  word.state = Word::State::proven;
  word.principal = PrincipalId(*name);
  word.proven = std::min(WallTime(std::chrono::seconds(identity.authenticated)), authority_.now());
  word.second_factor = second;
  facts.text("principal", *name).text("amr", joined(identity.amr)).text("acr", printable(identity.acr)).flag("second_factor", second);
  const bool maps = !authority_.settings.list("oidc_group_map").empty();
  const auto groups = groups_.map(identity.groups);
  if (maps) facts.text("groups", joined(groups));
  authority_.note("sign_on.proven", facts.text("decision", "allow"));
  if (!maps) return told(std::move(word));
  // A provider that says nothing of groups says that she is in none.
  learn_groups(authority_, *name, "oidc", groups, authority_.settings.duration("oidc_groups_last_ms", std::chrono::hours(12)),
               [this, facts, word = std::move(word), told = std::move(told)](const Result<void>& stored) {
                 if (!stored) return told(refusal(facts, "SP-4004", stored.error().detail));
                 told(word);
               });
}

// ---------------------------------------------------------------- ssh

bool OidcSignOn::is_alive(const std::string& label) const {
  const Session* session = authority_.find(label);
  return session != nullptr && session->link != nullptr && !session->is_logged_in() && session->login != nullptr;
}

void OidcSignOn::sweep() {
  const BootTime now = authority_.clock.boot();
  std::erase_if(pending_, [&](const auto& one) { return now - one.second.began > k_web_takes; });
  std::vector<std::string> gone;
  for (const auto& [label, device] : devices_)
    if (!is_alive(label)) gone.push_back(label);
  for (const std::string& label : gone) {
    authority_.deadlines.cancel(devices_[label]->round);
    devices_.erase(label);
  }
}

std::chrono::milliseconds OidcSignOn::device_lasts(const std::string& label) const {
  const auto found = devices_.find(label);
  return found == devices_.end() ? std::chrono::milliseconds(0) : std::chrono::duration_cast<std::chrono::milliseconds>(found->second->until - authority_.clock.boot());
}

void OidcSignOn::begin_device(const std::string& label, Told told) {
  sweep();
  const Session* session = authority_.find(label);
  if (session == nullptr || !provider_) return;
  EventJson facts = authority_.event_of(*session);
  facts.text("via", "ssh").text("user", printable(session->first_user.substr(0, 100)));
  const auto of_source = std::count_if(devices_.begin(), devices_.end(), [&](const auto& one) { return one.second->source == session->row.source; });
  if (const auto known = devices_.find(label); known != devices_.end() && known->second->begun) {
    // She tried another way meanwhile: the code that she has still counts.
    Word word;
    word.state = Word::State::begun;
    word.instruction = known->second->instruction;
    return told(std::move(word));
  }
  if (devices_.contains(label) || devices_.size() >= k_most_devices || of_source >= static_cast<std::ptrdiff_t>(k_most_devices_of_source))
    return told(refusal(facts, "SP-9707", "too many sign-ons wait"));
  auto device = std::make_shared<Device>();
  device->source = session->row.source;
  devices_[label] = device;
  provider_->begin_device([this, label, facts, told = std::move(told)](Result<DeviceGrant> grant) mutable {
    if (!is_alive(label)) {
      devices_.erase(label);
      return;
    }
    if (!grant) {
      devices_.erase(label);
      return told(failure(facts, grant.error()));
    }
    const auto found = devices_.find(label);
    if (found == devices_.end()) return;
    Device& waits = *found->second;
    waits.grant = std::move(*grant);
    waits.begun = true;
    waits.until = authority_.clock.boot() + std::min<std::chrono::seconds>(waits.grant.expires, k_device_takes);
    authority_.note("sign_on.begun", facts.text("address", printable(waits.grant.address)));
    Word word;
    word.state = Word::State::begun;
    word.instruction = "Sign on in a browser: open " + printable(waits.grant.address) + " and enter the code " + printable(waits.grant.user_code);
    if (!waits.grant.full_address.empty()) word.instruction += "\n(or open " + printable(waits.grant.full_address) + ")";
    word.instruction += "\nThis login goes on by itself once you have.\n";
    waits.instruction = word.instruction;
    static_cast<void>(authority_.deadlines.after(waits.grant.interval, [this, label] { poll(label); }));
    told(std::move(word));
  });
}

void OidcSignOn::poll(const std::string& label) {
  const auto found = devices_.find(label);
  if (found == devices_.end() || !provider_) return;
  const std::shared_ptr<Device> device = found->second;
  if (!is_alive(label)) return sweep();
  EventJson facts = authority_.event_of(*authority_.find(label));
  facts.text("via", "ssh").text("user", printable(authority_.find(label)->first_user.substr(0, 100)));
  if (authority_.clock.boot() >= device->until) return settle(label, refusal(facts, "SP-9704", "nobody signed on in time"));
  provider_->poll_device(device->grant.device_code, [this, label, device, facts](Result<DevicePoll> polled) {
    if (!is_alive(label)) return sweep();
    const auto again = [this, label, device] { static_cast<void>(authority_.deadlines.after(device->grant.interval, [this, label] { poll(label); })); };
    if (!polled) {
      // A provider that is away for a moment is asked again (RFC 8628 section 3.5), more slowly.
      if (polled.error().code == Errc::denied) return settle(label, failure(facts, polled.error()));
      device->grant.interval = std::min(device->grant.interval * 2, k_longest_interval);
      return again();
    }
    switch (polled->state) {
      case DevicePoll::State::slow_down: device->grant.interval = std::min(device->grant.interval + k_slow_down, k_longest_interval); return again();
      case DevicePoll::State::pending: return again();
      case DevicePoll::State::refused: return settle(label, refusal(facts, "SP-9705", "the provider says that it was refused there"));
      case DevicePoll::State::expired: return settle(label, refusal(facts, "SP-9704", "nobody signed on in time"));
      case DevicePoll::State::proven: return judge(polled->identity, facts, [this, label](Word word) { settle(label, std::move(word)); });
    }
  });
}

void OidcSignOn::settle(const std::string& label, Word word) {
  const auto found = devices_.find(label);
  if (found == devices_.end()) return;
  const std::shared_ptr<Device> device = found->second;
  if (!device->waiting) {
    device->settled = std::move(word);
    return;
  }
  authority_.deadlines.cancel(device->round);
  devices_.erase(found);
  std::exchange(device->waiting, nullptr)(std::move(word));
}

void OidcSignOn::wait_device(const std::string& label, Told told) {
  const auto found = devices_.find(label);
  if (found == devices_.end() || !found->second->begun) {
    Word word;
    word.state = Word::State::refused;
    word.code = "SP-9704";
    word.reason = "no sign-on waits";
    return told(std::move(word));
  }
  const std::shared_ptr<Device> device = found->second;
  device->waiting = std::move(told);
  if (device->settled) return settle(label, Word(*std::exchange(device->settled, std::nullopt)));
  device->round = authority_.deadlines.after(k_round, [device] {
    Word word;
    word.state = Word::State::waiting;
    if (device->waiting) std::exchange(device->waiting, nullptr)(std::move(word));
  });
}

// ---------------------------------------------------------------- a browser

void OidcSignOn::begin_web(const IpAddress& source, const std::string& web_session, std::function<void(Result<WebBegun>)> done) {
  sweep();
  EventJson facts;
  facts.text("via", "web").text("source", source.str()).text("web_session", web_session);
  if (pending_.size() >= k_most_pending) {
    static_cast<void>(refusal(facts, "SP-9707", "too many sign-ons wait"));
    return done(fail(Errc::unavailable, "SP-9707"));
  }
  const std::string state = random_text();
  const std::string binding = random_text();
  Pending pending;
  pending.binding_hash = hash_of(binding);
  pending.nonce = random_text();
  pending.verifier = random_text();
  pending.web_session = web_session;
  pending.began = authority_.clock.boot();
  const std::string challenge = crypto::to_base64url(crypto::sha256(bytes_of(pending.verifier)));
  const std::string nonce = pending.nonce;
  pending_[hash_of(state)] = std::move(pending);
  provider_->begin_web(state, nonce, challenge, !web_session.empty(), [this, state, binding, facts, done = std::move(done)](Result<std::string> address) {
    if (!address) {
      pending_.erase(hash_of(state));
      const Word word = failure(facts, address.error());
      return done(fail(Errc::unavailable, word.code));
    }
    authority_.note("sign_on.begun", facts);
    done(WebBegun{std::move(*address), binding});
  });
}

void OidcSignOn::finish_web(const WebAnswer& answer, const IpAddress& source, std::function<void(WebProven)> done) {
  sweep();
  EventJson facts;
  facts.text("via", "web").text("source", source.str());
  const auto found = pending_.find(hash_of(answer.state));
  // A state is good once, and in the browser that began alone: else somebody could sign another person's browser on as herself.
  if (found == pending_.end() || answer.binding.empty() || !same(found->second.binding_hash, hash_of(answer.binding)))
    return done({refusal(facts, "SP-9704", found == pending_.end() ? "no such sign-on waits" : "another browser began it"), {}});
  const Pending pending = std::move(found->second);
  pending_.erase(found);
  facts.text("web_session", pending.web_session);
  if (!answer.issuer.empty() && answer.issuer != authority_.settings.text("oidc_issuer"))
    return done({refusal(facts, "SP-9702", "the answer is of another issuer"), pending.web_session});
  if (!answer.error.empty() || answer.code.empty())
    return done({refusal(facts, "SP-9705", "the provider says " + printable(answer.error.empty() ? std::string("nothing") : answer.error.substr(0, 100))), pending.web_session});
  provider_->redeem(answer.code, pending.verifier, pending.nonce, !pending.web_session.empty(),
                    [this, facts, web_session = pending.web_session, done = std::move(done)](const Result<policy::OidcIdentity>& identity) {
                      if (!identity) return done({failure(facts, identity.error()), web_session});
                      judge(*identity, facts, [web_session, done](Word word) { done({std::move(word), web_session}); });
                    });
}

}  // namespace sallyport::authority
