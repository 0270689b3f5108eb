// recorder/search/search_place.h -- which tables a configuration means.
#pragma once

#include <optional>
#include <string>

#include "platform/model/result.h"
#include "platform/model/settings.h"
#include "platform/postgres/connection.h"

namespace sallyport::search {

struct SearchPlace {
  std::string file;  ///< of SQLite, where there is no server
  std::optional<postgres::Place> server;
  std::string password_file;  ///< of the server's user; its first line
  [[nodiscard]] std::string name() const { return server ? server->url() : file; }
};

/// From search_database (postgresql://... or a file; nothing: `usual_file`), search_password_file, search_ca_file.
/// Errc::invalid, with the setting's name as in the file first.
[[nodiscard]] Result<SearchPlace> search_place(const Settings& settings, const std::string& usual_file);

/// Errc::invalid: not readable, empty, or open to others. A place without a password file has none.
[[nodiscard]] Result<Secret> password_of(const SearchPlace& place);

}  // namespace sallyport::search
