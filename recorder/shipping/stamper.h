// recorder/shipping/stamper.h -- asks an RFC 3161 time stamping authority to sign checkpoints.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "platform/crypto/hash.h"
#include "platform/crypto/random.h"
#include "platform/model/clock.h"
#include "platform/model/settings.h"
#include "recorder/shipping/s3_transport.h"

namespace sallyport::recorder {

struct StampOptions {
  std::string url;  ///< empty: no authority
  std::string ca_file;  ///< of its TLS and of its stamps; may be empty
  std::chrono::milliseconds every{3'600'000};
};
[[nodiscard]] StampOptions stamp_options(const Settings& settings);

class Stamper {
 public:
  using Say = std::function<void(std::string_view event, const std::string& json)>;
  Stamper(StampOptions options, Clock& clock, crypto::Random& random, Say say);

  /// A checkpoint note as it stands in the journal. Stamps it when one is due; blocks for at most some seconds. The outcome is said.
  void take(const std::string& note);

 private:
  [[nodiscard]] Result<Bytes> stamp(const crypto::Hash256& hash);

  StampOptions options_;
  Clock& clock_;
  crypto::Random& random_;
  Say say_;
  std::unique_ptr<S3Transport> transport_;
  std::string path_, query_;
  std::optional<BootTime> next_;
  bool told_trouble_ = false;
};

}  // namespace sallyport::recorder
