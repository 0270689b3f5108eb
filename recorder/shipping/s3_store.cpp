#include "recorder/shipping/s3_store.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <ctime>
#include <thread>

#include "platform/crypto/base64.h"
#include "platform/crypto/hex.h"

namespace sallyport::recorder {
namespace {

using std::chrono::milliseconds;

constexpr std::uint64_t k_most_object = 512ULL * 1024 * 1024;
constexpr std::uint64_t k_most_list = 4 * 1024 * 1024;
constexpr std::size_t k_most_pages = 10'000;
constexpr std::size_t k_most_text = 300;  ///< of what a store says of an error
constexpr milliseconds k_longest_pause{20'000};
constexpr std::string_view k_hash_header = "x-amz-meta-sha256";
/// Who owns the bucket may read what another account's credential put there.
constexpr std::string_view k_acl = "bucket-owner-full-control";

std::string md5_of(ByteView body) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  if (EVP_Digest(body.data(), body.size(), digest.data(), &size, EVP_md5(), nullptr) != 1) return {};
  return crypto::to_base64(std::as_bytes(std::span(digest.data(), size)));
}

bool is_worth_another_try(unsigned status) { return status == 429 || status == 500 || status == 502 || status == 503 || status == 504; }

/// Printable and short: it goes into logs and events.
std::string tame(std::string text) {
  if (text.size() > k_most_text) text.resize(k_most_text);
  for (char& c : text)
    if (static_cast<unsigned char>(c) < ' ' || static_cast<unsigned char>(c) > '~') c = '?';
  return text;
}

std::optional<std::uint64_t> number_of(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return number;
}

void add_keep(net::HttpHeaders& headers, const ObjectKeep& keep) {
  if (keep.until) {
    headers.emplace_back("x-amz-object-lock-mode", keep.compliance ? "COMPLIANCE" : "GOVERNANCE");
    headers.emplace_back("x-amz-object-lock-retain-until-date", iso_time(*keep.until));
  }
  if (keep.legal_hold) headers.emplace_back("x-amz-object-lock-legal-hold", "ON");
}

/// "Sun, 22 Nov 2026 19:00:00 GMT".
std::optional<WallTime> http_date(const std::string& text) {
  std::tm when{};
  const char* const end = ::strptime(text.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &when);
  if (end == nullptr || *end != '\0') return std::nullopt;
  return WallTime(std::chrono::sys_seconds(std::chrono::seconds(::timegm(&when))));
}

}  // namespace

std::string iso_time(WallTime when) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(std::chrono::floor<std::chrono::seconds>(when));
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text.data();
}

std::optional<WallTime> parse_iso_time(std::string_view text) {
  const std::string copy(text.substr(0, 40));
  std::tm when{};
  const char* const end = ::strptime(copy.c_str(), "%Y-%m-%dT%H:%M:%S", &when);
  if (end == nullptr || (*end != 'Z' && *end != '.' && *end != '\0')) return std::nullopt;
  return WallTime(std::chrono::sys_seconds(std::chrono::seconds(::timegm(&when))));
}

std::string xml_text(std::string_view document, std::string_view name) {
  const std::string open = "<" + std::string(name) + ">", close = "</" + std::string(name) + ">";
  const std::size_t begin = document.find(open);
  if (begin == std::string_view::npos) return {};
  const std::size_t end = document.find(close, begin + open.size());
  if (end == std::string_view::npos) return {};
  const std::string_view inner = document.substr(begin + open.size(), end - begin - open.size());
  std::string out;
  for (std::size_t i = 0; i < inner.size(); ++i) {
    static constexpr std::array<std::pair<std::string_view, char>, 5> k_entities{
        {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}}};
    const auto entity = std::find_if(k_entities.begin(), k_entities.end(), [&](const auto& known) { return inner.substr(i).starts_with(known.first); });
    if (entity == k_entities.end()) {
      out += inner[i];
    } else {
      out += entity->second;
      i += entity->first.size() - 1;
    }
  }
  return out;
}

S3Store::S3Store(S3Options options, Clock& clock, crypto::Random& random)
    : S3Store(std::move(options), clock, random, nullptr, [](milliseconds pause) { std::this_thread::sleep_for(pause); }) {}

