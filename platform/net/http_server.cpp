#include "platform/net/http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/serializer.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <cerrno>
#include <cstring>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "platform/model/ip.h"
#include "platform/os/port_holder.h"

namespace sallyport::net {
namespace {

namespace http = boost::beast::http;
using Socket = boost::asio::generic::stream_protocol::socket;
using TlsStream = boost::asio::ssl::stream<Socket&>;

constexpr std::size_t k_most_unread = 1024 * 1024;  // of a stream

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

/// Of one source counts what comes from one address, or from one IPv6 network of 64 bits.
std::string source_of(const HttpPeer& peer) {
  if (peer.is_local) return "uid " + std::to_string(peer.uid);
  const std::string host = peer.address.substr(0, peer.address.rfind(':'));
  in6_addr v6{};
  if (host.size() < 2 || inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &v6) != 1 || IN6_IS_ADDR_V4MAPPED(&v6)) return host;
  return std::string(reinterpret_cast<const char*>(v6.s6_addr), 8);
}

/// What one server in a row of them may read as another request than the next one does (RFC 9112 sections 3.2, 5.2 and 6):
/// a length told twice, a coding that is not chunked alone, no host or two.
bool is_ambiguous(const http::request<http::string_body>& message) {
  const std::size_t hosts = message.count(http::field::host);
  if (hosts > 1 || (hosts == 0 && message.version() >= 11)) return true;
  if (message.count(http::field::content_length) > 1 || message.count(http::field::transfer_encoding) > 1) return true;
  const auto length = message[http::field::content_length];
  if (!std::all_of(length.begin(), length.end(), [](char c) { return c >= '0' && c <= '9'; })) return true;
  return message.count(http::field::transfer_encoding) == 1 && !boost::beast::iequals(message[http::field::transfer_encoding], "chunked");
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
  bool make_room_for(const std::string& source);

  boost::asio::io_context& io;
  HttpLimits limits;
  Handler handler;
  std::unique_ptr<boost::asio::posix::stream_descriptor> listening;
  std::unique_ptr<boost::asio::ssl::context> tls;
  std::uint16_t port = 0;
  std::string path;
  std::set<std::shared_ptr<Connection>> connections;
  bool closed = false;
};

class HttpServer::State::Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(State& server, int family, int fd)
      : server_(&server),
        socket_(server.io, boost::asio::generic::stream_protocol(family, 0), fd),
        timer_(server.io),
        peer_(peer_of(fd)),
        source_(source_of(peer_)) {
    if (server.tls) tls_.emplace(socket_, *server.tls);
    peer_.is_tls = tls_.has_value();
  }

  void start() {
    if (!tls_) return read(server_->limits.idle_time);
    watch(server_->limits.read_time);
    tls_->async_handshake(TlsStream::server, [self = shared_from_this()](const boost::system::error_code& error) {
      if (self->server_ == nullptr) return;
      if (error) return self->leave();
      self->read(self->server_->limits.idle_time);
    });
  }

