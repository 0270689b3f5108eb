// Any bytes as what an object store answers: lists, heads, ranges, refusals, whole parcels. A line "STATUS name:value name:value\n", then the
// body up to a zero byte, then the next answer; the last one is given again and again.
#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>

#include "platform/crypto/random.h"
#include "platform/model/clock.h"
#include "recorder/replay/store_copy.h"
#include "recorder/shipping/parcel.h"
#include "recorder/shipping/s3_store.h"

namespace {

using namespace sallyport;

class Answers final : public recorder::S3Transport {
 public:
  explicit Answers(std::string_view text) : rest_(text) {}
  Result<recorder::S3Answer> exchange(const recorder::S3Call& call) override {
    if (++asked_ > 200) return fail(Errc::denied, "enough");
    if (!rest_.empty() || !last_) last_ = next();
    if (last_->body.size() > call.most_answer) return fail(Errc::corrupt, "larger than asked for");  // as the real transport does
    return *last_;
  }

 private:
  recorder::S3Answer next() {
    const std::string_view one = rest_.substr(0, rest_.find('\0'));
    rest_.remove_prefix(std::min(rest_.size(), one.size() + 1));
    std::string_view head = one.substr(0, one.find('\n'));
    recorder::S3Answer answer;
    std::from_chars(head.data(), head.data() + head.size(), answer.status);
    while (true) {
      const auto blank = head.find(' ');
      if (blank == std::string_view::npos) break;
      head.remove_prefix(blank + 1);
      const std::string_view pair = head.substr(0, head.find(' '));
      if (const auto colon = pair.find(':'); colon != std::string_view::npos) answer.headers[std::string(pair.substr(0, colon))] = pair.substr(colon + 1);
    }
    answer.body = copy_of(bytes_of(one.substr(std::min(one.size(), one.find('\n') == std::string_view::npos ? one.size() : one.find('\n') + 1))));
    return answer;
  }
  std::string_view rest_;
  std::optional<recorder::S3Answer> last_;
  unsigned asked_ = 0;
};

recorder::S3Store store_of(std::string_view text) {
  recorder::S3Options options;
  options.endpoint.origin = "https://store.example:443";
  options.bucket = "records";
  options.prefix = "p/";
  options.access_key = "KEY";
  options.secret_key = Secret(std::string_view("secret"));
  options.part_bytes = 16;
  return {std::move(options), system_clock(), crypto::system_random(), std::make_unique<Answers>(text), [](std::chrono::milliseconds) {}};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 65536) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  constexpr std::string_view k_key = "lab/journal/00000001/000000000000-000000000009.1of1.0123456789abcdef0123456789abcdef";
  if (const auto keys = store_of(text).list("lab/"))
    for (const std::string& key : *keys)
      if (!recorder::is_object_key(key)) std::abort();  // a store chooses no path of ours
  if (const auto part = store_of(text).get_range(k_key, 3, 7); part && part->size() > 7) std::abort();
  static_cast<void>(store_of(text).head(k_key));
  static_cast<void>(store_of(text).lock_of_bucket());
  static_cast<void>(store_of(text).put(k_key, bytes_of("short")));
  if (const auto put = store_of(text).put(k_key, bytes_of("long enough for parts")); !put && put.error().detail.find('\x1b') != std::string::npos) std::abort();
  static_cast<void>(store_of(text).set_legal_hold(k_key, true));
  static_cast<void>(store_of(text).remove_version(k_key));
  {
    auto store = store_of(text);
    static_cast<void>(replay::nodes_in(store));
  }
  static_cast<void>(recorder::parse_iso_time(text));
  if (const auto key = recorder::parse_parcel_key(text); key && (key->span.to < key->span.from || key->lane == 0 || key->lane > key->lanes)) std::abort();
  if (const auto parcel = recorder::unpack_parcel(bytes_of(text)))
    for (const auto& piece : parcel->pieces)
      if (piece.offset < parcel->span.from || piece.offset + piece.bytes.size() > parcel->span.to) std::abort();
  return 0;
}
