// admin/sinks/notifier.h -- tells people outside that something waits for them: webhooks and mail, with retry and signature.
//
// A thread of its own, a bounded queue. Each message is tried until it is taken, with growing pauses, and given up after the last try;
// either end is reported. After a restart of the authority what still waits is told again, with the same id: at least once.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "platform/model/result.h"
#include "platform/model/secret.h"

namespace sallyport::admin {

struct NotifyOptions {
  std::vector<std::string> webhooks;  ///< http:// only to this machine
  Secret webhook_key;                 ///< HMAC-SHA-256 over "TIME.BODY"
  std::string smtp;                   ///< smtp://host:25 or smtps://host:465; empty: no mail
  std::string smtp_from;
  std::vector<std::string> smtp_to;
  std::string smtp_user;
  Secret smtp_password;
  bool smtp_plain = false;            ///< without TLS; else the server must offer it
  std::string ca_file;                ///< PEM; empty: the machine's
  unsigned tries = 8;
  std::chrono::milliseconds first_pause{1000};  ///< doubles, up to a minute
};

struct Notification {
  std::string id;       ///< the same for every try: receivers drop what they have seen
  std::string event;    ///< request.created
  std::string json;     ///< webhook body
  std::string subject;  ///< mail; empty: none
  std::string text;
};

struct Delivery {
  std::string id;
  std::string event;
  std::string to;
  bool delivered = false;
  unsigned tries = 0;
  std::string problem;
};

class Notifier {
 public:
  /// `told` is called on the notifier's thread.
  Notifier(NotifyOptions options, std::function<void(Delivery)> told);
  ~Notifier();  ///< what is not delivered by then is dropped
  Notifier(const Notifier&) = delete;
  Notifier& operator=(const Notifier&) = delete;

  /// Errc::unavailable: the queue is full.
  Result<void> send(Notification notification);
  /// Errc::invalid names what is wrong with the options.
  [[nodiscard]] static Result<void> check(const NotifyOptions& options);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sallyport::admin
