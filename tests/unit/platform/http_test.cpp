#include <catch2/catch.hpp>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <thread>
#include <vector>

#include "platform/net/http_client.h"
#include "platform/net/http_server.h"

namespace sallyport::net::test {
namespace {

struct Server {
  explicit Server(HttpServer::Handler handler, HttpLimits limits = {}) {
    char name[] = "/tmp/sallyport-http-XXXXXX";
    REQUIRE(mkdtemp(name) != nullptr);
    folder = name;
    server = std::make_unique<HttpServer>(io, limits, std::move(handler));
    REQUIRE(server->listen_unix(socket(), 0600).has_value());
    thread = std::thread([this] { io.run(); });
  }
  ~Server() {
    io.stop();
    thread.join();
    server.reset();
    std::filesystem::remove_all(folder);
  }
  [[nodiscard]] std::string socket() const { return (folder / "s").string(); }
  /// What comes back for these bytes until the server closes.
  [[nodiscard]] std::string raw(const std::string& bytes) const {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, socket().c_str());
    const Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    static_cast<void>(::send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL));
    ::shutdown(fd.get(), SHUT_WR);
    std::string out;
    char buffer[4096];
    for (ssize_t n = 0; (n = ::recv(fd.get(), buffer, sizeof buffer, 0)) > 0;) out.append(buffer, static_cast<std::size_t>(n));
    return out;
  }
  boost::asio::io_context io{1};
  std::filesystem::path folder;
  std::unique_ptr<HttpServer> server;
  std::thread thread;
};

void echo(HttpRequest request, const HttpServer::Answer& answer) {
  HttpResponse response;
  response.content_type = "text/plain";
  response.body = request.method + " " + request.path + " a=" + request.argument("a") + " uid=" + std::to_string(request.peer.uid) + " " + request.body;
  answer(std::move(response));
}

}  // namespace

TEST_CASE("a request over a unix socket is answered, and who asks is known", "[http]") {
  Server server(echo);
  HttpCall call;
  call.method = "POST";
  call.target = "/x%20y?a=1%2B1";
  call.body = "hello";
  const auto response = http_call_unix(server.socket(), call);
  REQUIRE(response.has_value());
  CHECK(response->status == 200);
  CHECK(response->body == "POST /x y a=1+1 uid=" + std::to_string(::getuid()) + " hello");
}

TEST_CASE("what is too large or no HTTP is refused and the connection closed", "[http]") {
  HttpLimits limits;
  limits.body_bytes = 1000;
  limits.header_bytes = 2000;
  Server server(echo, limits);
  CHECK(server.raw("GARBAGE\r\n\r\n").starts_with("HTTP/1.1 400"));
  CHECK(server.raw("GET / HTTP/1.1\r\nHost: x\r\nX: " + std::string(3000, 'y') + "\r\n\r\n").starts_with("HTTP/1.1 431"));
  CHECK(server.raw("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n" + std::string(5000, 'z')).starts_with("HTTP/1.1 413"));
  CHECK(server.raw("GET /%00 HTTP/1.1\r\nHost: x\r\n\r\n").starts_with("HTTP/1.1 400"));
  CHECK(server.raw("GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n").starts_with("HTTP/1.1 400"));
  HttpCall call;
  CHECK(http_call_unix(server.socket(), call)->status == 200);
}

TEST_CASE("a request that the next server in a row could read otherwise is refused and ends the connection", "[http]") {
  Server server(echo);
  const std::string hidden = "GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n";
  const std::string post = "POST / HTTP/1.1\r\nHost: x\r\n";
  const std::string ended = "0\r\n\r\n" + hidden;
  for (const std::string& request : {
           post + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n" + ended,
           post + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n" + ended,
           post + "Transfer-Encoding: xchunked\r\n\r\n" + ended,
           post + "Transfer-Encoding: chunked, identity\r\n\r\n" + ended,
           post + "Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\n{}" + hidden,
           post + "Transfer-Encoding: gzip, chunked\r\n\r\n" + ended,
           post + "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}" + hidden,
           post + "Content-Length: 2, 2\r\n\r\n{}" + hidden,
           post + "Host: y\r\nContent-Length: 0\r\n\r\n" + hidden,
           "GET / HTTP/1.1\r\n\r\n" + hidden,
       }) {
    INFO(request);
    const std::string out = server.raw(request);
    CHECK(out.starts_with("HTTP/1.1 400"));
    CHECK(out.find("hidden") == std::string::npos);
  }
  CHECK(server.raw(post + "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\n{}\r\n0\r\n\r\n").starts_with("HTTP/1.1 200"));
}

