// platform/net/http_client.h -- one blocking HTTP request over a unix socket, for the command line.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "platform/net/http.h"

namespace sallyport::net {

struct HttpCall {
  std::string method = "GET";
  std::string target = "/";  ///< path and query, already encoded
  std::string content_type = "application/json";
  std::string body;
  std::chrono::milliseconds deadline{60'000};
  std::size_t most_bytes = 64 * 1024 * 1024;  ///< of the answer
};

/// Errc::unavailable: nobody serves the socket, or no answer in time. Errc::denied: the socket is not ours to use.
/// Errc::corrupt: the answer is no HTTP. A status of 400 and more is a response like any other.
[[nodiscard]] Result<HttpResponse> http_call_unix(const std::string& socket_path, const HttpCall& call);

}  // namespace sallyport::net
