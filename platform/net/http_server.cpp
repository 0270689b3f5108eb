#include "platform/net/http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <cerrno>
#include <cstring>
#include <optional>
#include <set>
#include <utility>

namespace sallyport::net {
namespace {

namespace http = boost::beast::http;
using Socket = boost::asio::generic::stream_protocol::socket;

HttpPeer peer_of(int socket) {
  HttpPeer peer;
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (getpeername(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) return peer;
  if (address.ss_family == AF_UNIX) {
    ucred credentials{};
    socklen_t length = sizeof credentials;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &length) == 0) {
      peer.is_local = true;
      peer.uid = credentials.uid;
      peer.pid = credentials.pid;
    }
    return peer;
  }
  char text[INET6_ADDRSTRLEN] = {};
  if (address.ss_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(&address);
    inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
    peer.address = std::string(text) + ":" + std::to_string(ntohs(v4->sin_port));
  } else if (address.ss_family == AF_INET6) {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&address);
    inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
    peer.address = "[" + std::string(text) + "]:" + std::to_string(ntohs(v6->sin6_port));
  }
  return peer;
}

unsigned status_of(const boost::system::error_code& error) {
  if (error == http::error::body_limit) return 413;
  if (error == http::error::header_limit || error == http::error::buffer_overflow) return 431;
  return 400;
}

}  // namespace

std::string_view reason_of(unsigned status) {
  const auto reason = http::obsolete_reason(static_cast<http::status>(status));
  return {reason.data(), reason.size()};
}

struct HttpServer::State : std::enable_shared_from_this<HttpServer::State> {
  class Connection;

  State(boost::asio::io_context& io_in, HttpLimits limits_in, Handler handler_in)
      : io(io_in), limits(limits_in), handler(std::move(handler_in)) {}

  void accept();
  void on_acceptable();

  boost::asio::io_context& io;
  HttpLimits limits;
  Handler handler;
  std::unique_ptr<boost::asio::posix::stream_descriptor> listening;
  std::string path;
  std::set<std::shared_ptr<Connection>> connections;
  bool closed = false;
};

class HttpServer::State::Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(State& server, int family, int fd)
      : server_(&server), socket_(server.io, boost::asio::generic::stream_protocol(family, 0), fd), timer_(server.io), peer_(peer_of(fd)) {}

  void start() { read(server_->limits.idle_time); }

  void close() {
    server_ = nullptr;
    boost::system::error_code ignored;
    socket_.close(ignored);
    timer_.cancel();
  }

 private:
  void watch(std::chrono::milliseconds time) {
    timer_.expires_after(time);
    timer_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
      if (!error) self->leave();
    });
  }

  void leave() {
    const auto self = shared_from_this();
    if (server_ != nullptr) server_->connections.erase(self);
    close();
  }

  // The first byte may take the idle time; from then on the whole request has its own.
  void read(std::chrono::milliseconds first) {
    parser_.emplace();
    parser_->header_limit(static_cast<std::uint32_t>(server_->limits.header_bytes));
    parser_->body_limit(server_->limits.body_bytes);
    watch(first);
    if (buffer_.size() > 0) return read_rest();
    socket_.async_wait(Socket::wait_read, [self = shared_from_this()](const boost::system::error_code& error) {
      if (error) return self->leave();
      self->read_rest();
    });
  }

  void read_rest() {
    if (server_ == nullptr) return;
    watch(server_->limits.read_time);
    http::async_read(socket_, buffer_, *parser_, [self = shared_from_this()](const boost::system::error_code& error, std::size_t) {
      self->on_read(error);
    });
  }

  void on_read(const boost::system::error_code& error) {
    if (server_ == nullptr) return;
    timer_.cancel();
    if (error == http::error::end_of_stream || error == boost::asio::error::operation_aborted ||
        error == boost::asio::error::connection_reset || error == http::error::partial_message)
      return leave();
    keep_alive_ = !error && parser_->get().keep_alive();
    HttpRequest request;
    if (error) return refuse(status_of(error));
    auto& message = parser_->get();
    const std::string_view target(message.target().data(), message.target().size());
    if (target.size() > server_->limits.header_bytes || !split_target(target, request)) return refuse(400);
    request.method = std::string(message.method_string());
    for (const auto& field : message) {
      std::string name(field.name_string());
      std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
      request.headers.emplace(std::move(name), std::string(field.value()));
    }
    request.body = std::move(message.body());
    request.peer = peer_;
    is_head_ = message.method() == http::verb::head;
    server_->handler(std::move(request), [weak = weak_from_this(), done = std::make_shared<bool>(false)](HttpResponse response) {
      if (std::exchange(*done, true)) return;
      if (const auto self = weak.lock()) self->write(std::move(response));
    });
  }

  void refuse(unsigned status) {
    keep_alive_ = false;
    HttpResponse response;
    response.status = status;
    response.content_type = "application/problem+json";
    response.body = R"({"type":"about:blank","title":")" + std::string(reason_of(status)) + R"(","status":)" + std::to_string(status) +
                    R"(,"code":")" + (status == 413 || status == 431 ? "SP-7008" : "SP-7009") + "\"}";
    write(std::move(response));
  }

  void write(HttpResponse response) {
    if (server_ == nullptr) return;
    auto message = std::make_shared<http::response<http::string_body>>();
    message->version(11);
    message->result(response.status);
    message->keep_alive(keep_alive_);
    message->set(http::field::content_type, response.content_type);
    message->set(http::field::cache_control, "no-store");
    for (const auto& [name, value] : response.headers) message->set(name, value);
    message->body() = std::move(response.body);
    message->prepare_payload();
    if (is_head_) message->body().clear();
    watch(server_->limits.write_time);
    http::async_write(socket_, *message, [self = shared_from_this(), message](const boost::system::error_code& error, std::size_t) {
      if (self->server_ == nullptr) return;
      if (error || !self->keep_alive_) return self->leave();
      self->read(self->server_->limits.idle_time);
    });
  }

  State* server_;
  Socket socket_;
  boost::asio::steady_timer timer_;
  HttpPeer peer_;
  boost::beast::flat_buffer buffer_{64 * 1024};
  std::optional<http::request_parser<http::string_body>> parser_;
  bool keep_alive_ = false;
  bool is_head_ = false;
};

