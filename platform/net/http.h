// platform/net/http.h -- HTTP messages as plain values; no library's types.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "platform/model/result.h"

namespace sallyport::net {

/// Who is at the other end: of a unix socket the kernel says it (SO_PEERCRED).
struct HttpPeer {
  bool is_local = false;  ///< uid and pid are meaningful
  uid_t uid = 0;
  pid_t pid = 0;
  std::string address;    ///< of a TCP peer, "host:port"
  bool is_tls = false;
};

struct HttpRequest {
  std::string method;
  std::string path;                          ///< percent-decoded, always begins with '/'
  std::map<std::string, std::string> query;  ///< decoded; the first of equal names counts
  std::map<std::string, std::string> headers;  ///< names in lower case
  std::string body;
  HttpPeer peer;

  [[nodiscard]] std::string argument(const std::string& name, std::string_view fallback = {}) const {
    const auto found = query.find(name);
    return found == query.end() ? std::string(fallback) : found->second;
  }
  [[nodiscard]] std::string header(const std::string& lower_case_name) const {
    const auto found = headers.find(lower_case_name);
    return found == headers.end() ? std::string() : found->second;
  }
};

/// The open end of an answer that goes on (server-sent events). One thread.
class HttpStream {
 public:
  virtual ~HttpStream() = default;
  /// False when the reader is gone, or so slow that it was let go.
  virtual bool push(std::string bytes) = 0;
  /// Bytes that were pushed and not written yet. Above 1 MiB the reader is let go.
  [[nodiscard]] virtual std::size_t unread() const = 0;
  /// While held, nothing more of what the peer sends is read (see HttpResponse::heard).
  virtual void hold(bool held) = 0;
  virtual void close() = 0;
};

struct HttpResponse {
  unsigned status = 200;
  std::string content_type = "application/json";
  std::map<std::string, std::string> headers;
  std::string body;
  /// Set: `body` is only the beginning; the rest is pushed. The connection closes behind it.
  std::function<void(std::shared_ptr<HttpStream>)> stream;
  /// Of a stream that goes both ways (101 Switching Protocols): what the peer sends, and once, at its end, nothing. Without it the peer has
  /// nothing to say, and what comes is the end of the connection.
  std::function<void(std::string_view)> heard;
};

struct HttpLimits {
  std::size_t header_bytes = 16 * 1024;
  std::size_t body_bytes = 16 * 1024 * 1024;
  std::size_t connections = 64;  ///< more are closed at once
  std::chrono::milliseconds read_time{15'000};   ///< for one whole request
  std::chrono::milliseconds idle_time{60'000};   ///< between two requests
  std::chrono::milliseconds write_time{15'000};
};

/// "/a%20b?x=1&y=%2F" to path and query. Errc::invalid: bad escapes, a NUL, no leading '/'.
[[nodiscard]] Result<void> split_target(std::string_view target, HttpRequest& request);
[[nodiscard]] Result<std::string> percent_decode(std::string_view text, bool plus_is_space);
[[nodiscard]] std::string percent_encode(std::string_view text);

}  // namespace sallyport::net
