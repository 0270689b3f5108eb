#include "platform/directory/ldap_client.h"

#include <ldap.h>
#include <openssl/crypto.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <set>
#include <utility>

namespace sallyport::directory {
namespace {

constexpr ber_len_t k_most_answer = 4 * 1024 * 1024;
constexpr int k_most_entries = 1000;
constexpr std::size_t k_most_groups = 1000;
constexpr std::size_t k_most_at_once = 50;  // groups in one filter

struct CloseLdap {
  void operator()(LDAP* ldap) const noexcept { ldap_unbind_ext_s(ldap, nullptr, nullptr); }
};
using Handle = std::unique_ptr<LDAP, CloseLdap>;

struct FreeMessage {
  void operator()(LDAPMessage* message) const noexcept { ldap_msgfree(message); }
};
using Message = std::unique_ptr<LDAPMessage, FreeMessage>;

timeval timeval_of(std::chrono::milliseconds time) {
  return {std::chrono::duration_cast<std::chrono::seconds>(time).count(), static_cast<suseconds_t>(time.count() % 1000) * 1000};
}

Error away(std::string_view what, int code) { return Error{Errc::unavailable, std::string(what) + ": " + ldap_err2string(code)}; }

Error away(LDAP* ldap, std::string_view what, int code) {
  char* said = nullptr;
  ldap_get_option(ldap, LDAP_OPT_DIAGNOSTIC_MESSAGE, &said);
  Error error = away(what, code);
  if (said != nullptr && *said != '\0') {
    std::string text(said);
    text.resize(std::min<std::size_t>(text.size(), 200));
    std::replace_if(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) > 0x7e; }, '?');
    error.detail += " (" + text + ")";
  }
  ldap_memfree(said);
  return error;
}

/// libldap waits without end for the rest of a message that began: the socket itself has to give up.
int on_connected(LDAP*, Sockbuf* buffer, LDAPURLDesc*, sockaddr*, ldap_conncb* self) {
  int fd = -1;
  if (ber_sockbuf_ctrl(buffer, LBER_SB_OPT_GET_FD, &fd) == 1 && fd >= 0) {
    const auto* patience = static_cast<const timeval*>(self->lc_arg);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, patience, sizeof *patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, patience, sizeof *patience);
  }
  ber_len_t most = k_most_answer;
  ber_sockbuf_ctrl(buffer, LBER_SB_OPT_SET_MAX_INCOMING, &most);
  return 0;
}

void on_closed(LDAP*, Sockbuf*, ldap_conncb*) {}

/// What libldap points to lives as long as the handle.
struct Connection {
  timeval patience{};
  ldap_conncb callbacks{&on_connected, &on_closed, nullptr};
  Handle ldap;
};

Result<std::unique_ptr<Connection>> connect(const Place& place) {
  // Files and variables of the machine must not change what is asked whom.
  static std::once_flag once;
  std::call_once(once, [] { setenv("LDAPNOINIT", "1", 1); });
  auto connection = std::make_unique<Connection>();
  LDAP* raw = nullptr;
  if (const int code = ldap_initialize(&raw, place.url.c_str()); code != LDAP_SUCCESS) return tl::unexpected(away("connect", code));
  connection->ldap.reset(raw);
  connection->patience = timeval_of(place.patience);
  connection->callbacks.lc_arg = &connection->patience;
  const int version = LDAP_VERSION3;
  const int demand = LDAP_OPT_X_TLS_DEMAND;
  const int least = LDAP_OPT_X_TLS_PROTOCOL_TLS1_2;
  const int client = 0;
  int code = LDAP_SUCCESS;
  const auto set = [&](int option, const void* value) {
    if (code == LDAP_SUCCESS) code = ldap_set_option(raw, option, value);
  };
  set(LDAP_OPT_PROTOCOL_VERSION, &version);
  set(LDAP_OPT_NETWORK_TIMEOUT, &connection->patience);
  set(LDAP_OPT_TIMEOUT, &connection->patience);
  set(LDAP_OPT_REFERRALS, LDAP_OPT_OFF);
  set(LDAP_OPT_CONNECT_CB, &connection->callbacks);
  set(LDAP_OPT_X_TLS_CACERTFILE, place.ca_file.c_str());
  set(LDAP_OPT_X_TLS_REQUIRE_CERT, &demand);
  set(LDAP_OPT_X_TLS_PROTOCOL_MIN, &least);
  set(LDAP_OPT_X_TLS_NEWCTX, &client);
  if (code != LDAP_SUCCESS) return tl::unexpected(away("TLS settings", code));
  if (place.url.starts_with("ldap://")) {
    code = ldap_start_tls_s(raw, nullptr, nullptr);
    if (code != LDAP_SUCCESS) return tl::unexpected(away(raw, "StartTLS", code));
  }
  return connection;
}

