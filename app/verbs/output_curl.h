// app/verbs/output_curl.h -- `--output-curl`: the request of a verb as a line for curl, for those who write against the REST API.
#pragma once

#include <boost/json/fwd.hpp>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "app/verbs/console.h"

namespace sallyport::app {

/// The verb that `words` names ("lock set") asks the gateway over REST; the others work on files or on this machine.
[[nodiscard]] bool has_rest_equivalent(const std::vector<std::string>& path);

/// From now on nothing that a verb prints is shown, only curl lines.
void show_only_curl();
[[nodiscard]] bool shows_only_curl();

/// Prints one request. Values of secrets and passphrases are left out: `<value>` stands in their place.
void print_curl(const std::filesystem::path& socket, std::string_view method, const std::string& target, const boost::json::value& body, const std::string& if_match);

}  // namespace sallyport::app
