#include "app/verbs/output_curl.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cstdio>
#include <cstdlib>

namespace sallyport::app {
namespace {

namespace json = boost::json;

/// A word alone stands for all verbs below it.
constexpr std::array<std::string_view, 17> k_rest_verbs{"plan", "apply", "get", "explain", "status", "lock", "secret", "session", "vault", "target setup", "policy list",
                                                        "policy show", "policy diff", "policy rollback", "reach", "request", "token"};
constexpr std::array<std::string_view, 4> k_secret_fields{"value", "passphrase", "password", "code"};

std::FILE* curl_out = nullptr;

std::string shell_quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') out += "'\\''";
    else out += c;
  }
  return out + "'";
}

}  // namespace

bool has_rest_equivalent(const std::vector<std::string>& path) {
  if (path.empty()) return false;
  const std::string whole = path.size() > 1 ? path[0] + " " + path[1] : path[0];
  return std::any_of(k_rest_verbs.begin(), k_rest_verbs.end(), [&](std::string_view verb) { return verb == path[0] || verb == whole; });
}

void show_only_curl() {
  std::fflush(stdout);
  const int kept = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
  const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (kept < 0 || nowhere < 0 || dup2(nowhere, STDOUT_FILENO) < 0) std::abort();
  close(nowhere);
  curl_out = fdopen(kept, "w");
}

bool shows_only_curl() { return curl_out != nullptr; }

void print_curl(const std::filesystem::path& socket, std::string_view method, const std::string& target, const json::value& body, const std::string& if_match) {
  std::string line = "curl --fail-with-body --silent --show-error --unix-socket " + shell_quoted(socket.string());
  if (method != "GET") line += " -X " + std::string(method);
  if (const char* token = std::getenv("SALLYPORT_TOKEN"); token != nullptr && *token != '\0') line += " -H \"Authorization: Bearer $SALLYPORT_TOKEN\"";
  if (!if_match.empty()) line += " -H " + shell_quoted("If-Match: " + if_match);
  if (!body.is_null()) {
    json::value shown = body;
    if (json::object* object = shown.if_object())
      for (const std::string_view field : k_secret_fields)
        if (json::value* value = object->if_contains(field); value != nullptr && value->is_string()) *value = "<value>";
    line += " -H 'Content-Type: application/json' --data-raw " + shell_quoted(json::serialize(shown));
  }
  line += " " + shell_quoted("http://sallyport" + target);
  std::fprintf(curl_out, "%s\n", line.c_str());
  std::fflush(curl_out);
}

}  // namespace sallyport::app