/// The code of the answer; LDAP_TIMEOUT when none came.
int wait(LDAP* ldap, int id, const timeval& patience, Message& answer) {
  timeval left = patience;
  LDAPMessage* raw = nullptr;
  const int kind = ldap_result(ldap, id, LDAP_MSG_ALL, &left, &raw);
  answer.reset(raw);
  if (kind == 0) {
    ldap_abandon_ext(ldap, id, nullptr, nullptr);
    return LDAP_TIMEOUT;
  }
  int code = LDAP_SUCCESS;
  if (kind < 0) {
    ldap_get_option(ldap, LDAP_OPT_RESULT_CODE, &code);
    return code == LDAP_SUCCESS ? LDAP_SERVER_DOWN : code;
  }
  const int parsed = ldap_parse_result(ldap, raw, &code, nullptr, nullptr, nullptr, nullptr, 0);
  return parsed == LDAP_SUCCESS ? code : parsed;
}

int bind_as(const Connection& connection, const std::string& dn, const Secret& password) {
  std::string copy(password.reveal_text());
  berval credential{copy.size(), copy.data()};
  int id = 0;
  int code = ldap_sasl_bind(connection.ldap.get(), dn.c_str(), LDAP_SASL_SIMPLE, &credential, nullptr, nullptr, &id);
  OPENSSL_cleanse(copy.data(), copy.size());
  if (code != LDAP_SUCCESS) return code;
  Message answer;
  return wait(connection.ldap.get(), id, connection.patience, answer);
}

Result<Message> search(const Connection& connection, const std::string& base, int scope, const std::string& filter, const std::string& attribute, int most) {
  std::string name(attribute);
  char* attributes[] = {name.data(), nullptr};
  timeval patience = connection.patience;
  int id = 0;
  LDAP* ldap = connection.ldap.get();
  int code = ldap_search_ext(ldap, base.c_str(), scope, filter.c_str(), attributes, 0, nullptr, nullptr, &patience, most, &id);
  if (code != LDAP_SUCCESS) return tl::unexpected(away(ldap, "search", code));
  Message found;
  code = wait(ldap, id, connection.patience, found);
  if (code == LDAP_NO_SUCH_OBJECT && scope == LDAP_SCOPE_BASE) return Message();
  // More than asked for is for the caller to see in the entries; a limit of the server's own is the same.
  if (code == LDAP_SIZELIMIT_EXCEEDED && most <= 2) return found;
  if (code == LDAP_SIZELIMIT_EXCEEDED) return fail(Errc::conflict, "search below " + base + ": " + ldap_err2string(code));
  if (code == LDAP_REFERRAL) return fail(Errc::unavailable, "search: it refers to another server, which is not followed");
  if (code != LDAP_SUCCESS) return tl::unexpected(away(ldap, "search below " + base, code));
  return found;
}

std::string name_of(LDAP* ldap, LDAPMessage* entry) {
  char* raw = ldap_get_dn(ldap, entry);
  std::string dn = raw == nullptr ? std::string() : std::string(raw);
  ldap_memfree(raw);
  return dn;
}

