#include "platform/net/sigv4.h"

#include <boost/json.hpp>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <sstream>

#include "platform/crypto/hash.h"
#include "platform/crypto/hex.h"

namespace {

using namespace sallyport;
using namespace sallyport::net;
namespace fs = std::filesystem;
namespace json = boost::json;

constexpr std::string_view k_secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

/// AWS's own cases; they are not part of this project.
fs::path vectors() {
  const char* const named = std::getenv("SALLYPORT_SIGV4_VECTORS");
  return named != nullptr ? fs::path(named) : fs::path(SALLYPORT_SOURCE_DIR) / "../shared/vectors/sigv4/v4";
}

std::string content_of(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  std::string text = out.str();
  return text;
}

std::string without_last_newline(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

struct Case {
  SigV4Request request;
  SigV4Credentials credentials;
  SigV4Scope scope;
  WallTime now;
  std::chrono::seconds expires;
};

SigV4Request parse_request(const std::string& text) {
  SigV4Request request;
  const std::size_t end = text.find('\n');
  const std::string line = text.substr(0, end);
  request.method = line.substr(0, line.find(' '));
  const std::string target = line.substr(line.find(' ') + 1, line.rfind(' ') - line.find(' ') - 1);
  request.path = target.substr(0, target.find('?'));
  if (target.find('?') != std::string::npos) request.query = target.substr(target.find('?') + 1);
  std::istringstream rest(end == std::string::npos ? "" : text.substr(end + 1));
  std::string header;
  while (std::getline(rest, header) && !header.empty()) {
    if (header.front() == ' ') request.headers.back().second += "\n" + header;
    else request.headers.emplace_back(header.substr(0, header.find(':')), header.substr(header.find(':') + 1));
  }
  std::ostringstream body;
  body << rest.rdbuf();
  request.payload_hash = crypto::to_hex(crypto::sha256(body.str()));
  return request;
}

WallTime at(const std::string& text) {  // 2015-08-30T12:36:00Z
  std::tm when{};
  std::istringstream in(text);
  in >> std::get_time(&when, "%Y-%m-%dT%H:%M:%SZ");
  return WallTime(std::chrono::sys_seconds(std::chrono::seconds(timegm(&when))));
}

Case load_case(const fs::path& folder) {
  const json::object context = json::parse(content_of(folder / "context.json")).as_object();
  const auto text = [](const json::object& object, const char* key) {
    const json::value* value = object.if_contains(key);
    return value == nullptr ? std::string() : std::string(value->as_string());
  };
  const auto& keys = context.at("credentials").as_object();
  Case test{parse_request(content_of(folder / "request.txt")),
            {text(keys, "access_key_id"), Secret(bytes_of(text(keys, "secret_access_key"))), text(keys, "token")},
            {},
            at(text(context, "timestamp")),
            std::chrono::seconds(context.at("expiration_in_seconds").as_int64())};
  test.scope.region = text(context, "region");
  test.scope.service = text(context, "service");
  test.scope.normalize_path = context.at("normalize").as_bool();
  test.scope.payload_header = context.at("sign_body").as_bool();
  const json::value* const omit = context.if_contains("omit_session_token");
  test.scope.sign_session_token = omit == nullptr || !omit->as_bool();
  return test;
}

SigV4Request plain_get() { return {"GET", "/bucket/a%20b", "list-type=2&prefix=x%2Fy", {{"Host", "store.example"}}, std::string(k_empty_payload)}; }

const WallTime k_now = WallTime(std::chrono::sys_days(std::chrono::year(2026) / 11 / 22)) + std::chrono::hours(19);

}  // namespace

TEST_CASE("AWS's published cases are signed and verified as published", "[net][sigv4]") {
  if (!fs::exists(vectors())) {
    std::cerr << "SKIPPED: AWS's signature test vectors are not on this machine (SALLYPORT_SIGV4_VECTORS)\n";
    return;
  }
  int cases = 0;
  for (const auto& folder : fs::directory_iterator(vectors())) {
    if (!fs::exists(folder.path() / "request.txt")) continue;
    INFO(folder.path().filename().string());
    ++cases;
    {
      Case test = load_case(folder.path());
      const auto made = sign_by_header(test.request, test.credentials, test.scope, test.now);
      CHECK(made.canonical_request == without_last_newline(content_of(folder.path() / "header-canonical-request.txt")));
      CHECK(made.string_to_sign == without_last_newline(content_of(folder.path() / "header-string-to-sign.txt")));
      CHECK(made.signature == without_last_newline(content_of(folder.path() / "header-signature.txt")));
      CHECK(content_of(folder.path() / "header-signed-request.txt").find(test.request.headers.back().second) != std::string::npos);
      const auto claim = read_sigv4_claim(test.request);
      REQUIRE(claim);
      CHECK(claim->access_key == "AKIDEXAMPLE");
      CHECK(verify_sigv4(test.request, *claim, test.credentials.secret, test.scope, test.now));
    }
    {
      Case test = load_case(folder.path());
      test.scope.payload_header = false;
      const auto made = sign_by_query(test.request, test.credentials, test.scope, test.now, test.expires);
      CHECK(made.canonical_request == without_last_newline(content_of(folder.path() / "query-canonical-request.txt")));
      CHECK(made.string_to_sign == without_last_newline(content_of(folder.path() / "query-string-to-sign.txt")));
      CHECK(made.signature == without_last_newline(content_of(folder.path() / "query-signature.txt")));
      const auto claim = read_sigv4_claim(test.request);
      REQUIRE(claim);
      CHECK(claim->by_query);
      CHECK(verify_sigv4(test.request, *claim, test.credentials.secret, test.scope, test.now));
    }
  }
  CHECK(cases >= 38);
}

TEST_CASE("a request that was signed for S3 verifies, and no changed one does", "[net][sigv4]") {
  const SigV4Credentials credentials{"AKID/WITH/SLASHES", Secret(bytes_of(k_secret)), ""};
  const SigV4Scope scope = s3_scope("default");
  SigV4Request request = plain_get();
  sign_by_header(request, credentials, scope, k_now);
  const auto claim = read_sigv4_claim(request);
  REQUIRE(claim);
  CHECK(claim->access_key == "AKID/WITH/SLASHES");
  CHECK(verify_sigv4(request, *claim, credentials.secret, scope, k_now + std::chrono::minutes(5)));

  const auto refused = [&](const SigV4Request& changed) {
    const auto again = read_sigv4_claim(changed);
    return !again || !verify_sigv4(changed, *again, credentials.secret, scope, k_now);
  };
  SigV4Request other = request;
  SECTION("method") { other.method = "PUT"; }
  SECTION("path") { other.path = "/bucket/a%20c"; }
  SECTION("query") { other.query = "list-type=2&prefix=x%2Fz"; }
  SECTION("added parameter") { other.query += "&acl="; }
  SECTION("host") { other.headers[0].second = "other.example"; }
  SECTION("payload") { other.payload_hash = crypto::to_hex(crypto::sha256("x")); }
  SECTION("an amz header slipped in") { other.headers.emplace_back("x-amz-acl", "public-read"); }
  SECTION("a changed date") { other.headers[1].second = "20261122T190001Z"; }
  SECTION("a signature one digit off") { other.headers.back().second.back() = other.headers.back().second.back() == '0' ? '1' : '0'; }
  SECTION("the wrong scope") {
    other = plain_get();
    sign_by_header(other, credentials, s3_scope("elsewhere"), k_now);
  }
  SECTION("host not signed") {
    other = plain_get();
    other.headers.clear();
    sign_by_header(other, credentials, scope, k_now);
    other.headers.emplace_back("Host", "store.example");
  }
  CHECK(refused(other));
}

TEST_CASE("equal paths and queries in other spellings sign alike where S3 says so", "[net][sigv4]") {
  const SigV4Credentials credentials{"AKID", Secret(bytes_of(k_secret)), ""};
  const auto signature = [&](std::string path, std::string query) {
    SigV4Request request{"GET", std::move(path), std::move(query), {{"host", "h"}}, std::string(k_empty_payload)};
    return sign_by_header(request, credentials, s3_scope("r"), k_now).signature;
  };
  CHECK(signature("/b/a%2db", "") == signature("/b/a-b", ""));
  CHECK(signature("/b/k", "acl") == signature("/b/k", "acl="));
  CHECK(signature("/b/k", "b=2&a=1") == signature("/b/k", "a=1&b=2"));
  CHECK(signature("/b//k", "") != signature("/b/k", ""));
  CHECK(signature("/b/x/../k", "") != signature("/b/k", ""));
  CHECK(signature("/b/k", "a=%2B") == signature("/b/k", "a=+"));
}

TEST_CASE("a skewed clock and an expired link are named", "[net][sigv4]") {
  const SigV4Credentials credentials{"AKID", Secret(bytes_of(k_secret)), "token"};
  const SigV4Scope scope = s3_scope("default");
  SigV4Request request = plain_get();
  sign_by_header(request, credentials, scope, k_now);
  const auto claim = read_sigv4_claim(request);
  REQUIRE(claim);
  CHECK(claim->session_token == "token");
  const auto late = verify_sigv4(request, *claim, credentials.secret, scope, k_now + std::chrono::minutes(16));
  REQUIRE_FALSE(late);
  CHECK(late.error().detail.find("clock skew") != std::string::npos);
  CHECK_FALSE(verify_sigv4(request, *claim, credentials.secret, scope, k_now - std::chrono::minutes(16)));

  SigV4Request link = plain_get();
  link.payload_hash = k_unsigned_payload;
  sign_by_query(link, credentials, scope, k_now, std::chrono::hours(1));
  const auto link_claim = read_sigv4_claim(link);
  REQUIRE(link_claim);
  CHECK(verify_sigv4(link, *link_claim, credentials.secret, scope, k_now + std::chrono::minutes(59)));
  const auto expired = verify_sigv4(link, *link_claim, credentials.secret, scope, k_now + std::chrono::minutes(61));
  REQUIRE_FALSE(expired);
  CHECK(expired.error().detail == "the signed query has expired");
}

TEST_CASE("claims that are not right are refused by name", "[net][sigv4]") {
  const auto with = [](std::string authorization, std::string date = "20261122T190000Z") {
    SigV4Request request = plain_get();
    request.headers.emplace_back("x-amz-date", std::move(date));
    request.headers.emplace_back("authorization", std::move(authorization));
    const auto claim = read_sigv4_claim(request);
    return claim ? std::string() : claim.error().detail;
  };
  const std::string signature(64, 'a');
  const std::string good = "AWS4-HMAC-SHA256 Credential=K/20261122/r/s3/aws4_request, SignedHeaders=host;x-amz-date, Signature=" + signature;
  CHECK(with(good).empty());
  CHECK(read_sigv4_claim(plain_get()).error().code == Errc::not_found);
  CHECK_FALSE(with("AWS4-HMAC-SHA256 nothing").empty());
  CHECK_FALSE(with("AWS4-HMAC-SHA256 Credential=K/20261122/r/s3/aws4, SignedHeaders=host, Signature=" + signature).empty());
  CHECK_FALSE(with("AWS4-HMAC-SHA256 Credential=K/20261122/r/s3/aws4_request, SignedHeaders=x;host, Signature=" + signature).empty());
  CHECK_FALSE(with("AWS4-HMAC-SHA256 Credential=K/20261122/r/s3/aws4_request, SignedHeaders=host, Signature=" + signature.substr(1) + "Z").empty());
  CHECK_FALSE(with(good + ", Signature=" + signature).empty());
  CHECK_FALSE(with(good, "20261123T190000Z").empty());
  CHECK_FALSE(with(good, "20261322T190000Z").empty());
}
