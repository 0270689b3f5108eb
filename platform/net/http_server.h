// platform/net/http_server.h -- HTTP/1.1 on a unix or TCP socket, on somebody's loop, everything bounded.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "platform/net/http.h"
#include "platform/os/fd.h"

namespace boost::asio {
class io_context;
}

namespace sallyport::net {

/// One request at a time per connection, keep-alive. A request that breaks a limit is answered (400, 408, 413, 431) and its
/// connection closed. The handler must call `answer` exactly once, on the loop's thread, now or later; an answer after the
/// connection or the server is gone is dropped.
class HttpServer {
 public:
  using Answer = std::function<void(HttpResponse)>;
  using Handler = std::function<void(HttpRequest, Answer)>;

  HttpServer(boost::asio::io_context& io, HttpLimits limits, Handler handler);
  ~HttpServer();  ///< closes everything; the handler is not called any more
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  /// Makes the socket file with `mode`, in place of one that nobody listens on any more. Errc::conflict: somebody does.
  Result<void> listen_unix(const std::string& path, unsigned mode = 0600);
  /// HTTPS (TLS 1.2 and 1.3) on "host:port" with a certificate chain and its key, both PEM. Errc::invalid: they do not fit or the
  /// address is none. Errc::unavailable: the port is taken.
  Result<void> listen_tls(const std::string& address, const std::string& certificate_pem, const std::string& key_pem);
  /// The port that listen_tls took.
  [[nodiscard]] std::uint16_t port() const;
  /// Serves a listening stream socket of any family.
  Result<void> adopt(Fd listening);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

/// The reason phrase and nothing else: for handlers that need the standard text.
[[nodiscard]] std::string_view reason_of(unsigned status);

}  // namespace sallyport::net
