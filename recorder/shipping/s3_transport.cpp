#include "recorder/shipping/s3_transport.h"

#include <curl/curl.h>

#include <algorithm>
#include <array>

namespace sallyport::recorder {
namespace {

constexpr std::size_t k_max_headers = 64 * 1024;
constexpr std::size_t k_max_header_lines = 200;
constexpr long k_slow_bytes_per_second = 1'000;
constexpr long k_slow_seconds = 20;

struct HandleFree {
  void operator()(CURL* handle) const noexcept { curl_easy_cleanup(handle); }
};
struct ListFree {
  void operator()(curl_slist* list) const noexcept { curl_slist_free_all(list); }
};

struct Receiving {
  S3Answer answer;
  std::size_t header_bytes = 0;
  std::uint64_t most_body = 0;
  bool too_much = false;
};

std::size_t take_body(char* data, std::size_t size, std::size_t count, void* into) {
  auto& receiving = *static_cast<Receiving*>(into);
  const std::size_t bytes = size * count;
  if (receiving.answer.body.size() + bytes > receiving.most_body) {
    receiving.too_much = true;
    return 0;
  }
  const ByteView part = bytes_of(std::string_view(data, bytes));
  receiving.answer.body.insert(receiving.answer.body.end(), part.begin(), part.end());
  return bytes;
}

std::size_t take_header(char* data, std::size_t size, std::size_t count, void* into) {
  auto& receiving = *static_cast<Receiving*>(into);
  const std::size_t bytes = size * count;
  receiving.header_bytes += bytes;
  if (receiving.header_bytes > k_max_headers || receiving.answer.headers.size() > k_max_header_lines) {
    receiving.too_much = true;
    return 0;
  }
  std::string_view line(data, bytes);
  while (!line.empty() && (line.back() == '\r' || line.back() == '\n' || line.back() == ' ')) line.remove_suffix(1);
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return bytes;  // the status line, or the end
  std::string name(line.substr(0, colon));
  std::transform(name.begin(), name.end(), name.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  line.remove_prefix(colon + 1);
  while (line.starts_with(' ')) line.remove_prefix(1);
  receiving.answer.headers[name] = line;
  return bytes;
}

class CurlTransport final : public S3Transport {
 public:
  explicit CurlTransport(S3Endpoint endpoint) : endpoint_(std::move(endpoint)) {
    static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
    if (ready == CURLE_OK) handle_.reset(curl_easy_init());
  }

  Result<S3Answer> exchange(const S3Call& call) override {
    if (!handle_) return fail(Errc::unavailable, "libcurl cannot be used");
    CURL* const curl = handle_.get();
    curl_easy_reset(curl);  // keeps the connection
    const std::string url = endpoint_.origin + call.path + (call.query.empty() ? "" : "?" + call.query);
    Receiving receiving;
    receiving.most_body = call.most_answer;
    std::unique_ptr<curl_slist, ListFree> headers;
    const auto add = [&headers](const std::string& line) {
      if (curl_slist* const longer = curl_slist_append(headers.get(), line.c_str())) {
        static_cast<void>(headers.release());
        headers.reset(longer);
      }
    };
    for (const auto& [name, value] : call.headers)
      if (name != "host") add(name + ": " + value);
    add("Expect:");
    add("Accept:");
    if (std::none_of(call.headers.begin(), call.headers.end(), [](const auto& header) { return header.first == "content-type"; })) add("Content-Type:");
    std::array<char, CURL_ERROR_SIZE> text{};
    curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
    curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    if (!endpoint_.ca_file.empty()) curl_easy_setopt(curl, CURLOPT_CAINFO, endpoint_.ca_file.c_str());
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(endpoint_.connect_time.count()));
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(endpoint_.exchange_time.count()));
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, k_slow_bytes_per_second);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, k_slow_seconds);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.get());
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &receiving);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, &take_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, &receiving);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, text.data());
    if (call.method == "HEAD") {
      curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    } else if (call.method == "PUT" || call.method == "POST") {
      curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(call.body.size()));
      curl_easy_setopt(curl, CURLOPT_POSTFIELDS, text_of(call.body).data() == nullptr ? "" : text_of(call.body).data());
      curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, call.method.c_str());
    } else {
      curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, call.method.c_str());
    }
    const CURLcode code = curl_easy_perform(curl);
    if (receiving.too_much) return fail(Errc::corrupt, "the store's answer is larger than it may be");
    if (code != CURLE_OK) {
      const std::string detail = text[0] != '\0' ? text.data() : curl_easy_strerror(code);
      return fail(Errc::unavailable, endpoint_.origin + ": " + detail);
    }
    long status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    receiving.answer.status = static_cast<unsigned>(std::clamp(status, 0L, 999L));
    return std::move(receiving.answer);
  }

 private:
  S3Endpoint endpoint_;
  std::unique_ptr<CURL, HandleFree> handle_;
};

}  // namespace

std::unique_ptr<S3Transport> make_curl_transport(S3Endpoint endpoint) { return std::make_unique<CurlTransport>(std::move(endpoint)); }

}  // namespace sallyport::recorder