  [[nodiscard]] const std::string& source() const { return source_; }
  /// A request of it is being answered; otherwise it may go when another needs its place.
  [[nodiscard]] bool is_busy() const { return is_busy_; }
  void make_room() { leave(); }

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
    const bool was_open = server_ != nullptr;
    close();
    const auto heard = std::exchange(heard_, nullptr);
    if (was_open && heard) heard({});
  }

  // The first byte may take the idle time; from then on the whole request has its own.
  void read(std::chrono::milliseconds first) {
    parser_.emplace();
    parser_->header_limit(static_cast<std::uint32_t>(server_->limits.header_bytes));
    parser_->body_limit(server_->limits.body_bytes);
    is_busy_ = false;
    watch(first);
    // Bytes that TLS has taken off the socket already do not make it readable: the whole request is then waited for the idle time.
    if (buffer_.size() > 0 || tls_) return read_rest(tls_ ? first : server_->limits.read_time);
    socket_.async_wait(Socket::wait_read, [self = shared_from_this()](const boost::system::error_code& error) {
      if (error) return self->leave();
      if (self->server_ != nullptr) self->read_rest(self->server_->limits.read_time);
    });
  }

  void read_rest(std::chrono::milliseconds time) {
    if (server_ == nullptr) return;
    watch(time);
    const auto done = [self = shared_from_this()](const boost::system::error_code& error, std::size_t) { self->on_read(error); };
    if (tls_) return http::async_read(*tls_, buffer_, *parser_, done);
    http::async_read(socket_, buffer_, *parser_, done);
  }

  void on_read(const boost::system::error_code& error) {
    if (server_ == nullptr) return;
    timer_.cancel();
    if (error == http::error::end_of_stream || error == boost::asio::ssl::error::stream_truncated || error == boost::asio::error::eof || error == boost::asio::error::operation_aborted ||
        error == boost::asio::error::connection_reset || error == http::error::partial_message)
      return leave();
    keep_alive_ = !error && parser_->get().keep_alive();
    HttpRequest request;
    if (error) return refuse(status_of(error));
    auto& message = parser_->get();
    if (is_ambiguous(message)) return refuse(400);
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
    is_busy_ = true;
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

  /// The open end of an answer, for whoever pushes; the connection may be gone before it.
  class Stream final : public HttpStream {
   public:
    explicit Stream(std::weak_ptr<Connection> connection) : connection_(std::move(connection)) {}
    bool push(std::string bytes) override {
      const auto connection = connection_.lock();
      return connection && connection->push(std::move(bytes));
    }
    std::size_t unread() const override {
      const auto connection = connection_.lock();
      return connection ? connection->unread_ : 0;
    }
    void hold(bool held) override {
      if (const auto connection = connection_.lock()) connection->hold_peer(held);
    }
    void close() override {
      if (const auto connection = connection_.lock()) connection->finish_stream();
    }

   private:
    std::weak_ptr<Connection> connection_;
  };

  void write_stream(HttpResponse response) {
    auto message = std::make_shared<http::response<http::empty_body>>();
    message->version(11);
    message->result(response.status);
    message->keep_alive(false);
    if (response.status != 101) {
      message->set(http::field::content_type, response.content_type);
      message->set(http::field::cache_control, "no-store");
    }
    for (const auto& [name, value] : response.headers) message->set(name, value);
    auto serializer = std::make_shared<http::response_serializer<http::empty_body>>(*message);
    watch(server_->limits.write_time);
    auto done = [self = shared_from_this(), message, serializer, body = std::move(response.body), begin = std::move(response.stream), heard = std::move(response.heard)](
                          const boost::system::error_code& error, std::size_t) mutable {
      if (self->server_ == nullptr) return;
      if (error) return self->leave();
      self->timer_.cancel();
      self->streaming_ = true;
      self->heard_ = std::move(heard);
      if (self->heard_) self->late_.resize(16 * 1024);
      if (!body.empty()) self->push(std::move(body));
      begin(std::make_shared<Stream>(self));
      self->watch_reader();
    };
    if (tls_) return http::async_write_header(*tls_, *serializer, std::move(done));
    http::async_write_header(socket_, *serializer, std::move(done));
  }

  // Whoever reads a stream has nothing more to say: what comes is the end of the connection. Unless it goes both ways.
  void watch_reader() {
    if (server_ == nullptr || listening_ || peer_held_) return;
    if (heard_ && buffer_.size() > 0) {  // came together with the request
      const std::string early(static_cast<const char*>(buffer_.data().data()), buffer_.size());
      buffer_.consume(buffer_.size());
      heard_(early);
      if (server_ == nullptr || peer_held_) return;
    }
    listening_ = true;
    const auto done = [self = shared_from_this()](const boost::system::error_code& error, std::size_t size) {
      self->listening_ = false;
      if (error || !self->heard_) return self->leave();
      const auto heard = self->heard_;
      heard(std::string_view(self->late_.data(), size));
      self->watch_reader();
    };
    if (tls_) return tls_->async_read_some(boost::asio::buffer(late_), done);
    socket_.async_read_some(boost::asio::buffer(late_), done);
  }

  void hold_peer(bool held) {
    peer_held_ = held;
    if (!held && streaming_) watch_reader();
  }

  bool push(std::string bytes) {
    if (server_ == nullptr || !streaming_) return false;
    unread_ += bytes.size();
    if (unread_ > k_most_unread) {
      leave();
      return false;
    }
    pushed_.push_back(std::move(bytes));
    if (pushed_.size() == 1) write_pushed();
    return true;
  }

  void write_pushed() {
    watch(server_->limits.write_time);
    const auto done = [self = shared_from_this()](const boost::system::error_code& error, std::size_t) {
      if (self->server_ == nullptr) return;
      if (error) return self->leave();
      self->timer_.cancel();
      self->unread_ -= self->pushed_.front().size();
      self->pushed_.pop_front();
      if (!self->pushed_.empty()) return self->write_pushed();
      if (self->finishing_) self->say_goodbye({});
    };
    if (tls_) return boost::asio::async_write(*tls_, boost::asio::buffer(pushed_.front()), done);
    boost::asio::async_write(socket_, boost::asio::buffer(pushed_.front()), done);
  }

  void finish_stream() {
    finishing_ = true;
    if (pushed_.empty() && server_ != nullptr) say_goodbye({});
  }

  void write(HttpResponse response) {
    if (server_ == nullptr) return;
    if (response.stream && !is_head_) return write_stream(std::move(response));
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
    const auto done = [self = shared_from_this(), message](const boost::system::error_code& error, std::size_t) {
      if (self->server_ == nullptr) return;
      if (error || !self->keep_alive_) return self->say_goodbye(error);
      self->read(self->server_->limits.idle_time);
    };
    if (tls_) return http::async_write(*tls_, *message, done);
    http::async_write(socket_, *message, done);
  }

  void say_goodbye(const boost::system::error_code& error) {
    if (!tls_ || error) return leave();
    watch(std::chrono::seconds(2));
    tls_->async_shutdown([self = shared_from_this()](const boost::system::error_code&) { self->leave(); });
  }

  State* server_;
  Socket socket_;
  std::optional<TlsStream> tls_;
  std::deque<std::string> pushed_;
  std::size_t unread_ = 0;
  std::vector<char> late_ = std::vector<char>(64);
  std::function<void(std::string_view)> heard_;
  bool listening_ = false;
  bool peer_held_ = false;
  bool streaming_ = false;
  bool finishing_ = false;
  boost::asio::steady_timer timer_;
  HttpPeer peer_;
  std::string source_;
  bool is_busy_ = false;
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

/// When all places are taken, the source that holds most of them gives one back to one that holds fewer: nobody alone
/// keeps the others out by connections that say nothing.
bool HttpServer::State::make_room_for(const std::string& source) {
  std::map<std::string, std::size_t> held;
  for (const auto& one : connections) ++held[one->source()];
  std::shared_ptr<Connection> idle;
  for (const auto& one : connections)
    if (!one->is_busy() && held[one->source()] > held[source] + 1 && (!idle || held[one->source()] > held[idle->source()])) idle = one;
  if (!idle) return false;
  idle->make_room();
  return true;
}

void HttpServer::State::on_acceptable() {
  for (int i = 0; i < 16; ++i) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    const int fd = ::accept4(listening->native_handle(), reinterpret_cast<sockaddr*>(&address), &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) break;
    if (connections.size() >= limits.connections && !make_room_for(source_of(peer_of(fd)))) {
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

Result<void> HttpServer::listen_tls(const std::string& address, const std::string& certificate_pem, const std::string& key_pem) {
  const auto colon = address.rfind(':');
  const std::string port_text = colon == std::string::npos ? std::string() : address.substr(colon + 1);
  std::string host = address.substr(0, colon == std::string::npos ? address.size() : colon);
  if (host.size() > 1 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  if (host.empty() || host == "*") host = "0.0.0.0";
  if (port_text.empty() || port_text.size() > 5 || port_text.find_first_not_of("0123456789") != std::string::npos || std::stoul(port_text) > 65535)
    return fail(Errc::invalid, "`" + address + "` is no address with a port; write 127.0.0.1:8443");
  const auto port = static_cast<std::uint16_t>(std::stoul(port_text));
  sockaddr_storage bound{};
  socklen_t size = sizeof(sockaddr_in);
  auto* v4 = reinterpret_cast<sockaddr_in*>(&bound);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&bound);
  if (inet_pton(AF_INET, host.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
  } else if (inet_pton(AF_INET6, host.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    size = sizeof(sockaddr_in6);
  } else {
    return fail(Errc::invalid, "`" + host + "` is no IP address to listen on");
  }
  boost::system::error_code error;
  auto context = std::make_unique<boost::asio::ssl::context>(boost::asio::ssl::context::tls_server);
  SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_2_VERSION);
  SSL_CTX_set_options(context->native_handle(), SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_NO_COMPRESSION);
  if (SSL_CTX_set_cipher_list(context->native_handle(), "ECDHE+AESGCM:ECDHE+CHACHA20") != 1) return fail(Errc::internal, "no TLS ciphers");
  context->use_certificate_chain(boost::asio::buffer(certificate_pem), error);
  if (error) return fail(Errc::invalid, "the TLS certificate: " + error.message());
  context->use_private_key(boost::asio::buffer(key_pem), boost::asio::ssl::context::pem, error);
  if (error) return fail(Errc::invalid, "the TLS key: " + error.message());
  if (SSL_CTX_check_private_key(context->native_handle()) != 1) return fail(Errc::invalid, "the TLS key does not belong to the certificate");
  Fd socket(::socket(bound.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int one = 1;
  if (!socket || ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
      ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&bound), size) != 0 || ::listen(socket.get(), 128) != 0)
    return fail(Errc::unavailable, "listening on " + address + ": " + os::why_not_listening(errno, port, "admin.listen"));
  socklen_t length = sizeof bound;
  ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&bound), &length);
  state_->port = ntohs(bound.ss_family == AF_INET ? v4->sin_port : v6->sin6_port);
  state_->tls = std::move(context);
  return adopt(std::move(socket));
}

std::uint16_t HttpServer::port() const { return state_->port; }

Result<void> HttpServer::adopt(Fd listening) {
  if (!listening) return fail(Errc::invalid, "no socket to listen on");
  state_->listening = std::make_unique<boost::asio::posix::stream_descriptor>(state_->io, listening.release());
  state_->accept();
  return {};
}

}  // namespace sallyport::net