std::vector<std::string> values_of(LDAP* ldap, LDAPMessage* entry, const std::string& attribute) {
  std::vector<std::string> values;
  berval** raw = ldap_get_values_len(ldap, entry, attribute.c_str());
  for (berval** one = raw; one != nullptr && *one != nullptr && values.size() < k_most_groups; ++one) values.emplace_back((*one)->bv_val, (*one)->bv_len);
  ldap_value_free_len(raw);
  return values;
}

std::string lower(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

/// The value of the first part of a name below `base`, when that part is of `attribute`.
std::string leaf_of(const std::string& normal, const std::string& base, const std::string& attribute) {
  if (!normal.ends_with("," + base)) return {};
  LDAPDN parts = nullptr;
  if (ldap_str2dn(normal.c_str(), &parts, LDAP_DN_FORMAT_LDAPV3) != LDAP_SUCCESS || parts == nullptr) return {};
  std::string leaf;
  if (parts[0] != nullptr && parts[0][0] != nullptr && parts[0][1] == nullptr) {
    const LDAPAVA& one = *parts[0][0];
    if (lower(std::string(one.la_attr.bv_val, one.la_attr.bv_len)) == lower(attribute)) leaf.assign(one.la_value.bv_val, one.la_value.bv_len);
  }
  ldap_dnfree(parts);
  return leaf;
}

bool is_attribute(std::string_view text) {
  return !text.empty() && text.size() <= 64 && text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") == std::string_view::npos;
}

}  // namespace

std::string escape_filter(std::string_view value) {
  constexpr std::string_view k_hex = "0123456789abcdef";
  std::string out;
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::string_view("*()\\").find(c) == std::string_view::npos && byte > 0x1f && byte < 0x7f) {
      out += c;
      continue;
    }
    out += '\\';
    out += k_hex[byte >> 4U];
    out += k_hex[byte & 15U];
  }
  return out;
}

std::string normal_name(const std::string& name) {
  LDAPDN parts = nullptr;
  if (ldap_str2dn(name.c_str(), &parts, LDAP_DN_FORMAT_LDAPV3) != LDAP_SUCCESS || parts == nullptr) return {};
  char* text = nullptr;
  std::string normal;
  if (ldap_dn2str(parts, &text, LDAP_DN_FORMAT_LDAPV3) == LDAP_SUCCESS && text != nullptr) normal = lower(text);
  ldap_memfree(text);
  ldap_dnfree(parts);
  return normal;
}

Result<void> check_place(const Place& place) {
  bool plain = false;
  bool tls = false;
  std::string_view urls = place.url;
  while (!urls.empty()) {
    const auto end = std::min(urls.find(' '), urls.size());
    const std::string_view url = urls.substr(0, end);
    urls.remove_prefix(std::min(end + 1, urls.size()));
    if (!url.starts_with("ldaps://") && !url.starts_with("ldap://"))
      return fail(Errc::invalid, "directory.url: write ldaps://host, or ldap://host, which is then asked for StartTLS before anything else");
    (url.starts_with("ldaps://") ? tls : plain) = true;
    LDAPURLDesc* parts = nullptr;
    const bool right = ldap_url_parse(std::string(url).c_str(), &parts) == LDAP_URL_SUCCESS && parts->lud_host != nullptr && *parts->lud_host != '\0' && (parts->lud_dn == nullptr || *parts->lud_dn == '\0');
    ldap_free_urldesc(parts);
    if (!right) return fail(Errc::invalid, "directory.url: `" + std::string(url.substr(0, 100)) + "` is not scheme, host and port");
  }
  if (plain && tls) return fail(Errc::invalid, "directory.url: all of them ldaps://, or all of them ldap://");
  if (place.ca_file.empty()) return fail(Errc::invalid, "directory.ca_file: is needed, the certificate of the CA that signed the directory's");
  for (const auto& [name, value, must] : {std::tuple{"directory.bind_dn", &place.bind_dn, true}, std::tuple{"directory.users_base", &place.users_base, true},
                                          std::tuple{"directory.groups_base", &place.groups_base, false}})
    if ((must || !value->empty()) && normal_name(*value).empty()) return fail(Errc::invalid, std::string(name) + ": is a name like ou=people,dc=example,dc=org");
  if (!is_attribute(place.user_attribute)) return fail(Errc::invalid, "directory.user_attribute: is the name of an attribute, like uid");
  if (!is_attribute(place.group_attribute)) return fail(Errc::invalid, "directory.group_attribute: is the name of an attribute, like cn");
  if (!place.user_filter.empty() && (place.user_filter.front() != '(' || place.user_filter.back() != ')'))
    return fail(Errc::invalid, "directory.user_filter: is a filter in parentheses, like (objectClass=person)");
  return {};
}

