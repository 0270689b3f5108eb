#include <algorithm>

#include "platform/postgres/connection.h"

namespace sallyport::postgres {
namespace {

constexpr std::size_t k_longest_name = 63;  // NAMEDATALEN - 1
constexpr std::string_view k_form = "postgresql://USER@HOST[:PORT]/DATABASE";

bool is_plain_name(std::string_view text) {
  return !text.empty() && text.size() <= k_longest_name &&
         std::all_of(text.begin(), text.end(), [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.'; });
}

bool is_port(std::string_view text) {
  return !text.empty() && text.size() <= 5 && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; }) && std::stoi(std::string(text)) > 0 &&
         std::stoi(std::string(text)) < 65536;
}

/// A folder of sockets, in which each slash stands as %2F.
Result<std::string> socket_folder(std::string_view host) {
  std::string folder;
  while (!host.empty()) {
    if (host.starts_with("%2F") || host.starts_with("%2f")) {
      folder += '/';
      host.remove_prefix(3);
    } else if (is_plain_name(host.substr(0, 1))) {
      folder += host.front();
      host.remove_prefix(1);
    } else {
      return fail(Errc::invalid, "a socket's folder is written with %2F for each slash, and with plain letters");
    }
  }
  return folder;
}

}  // namespace

Result<Place> parse_place(std::string_view url) {
  const auto wrong = [&](const std::string& what) { return fail(Errc::invalid, what + "; it is " + std::string(k_form)); };
  constexpr std::string_view k_scheme = "postgresql://";
  if (!url.starts_with(k_scheme)) return wrong("the address of the database does not begin with postgresql://");
  url.remove_prefix(k_scheme.size());
  if (url.find('?') != std::string_view::npos) return wrong("the address of the database takes no ?options");
  const std::size_t at = url.rfind('@');
  if (at == std::string_view::npos) return wrong("the address of the database names no user");
  Place place;
  place.user = url.substr(0, at);
  if (place.user.find(':') != std::string::npos) return wrong("the address of the database holds a password: it belongs into search.password_file");
  url.remove_prefix(at + 1);
  const std::size_t slash = url.find('/');
  if (slash == std::string_view::npos) return wrong("the address of the database names no database");
  place.database = url.substr(slash + 1);
  std::string_view host = url.substr(0, slash), port = "5432";
  if (host.starts_with('[')) {
    const std::size_t end = host.find(']');
    if (end == std::string_view::npos || (end + 1 < host.size() && host[end + 1] != ':')) return wrong("the address of the database has a broken host");
    if (end + 1 < host.size()) port = host.substr(end + 2);
    host = host.substr(1, end - 1);
    if (host.empty() || host.find_first_not_of("0123456789abcdefABCDEF:.") != std::string_view::npos) return wrong("the address of the database has a broken host");
    place.host = host;
  } else {
    if (const std::size_t colon = host.find(':'); colon != std::string_view::npos) {
      port = host.substr(colon + 1);
      host = host.substr(0, colon);
    }
    if (host.starts_with('%')) {
      auto folder = socket_folder(host);
      if (!folder) return wrong(folder.error().detail);
      place.host = std::move(*folder);
    } else if (host.empty() || host.size() > 253 || host.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") != std::string_view::npos) {
      return wrong("the address of the database has a broken host");
    } else {
      place.host = host;
    }
  }
  if (!is_port(port)) return wrong("the address of the database has a broken port");
  place.port = port;
  if (!is_plain_name(place.user)) return wrong("the address of the database has a broken user");
  if (!is_plain_name(place.database)) return wrong("the address of the database has a broken name of a database");
  return place;
}

std::string Place::url() const {
  std::string shown;
  for (const char c : host) shown += is_socket() && c == '/' ? "%2F" : std::string(1, c);
  return "postgresql://" + user + "@" + (host.find(':') == std::string::npos ? shown : "[" + shown + "]") + ":" + port + "/" + database;
}

}  // namespace sallyport::postgres
