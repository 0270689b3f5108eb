#include "recorder/search/search_place.h"

#include <sys/stat.h>

#include <fstream>

namespace sallyport::search {

Result<SearchPlace> search_place(const Settings& settings, const std::string& usual_file) {
  const std::string database = settings.text("search_database");
  SearchPlace place;
  place.password_file = settings.text("search_password_file");
  place.password_secret = settings.text("search_password_secret");
  if (!place.password_file.empty() && !place.password_secret.empty())
    return fail(Errc::invalid, "search.password_secret: the password comes from a file or from the vault, not from both: take search.password_file out");
  if (database.empty() || database.starts_with('/')) {
    place.file = database.empty() ? usual_file : database;
    return place;
  }
  auto server = postgres::parse_place(database);
  if (!server) return fail(Errc::invalid, "search.database: " + server.error().detail);
  server->ca_file = settings.text("search_ca_file");
  place.server = std::move(*server);
  return place;
}

Result<Secret> password_of(const SearchPlace& place) {
  if (!place.password_secret.empty()) {
    if (place.password.empty())
      return fail(Errc::invalid, "search.password_secret: `" + place.password_secret + "` is in the vault, which lends it to the page's search, and to root and the gateway's own account here");
    return place.password.clone();
  }
  if (place.password_file.empty()) return Secret();
  struct stat facts {};
  std::ifstream in(place.password_file);
  if (!in || ::stat(place.password_file.c_str(), &facts) != 0) return fail(Errc::invalid, "search.password_file: " + place.password_file + " cannot be read");
  if ((facts.st_mode & 077) != 0) return fail(Errc::invalid, "search.password_file: " + place.password_file + " is open to others: chmod 600");
  std::string line;
  std::getline(in, line);
  while (!line.empty() && line.back() == '\r') line.pop_back();
  Secret password(line);
  OPENSSL_cleanse(line.data(), line.size());
  if (password.empty()) return fail(Errc::invalid, "search.password_file: " + place.password_file + " is empty");
  return password;
}

}  // namespace sallyport::search
