#include "admin/sinks/notifier.h"

#include <curl/curl.h>

#include <algorithm>
#include <condition_variable>
#include <ctime>
#include <mutex>
#include <thread>
#include <utility>

#include "platform/crypto/hex.h"
#include "platform/crypto/hmac.h"
#include "platform/model/bytes.h"
#include "platform/model/json_text.h"

namespace sallyport::admin {
namespace {

constexpr std::size_t k_most_waiting = 2000;
constexpr std::chrono::seconds k_longest_pause{60};
constexpr long k_try_ms = 10'000;

struct Job {
  Notification what;
  std::string to;  ///< a webhook's URL, or the mail server's
  bool is_mail = false;
  unsigned tries = 0;
  std::chrono::steady_clock::time_point due;
};

struct CurlHandle {
  CURL* raw = curl_easy_init();
  ~CurlHandle() { curl_easy_cleanup(raw); }
  CurlHandle() = default;
  CurlHandle(const CurlHandle&) = delete;
  CurlHandle& operator=(const CurlHandle&) = delete;
};

struct Headers {
  curl_slist* raw = nullptr;
  void add(const std::string& line) { raw = curl_slist_append(raw, line.c_str()); }
  Headers() = default;
  ~Headers() { curl_slist_free_all(raw); }
  Headers(const Headers&) = delete;
  Headers& operator=(const Headers&) = delete;
};

size_t drop_answer(char*, size_t size, size_t count, void*) { return size * count; }

struct MailText {
  std::string text;
  std::size_t sent = 0;
};

size_t read_mail(char* to, size_t size, size_t count, void* from) {
  auto& mail = *static_cast<MailText*>(from);
  const std::size_t part = std::min(size * count, mail.text.size() - mail.sent);
  std::copy_n(mail.text.data() + mail.sent, part, to);
  mail.sent += part;
  return part;
}

std::string one_line(std::string_view text) {
  std::string line = printable(text);
  std::replace_if(line.begin(), line.end(), [](char c) { return c == '\n' || c == '\t'; }, ' ');
  return line.substr(0, 200);
}

bool is_here(std::string_view url) {
  for (const std::string_view host : {"127.0.0.1", "localhost", "[::1]"}) {
    const auto at = url.find("://");
    if (at == std::string_view::npos || !url.substr(at + 3).starts_with(host)) continue;
    const std::string_view rest = url.substr(at + 3 + host.size());
    const std::string_view authority = rest.substr(0, rest.find_first_of("/?#"));  // "127.0.0.1.example.org" and "127.0.0.1:x@example.org" are elsewhere
    if (authority.find_first_not_of(":0123456789") == std::string_view::npos) return true;
  }
  return false;
}

}  // namespace

struct Notifier::State {
  State(NotifyOptions options_in, std::function<void(Delivery)> told_in) : options(std::move(options_in)), told(std::move(told_in)) {}

  void run() {
    std::unique_lock lock(mutex);
    while (!stopping) {
      const auto next = std::min_element(jobs.begin(), jobs.end(), [](const Job& a, const Job& b) { return a.due < b.due; });
      if (next == jobs.end()) {
        wake.wait(lock);
        continue;
      }
      if (next->due > std::chrono::steady_clock::now()) {
        wake.wait_until(lock, next->due);
        continue;
      }
      Job job = std::move(*next);
      jobs.erase(next);
      lock.unlock();
      ++job.tries;
      const std::string problem = job.is_mail ? mail(job) : post(job);
      if (problem.empty() || job.tries >= options.tries) {
        told({job.what.id, job.what.event, job.to, problem.empty(), job.tries, problem});
        lock.lock();
        continue;
      }
      const auto pause = std::min<std::chrono::milliseconds>(options.first_pause * (1U << std::min(job.tries - 1, 16U)), k_longest_pause);
      job.due = std::chrono::steady_clock::now() + pause;
      lock.lock();
      jobs.push_back(std::move(job));
    }
  }

  void prepare(CURL* curl, const std::string& url) const {
    curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, k_try_ms);
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    if (!options.ca_file.empty()) curl_easy_setopt(curl, CURLOPT_CAINFO, options.ca_file.c_str());
  }

  /// Empty: it was taken.
  std::string post(const Job& job) const {
    const CurlHandle curl;
    prepare(curl.raw, job.to);
    curl_easy_setopt(curl.raw, CURLOPT_PROTOCOLS_STR, "http,https");
    const std::string time = std::to_string(std::time(nullptr));
    Headers headers;
    headers.add("Content-Type: application/json");
    headers.add("Sallyport-Event: " + job.what.event);
    headers.add("Sallyport-Delivery: " + job.what.id);
    if (options.webhook_key.size() != 0) {
      const auto mac = crypto::hmac_sha256(options.webhook_key.reveal(), bytes_of(time + "." + job.what.json));
      headers.add("Sallyport-Signature: t=" + time + ",v1=" + crypto::to_hex(mac));
    }
    headers.add("Expect:");
    curl_easy_setopt(curl.raw, CURLOPT_HTTPHEADER, headers.raw);
    curl_easy_setopt(curl.raw, CURLOPT_POSTFIELDS, job.what.json.c_str());
    curl_easy_setopt(curl.raw, CURLOPT_POSTFIELDSIZE, static_cast<long>(job.what.json.size()));
    curl_easy_setopt(curl.raw, CURLOPT_WRITEFUNCTION, drop_answer);
    const CURLcode code = curl_easy_perform(curl.raw);
    if (code != CURLE_OK) return curl_easy_strerror(code);
    long status = 0;
    curl_easy_getinfo(curl.raw, CURLINFO_RESPONSE_CODE, &status);
    return status >= 200 && status < 300 ? std::string() : "it answered with " + std::to_string(status);
  }

