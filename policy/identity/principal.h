// policy/identity/principal.h -- who: people and machines, their keys and groups, and the CAs we trust to name them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "platform/model/clock.h"
#include "platform/model/ids.h"
#include "platform/model/ip.h"
#include "platform/model/result.h"

namespace sallyport::crypto {
class Krl;
}

namespace sallyport::policy {

/// Where something was written. Lines and columns count from 1; 0 means unknown.
struct Place {
  std::shared_ptr<const std::string> file;
  std::uint32_t line = 0;
  std::uint32_t column = 0;
  [[nodiscard]] std::string str() const;  ///< "policy/roles.yaml:12:5"
};

/// A command that a machine may run. `{name}` stands for one word of letters, digits and `. _ - : @ / + = ,` that does
/// not begin with `-` and holds no `..`; `{name:a|b}` for one of the listed words; everything else is literal.
class CommandTemplate {
 public:
  [[nodiscard]] static Result<CommandTemplate> parse(std::string_view text);
  [[nodiscard]] bool matches(std::string_view command) const;
  [[nodiscard]] const std::string& text() const noexcept { return text_; }

 private:
  struct Piece {
    std::string literal;               ///< used when `is_word` is false
    bool is_word = false;
    std::vector<std::string> choices;  ///< empty: any word
  };
  std::string text_;
  std::vector<Piece> pieces_;
};

/// A public key that proves one principal.
struct LoginKey {
  std::string blob;         ///< SSH wire encoding
  std::string algorithm;    ///< "ssh-ed25519"
  std::string fingerprint;  ///< "SHA256:..."
  std::string comment;
  std::string from;         ///< from="...", a list as sshd(8) describes it; empty: anywhere
  std::optional<WallTime> expires;
  bool verify_required = false;  ///< sk keys: PIN or finger as well; a touch is always required
  Place place;
};

enum class PrincipalType : std::uint8_t { person, machine };

struct Principal {
  PrincipalId name;
  PrincipalType type = PrincipalType::person;
  std::string display;
  std::vector<LoginKey> keys;
  std::string password_hash;  ///< "$argon2id$..." or empty
  std::string totp_secret;    ///< name of a vault secret, or empty
  unsigned factors = 1;       ///< how many different factors a login needs at least
  std::vector<Network> networks;  ///< where it may come from; empty: anywhere (never empty for a machine)
  std::vector<CommandTemplate> commands;  ///< machines
  std::vector<std::string> groups;        ///< resolved, sorted
  std::vector<std::string> enrol;         ///< what she may enrol herself: keys, totp, passkeys, verified-passkeys; sorted
  std::vector<std::string> directory;     ///< what the directory (LDAP) says of her: groups, password; sorted
  std::optional<WallTime> expires;
  Place place;
};

/// Is this left to the directory? "groups", "password".
[[nodiscard]] bool asks_directory(const Principal& principal, std::string_view what);

struct Group {
  std::string name;
  std::vector<PrincipalId> members;  ///< resolved, sorted
  Place place;
};

struct TrustedCa {
  std::string name;
  std::string blob;
  std::string fingerprint;
  std::shared_ptr<const crypto::Krl> krl;  ///< may be null
  std::string krl_file;
  std::string krl_digest;  ///< SHA-256 of the file, hexadecimal
  Place place;
};

}  // namespace sallyport::policy
