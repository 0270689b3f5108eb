// admin/sinks/event_sink.h -- where exported audit events go: a syslog server over mutual TLS, a webhook, a file.
#pragma once

#include <chrono>
#include <memory>
#include <span>
#include <string>

#include "admin/sinks/event_formats.h"
#include "platform/model/result.h"
#include "platform/model/secret.h"

namespace sallyport::admin {

struct SinkOptions {
  std::string to;            ///< syslog+tls://HOST:PORT, https://..., file:PATH, or - for standard output
  EventFormat format = EventFormat::ocsf;
  std::string node;
  std::string version;
  std::string ca_file;       ///< who signed the receiver's certificate; empty: the machine's
  std::string certificate;   ///< ours, PEM
  std::string key;
  Secret webhook_key;        ///< HMAC-SHA-256 over "TIME.BODY"
};

/// One receiver. Blocks. Not thread-safe.
class EventSink {
 public:
  virtual ~EventSink() = default;
  /// Everything of `events` was handed over, in order; or Errc::unavailable, then all of it has to be given again.
  [[nodiscard]] virtual Result<void> deliver(std::span<const OutgoingEvent> events) = 0;
  /// How long what was delivered may still be lost on its way: the cursor moves on only after that. Zero: the receiver has answered.
  [[nodiscard]] virtual std::chrono::milliseconds doubt() const { return {}; }
};

/// Errc::invalid names what is wrong with the options.
[[nodiscard]] Result<std::unique_ptr<EventSink>> open_event_sink(SinkOptions options);

}  // namespace sallyport::admin