  std::string mail(const Job& job) const {
    const CurlHandle curl;
    prepare(curl.raw, job.to);
    curl_easy_setopt(curl.raw, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    curl_easy_setopt(curl.raw, CURLOPT_USE_SSL, static_cast<long>(options.smtp_plain ? CURLUSESSL_NONE : CURLUSESSL_ALL));
    curl_easy_setopt(curl.raw, CURLOPT_MAIL_FROM, ("<" + options.smtp_from + ">").c_str());
    Headers to;
    std::string names;
    for (const std::string& one : options.smtp_to) {
      to.add("<" + one + ">");
      names += (names.empty() ? "" : ", ") + one;
    }
    curl_easy_setopt(curl.raw, CURLOPT_MAIL_RCPT, to.raw);
    if (!options.smtp_user.empty()) {
      curl_easy_setopt(curl.raw, CURLOPT_USERNAME, options.smtp_user.c_str());
      const std::string password(options.smtp_password.reveal_text());
      curl_easy_setopt(curl.raw, CURLOPT_PASSWORD, password.c_str());
    }
    char date[64];
    const std::time_t now = std::time(nullptr);
    std::tm parts{};
    gmtime_r(&now, &parts);
    date[std::strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S +0000", &parts)] = 0;
    const auto at = options.smtp_from.find('@');
    MailText mail;
    mail.text = std::string("Date: ") + date + "\r\nFrom: Sallyport <" + options.smtp_from + ">\r\nTo: " + names + "\r\nSubject: " + one_line(job.what.subject) +
                "\r\nMessage-ID: <" + job.what.id + "@" + (at == std::string::npos ? "sallyport" : options.smtp_from.substr(at + 1)) +
                ">\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nAuto-Submitted: auto-generated\r\n\r\n";
    for (const char c : printable(job.what.text)) {
      if (c == '\n') mail.text += '\r';
      mail.text += c;
    }
    curl_easy_setopt(curl.raw, CURLOPT_READFUNCTION, read_mail);
    curl_easy_setopt(curl.raw, CURLOPT_READDATA, &mail);
    curl_easy_setopt(curl.raw, CURLOPT_UPLOAD, 1L);
    const CURLcode code = curl_easy_perform(curl.raw);
    return code == CURLE_OK ? std::string() : curl_easy_strerror(code);
  }

  const NotifyOptions options;
  const std::function<void(Delivery)> told;
  std::mutex mutex;
  std::condition_variable wake;
  std::vector<Job> jobs;
  bool stopping = false;
  std::thread thread;
};

Notifier::Notifier(NotifyOptions options, std::function<void(Delivery)> told) : state_(std::make_unique<State>(std::move(options), std::move(told))) {
  curl_global_init(CURL_GLOBAL_DEFAULT);
  state_->thread = std::thread([state = state_.get()] { state->run(); });
}

Notifier::~Notifier() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->wake.notify_one();
  state_->thread.join();
}

Result<void> Notifier::send(Notification notification) {
  const std::lock_guard lock(state_->mutex);
  const auto now = std::chrono::steady_clock::now();
  if (state_->jobs.size() >= k_most_waiting) return fail(Errc::unavailable, "too many notifications wait");
  for (const std::string& url : state_->options.webhooks) state_->jobs.push_back(Job{notification, url, false, 0, now});
  if (!state_->options.smtp.empty() && !notification.subject.empty()) state_->jobs.push_back(Job{notification, state_->options.smtp, true, 0, now});
  state_->wake.notify_one();
  return {};
}

Result<void> Notifier::check(const NotifyOptions& options) {
  for (const std::string& url : options.webhooks) {
    const bool is_plain = url.starts_with("http://");
    if (!is_plain && !url.starts_with("https://")) return fail(Errc::invalid, "notify.webhooks: `" + url + "` is no URL");
    if (is_plain && !is_here(url)) return fail(Errc::invalid, "notify.webhooks: `" + url + "` must be https");
  }
  if (!options.webhooks.empty() && options.webhook_key.size() < 16) return fail(Errc::invalid, "notify.webhook_key_file: at least 16 bytes sign the webhooks");
  if (options.smtp.empty()) return {};
  if (!options.smtp.starts_with("smtp://") && !options.smtp.starts_with("smtps://")) return fail(Errc::invalid, "notify.smtp: write smtp://host:25 or smtps://host:465");
  if (options.smtp_plain && !is_here(options.smtp)) return fail(Errc::invalid, "notify.smtp_plain is for a mail server on this machine");
  if (options.smtp_from.find('@') == std::string::npos || options.smtp_to.empty()) return fail(Errc::invalid, "notify.smtp needs notify.smtp_from and notify.smtp_to");
  for (const std::string& address : options.smtp_to)
    if (address.find('@') == std::string::npos || address.find_first_of("<>\r\n ") != std::string::npos) return fail(Errc::invalid, "notify.smtp_to: `" + address + "` is no address");
  return {};
}

}  // namespace sallyport::admin
