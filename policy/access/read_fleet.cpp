// Targets and their accounts out of a policy file.
#include <algorithm>

#include "platform/crypto/ssh_public_key.h"
#include "policy/access/read_documents.h"
#include "policy/identity/login.h"

namespace sallyport::policy {
namespace {

std::vector<HostKey> read_host_keys(const Spot& spot) {
  std::vector<HostKey> keys;
  spot.each([&](const Spot& item) {
    const auto line = item.text();
    if (!line) return;
    const auto parsed = crypto::SshPublicKey::parse_line(*line);
    if (!parsed) {
      item.complain("not a public key: " + parsed.error().detail);
      return;
    }
    keys.push_back(HostKey{std::string(text_of(parsed->blob())), std::string(parsed->name()), parsed->fingerprint()});
  });
  return keys;
}

/// Only {account}, {target} and {instance} between braces.
bool is_principal_template(std::string_view text) {
  if (text.empty() || text.size() > 256) return false;
  while (!text.empty()) {
    const auto c = static_cast<unsigned char>(text.front());
    if (c <= 0x20 || c >= 0x7f || c == ',' || c == '}') return false;
    if (c != '{') {
      text.remove_prefix(1);
      continue;
    }
    const auto words = {std::string_view("{account}"), std::string_view("{target}"), std::string_view("{instance}")};
    const auto word = std::find_if(words.begin(), words.end(), [&](std::string_view w) { return text.starts_with(w); });
    if (word == words.end()) return false;
    text.remove_prefix(word->size());
  }
  return true;
}

std::optional<TargetCredential> read_credential(const Spot& spot) {
  TargetCredential credential;
  if (spot.node().kind == YamlNode::Kind::scalar) {
    if (spot.node().text == "certificate") return credential;
    spot.complain("a credential is `certificate`, `{key: SECRET}` or `{password: SECRET}`");
    return std::nullopt;
  }
  if (!spot.is_map_of({"key", "password"})) return std::nullopt;
  const auto key = spot.field("key");
  const auto password = spot.field("password");
  if (key.has_value() == password.has_value()) {
    spot.complain("a credential names one secret: `{key: SECRET}` or `{password: SECRET}`");
    return std::nullopt;
  }
  credential.kind = key ? TargetCredential::Kind::key : TargetCredential::Kind::password;
  const auto name = key ? key->text() : password->text();
  if (!name) return std::nullopt;
  credential.secret = *name;
  return credential;
}

void read_account(const Spot& spot, Target& target) {
  if (!spot.is_map_of({"name", "credentials", "principals"})) return;
  Account account;
  account.place = spot.place();
  if (const auto name = spot.field("name")) {
    const auto text = name->text();
    if (text && is_account_name(*text)) {
      account.name = AccountName(*text);
    } else if (text) {
      name->complain("an account has 1 to 64 characters of letters, digits and `_.@\\$-`");
    }
  } else {
    spot.complain("this account has no `name`");
  }
  if (const auto credentials = spot.field("credentials")) {
    credentials->each([&](const Spot& item) {
      if (auto credential = read_credential(item)) account.credentials.push_back(*std::move(credential));
    });
  } else {
    account.credentials.push_back(TargetCredential{});
  }
  account.certificate_principals = {"{account}@{target}"};
  if (const auto principals = spot.field("principals")) {
    account.certificate_principals.clear();
    principals->each([&](const Spot& item) {
      const auto text = item.text();
      if (!text) return;
      if (is_principal_template(*text)) {
        account.certificate_principals.push_back(*text);
      } else {
        item.complain("a certificate principal has no blanks or commas, and of braces only {account}, {target} and {instance}");
      }
    });
    if (account.certificate_principals.empty()) principals->complain("a certificate without principals would open every account");
  }
  target.accounts.push_back(std::move(account));
}

}  // namespace

void read_target(ReadState& state, const Spot& spot) {
  if (!spot.is_map_of({"name", "instance", "address", "port", "labels", "host_keys", "host_cas", "allow_networks", "durability", "accounts"})) return;
  Target target;
  target.place = spot.place();
  target.name = TargetId(read_name(spot, "target"));
  if (const auto instance = spot.field("instance")) {
    target.instance = instance->text().value_or("");
    const bool is_right = !target.instance.empty() && target.instance.size() <= 128 &&
                          std::all_of(target.instance.begin(), target.instance.end(), [](unsigned char c) { return c > 0x20 && c < 0x7f && c != ','; });
    if (!is_right) instance->complain("an instance id has 1 to 128 printable characters without blanks and commas");
  }
  if (const auto address = spot.field("address")) {
    const auto text = address->text();
    target.address = text ? canonical_host(*text) : std::string();
    if (text && target.address.empty()) address->complain("a host name or an IP address is needed here");
  } else {
    spot.complain("this target has no `address`");
  }
  if (const auto port = spot.field("port")) target.port = static_cast<std::uint16_t>(port->number(1, 65535).value_or(22));
  if (const auto labels = spot.field("labels")) {
    labels->each_entry([&](const std::string& key, const Spot& key_spot, const Spot& value) {
      const auto text = value.text();
      if (key.empty() || key.size() > 63) key_spot.complain("a label has a name of 1 to 63 characters");
      if (text && text->size() > 128) value.complain("a label's value has at most 128 characters");
      if (text) target.labels[key] = *text;
    });
  }
  if (const auto keys = spot.field("host_keys")) target.host_keys = read_host_keys(*keys);
  if (const auto cas = spot.field("host_cas")) target.host_cas = read_host_keys(*cas);
  if (const auto networks = spot.field("allow_networks")) {
    networks->each([&](const Spot& item) {
      const std::string word = item.text().value_or("");
      if (word == "loopback") {
        target.allow_loopback = true;
      } else if (word == "link-local") {
        target.allow_link_local = true;
      } else if (word == "gateway") {
        target.allow_gateway = true;
      } else {
        item.complain("`allow_networks` lists loopback, link-local and gateway");
      }
    });
  }
  if (const auto durability = spot.field("durability")) {
    const auto text = durability->text();
    if (text && *text == "synced") {
      target.durability = Durability::synced;
    } else if (text && *text != "written") {
      durability->complain("`durability` is written or synced");
    }
  }
  if (const auto accounts = spot.field("accounts")) {
    accounts->each([&](const Spot& item) { read_account(item, target); });
  }
  state.documents->targets.push_back(std::move(target));
}

}  // namespace sallyport::policy