struct LdapClient::State {
  Place place;
  std::unique_ptr<Connection> connection;

  [[nodiscard]] LDAP* ldap() const { return connection->ldap.get(); }

  struct Group {
    std::string dn;
    std::string name;
  };

  Result<std::vector<Group>> groups_with(const std::string& filter) const {
    auto found = search(*connection, place.groups_base, LDAP_SCOPE_SUBTREE, filter, place.group_attribute, k_most_entries);
    if (!found) return tl::unexpected(found.error());
    std::vector<Group> groups;
    for (LDAPMessage* entry = ldap_first_entry(ldap(), found->get()); entry != nullptr; entry = ldap_next_entry(ldap(), entry))
      for (std::string& name : values_of(ldap(), entry, place.group_attribute)) groups.push_back({normal_name(name_of(ldap(), entry)), lower(std::move(name))});
    return groups;
  }

  Result<std::vector<Group>> groups_named_by(const std::string& entry) const {
    auto found = search(*connection, entry, LDAP_SCOPE_BASE, "(objectClass=*)", "memberOf", 1);
    if (!found) return tl::unexpected(found.error());
    std::vector<Group> groups;
    LDAPMessage* first = *found ? ldap_first_entry(ldap(), found->get()) : nullptr;
    if (first == nullptr) return groups;
    const std::string base = normal_name(place.groups_base);
    const auto values = values_of(ldap(), first, "memberOf");
    // The list was cut there: what is missing would look like groups that were taken away.
    if (values.size() >= k_most_groups) return fail(Errc::conflict, "an entry names " + std::to_string(k_most_groups) + " groups or more");
    for (const std::string& value : values) {
      const std::string dn = normal_name(value);
      if (std::string name = leaf_of(dn, base, place.group_attribute); !name.empty()) groups.push_back({dn, std::move(name)});
    }
    return groups;
  }

  /// The groups that any of `members` is in, one step up.
  Result<std::vector<Group>> step_up(const std::vector<std::string>& members) const {
    std::vector<Group> all;
    const auto take = [&all](Result<std::vector<Group>> more) -> Result<void> {
      if (!more) return tl::unexpected(more.error());
      all.insert(all.end(), more->begin(), more->end());
      return {};
    };
    if (place.groups_by == GroupsBy::member_of) {
      for (const std::string& member : members)
        if (auto taken = take(groups_named_by(member)); !taken) return tl::unexpected(taken.error());
      return all;
    }
    for (std::size_t from = 0; from < members.size(); from += k_most_at_once) {
      std::string filter = "(|";
      for (std::size_t i = from; i < std::min(members.size(), from + k_most_at_once); ++i) {
        const std::string value = escape_filter(members[i]);
        filter += "(member=" + value + ")(uniqueMember=" + value + ")";
      }
      if (auto taken = take(groups_with(filter + ")")); !taken) return tl::unexpected(taken.error());
    }
    return all;
  }
};