S3Store::S3Store(S3Options options, Clock& clock, crypto::Random& random, std::unique_ptr<S3Transport> transport, std::function<void(milliseconds)> sleep)
    : options_(std::move(options)), clock_(clock), random_(random), transport_(std::move(transport)), sleep_(std::move(sleep)) {
  std::string& origin = options_.endpoint.origin;
  while (origin.ends_with('/')) origin.pop_back();
  const std::size_t scheme = origin.find("://");
  const std::string scheme_text = scheme == std::string::npos ? "https://" : origin.substr(0, scheme + 3);
  host_ = scheme == std::string::npos ? origin : origin.substr(scheme + 3);
  if (options_.virtual_host) host_ = options_.bucket + "." + host_;
  origin = scheme_text + host_;
  // The default port does not stand in the Host header.
  if (scheme_text == "https://" && host_.ends_with(":443")) host_.resize(host_.size() - 4);
  if (scheme_text == "http://" && host_.ends_with(":80")) host_.resize(host_.size() - 3);
  if (!transport_) transport_ = make_curl_transport(options_.endpoint);
}

std::string S3Store::path_of(std::string_view key) const {
  const std::string bucket = options_.virtual_host ? "" : "/" + options_.bucket;
  if (key.empty()) return bucket.empty() ? "/" : bucket;
  return bucket + "/" + net::uri_encode(options_.prefix, true) + net::uri_encode(key, true);
}

Result<S3Answer> S3Store::ask_once(const S3Call& call) {
  net::SigV4Request request{call.method, call.path, call.query, call.headers,
                            call.body.empty() ? std::string(net::k_empty_payload) : crypto::to_hex(crypto::sha256(call.body))};
  request.headers.emplace_back("host", host_);
  const net::SigV4Credentials credentials{options_.access_key, options_.secret_key.clone(), ""};
  sign_by_header(request, credentials, net::s3_scope(options_.region), clock_.wall());
  S3Call signed_call = call;
  signed_call.headers = std::move(request.headers);
  return transport_->exchange(signed_call);
}

bool S3Store::stands_there(std::string_view key, std::uint64_t size, const crypto::Hash256& hash) {
  const auto answer = ask_once({"HEAD", path_of(key), "", {}, {}});
  return answer && answer->status == 200 && number_of(answer->header("content-length")) == size && answer->header(std::string(k_hash_header)) == crypto::to_hex(hash);
}

