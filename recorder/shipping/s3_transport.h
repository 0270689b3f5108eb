// recorder/shipping/s3_transport.h -- one HTTP exchange with an object store, as plain values.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "platform/model/bytes.h"
#include "platform/model/result.h"
#include "platform/net/sigv4.h"

namespace sallyport::recorder {

struct S3Call {
  std::string method;
  std::string path;   ///< encoded
  std::string query;  ///< encoded
  net::HttpHeaders headers;
  ByteView body;
  std::uint64_t most_answer = 64 * 1024;  ///< bytes of the answer's body; more ends the exchange
};

struct S3Answer {
  unsigned status = 0;
  std::map<std::string, std::string> headers;  ///< lower case; the last of equal names counts
  Bytes body;
  [[nodiscard]] std::string header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? std::string() : found->second;
  }
};

struct S3Endpoint {
  std::string origin;  ///< "https://store.example:9000"
  std::string ca_file; ///< empty: the system's
  std::chrono::milliseconds connect_time{5'000};
  std::chrono::milliseconds exchange_time{60'000};
};

class S3Transport {
 public:
  virtual ~S3Transport() = default;
  /// Errc::unavailable: no whole answer came (name, connection, TLS, time). Errc::corrupt: the answer is beyond its bounds.
  [[nodiscard]] virtual Result<S3Answer> exchange(const S3Call& call) = 0;
};

/// Over libcurl, one connection kept open. No redirects, no proxy from the environment, TLS 1.2 or newer.
[[nodiscard]] std::unique_ptr<S3Transport> make_curl_transport(S3Endpoint endpoint);

}  // namespace sallyport::recorder