void HttpServer::State::accept() {
  listening->async_wait(boost::asio::posix::stream_descriptor::wait_read,
                        [self = shared_from_this()](const boost::system::error_code& error) {
                          if (!error && !self->closed) self->on_acceptable();
                        });
}

void HttpServer::State::on_acceptable() {
  for (int i = 0; i < 16; ++i) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    const int fd = ::accept4(listening->native_handle(), reinterpret_cast<sockaddr*>(&address), &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) break;
    if (connections.size() >= limits.connections) {
      ::close(fd);
      continue;
    }
    auto connection = std::make_shared<Connection>(*this, address.ss_family, fd);
    connections.insert(connection);
    connection->start();
  }
  accept();
}

HttpServer::HttpServer(boost::asio::io_context& io, HttpLimits limits, Handler handler)
    : state_(std::make_shared<State>(io, limits, std::move(handler))) {}

HttpServer::~HttpServer() {
  state_->closed = true;
  boost::system::error_code ignored;
  if (state_->listening) state_->listening->close(ignored);
  for (const auto& connection : std::exchange(state_->connections, {})) connection->close();
  if (!state_->path.empty()) ::unlink(state_->path.c_str());
}

Result<void> HttpServer::listen_unix(const std::string& path, unsigned mode) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return fail(Errc::invalid, "the socket's path is too long: " + path);
  std::memcpy(address.sun_path, path.c_str(), path.size());
  const auto* raw = reinterpret_cast<const sockaddr*>(&address);
  {
    const Fd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::connect(probe.get(), raw, sizeof address) == 0) return fail(Errc::conflict, "somebody serves " + path + " already");
    struct stat there {};
    if (errno == ECONNREFUSED && ::lstat(path.c_str(), &there) == 0 && S_ISSOCK(there.st_mode)) ::unlink(path.c_str());
  }
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  // fchmod before bind decides the file's mode, so that there is no moment with a wider one.
  if (!socket || ::fchmod(socket.get(), mode) != 0 || ::bind(socket.get(), raw, sizeof address) != 0)
    return fail(Errc::unavailable, path + ": " + std::strerror(errno));
  if (::chmod(path.c_str(), mode) != 0 || ::listen(socket.get(), 64) != 0) return fail(Errc::unavailable, path + ": " + std::strerror(errno));
  state_->path = path;
  return adopt(std::move(socket));
}

Result<void> HttpServer::adopt(Fd listening) {
  if (!listening) return fail(Errc::invalid, "no socket to listen on");
  state_->listening = std::make_unique<boost::asio::posix::stream_descriptor>(state_->io, listening.release());
  state_->accept();
  return {};
}

}  // namespace sallyport::net
