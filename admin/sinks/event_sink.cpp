#include "admin/sinks/event_sink.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>

#include "platform/crypto/hex.h"
#include "platform/crypto/hmac.h"
#include "platform/model/bytes.h"
#include "platform/os/fd.h"
#include "recorder/shipping/syslog_tls.h"

namespace sallyport::admin {
namespace {

constexpr std::chrono::milliseconds k_syslog_doubt{3000};
constexpr long k_answer_ms = 15'000;
constexpr std::size_t k_longest_message_id = 32;  // RFC 5424 section 6

/// Syslog has no acknowledgement: what the connection took in its last seconds counts as not delivered when it breaks.
class SyslogSink : public EventSink {
 public:
  explicit SyslogSink(SinkOptions options)
      : options_(std::move(options)),
        server_({options_.to.substr(std::string_view("syslog+tls://").size()), options_.ca_file, options_.certificate, options_.key, options_.node}) {}
  Result<void> deliver(std::span<const OutgoingEvent> events) override {
    for (const OutgoingEvent& event : events) {
      const WallTime at{std::chrono::microseconds(event.wall_us)};
      const std::string text = format_event(event, options_.format, options_.node, options_.version);
      if (auto sent = server_.send(recorder::syslog_frame(at, options_.node, event.name.substr(0, k_longest_message_id), text)); !sent) return sent;
    }
    return {};
  }
  [[nodiscard]] std::chrono::milliseconds doubt() const override { return k_syslog_doubt; }

 private:
  SinkOptions options_;
  recorder::SyslogTls server_;
};

size_t drop_answer(char*, size_t size, size_t count, void*) { return size * count; }

class WebhookSink : public EventSink {
 public:
  explicit WebhookSink(SinkOptions options) : options_(std::move(options)), curl_(curl_easy_init(), curl_easy_cleanup) {}
  Result<void> deliver(std::span<const OutgoingEvent> events) override {
    if (curl_ == nullptr) return fail(Errc::internal, "libcurl does not start");
    std::string body;
    for (const OutgoingEvent& event : events) body += format_event(event, options_.format, options_.node, options_.version) + "\n";
    const std::string time = std::to_string(std::time(nullptr));
    std::unique_ptr<curl_slist, void (*)(curl_slist*)> headers(nullptr, curl_slist_free_all);
    const auto add = [&headers](const std::string& line) { headers.reset(curl_slist_append(headers.release(), line.c_str())); };
    add(options_.format == EventFormat::cef ? "Content-Type: text/plain; charset=utf-8" : "Content-Type: application/x-ndjson");
    add("Sallyport-Delivery: " + events.front().id);
    add("Sallyport-Events: " + std::to_string(events.size()));
    if (options_.webhook_key.size() != 0) {
      const auto mac = crypto::hmac_sha256(options_.webhook_key.reveal(), bytes_of(time + "." + body));
      add("Sallyport-Signature: t=" + time + ",v1=" + crypto::to_hex(mac));
    }
    add("Expect:");
    CURL* const curl = curl_.get();
    curl_easy_reset(curl);
    curl_easy_setopt(curl, CURLOPT_URL, options_.to.c_str());
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, k_answer_ms);
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    if (!options_.ca_file.empty()) curl_easy_setopt(curl, CURLOPT_CAINFO, options_.ca_file.c_str());
    if (!options_.certificate.empty()) {
      curl_easy_setopt(curl, CURLOPT_SSLCERT, options_.certificate.c_str());
      curl_easy_setopt(curl, CURLOPT_SSLKEY, options_.key.c_str());
    }
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.get());
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.c_str());
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, drop_answer);
    const CURLcode code = curl_easy_perform(curl);
    if (code != CURLE_OK) return fail(Errc::unavailable, options_.to + ": " + curl_easy_strerror(code));
    long status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    if (status < 200 || status > 299) return fail(Errc::unavailable, options_.to + ": it answered with " + std::to_string(status));
    return {};
  }

 private:
  SinkOptions options_;
  std::unique_ptr<CURL, void (*)(CURL*)> curl_;
};

class FileSink : public EventSink {
 public:
  FileSink(SinkOptions options, Fd file) : options_(std::move(options)), file_(std::move(file)) {}
  Result<void> deliver(std::span<const OutgoingEvent> events) override {
    std::string text;
    for (const OutgoingEvent& event : events) text += format_event(event, options_.format, options_.node, options_.version) + "\n";
    const int fd = file_ ? file_.get() : STDOUT_FILENO;
    std::string_view rest = text;
    while (!rest.empty()) {
      const ssize_t n = ::write(fd, rest.data(), rest.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return fail(Errc::unavailable, options_.to + ": " + std::strerror(errno));
      rest.remove_prefix(static_cast<std::size_t>(n));
    }
    if (file_ && ::fdatasync(fd) != 0 && errno != EINVAL) return fail(Errc::unavailable, options_.to + ": " + std::strerror(errno));
    return {};
  }

 private:
  SinkOptions options_;
  Fd file_;  ///< none: standard output
};

bool is_here(std::string_view url) {
  const std::string_view host = url.substr(std::min(url.size(), url.find("://") + 3));
  for (const std::string_view name : {"127.0.0.1", "localhost", "[::1]"})
    if (host.starts_with(name)) {
      const std::string_view rest = host.substr(name.size());
      // "127.0.0.1.example.org" and "127.0.0.1:x@example.org" are elsewhere.
      if (rest.substr(0, rest.find_first_of("/?#")).find_first_not_of(":0123456789") == std::string_view::npos) return true;
    }
  return false;
}

}  // namespace

Result<std::unique_ptr<EventSink>> open_event_sink(SinkOptions options) {
  const std::string to = options.to;
  if (options.certificate.empty() != options.key.empty()) return fail(Errc::invalid, "a client certificate needs its key, and a key its certificate");
  for (const std::string* file : {&options.ca_file, &options.certificate, &options.key})
    if (!file->empty() && ::access(file->c_str(), R_OK) != 0) return fail(Errc::invalid, *file + ": " + std::strerror(errno));
  if (to.starts_with("syslog+tls://")) {
    if (to.rfind(':') <= std::string_view("syslog+tls:").size()) return fail(Errc::invalid, "`" + to + "`: write syslog+tls://HOST:PORT");
    if (options.certificate.empty()) return fail(Errc::invalid, "syslog over mutual TLS needs --certificate and --key");
    return std::make_unique<SyslogSink>(std::move(options));
  }
  if (to.starts_with("https://") || to.starts_with("http://")) {
    if (to.starts_with("http://") && !is_here(to)) return fail(Errc::invalid, "`" + to + "` must be https");
    if (options.webhook_key.size() != 0 && options.webhook_key.size() < 16) return fail(Errc::invalid, "at least 16 bytes sign the deliveries");
    curl_global_init(CURL_GLOBAL_DEFAULT);
    return std::make_unique<WebhookSink>(std::move(options));
  }
  if (to == "-") return std::make_unique<FileSink>(std::move(options), Fd());
  if (to.starts_with("file:")) {
    Fd file(::open(to.c_str() + 5, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640));
    if (!file) return fail(Errc::unavailable, to.substr(5) + ": " + std::strerror(errno));
    return std::make_unique<FileSink>(std::move(options), std::move(file));
  }
  return fail(Errc::invalid, "`" + to + "` is no receiver: syslog+tls://HOST:PORT, https://..., file:PATH, or - for standard output");
}

}  // namespace sallyport::admin
