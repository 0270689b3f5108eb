#include "recorder/shipping/stamper.h"

#include <algorithm>
#include <utility>

#include "platform/crypto/base64.h"
#include "platform/crypto/hex.h"
#include "platform/crypto/note.h"
#include "platform/crypto/timestamp.h"
#include "platform/model/json_text.h"

namespace sallyport::recorder {
namespace {

constexpr std::chrono::milliseconds k_within{10'000};
constexpr BootTime k_again_after_trouble = std::chrono::seconds(60);
constexpr std::size_t k_most_token = 5'500;  ///< as base64 it must fit into an event

}  // namespace

StampOptions stamp_options(const Settings& settings) {
  StampOptions options;
  options.url = settings.text("timestamp_url");
  options.ca_file = settings.text("timestamp_ca");
  options.every = settings.duration("timestamp_every_ms", options.every);
  return options;
}

Stamper::Stamper(StampOptions options, Clock& clock, crypto::Random& random, Say say)
    : options_(std::move(options)), clock_(clock), random_(random), say_(std::move(say)) {
  const std::size_t scheme = options_.url.find("://");
  const std::size_t slash = scheme == std::string::npos ? std::string::npos : options_.url.find('/', scheme + 3);
  S3Endpoint endpoint;
  endpoint.origin = options_.url.substr(0, slash);
  if (options_.url.starts_with("https:")) endpoint.ca_file = options_.ca_file;
  endpoint.connect_time = endpoint.exchange_time = k_within;
  path_ = slash == std::string::npos ? "/" : options_.url.substr(slash);
  if (const std::size_t mark = path_.find('?'); mark != std::string::npos) {
    query_ = path_.substr(mark + 1);
    path_.erase(mark);
  }
  transport_ = make_curl_transport(std::move(endpoint));
}

Result<Bytes> Stamper::stamp(const crypto::Hash256& hash) {
  const auto request = crypto::timestamp_request(hash, random_);
  if (!request) return tl::unexpected(request.error());
  S3Call call;
  call.method = "POST";
  call.path = path_;
  call.query = query_;
  call.headers = {{"content-type", "application/timestamp-query"}};
  call.body = *request;
  const auto answer = transport_->exchange(call);
  if (!answer) return tl::unexpected(answer.error());
  if (answer->status != 200) return fail(Errc::unavailable, options_.url + " answers " + std::to_string(answer->status));
  auto token = crypto::timestamp_token(answer->body, *request);
  if (token && token->size() > k_most_token) return fail(Errc::invalid, "the time stamp has " + std::to_string(token->size()) + " bytes; " + std::to_string(k_most_token) + " fit into the log");
  return token;
}

void Stamper::take(const std::string& note) {
  const BootTime now = clock_.boot();
  if (next_ && now < *next_) return;
  const auto parsed = crypto::parse_note(note);
  const auto checkpoint = parsed ? crypto::parse_checkpoint(parsed->body) : Result<crypto::Checkpoint>(tl::unexpected(parsed.error()));
  if (!checkpoint) return;
  const auto hash = crypto::sha256(note);
  const auto token = stamp(hash);
  if (!token) {
    next_ = now + std::min(std::chrono::duration_cast<BootTime>(options_.every), k_again_after_trouble);
    if (!std::exchange(told_trouble_, true)) say_("checkpoint.timestamp_failed", "{\"reason\":" + json_quote(token.error().detail) + "}");
    return;
  }
  told_trouble_ = false;
  next_ = now + std::chrono::duration_cast<BootTime>(options_.every);
  say_("checkpoint.timestamped", "{\"size\":" + std::to_string(checkpoint->size) + ",\"sha256\":\"" + crypto::to_hex(hash) + "\",\"token\":\"" + crypto::to_base64(*token) + "\"}");
}

}  // namespace sallyport::recorder
