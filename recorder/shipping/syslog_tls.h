// recorder/shipping/syslog_tls.h -- checkpoints to a syslog server: RFC 5424 messages over TLS (RFC 5425, octet counting).
#pragma once

#include <memory>
#include <string>

#include "platform/model/clock.h"
#include "platform/model/result.h"
#include "platform/model/settings.h"

namespace sallyport::recorder {

struct SyslogTlsOptions {
  std::string server;       ///< "host:port"; empty: none
  std::string ca_file;      ///< who must have signed the server's certificate
  std::string certificate;  ///< ours, PEM; empty: none
  std::string key;
  std::string node;
};
[[nodiscard]] SyslogTlsOptions syslog_tls_options(const Settings& settings);

/// One RFC 5424 message with its length in front. Control characters of `text` become spaces.
[[nodiscard]] std::string syslog_frame(WallTime now, const std::string& node, const std::string& message_id, std::string text);

/// Keeps one connection. Blocks, at most about 15 s.
class SyslogTls {
 public:
  explicit SyslogTls(SyslogTlsOptions options);
  ~SyslogTls();
  SyslogTls(const SyslogTls&) = delete;
  SyslogTls& operator=(const SyslogTls&) = delete;

  /// Errc::unavailable: not delivered, and why. Syslog has no acknowledgement: delivered means that the server's TLS took it.
  Result<void> send(const std::string& frame);

 private:
  struct Connection;
  Result<void> connect();
  SyslogTlsOptions options_;
  std::unique_ptr<Connection> connection_;
};

}  // namespace sallyport::recorder