LdapClient::LdapClient(std::unique_ptr<State> state) : state_(std::move(state)) {}
LdapClient::LdapClient(LdapClient&&) noexcept = default;
LdapClient& LdapClient::operator=(LdapClient&&) noexcept = default;
LdapClient::~LdapClient() = default;

Result<void> reach(const Place& place) {
  auto connection = connect(place);
  if (!connection) return tl::unexpected(connection.error());
  if (const int code = ldap_connect((*connection)->ldap.get()); code != LDAP_SUCCESS) return tl::unexpected(away((*connection)->ldap.get(), "connect", code));
  return {};
}

Result<LdapClient> LdapClient::open(const Place& place, const Secret& password) {
  if (password.empty()) return fail(Errc::unavailable, "the gateway's own password for the directory is empty");
  auto connection = connect(place);
  if (!connection) return tl::unexpected(connection.error());
  if (const int code = bind_as(**connection, place.bind_dn, password); code != LDAP_SUCCESS)
    return tl::unexpected(away((*connection)->ldap.get(), "bind as " + place.bind_dn, code));
  auto state = std::make_unique<State>();
  state->place = place;
  state->connection = std::move(*connection);
  return LdapClient(std::move(state));
}

Result<std::optional<std::string>> LdapClient::find(std::string_view name) {
  const Place& place = state_->place;
  const std::string filter = "(&(" + place.user_attribute + "=" + escape_filter(name) + ")" + place.user_filter + ")";
  auto found = search(*state_->connection, place.users_base, LDAP_SCOPE_SUBTREE, filter, "1.1", 2);
  if (!found) return tl::unexpected(found.error());
  const int entries = ldap_count_entries(state_->ldap(), found->get());
  if (entries <= 0) return std::optional<std::string>();
  if (entries > 1) return fail(Errc::denied, "several entries have the " + place.user_attribute + " " + std::string(name));
  std::string dn = name_of(state_->ldap(), ldap_first_entry(state_->ldap(), found->get()));
  if (dn.empty()) return fail(Errc::unavailable, "an entry without a name");
  return std::optional<std::string>(std::move(dn));
}

Result<std::vector<std::string>> LdapClient::groups_of(const std::string& entry, std::string_view name) {
  std::vector<std::string> names;
  const Place& place = state_->place;
  if (place.groups_base.empty()) return names;
  std::set<std::string> seen;
  std::vector<std::string> members{entry};
  const unsigned most = place.groups_by == GroupsBy::posix ? 0 : place.nested;
  for (unsigned depth = 0; depth <= most && !members.empty(); ++depth) {
    auto groups = place.groups_by == GroupsBy::posix ? state_->groups_with("(memberUid=" + escape_filter(name) + ")") : state_->step_up(members);
    if (!groups) return tl::unexpected(groups.error());
    members.clear();
    for (const auto& group : *groups) {
      names.push_back(group.name);
      if (seen.insert(group.dn).second) members.push_back(group.dn);
    }
    if (seen.size() > k_most_groups) return fail(Errc::conflict, std::string(name) + " is in more than " + std::to_string(k_most_groups) + " groups");
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

Result<bool> LdapClient::is_password(const std::string& entry, const Secret& password) const {
  // A name with an empty password binds as nobody, and many a directory calls that a success.
  if (password.empty() || entry.empty()) return false;
  auto connection = connect(state_->place);
  if (!connection) return tl::unexpected(connection.error());
  const int code = bind_as(**connection, entry, password);
  switch (code) {
    case LDAP_SUCCESS: return true;
    case LDAP_INVALID_CREDENTIALS:
    case LDAP_INAPPROPRIATE_AUTH:
    case LDAP_NO_SUCH_OBJECT:
    case LDAP_UNWILLING_TO_PERFORM:
    case LDAP_CONSTRAINT_VIOLATION: return false;
    default: return tl::unexpected(away((*connection)->ldap.get(), "bind as " + entry, code));
  }
}

}  // namespace sallyport::directory
