// app/verbs/admin_client.h -- the CLI's way to the running gateway: HTTP over its admin socket.
#pragma once

#include <boost/json/fwd.hpp>
#include <boost/json/value.hpp>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "app/verbs/console.h"
#include "platform/model/result.h"

namespace sallyport::app {

/// "?a=b&c=d" with everything escaped that needs it; entries with an empty value are left out.
[[nodiscard]] std::string query_of(const std::vector<std::pair<std::string, std::string>>& entries);
/// One path segment, escaped.
[[nodiscard]] std::string segment_of(std::string_view text);
/// A name with slashes as so many segments.
[[nodiscard]] std::string path_of(std::string_view name);

/// One request per call; blocks. Not thread-safe.
class AdminClient {
 public:
  explicit AdminClient(std::filesystem::path socket) : socket_(std::move(socket)) {}
  /// The socket that `common` names: --socket, or the configuration's. Errc as load_config's.
  [[nodiscard]] static Result<AdminClient> find(const Common& common);

  /// The answer's JSON (null when it has none). An error status comes back as Error: its Errc by status, its detail is the problem's
  /// code, title and detail with one line per `errors` entry, ready to be shown.
  [[nodiscard]] Result<boost::json::value> get(const std::string& target);
  [[nodiscard]] Result<boost::json::value> send(std::string_view method, const std::string& target, const boost::json::value& body);

 private:
  [[nodiscard]] Result<std::string> state_of(const std::string& path);
  [[nodiscard]] Result<boost::json::value> ask(std::string_view method, const std::string& target, const std::string& body);
  std::filesystem::path socket_;
};

}  // namespace sallyport::app
