#include "platform/net/http_client.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <cerrno>
#include <cstring>

#include "platform/os/fd.h"

namespace sallyport::net {
namespace {

namespace http = boost::beast::http;
using Moment = std::chrono::steady_clock::time_point;

Result<void> wait_for(int socket, short events, Moment until) {
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now()).count();
    if (left <= 0) return fail(Errc::unavailable, "no answer in time");
    pollfd waiting{socket, events, 0};
    const int ready = ::poll(&waiting, 1, static_cast<int>(std::min<std::int64_t>(left, 1'000'000)));
    if (ready > 0) return {};
    if (ready < 0 && errno != EINTR) return fail(Errc::internal, std::strerror(errno));
  }
}

Result<Fd> connect_to(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return fail(Errc::invalid, "the socket's path is too long: " + path);
  std::memcpy(address.sun_path, path.c_str(), path.size());
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return fail(Errc::internal, std::strerror(errno));
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    const Errc code = errno == EACCES || errno == EPERM ? Errc::denied : Errc::unavailable;
    return fail(code, path + ": " + std::strerror(errno));
  }
  return socket;
}

Result<void> send_all(int socket, std::string_view bytes, Moment until) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) {
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      if (auto waited = wait_for(socket, POLLOUT, until); !waited) return waited;
    } else if (errno != EINTR) {
      return {};  // the server may have answered and closed before it read everything: its answer tells more
    }
  }
  return {};
}

}  // namespace

Result<HttpResponse> http_call_unix(const std::string& socket_path, const HttpCall& call) {
  const Moment until = std::chrono::steady_clock::now() + call.deadline;
  auto socket = connect_to(socket_path);
  if (!socket) return tl::unexpected(socket.error());
  std::string request = call.method + " " + call.target + " HTTP/1.1\r\nHost: sallyport\r\nConnection: close\r\n";
  if (!call.body.empty() || (call.method != "GET" && call.method != "DELETE"))
    request += "Content-Type: " + call.content_type + "\r\nContent-Length: " + std::to_string(call.body.size()) + "\r\n";
  request += "\r\n" + call.body;
  if (auto sent = send_all(socket->get(), request, until); !sent) return tl::unexpected(sent.error());

  http::response_parser<http::string_body> parser;
  parser.eager(true);
  parser.body_limit(call.most_bytes);
  std::string pending;
  std::array<char, 64 * 1024> buffer;
  while (!parser.is_done()) {
    if (auto waited = wait_for(socket->get(), POLLIN, until); !waited) return tl::unexpected(waited.error());
    const ssize_t got = ::recv(socket->get(), buffer.data(), buffer.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(Errc::unavailable, std::string("reading the answer: ") + std::strerror(errno));
    boost::system::error_code error;
    if (got == 0) {
      if (!parser.got_some()) return fail(Errc::unavailable, "the gateway closed the connection");
      parser.put_eof(error);
      if (error || !parser.is_done()) return fail(Errc::unavailable, "the gateway closed the connection");
      break;
    }
    pending.append(buffer.data(), static_cast<std::size_t>(got));
    const std::size_t used = parser.put(boost::asio::buffer(pending), error);
    if (error && error != http::error::need_more) return fail(Errc::corrupt, "the answer is no HTTP: " + error.message());
    pending.erase(0, used);
  }
  HttpResponse response;
  response.status = parser.get().result_int();
  for (const auto& field : parser.get()) {
    std::string name(field.name_string());
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    response.headers.emplace(std::move(name), std::string(field.value()));
  }
  response.content_type = response.headers.count("content-type") != 0 ? response.headers["content-type"] : "";
  response.body = std::move(parser.get().body());
  return response;
}

}  // namespace sallyport::net
