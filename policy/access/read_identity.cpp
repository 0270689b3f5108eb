// Principals, groups and trusted CAs out of a policy file.
#include <algorithm>

#include "platform/crypto/hash.h"
#include "platform/crypto/hex.h"
#include "platform/crypto/krl.h"
#include "platform/crypto/ssh_public_key.h"
#include "policy/access/read_documents.h"
#include "policy/access/suggest.h"
#include "policy/identity/login.h"
#include "policy/identity/password.h"

namespace sallyport::policy {
namespace {

bool is_secret_name(std::string_view text) {
  return !text.empty() && text.size() <= 200 && std::all_of(text.begin(), text.end(), [](unsigned char c) { return c > 0x20 && c < 0x7f; });
}

}  // namespace

std::optional<LoginKey> read_key(const Spot& spot) {
  const auto line = spot.text();
  if (!line) return std::nullopt;
  const auto parsed = crypto::parse_authorized_key(*line);
  if (!parsed) {
    spot.complain("not a public key: " + parsed.error().detail);
    return std::nullopt;
  }
  if (!parsed->key) {
    spot.complain("this is a certificate; list its CA under `trusted_user_cas`, or the plain key here");
    return std::nullopt;
  }
  LoginKey key;
  key.blob = std::string(text_of(parsed->blob));
  key.algorithm = std::string(parsed->key->name());
  key.fingerprint = parsed->key->fingerprint();
  key.comment = parsed->comment;
  key.place = spot.place();
  for (const auto& [option, value] : parsed->options) {
    if (option == "from") {
      if (const auto list = crypto::address_matches(value, "192.0.2.1"); !list) {
        spot.complain("from=: " + list.error().detail);
        return std::nullopt;
      }
      key.from = value;
    } else if (option == "expiry-time") {
      const auto seconds = crypto::parse_ssh_time(value);
      if (!seconds) {
        spot.complain("expiry-time=: " + seconds.error().detail);
        return std::nullopt;
      }
      key.expires = WallTime(std::chrono::seconds(*seconds));
    } else if (option == "verify-required") {
      key.verify_required = true;
    } else {
      spot.complain("the key option `" + option.substr(0, 64) + "` is not supported; from=, expiry-time= and verify-required are");
      return std::nullopt;
    }
  }
  return key;
}

std::string read_name(const Spot& spot, std::string_view what) {
  const auto field = spot.field("name");
  if (!field) {
    spot.complain("this " + std::string(what) + " has no `name`");
    return {};
  }
  const auto name = field->text();
  if (!name) return {};
  if (is_name(*name)) return *name;
  field->complain("a name has 1 to 63 characters of a-z, 0-9, `_`, `.`, `-` and begins with a letter or digit");
  return {};
}

std::vector<Network> read_networks(const Spot& spot) {
  std::vector<Network> networks;
  spot.each([&](const Spot& item) {
    const auto text = item.text();
    if (!text) return;
    if (const auto network = Network::parse(*text)) {
      networks.push_back(*network);
    } else {
      item.complain("a network is needed here, like 10.0.0.0/8, 2001:db8::/32 or one address (bits after the prefix must be zero)");
    }
  });
  return networks;
}

void read_principal(ReadState& state, const Spot& spot) {
  if (!spot.is_map_of({"name", "type", "display", "keys", "password", "totp", "factors", "networks", "commands", "groups", "enrol", "directory", "expires"})) return;
  Principal p;
  p.place = spot.place();
  p.name = PrincipalId(read_name(spot, "principal"));
  if (const auto type = spot.field("type")) {
    const auto text = type->text();
    if (text && *text == "machine") {
      p.type = PrincipalType::machine;
    } else if (text && *text != "person") {
      type->complain("`type` is person or machine");
    }
  }
  if (const auto display = spot.field("display")) p.display = display->text().value_or("");
  if (const auto keys = spot.field("keys")) {
    keys->each([&](const Spot& item) {
      if (auto key = read_key(item)) p.keys.push_back(*std::move(key));
    });
  }
  if (const auto password = spot.field("password")) {
    p.password_hash = password->text().value_or("");
    if (const auto right = check_password_hash(p.password_hash); !right) password->complain(right.error().detail);
  }
  if (const auto totp = spot.field("totp")) {
    p.totp_secret = totp->text().value_or("");
    if (!is_secret_name(p.totp_secret)) totp->complain("`totp` is the name of a secret in the vault");
  }
  if (const auto factors = spot.field("factors")) p.factors = static_cast<unsigned>(factors->number(1, 3).value_or(1));
  if (const auto networks = spot.field("networks")) p.networks = read_networks(*networks);
  if (const auto commands = spot.field("commands")) {
    commands->each([&](const Spot& item) {
      const auto text = item.text();
      if (!text) return;
      auto command = CommandTemplate::parse(*text);
      if (command) {
        p.commands.push_back(*std::move(command));
      } else {
        item.complain(command.error().detail);
      }
    });
  }
  if (const auto groups = spot.field("groups")) {
    groups->each([&](const Spot& item) {
      const auto name = item.text();
      if (!name) return;
      state.refer(Reference::Kind::group, item, *name);
      p.groups.push_back(*name);
    });
  }
  if (const auto enrol = spot.field("enrol")) {
    enrol->each([&](const Spot& item) {
      const auto kind = item.text();
      if (!kind) return;
      if (*kind == "keys" || *kind == "totp" || *kind == "passkeys" || *kind == "verified-passkeys") {
        p.enrol.push_back(*kind);
      } else {
        item.complain("what a person may enrol herself is keys, totp, passkeys or verified-passkeys");
      }
    });
    std::sort(p.enrol.begin(), p.enrol.end());
    p.enrol.erase(std::unique(p.enrol.begin(), p.enrol.end()), p.enrol.end());
  }
  if (const auto directory = spot.field("directory")) {
    directory->each([&](const Spot& item) {
      const auto what = item.text();
      if (!what) return;
      if (*what != "groups" && *what != "password") return item.complain("what a directory says of a person is groups or password");
      p.directory.push_back(*what);
    });
    std::sort(p.directory.begin(), p.directory.end());
    p.directory.erase(std::unique(p.directory.begin(), p.directory.end()), p.directory.end());
    if (asks_directory(p, "password") && !p.password_hash.empty()) directory->complain("the password is the directory's or the one of `password`, not both");
  }
  if (const auto expires = spot.field("expires")) p.expires = expires->moment();
  state.documents->principals.push_back(std::move(p));
}

void read_user_ca(ReadState& state, const Spot& spot) {
  if (!spot.is_map_of({"name", "key", "krl"})) return;
  TrustedCa ca;
  ca.place = spot.place();
  ca.name = read_name(spot, "CA");
  if (const auto key = spot.field("key")) {
    if (const auto line = key->text()) {
      const auto parsed = crypto::SshPublicKey::parse_line(*line);
      if (parsed) {
        ca.blob = std::string(text_of(parsed->blob()));
        ca.fingerprint = parsed->fingerprint();
      } else {
        key->complain("not a plain public key: " + parsed.error().detail);
      }
    }
  } else {
    spot.complain("this CA has no `key`");
  }
  if (const auto krl = spot.field("krl")) {
    ca.krl_file = krl->text().value_or("");
    const auto file = std::find_if(state.files.begin(), state.files.end(), [&](const SourceFile& f) {
      return f.name == ca.krl_file || (f.name.ends_with(ca.krl_file) && f.name.size() > ca.krl_file.size() && f.name[f.name.size() - ca.krl_file.size() - 1] == '/');
    });
    if (ca.krl_file.empty() || file == state.files.end()) {
      krl->complain("there is no file `" + ca.krl_file + "` beside the policy files");
    } else {
      auto parsed = crypto::Krl::parse(bytes_of(file->content));
      if (parsed) {
        ca.krl = std::make_shared<const crypto::Krl>(*std::move(parsed));
        ca.krl_digest = crypto::to_hex(crypto::sha256(bytes_of(file->content)));
      } else {
        krl->complain("`" + ca.krl_file + "` is not a revocation list: " + parsed.error().detail);
      }
    }
  }
  state.documents->trusted_user_cas.push_back(std::move(ca));
}

void read_group(ReadState& state, const Spot& spot) {
  if (!spot.is_map_of({"name", "members"})) return;
  Group group;
  group.place = spot.place();
  group.name = read_name(spot, "group");
  if (const auto members = spot.field("members")) {
    members->each([&](const Spot& item) {
      const auto name = item.text();
      if (!name) return;
      state.refer(Reference::Kind::principal, item, *name);
      group.members.emplace_back(*name);
    });
  }
  state.documents->groups.push_back(std::move(group));
}

}  // namespace sallyport::policy
