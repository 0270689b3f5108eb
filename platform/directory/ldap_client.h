// platform/directory/ldap_client.h -- a directory (LDAPv3, RFC 4511) asked over TLS: who is this, is this the password, which groups.
//
// LDAPS, or StartTLS before anything else is sent; the server's certificate is verified against one CA and its name. Blocks: for
// workers only. No referral is followed (another server would get the password), no ldap.conf is read. An answer is at most 4 MiB and
// each step has what is left of the deadline.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "platform/model/result.h"
#include "platform/model/secret.h"

namespace sallyport::directory {

enum class GroupsBy { member, member_of, posix };

struct Place {
  std::string url;  ///< ldaps://host[:port], or ldap://host[:port], which is then asked for StartTLS; several, with spaces between: the next when one is away
  std::string ca_file;
  std::string bind_dn;
  std::string users_base;
  std::string user_attribute = "uid";
  std::string user_filter;      ///< "(objectClass=person)"; empty: none
  std::string groups_base;      ///< empty: groups are not asked for
  std::string group_attribute = "cn";
  GroupsBy groups_by = GroupsBy::member;
  unsigned nested = 5;          ///< how deep groups in groups are followed
  std::chrono::milliseconds patience{5000};  ///< for connecting, and for each question
};

/// Errc::invalid names what is wrong, as the configuration calls it.
[[nodiscard]] Result<void> check_place(const Place& place);

/// Connects, verifies the certificate, asks nothing.
[[nodiscard]] Result<void> reach(const Place& place);

/// A value in a search filter (RFC 4515 section 3): every byte that could mean something is written as \xx.
[[nodiscard]] std::string escape_filter(std::string_view value);
/// A name to compare with (RFC 4514), in lower case; empty when it is none.
[[nodiscard]] std::string normal_name(const std::string& name);

/// One connection, bound as the gateway. Errc::unavailable: it could not be asked, or said what cannot be.
class LdapClient {
 public:
  [[nodiscard]] static Result<LdapClient> open(const Place& place, const Secret& password);
  LdapClient(LdapClient&&) noexcept;
  LdapClient& operator=(LdapClient&&) noexcept;
  ~LdapClient();

  /// The one entry of that name; none when there is none. Errc::denied: there are several, nobody can say which is meant.
  [[nodiscard]] Result<std::optional<std::string>> find(std::string_view name);
  /// Names of all groups, in lower case, sorted, each once.
  [[nodiscard]] Result<std::vector<std::string>> groups_of(const std::string& entry, std::string_view name);
  /// Binds on a connection of its own. An empty password is never right (RFC 4513 section 5.1.2).
  [[nodiscard]] Result<bool> is_password(const std::string& entry, const Secret& password) const;

 private:
  struct State;
  explicit LdapClient(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace sallyport::directory
