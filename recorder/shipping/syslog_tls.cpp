#include "recorder/shipping/syslog_tls.h"

#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>

#include "platform/os/fd.h"

namespace sallyport::recorder {
namespace {

constexpr int k_authpriv_notice = 10 * 8 + 5;
constexpr timeval k_patience{5, 0};

template <auto Free>
struct FreeWith {
  template <class T>
  void operator()(T* object) const noexcept {
    Free(object);
  }
};

std::string tls_error() {
  const unsigned long code = ERR_get_error();
  std::array<char, 200> text{};
  if (code != 0) ERR_error_string_n(code, text.data(), text.size());
  ERR_clear_error();
  return code == 0 ? "the connection ended" : text.data();
}

}  // namespace

struct SyslogTls::Connection {
  Fd socket;
  std::unique_ptr<SSL_CTX, FreeWith<SSL_CTX_free>> context;
  std::unique_ptr<SSL, FreeWith<SSL_free>> tls;
};

SyslogTlsOptions syslog_tls_options(const Settings& settings) {
  SyslogTlsOptions options;
  options.server = settings.text("syslog_tls");
  options.ca_file = settings.text("syslog_tls_ca");
  options.certificate = settings.text("syslog_tls_certificate");
  options.key = settings.text("syslog_tls_key");
  options.node = settings.text("node");
  return options;
}

std::string syslog_frame(WallTime now, const std::string& node, const std::string& message_id, std::string text) {
  const auto since = now.time_since_epoch().count();
  const std::time_t seconds = static_cast<std::time_t>(since / 1'000'000);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::array<char, 64> stamp{};
  const std::size_t used = std::strftime(stamp.data(), stamp.size(), "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(stamp.data() + used, stamp.size() - used, ".%06dZ", static_cast<int>(since % 1'000'000));
  std::string host;
  for (const char c : node.substr(0, 255)) host += c > ' ' && c < 0x7f ? c : '-';
  for (char& c : text)
    if (static_cast<unsigned char>(c) < ' ') c = ' ';
  const std::string message = "<" + std::to_string(k_authpriv_notice) + ">1 " + stamp.data() + " " + (host.empty() ? "-" : host) + " sallyport - " + message_id + " - " + text;
  return std::to_string(message.size()) + " " + message;
}

SyslogTls::SyslogTls(SyslogTlsOptions options) : options_(std::move(options)) {}
SyslogTls::~SyslogTls() = default;

Result<void> SyslogTls::connect() {
  const std::size_t colon = options_.server.rfind(':');
  if (colon == std::string::npos) return fail(Errc::invalid, "`" + options_.server + "`: a syslog server is HOST:PORT");
  std::string host = options_.server.substr(0, colon);
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  const auto failed = [&](const std::string& why) { return fail(Errc::unavailable, "syslog server " + options_.server + ": " + why); };
  auto connection = std::make_unique<Connection>();
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int code = ::getaddrinfo(host.c_str(), options_.server.c_str() + colon + 1, &hints, &found); code != 0) return failed(::gai_strerror(code));
  const std::unique_ptr<addrinfo, FreeWith<::freeaddrinfo>> addresses(found);
  std::string why = "no address";
  for (const addrinfo* at = addresses.get(); at != nullptr && !connection->socket; at = at->ai_next) {
    Fd socket(::socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol));
    ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &k_patience, sizeof k_patience);
    ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &k_patience, sizeof k_patience);
    if (::connect(socket.get(), at->ai_addr, at->ai_addrlen) == 0) connection->socket = std::move(socket);
    else why = std::strerror(errno);
  }
  if (!connection->socket) return failed(why);
  connection->context.reset(SSL_CTX_new(TLS_client_method()));
  SSL_CTX* const context = connection->context.get();
  if (context == nullptr) return failed(tls_error());
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  const bool trusts = options_.ca_file.empty() ? SSL_CTX_set_default_verify_paths(context) == 1 : SSL_CTX_load_verify_locations(context, options_.ca_file.c_str(), nullptr) == 1;
  if (!trusts) return failed("its certificate authority " + options_.ca_file + ": " + tls_error());
  if (!options_.certificate.empty() && (SSL_CTX_use_certificate_chain_file(context, options_.certificate.c_str()) != 1 ||
                                        SSL_CTX_use_PrivateKey_file(context, options_.key.c_str(), SSL_FILETYPE_PEM) != 1))
    return failed("our certificate " + options_.certificate + ": " + tls_error());
  connection->tls.reset(SSL_new(context));
  SSL* const tls = connection->tls.get();
  X509_VERIFY_PARAM* const wanted = tls == nullptr ? nullptr : SSL_get0_param(tls);
  if (wanted == nullptr) return failed(tls_error());
  if (X509_VERIFY_PARAM_set1_ip_asc(wanted, host.c_str()) != 1) {
    ERR_clear_error();
    SSL_ctrl(tls, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, host.data());
    if (X509_VERIFY_PARAM_set1_host(wanted, host.c_str(), 0) != 1) return failed(tls_error());
  }
  SSL_set_fd(tls, connection->socket.get());
  if (SSL_connect(tls) != 1) {
    const long verdict = SSL_get_verify_result(tls);
    return failed(verdict != X509_V_OK ? X509_verify_cert_error_string(verdict) : tls_error());
  }
  connection_ = std::move(connection);
  return {};
}

Result<void> SyslogTls::send(const std::string& frame) {
  for (int attempt = 0; attempt < 2; ++attempt) {  // the second on a new connection: the old one may have ended long ago
    if (connection_) {
      // A server that has closed shows it by readable bytes or an end.
      pollfd state{connection_->socket.get(), POLLIN, 0};
      std::array<char, 256> nothing{};
      if (::poll(&state, 1, 0) > 0 && SSL_read(connection_->tls.get(), nothing.data(), static_cast<int>(nothing.size())) <= 0) connection_.reset();
    }
    if (!connection_) {
      if (auto connected = connect(); !connected) return connected;
    }
    if (SSL_write(connection_->tls.get(), frame.data(), static_cast<int>(frame.size())) == static_cast<int>(frame.size())) return {};
    connection_.reset();
  }
  return fail(Errc::unavailable, "syslog server " + options_.server + ": " + tls_error());
}

}  // namespace sallyport::recorder