Result<S3Answer> S3Store::ask(const S3Call& call, std::string_view doing, const std::function<bool()>& settled) {
  milliseconds pause = options_.first_pause;
  for (unsigned attempt = 1;; ++attempt) {
    auto answer = ask_once(call);
    const bool again = answer ? is_worth_another_try(answer->status) : answer.error().code == Errc::unavailable;
    if (!again || attempt >= options_.attempts) {
      if (!answer) return fail_in(doing, answer.error());
      return answer;
    }
    std::array<std::byte, 2> dice{};
    random_.fill(dice);
    const auto part = std::to_integer<std::int64_t>(dice[0]) * 256 + std::to_integer<std::int64_t>(dice[1]);
    sleep_(pause / 2 + pause * part / (2 * 65'536));
    pause = std::min(pause * 2, k_longest_pause);
    if (settled && (!answer || answer->status != 503) && settled()) {
      S3Answer done;
      done.status = 200;
      return done;
    }
  }
}

tl::unexpected<Error> S3Store::refused(const S3Answer& answer, std::string_view doing) const {
  const std::string_view body = text_of(answer.body);
  const std::string code = tame(xml_text(body, "Code"));
  const std::string message = tame(xml_text(body, "Message"));
  std::string text = std::string(doing) + ": the store answered " + std::to_string(answer.status) + (code.empty() ? "" : " " + code) +
                     (message.empty() ? "" : " (" + message + ")");
  if (answer.status == 403) {
    const auto theirs = http_date(answer.header("date"));
    const auto skew = theirs ? std::chrono::duration_cast<std::chrono::seconds>(clock_.wall() - *theirs).count() : 0;
    if (code == "RequestTimeTooSkewed" || skew > 300 || skew < -300)
      text += "; the clocks differ by " + std::to_string(skew < 0 ? -skew : skew) + " s (this machine is " + (skew < 0 ? "behind" : "ahead") + "): set the clock";
    else if (code == "SignatureDoesNotMatch") text += ": the secret key is not the one of " + options_.access_key;
    else if (code == "InvalidAccessKeyId") text += ": the store does not know the key " + options_.access_key;
    else if (code == "QuotaExceeded") return fail(Errc::unavailable, text + ": the bucket is full");
    return fail(Errc::denied, text);
  }
  if (answer.status == 401) return fail(Errc::denied, text);
  if (answer.status == 404) return fail(Errc::not_found, text);
  if (answer.status == 409 || answer.status == 412) return fail(Errc::conflict, text);
  if (answer.status == 400 || answer.status == 405 || answer.status == 501) return fail(Errc::invalid, text);
  return fail(Errc::unavailable, text);
}

Result<void> S3Store::put(std::string_view key, ByteView body, const ObjectKeep& keep) {
  if (!is_object_key(key)) return fail(Errc::invalid, "not an object key");
  if (body.size() > k_most_object) return fail(Errc::invalid, "an object of more than 512 MiB");
  const auto hash = crypto::sha256(body);
  if (body.size() > options_.part_bytes) return put_parts(key, body, hash, keep);
  S3Call call{"PUT", path_of(key), "", {{"content-type", "application/octet-stream"}, {"content-md5", md5_of(body)}, {"if-none-match", "*"}}, body};
  call.headers.emplace_back(k_hash_header, crypto::to_hex(hash));
  call.headers.emplace_back("x-amz-acl", k_acl);
  add_keep(call.headers, keep);
  const std::string doing = "writing " + std::string(key);
  const auto answer = ask(std::move(call), doing, [&] { return stands_there(key, body.size(), hash); });
  if (!answer) return tl::unexpected(answer.error());
  if (answer->status == 200 || answer->status == 204) return {};
  if (answer->status == 412) return settle_existing(key, body, hash);
  return refused(*answer, doing);
}

/// An answer was lost, and the second try met what the first one wrote; or somebody else's object stands there.
Result<void> S3Store::settle_existing(std::string_view key, ByteView body, const crypto::Hash256& hash) {
  const auto present = head(key);
  if (!present) {
    // A credential that can only write cannot look. The shipper's keys carry the hash of what stands under them.
    const std::string digits = crypto::to_hex(hash).substr(0, 32);
    if (present.error().code == Errc::denied && key.find(digits) != std::string_view::npos) return {};
    return fail_in("an object with this key exists and cannot be looked at", present.error());
  }
  if (present->size == body.size() && present->sha256 && *present->sha256 == hash) return {};
  if (present->size == body.size() && !present->sha256) {
    const auto whole = get(key);
    if (!whole) return tl::unexpected(whole.error());
    if (crypto::sha256(*whole) == hash) return {};
  }
  return fail(Errc::conflict, std::string(key) + " exists in the store with another content");
}

Result<void> S3Store::put_parts(std::string_view key, ByteView body, const crypto::Hash256& hash, const ObjectKeep& keep) {
  const std::string doing = "writing " + std::string(key) + " in parts";
  // Not every store honours If-None-Match when parts are put together: ask first.
  if (const auto present = head(key); present) return settle_existing(key, body, hash);
  S3Call begin{"POST", path_of(key), "uploads=", {{"content-type", "application/octet-stream"}}, {}};
  begin.headers.emplace_back(k_hash_header, crypto::to_hex(hash));
  begin.headers.emplace_back("x-amz-acl", k_acl);
  add_keep(begin.headers, keep);
  const auto begun = ask(std::move(begin), doing);
  if (!begun) return tl::unexpected(begun.error());
  if (begun->status != 200) return refused(*begun, doing);
  const std::string upload = xml_text(text_of(begun->body), "UploadId");
  if (upload.empty() || upload.size() > 1024) return fail(Errc::corrupt, doing + ": the store gave no upload id");
  const std::string id = "uploadId=" + net::uri_encode(upload, false);
  std::string list = "<CompleteMultipartUpload>";
  unsigned number = 0;
  for (std::size_t at = 0; at < body.size(); at += options_.part_bytes) {
    ++number;
    const ByteView part = body.subspan(at, std::min<std::size_t>(options_.part_bytes, body.size() - at));
    S3Call call{"PUT", path_of(key), "partNumber=" + std::to_string(number) + "&" + id, {{"content-type", "application/octet-stream"}, {"content-md5", md5_of(part)}}, part};
    const auto answer = ask(std::move(call), doing);
    const std::string tag = answer ? answer->header("etag") : "";
    if (!answer || answer->status != 200 || tag.empty() || tag.size() > 200 || tag.find_first_of("<>&") != std::string::npos) {
      abandon(key, id);
      if (!answer) return tl::unexpected(answer.error());
      return refused(*answer, doing);
    }
    list += "<Part><PartNumber>" + std::to_string(number) + "</PartNumber><ETag>" + tag + "</ETag></Part>";
  }
  list += "</CompleteMultipartUpload>";
  S3Call finish{"POST", path_of(key), id, {{"content-type", "application/xml"}, {"if-none-match", "*"}}, bytes_of(list)};
  const auto finished = ask(std::move(finish), doing);
  if (!finished) return tl::unexpected(finished.error());
  // An answer of 200 may still carry an error (it is begun before the work is done).
  const bool whole = finished->status == 200 && xml_text(text_of(finished->body), "Code").empty();
  if (whole) return {};
  if (finished->status == 412 || finished->status == 404) return settle_existing(key, body, hash);
  abandon(key, id);
  if (finished->status == 200) return fail(Errc::unavailable, doing + ": " + tame(xml_text(text_of(finished->body), "Code")));
  return refused(*finished, doing);
}

void S3Store::abandon(std::string_view key, const std::string& upload) {
  static_cast<void>(ask_once({"DELETE", path_of(key), upload, {}, {}}));  // the bucket's own clean-up is the second net
}

Result<Bytes> S3Store::get(std::string_view key) {
  if (!is_object_key(key)) return fail(Errc::invalid, "not an object key");
  S3Call call{"GET", path_of(key), "", {}, {}};
  call.most_answer = k_most_object;
  const std::string doing = "reading " + std::string(key);
  auto answer = ask(std::move(call), doing);
  if (!answer) return tl::unexpected(answer.error());
  if (answer->status != 200) return refused(*answer, doing);
  return std::move(answer->body);
}

Result<Bytes> S3Store::get_range(std::string_view key, std::uint64_t offset, std::uint64_t length) {
  if (!is_object_key(key)) return fail(Errc::invalid, "not an object key");
  if (length == 0) return Bytes{};
  length = std::min(length, k_most_object);
  S3Call call{"GET", path_of(key), "", {{"range", "bytes=" + std::to_string(offset) + "-" + std::to_string(offset + length - 1)}}, {}};
  call.most_answer = std::max<std::uint64_t>(length, 64 * 1024);
  const std::string doing = "reading a part of " + std::string(key);
  auto answer = ask(std::move(call), doing);
  if (!answer) return tl::unexpected(answer.error());
  if (answer->status == 416) return Bytes{};
  if (answer->status == 200 && offset == 0 && answer->body.size() <= length) return std::move(answer->body);
  if (answer->status != 206) return answer->status == 200 ? fail(Errc::invalid, doing + ": the store ignores ranges") : refused(*answer, doing);
  if (answer->body.size() > length) return fail(Errc::corrupt, doing + ": the store sent more than was asked for");
  return std::move(answer->body);
}

Result<ObjectFacts> S3Store::head(std::string_view key) {
  if (!is_object_key(key)) return fail(Errc::invalid, "not an object key");
  const std::string doing = "looking at " + std::string(key);
  const auto answer = ask({"HEAD", path_of(key), "", {}, {}}, doing);
  if (!answer) return tl::unexpected(answer.error());
  if (answer->status != 200) return refused(*answer, doing);
  ObjectFacts facts;
  const auto size = number_of(answer->header("content-length"));
  if (!size) return fail(Errc::corrupt, doing + ": the store does not say how large it is");
  facts.size = *size;
  if (const auto hash = crypto::from_hex(answer->header(std::string(k_hash_header))); hash && hash->size() == 32) {
    facts.sha256.emplace();
    std::copy(hash->begin(), hash->end(), facts.sha256->begin());
  }
  facts.keep.until = parse_iso_time(answer->header("x-amz-object-lock-retain-until-date"));
  facts.keep.compliance = answer->header("x-amz-object-lock-mode") == "COMPLIANCE";
  facts.keep.legal_hold = answer->header("x-amz-object-lock-legal-hold") == "ON";
  return facts;
}

Result<std::vector<std::string>> S3Store::list(std::string_view prefix) {
  std::vector<std::string> keys;
  std::string token;
  const std::string doing = "listing " + options_.bucket + "/" + options_.prefix + std::string(prefix);
  for (std::size_t page = 0; page < k_most_pages; ++page) {
    S3Call call{"GET", path_of(""), "list-type=2&prefix=" + net::uri_encode(options_.prefix + std::string(prefix), false), {}, {}};
    if (!token.empty()) call.query += "&continuation-token=" + net::uri_encode(token, false);
    call.most_answer = k_most_list;
    const auto answer = ask(std::move(call), doing);
    if (!answer) return tl::unexpected(answer.error());
    if (answer->status != 200) return refused(*answer, doing);
    std::string_view rest = text_of(answer->body);
    const bool more = xml_text(rest, "IsTruncated") == "true";
    token = xml_text(rest, "NextContinuationToken");
    for (;;) {
      const std::size_t at = rest.find("<Contents>");
      if (at == std::string_view::npos) break;
      rest.remove_prefix(at + 10);
      std::string key = xml_text(rest.substr(0, rest.find("</Contents>")), "Key");
      if (!key.starts_with(options_.prefix)) continue;
      key.erase(0, options_.prefix.size());
      if (is_object_key(key)) keys.push_back(std::move(key));
    }
    if (!more) {
      std::sort(keys.begin(), keys.end());
      return keys;
    }
    if (token.empty()) return fail(Errc::corrupt, doing + ": the store says there is more and not where");
  }
  return fail(Errc::corrupt, doing + ": it does not end");
}

Result<S3Lock> S3Store::lock_of_bucket() {
  const std::string doing = "asking for the object lock of " + options_.bucket;
  const auto answer = ask({"GET", path_of(""), "object-lock=", {}, {}}, doing);
  if (!answer) return tl::unexpected(answer.error());
  const std::string_view body = text_of(answer->body);
  if (answer->status == 404 && xml_text(body, "Code") == "ObjectLockConfigurationNotFoundError") return S3Lock{};
  if (answer->status != 200) return refused(*answer, doing);
  S3Lock lock;
  lock.enabled = xml_text(body, "ObjectLockEnabled") == "Enabled";
  lock.default_mode = tame(xml_text(body, "Mode"));
  return lock;
}

Result<void> S3Store::remove_version(std::string_view key) {
  const std::string doing = "removing " + std::string(key);
  const auto present = ask({"HEAD", path_of(key), "", {}, {}}, doing);
  if (!present) return tl::unexpected(present.error());
  if (present->status != 200) return refused(*present, doing);
  const std::string version = present->header("x-amz-version-id");
  const auto answer = ask({"DELETE", path_of(key), version.empty() ? "" : "versionId=" + net::uri_encode(version, false), {}, {}}, doing);
  if (!answer) return tl::unexpected(answer.error());
  if (answer->status == 200 || answer->status == 204) return {};
  return refused(*answer, doing);
}

Result<void> S3Store::set_legal_hold(std::string_view key, bool on) {
  const std::string doing = "legal hold of " + std::string(key);
  const std::string body = std::string("<LegalHold xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Status>") + (on ? "ON" : "OFF") + "</Status></LegalHold>";
  const auto answer = ask({"PUT", path_of(key), "legal-hold=", {{"content-type", "application/xml"}, {"content-md5", md5_of(bytes_of(body))}}, bytes_of(body)}, doing);
  if (!answer) return tl::unexpected(answer.error());
  if (answer->status == 200) return {};
  return refused(*answer, doing);
}

}  // namespace sallyport::recorder
