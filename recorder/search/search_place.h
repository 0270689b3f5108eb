// recorder/search/search_place.h -- which tables a configuration means.
#pragma once

#include <array>
#include <optional>
#include <string>

#include "platform/model/result.h"
#include "platform/model/secret.h"
#include "platform/model/settings.h"
#include "platform/postgres/connection.h"

namespace sallyport::search {

struct SearchPlace {
  std::string file;  ///< of SQLite, where there is no server
  std::optional<postgres::Place> server;
  std::string password_file;  ///< of the server's user; its first line
  std::string password_secret;  ///< or its name in the vault; whoever opens the place has put it into `password`
  Secret password;
  [[nodiscard]] std::string name() const { return server ? server->url() : file; }
};

/// What opens a search: the key of the index and, behind it, the database's password when the vault has that.
constexpr std::size_t k_key_bytes = 32;

/// The settings that say where the index is.
constexpr std::array<const char*, 4> k_place_settings{"search_database", "search_password_file", "search_password_secret", "search_ca_file"};

/// From search_database (postgresql://... or a file; nothing: `usual_file`), search_password_file or _secret, search_ca_file.
/// Errc::invalid, with the setting's name as in the file first.
[[nodiscard]] Result<SearchPlace> search_place(const Settings& settings, const std::string& usual_file);

/// Errc::invalid: not readable, empty, or open to others; or of the vault, and not given. A place with neither has none.
[[nodiscard]] Result<Secret> password_of(const SearchPlace& place);

}  // namespace sallyport::search
