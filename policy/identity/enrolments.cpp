#include "policy/identity/enrolments.h"

#include <algorithm>

namespace sallyport::policy {

bool may_enrol(const Principal& principal, std::string_view kind) {
  if (kind == "passkeys" && wants_verified_passkeys(principal)) return true;
  return std::find(principal.enrol.begin(), principal.enrol.end(), kind) != principal.enrol.end();
}

bool wants_verified_passkeys(const Principal& principal) {
  return std::find(principal.enrol.begin(), principal.enrol.end(), "verified-passkeys") != principal.enrol.end();
}

void Enrolments::add_passkey(std::string_view principal, Passkey passkey) { passkeys_[std::string(principal)].push_back(std::move(passkey)); }

bool Enrolments::owns_passkey(std::string_view id) const {
  return std::any_of(passkeys_.begin(), passkeys_.end(), [&](const auto& hers) {
    return std::any_of(hers.second.begin(), hers.second.end(), [&](const Passkey& one) { return one.id == id; });
  });
}

bool Enrolments::remove_passkey(std::string_view principal, std::string_view id) {
  const auto found = passkeys_.find(principal);
  if (found == passkeys_.end() || std::erase_if(found->second, [&](const Passkey& one) { return one.id == id; }) == 0) return false;
  if (found->second.empty()) passkeys_.erase(found);
  return true;
}

void Enrolments::use_passkey(std::string_view principal, std::string_view id, std::uint32_t counter, WallTime now) {
  const auto found = passkeys_.find(principal);
  if (found == passkeys_.end()) return;
  for (Passkey& one : found->second) {
    if (one.id != id) continue;
    one.counter = counter;
    one.used = now;
  }
}

const std::vector<Passkey>& Enrolments::passkeys_of(std::string_view principal) const {
  static const std::vector<Passkey> k_none;
  const auto found = passkeys_.find(principal);
  return found == passkeys_.end() ? k_none : found->second;
}

bool Enrolments::has_passkeys(const Principal& principal) const { return may_enrol(principal, "passkeys") && !passkeys_of(principal.name.view()).empty(); }

void Enrolments::add_key(std::string_view principal, LoginKey key) {
  if (owners_.contains(key.blob)) return;
  owners_.emplace(key.blob, std::string(principal));
  keys_[std::string(principal)].push_back(std::move(key));
}

bool Enrolments::remove_key(std::string_view principal, std::string_view fingerprint) {
  const auto found = keys_.find(principal);
  if (found == keys_.end()) return false;
  const auto key = std::find_if(found->second.begin(), found->second.end(), [&](const LoginKey& one) { return one.fingerprint == fingerprint; });
  if (key == found->second.end()) return false;
  owners_.erase(key->blob);
  found->second.erase(key);
  return true;
}

void Enrolments::set_totp(std::string_view principal, std::string secret) {
  if (secret.empty()) {
    if (const auto found = totp_.find(principal); found != totp_.end()) totp_.erase(found);
    return;
  }
  totp_[std::string(principal)] = std::move(secret);
}

void Enrolments::forget(std::string_view principal) {
  if (const auto found = keys_.find(principal); found != keys_.end()) {
    for (const LoginKey& key : found->second) owners_.erase(key.blob);
    keys_.erase(found);
  }
  set_totp(principal, {});
  if (const auto found = passkeys_.find(principal); found != passkeys_.end()) passkeys_.erase(found);
}

const std::vector<LoginKey>& Enrolments::keys_of(std::string_view principal) const {
  static const std::vector<LoginKey> k_none;
  const auto found = keys_.find(principal);
  return found == keys_.end() ? k_none : found->second;
}

std::string Enrolments::totp_of(std::string_view principal) const {
  const auto found = totp_.find(principal);
  return found == totp_.end() ? std::string() : found->second;
}

const LoginKey* Enrolments::find_key(const Snapshot& snapshot, const Principal& principal, std::string_view blob) const {
  const auto same = [&](const LoginKey& key) { return key.blob == blob; };
  const auto listed = std::find_if(principal.keys.begin(), principal.keys.end(), same);
  if (listed != principal.keys.end()) return &*listed;
  if (!may_enrol(principal, "keys") || snapshot.find_key_owner(blob) != nullptr) return nullptr;
  const auto& own = keys_of(principal.name.view());
  const auto enrolled = std::find_if(own.begin(), own.end(), same);
  return enrolled == own.end() ? nullptr : &*enrolled;
}

const Principal* Enrolments::find_owner(const Snapshot& snapshot, std::string_view blob) const {
  if (const Principal* listed = snapshot.find_key_owner(blob); listed != nullptr) return listed;
  const auto found = owners_.find(blob);
  if (found == owners_.end()) return nullptr;
  const Principal* principal = snapshot.find_principal(found->second);
  return principal != nullptr && may_enrol(*principal, "keys") ? principal : nullptr;
}

bool Enrolments::has_keys(const Principal& principal) const {
  return !principal.keys.empty() || (may_enrol(principal, "keys") && !keys_of(principal.name.view()).empty());
}

std::string Enrolments::totp_secret(const Principal& principal) const {
  if (!principal.totp_secret.empty()) return principal.totp_secret;
  return may_enrol(principal, "totp") ? totp_of(principal.name.view()) : std::string();
}

void Enrolments::add_certificate(IssuedCertificate certificate) { certificates_[certificate.serial] = std::move(certificate); }

void Enrolments::revoke_certificates(std::string_view principal) {
  for (auto& [serial, certificate] : certificates_)
    if (certificate.principal == principal) certificate.revoked = true;
}

void Enrolments::forget_certificates_before(WallTime moment) {
  std::erase_if(certificates_, [&](const auto& one) { return one.second.expires < moment; });
}

const IssuedCertificate* Enrolments::find_certificate(std::uint64_t serial) const {
  const auto found = certificates_.find(serial);
  return found == certificates_.end() ? nullptr : &found->second;
}

void Enrolments::set_groups(std::string_view principal, std::string_view directory, std::vector<std::string> groups, WallTime until) {
  if (!groups.empty()) {
    groups_[std::string(principal)][std::string(directory)] = {std::move(groups), until};
    return;
  }
  const auto found = groups_.find(principal);
  if (found == groups_.end()) return;
  if (const auto one = found->second.find(directory); one != found->second.end()) found->second.erase(one);
  if (found->second.empty()) groups_.erase(found);
}

std::vector<std::string> Enrolments::groups_of(std::string_view principal, WallTime now) const {
  std::vector<std::string> all;
  const auto found = groups_.find(principal);
  if (found == groups_.end()) return all;
  for (const auto& [directory, said] : found->second)
    if (said.until > now) all.insert(all.end(), said.groups.begin(), said.groups.end());
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

std::vector<std::string> Enrolments::groups_by(std::string_view principal, std::string_view directory) const {
  const auto found = groups_.find(principal);
  if (found == groups_.end()) return {};
  const auto one = found->second.find(directory);
  return one == found->second.end() ? std::vector<std::string>() : one->second.groups;
}

WallTime Enrolments::groups_until(std::string_view principal, std::string_view directory) const {
  const auto found = groups_.find(principal);
  if (found == groups_.end()) return {};
  const auto one = found->second.find(directory);
  return one == found->second.end() ? WallTime{} : one->second.until;
}

std::vector<std::string> Enrolments::in_groups_by(std::string_view directory) const {
  std::vector<std::string> names;
  for (const auto& [principal, directories] : groups_)
    if (directories.contains(directory)) names.push_back(principal);
  return names;
}

bool Enrolments::groups_ended_between(WallTime before, WallTime now) const {
  for (const auto& [principal, directories] : groups_)
    for (const auto& [directory, said] : directories)
      if (said.until > before && said.until <= now) return true;
  return false;
}

}  // namespace sallyport::policy