TEST_CASE("one source cannot take all places of a server", "[http]") {
  HttpLimits limits;
  limits.connections = 8;
  boost::asio::io_context io{1};
  HttpServer server(io, limits, echo);
  const auto address_of = [](const char* host, std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    inet_pton(AF_INET, host, &address.sin_addr);
    return address;
  };
  Fd listening(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_in here = address_of("127.0.0.1", 0);
  socklen_t size = sizeof here;
  REQUIRE(::bind(listening.get(), reinterpret_cast<const sockaddr*>(&here), size) == 0);
  REQUIRE(::listen(listening.get(), 64) == 0);
  REQUIRE(::getsockname(listening.get(), reinterpret_cast<sockaddr*>(&here), &size) == 0);
  REQUIRE(server.adopt(std::move(listening)).has_value());
  std::thread thread([&] { io.run(); });
  const auto connect_from = [&](const char* source) {
    Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_in from = address_of(source, 0);
    const timeval soon{5, 0};
    CHECK(::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon) == 0);
    CHECK(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&from), sizeof from) == 0);
    CHECK(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&here), sizeof here) == 0);
    return fd;
  };
  const auto is_served = [](const Fd& fd) {
    static constexpr std::string_view k_request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    if (::send(fd.get(), k_request.data(), k_request.size(), MSG_NOSIGNAL) < 0) return false;
    std::string answer;  // the whole of it: the next one begins where it ends
    char part[512];
    for (ssize_t n = 0; answer.find(" uid=") == std::string::npos && (n = ::recv(fd.get(), part, sizeof part, 0)) > 0;)
      answer.append(part, static_cast<std::size_t>(n));
    return answer.starts_with("HTTP/1.1 200");
  };
  std::vector<Fd> silent;
  for (int i = 0; i < 12; ++i) silent.push_back(connect_from("127.0.0.1"));
  const Fd other = connect_from("127.0.0.2");
  CHECK(is_served(other));
  CHECK_FALSE(is_served(connect_from("127.0.0.1")));  // it has its share
  CHECK(is_served(other));
  CHECK(is_served(connect_from("127.0.0.3")));
  io.stop();
  thread.join();
}

TEST_CASE("several requests on one connection are answered in their order", "[http]") {
  Server server(echo);
  const std::string one = "GET /1 HTTP/1.1\r\nHost: x\r\n\r\n";
  const std::string two = "GET /2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  const std::string out = server.raw(one + two);
  CHECK(out.find("GET /1") < out.find("GET /2"));
  CHECK(out.find("GET /2") != std::string::npos);
}

TEST_CASE("a slow request is given up, and more connections than allowed are closed", "[http]") {
  HttpLimits limits;
  limits.read_time = std::chrono::milliseconds(100);
  limits.idle_time = std::chrono::milliseconds(100);
  Server server(echo, limits);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, server.socket().c_str());
  const Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  REQUIRE(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  REQUIRE(::send(fd.get(), "GET / HT", 8, MSG_NOSIGNAL) == 8);
  char byte = 0;
  CHECK(::recv(fd.get(), &byte, 1, 0) == 0);
}

TEST_CASE("nobody at the socket is unavailable, not a hang", "[http]") {
  HttpCall call;
  const auto response = http_call_unix("/tmp/sallyport-no-such-socket", call);
  REQUIRE_FALSE(response.has_value());
  CHECK(response.error().code == Errc::unavailable);
}

TEST_CASE("a socket that somebody serves is not taken over, a dead one is", "[http]") {
  Server server(echo);
  boost::asio::io_context io;
  HttpServer second(io, {}, echo);
  const auto taken = second.listen_unix(server.socket());
  REQUIRE_FALSE(taken.has_value());
  CHECK(taken.error().code == Errc::conflict);
}

TEST_CASE("percent encoding is undone exactly", "[http]") {
  CHECK(percent_encode("a b/c") == "a%20b%2Fc");
  CHECK(*percent_decode("a%20b%2Fc", false) == "a b/c");
  CHECK(*percent_decode("a+b", false) == "a+b");
  CHECK(*percent_decode("a+b", true) == "a b");
  CHECK_FALSE(percent_decode("%2", false).has_value());
}

}  // namespace sallyport::net::test
