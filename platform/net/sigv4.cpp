#include "platform/net/sigv4.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <optional>

#include "platform/crypto/hash.h"
#include "platform/crypto/hex.h"
#include "platform/crypto/hmac.h"

namespace sallyport::net {
namespace {

constexpr std::string_view k_algorithm = "AWS4-HMAC-SHA256";
constexpr std::string_view k_terminator = "aws4_request";
constexpr std::size_t k_max_field = 8 * 1024;
constexpr std::size_t k_max_signed_headers = 64;

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](char c) { return lower(c); });
  return out;
}

/// What is no right escape stays as it is: signer and verifier only have to agree.
std::string uri_decode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && crypto::hex_digit(text[i + 1]) >= 0 && crypto::hex_digit(text[i + 2]) >= 0) {
      out += static_cast<char>(crypto::hex_digit(text[i + 1]) * 16 + crypto::hex_digit(text[i + 2]));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::vector<std::string_view> split(std::string_view text, char at) {
  std::vector<std::string_view> parts;
  for (;;) {
    const std::size_t end = text.find(at);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

using Parameters = std::vector<std::pair<std::string, std::string>>;

/// Decoded, in the order of the request.
Parameters parameters_of(std::string_view query) {
  Parameters out;
  if (query.empty()) return out;
  for (const std::string_view part : split(query, '&')) {
    if (part.empty()) continue;
    const std::size_t equals = part.find('=');
    out.emplace_back(uri_decode(part.substr(0, equals)), equals == std::string_view::npos ? "" : uri_decode(part.substr(equals + 1)));
  }
  return out;
}

const std::string* find_parameter(const Parameters& parameters, std::string_view name) {
  for (const auto& [key, value] : parameters)
    if (key == name) return &value;
  return nullptr;
}

std::string canonical_query(const Parameters& parameters, std::string_view without) {
  Parameters encoded;
  for (const auto& [name, value] : parameters)
    if (name != without) encoded.emplace_back(uri_encode(name, false), uri_encode(value, false));
  std::sort(encoded.begin(), encoded.end());
  std::string out;
  for (const auto& [name, value] : encoded) out += (out.empty() ? "" : "&") + name + "=" + value;
  return out;
}

std::string normalized(std::string_view path) {
  std::vector<std::string_view> kept;
  for (const std::string_view part : split(path, '/')) {
    if (part.empty() || part == ".") continue;
    if (part != "..") kept.push_back(part);
    else if (!kept.empty()) kept.pop_back();
  }
  std::string out;
  for (const std::string_view part : kept) out += "/" + std::string(part);
  const bool is_folder = path.ends_with('/') || path.ends_with("/.") || path.ends_with("/..");
  if (out.empty() || is_folder) out += '/';
  return out;
}

std::string canonical_path(const SigV4Request& request, const SigV4Scope& scope) {
  const std::string path = scope.normalize_path ? normalized(request.path) : request.path.empty() ? "/" : request.path;
  return uri_encode(scope.encode_path_again ? path : uri_decode(path), true);
}

/// Runs of blanks become one, none at the ends; a folded line's break is a blank.
std::string trimmed(std::string_view value) {
  std::string out;
  for (const char c : value) {
    const bool blank = c == ' ' || c == '\t' || c == '\r' || c == '\n';
    if (!blank) out += c;
    else if (!out.empty() && out.back() != ' ') out += ' ';
  }
  if (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

std::vector<std::string> names_of(const HttpHeaders& headers) {
  std::vector<std::string> names;
  for (const auto& [name, value] : headers) names.push_back(lower(name));
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

std::string joined(const std::vector<std::string>& names) {
  std::string out;
  for (const auto& name : names) out += (out.empty() ? "" : ";") + name;
  return out;
}

std::string canonical_headers(const HttpHeaders& headers, const std::vector<std::string>& names) {
  std::string out;
  for (const auto& wanted : names) {
    out += wanted + ":";
    bool first = true;
    for (const auto& [name, value] : headers) {
      if (lower(name) != wanted) continue;
      if (!std::exchange(first, false)) out += ",";
      out += trimmed(value);
    }
    out += "\n";
  }
  return out;
}

std::string scope_text(std::string_view date, std::string_view region, std::string_view service) {
  return std::string(date) + "/" + std::string(region) + "/" + std::string(service) + "/" + std::string(k_terminator);
}

SigV4Signature make_signature(const SigV4Request& request, const Parameters& parameters, const std::vector<std::string>& names, const SigV4Scope& scope,
                              std::string_view timestamp, const Secret& secret) {
  SigV4Signature out;
  out.canonical_request = request.method + "\n" + canonical_path(request, scope) + "\n" + canonical_query(parameters, "X-Amz-Signature") + "\n" +
                          canonical_headers(request.headers, names) + "\n" + joined(names) + "\n" + request.payload_hash;
  const std::string_view date = timestamp.substr(0, 8);
  out.string_to_sign = std::string(k_algorithm) + "\n" + std::string(timestamp) + "\n" + scope_text(date, scope.region, scope.service) + "\n" +
                       crypto::to_hex(crypto::sha256(out.canonical_request));
  std::vector<std::byte> first;
  first.reserve(4 + secret.size());
  const ByteView prefix = bytes_of("AWS4");
  first.insert(first.end(), prefix.begin(), prefix.end());
  first.insert(first.end(), secret.reveal().begin(), secret.reveal().end());
  const Secret start{ByteView(first)};
  OPENSSL_cleanse(first.data(), first.size());
  auto key = crypto::hmac_sha256(start.reveal(), bytes_of(date));
  for (const std::string_view part : {std::string_view(scope.region), std::string_view(scope.service), k_terminator}) key = crypto::hmac_sha256(key, bytes_of(part));
  out.signature = crypto::to_hex(crypto::hmac_sha256(key, bytes_of(out.string_to_sign)));
  OPENSSL_cleanse(key.data(), key.size());
  return out;
}

const std::string* find_header(const HttpHeaders& headers, std::string_view lower_name) {
  for (const auto& [name, value] : headers)
    if (lower(name) == lower_name) return &value;
  return nullptr;
}

std::optional<WallTime> parse_amz_date(std::string_view text) {
  if (text.size() != 16 || text[8] != 'T' || text[15] != 'Z') return std::nullopt;
  std::array<int, 6> numbers{};
  constexpr std::array<std::pair<std::size_t, std::size_t>, 6> places{{{0, 4}, {4, 2}, {6, 2}, {9, 2}, {11, 2}, {13, 2}}};
  for (std::size_t i = 0; i < places.size(); ++i) {
    const char* const begin = text.data() + places[i].first;
    const char* const end = begin + places[i].second;
    if (!std::all_of(begin, end, [](char c) { return c >= '0' && c <= '9'; })) return std::nullopt;
    std::from_chars(begin, end, numbers[i]);
  }
  const std::chrono::year_month_day day{std::chrono::year(numbers[0]), std::chrono::month(static_cast<unsigned>(numbers[1])),
                                        std::chrono::day(static_cast<unsigned>(numbers[2]))};
  if (!day.ok() || numbers[3] > 23 || numbers[4] > 59 || numbers[5] > 60) return std::nullopt;
  return WallTime(std::chrono::sys_days(day)) + std::chrono::hours(numbers[3]) + std::chrono::minutes(numbers[4]) + std::chrono::seconds(numbers[5]);
}

Result<void> take_credential(std::string_view text, SigV4Claim& claim) {
  // The access key may hold slashes; the four parts behind it do not.
  std::vector<std::string_view> parts = split(text, '/');
  if (parts.size() < 5 || parts.back() != k_terminator) return fail(Errc::invalid, "the credential is KEY/DATE/REGION/SERVICE/aws4_request");
  const std::size_t n = parts.size();
  claim.date = parts[n - 4];
  claim.region = parts[n - 3];
  claim.service = parts[n - 2];
  const std::size_t tail = claim.date.size() + claim.region.size() + claim.service.size() + k_terminator.size() + 4;
  claim.access_key = text.substr(0, text.size() - tail);
  if (claim.access_key.empty() || claim.date.size() != 8) return fail(Errc::invalid, "the credential is KEY/DATE/REGION/SERVICE/aws4_request");
  return {};
}

Result<void> take_signed_headers(std::string_view text, SigV4Claim& claim) {
  for (const std::string_view name : split(text, ';')) {
    if (name.empty() || claim.signed_headers.size() == k_max_signed_headers || lower(name) != name) return fail(Errc::invalid, "the list of signed headers is not right");
    claim.signed_headers.emplace_back(name);
  }
  if (!std::is_sorted(claim.signed_headers.begin(), claim.signed_headers.end())) return fail(Errc::invalid, "the list of signed headers is not sorted");
  return {};
}

Result<void> take_signature(std::string_view text, SigV4Claim& claim) {
  if (text.size() != 64 || !std::all_of(text.begin(), text.end(), [](char c) { return crypto::hex_digit(c) >= 0 && lower(c) == c; }))
    return fail(Errc::invalid, "the signature is not 64 hexadecimal digits");
  claim.signature = text;
  return {};
}

Result<void> take_time(const std::string* text, SigV4Claim& claim) {
  const auto when = text == nullptr ? std::nullopt : parse_amz_date(*text);
  if (!when) return fail(Errc::invalid, "no right X-Amz-Date");
  if (text->substr(0, 8) != claim.date) return fail(Errc::invalid, "X-Amz-Date is of another day than the credential");
  claim.signed_at = *when;
  return {};
}

Result<SigV4Claim> read_query_claim(const Parameters& parameters) {
  SigV4Claim claim;
  claim.by_query = true;
  const std::string* const algorithm = find_parameter(parameters, "X-Amz-Algorithm");
  const std::string* const credential = find_parameter(parameters, "X-Amz-Credential");
  const std::string* const headers = find_parameter(parameters, "X-Amz-SignedHeaders");
  const std::string* const signature = find_parameter(parameters, "X-Amz-Signature");
  const std::string* const expires = find_parameter(parameters, "X-Amz-Expires");
  if (algorithm == nullptr || *algorithm != k_algorithm) return fail(Errc::invalid, "the algorithm is not AWS4-HMAC-SHA256");
  if (credential == nullptr || headers == nullptr || signature == nullptr || expires == nullptr) return fail(Errc::invalid, "a signed query lacks one of its parameters");
  for (std::size_t i = 0; i < parameters.size(); ++i)
    for (std::size_t j = i + 1; j < parameters.size(); ++j)
      if (parameters[i].first == parameters[j].first && parameters[i].first.starts_with("X-Amz-")) return fail(Errc::invalid, parameters[i].first + " is given twice");
  if (auto ok = take_credential(*credential, claim); !ok) return tl::unexpected(ok.error());
  if (auto ok = take_signed_headers(*headers, claim); !ok) return tl::unexpected(ok.error());
  if (auto ok = take_signature(*signature, claim); !ok) return tl::unexpected(ok.error());
  if (auto ok = take_time(find_parameter(parameters, "X-Amz-Date"), claim); !ok) return tl::unexpected(ok.error());
  std::int64_t seconds = 0;
  const auto [end, error] = std::from_chars(expires->data(), expires->data() + expires->size(), seconds);
  if (error != std::errc{} || end != expires->data() + expires->size() || seconds < 1 || seconds > 604'800)
    return fail(Errc::invalid, "X-Amz-Expires is 1 to 604800 seconds");
  claim.expires = std::chrono::seconds(seconds);
  if (const std::string* const token = find_parameter(parameters, "X-Amz-Security-Token")) claim.session_token = *token;
  return claim;
}

Result<SigV4Claim> read_header_claim(const SigV4Request& request, std::string_view authorization) {
  SigV4Claim claim;
  authorization.remove_prefix(k_algorithm.size());
  bool has_credential = false, has_headers = false, has_signature = false;
  for (std::string_view part : split(authorization, ',')) {
    while (part.starts_with(' ')) part.remove_prefix(1);
    const std::size_t equals = part.find('=');
    if (equals == std::string_view::npos) return fail(Errc::invalid, "the Authorization header is not NAME=VALUE, ...");
    const std::string_view name = part.substr(0, equals), value = part.substr(equals + 1);
    Result<void> ok = fail(Errc::invalid, "the Authorization header has an unknown or repeated part");
    if (name == "Credential" && !std::exchange(has_credential, true)) ok = take_credential(value, claim);
    else if (name == "SignedHeaders" && !std::exchange(has_headers, true)) ok = take_signed_headers(value, claim);
    else if (name == "Signature" && !std::exchange(has_signature, true)) ok = take_signature(value, claim);
    if (!ok) return tl::unexpected(ok.error());
  }
  if (!has_credential || !has_headers || !has_signature) return fail(Errc::invalid, "the Authorization header lacks one of its parts");
  if (auto ok = take_time(find_header(request.headers, "x-amz-date"), claim); !ok) return tl::unexpected(ok.error());
  if (const std::string* const token = find_header(request.headers, "x-amz-security-token")) claim.session_token = *token;
  return claim;
}

}  // namespace

std::string uri_encode(std::string_view text, bool keep_slash) {
  static constexpr std::string_view k_digits = "0123456789ABCDEF";
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    const bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
    if (plain || (c == '/' && keep_slash)) {
      out += c;
      continue;
    }
    const auto value = static_cast<unsigned char>(c);
    out += '%';
    out += k_digits[value >> 4];
    out += k_digits[value & 15];
  }
  return out;
}

std::string amz_date(WallTime when) {
  const auto days = std::chrono::floor<std::chrono::days>(when);
  const std::chrono::year_month_day day{days};
  const std::chrono::hh_mm_ss time{std::chrono::floor<std::chrono::seconds>(when - days)};
  std::array<char, 40> text{};
  std::snprintf(text.data(), text.size(), "%04d%02u%02uT%02d%02d%02dZ", static_cast<int>(day.year()), static_cast<unsigned>(day.month()),
                static_cast<unsigned>(day.day()), static_cast<int>(time.hours().count()), static_cast<int>(time.minutes().count()),
                static_cast<int>(time.seconds().count()));
  return text.data();
}

SigV4Scope s3_scope(std::string region) {
  SigV4Scope scope;
  scope.region = std::move(region);
  scope.service = "s3";
  scope.encode_path_again = false;
  scope.normalize_path = false;
  scope.payload_header = true;
  return scope;
}

SigV4Signature sign_by_header(SigV4Request& request, const SigV4Credentials& credentials, const SigV4Scope& scope, WallTime now) {
  const std::string timestamp = amz_date(now);
  const bool has_token = !credentials.session_token.empty();
  request.headers.emplace_back("X-Amz-Date", timestamp);
  if (scope.payload_header) request.headers.emplace_back("x-amz-content-sha256", request.payload_hash);
  if (has_token && scope.sign_session_token) request.headers.emplace_back("X-Amz-Security-Token", credentials.session_token);
  const auto names = names_of(request.headers);
  auto made = make_signature(request, parameters_of(request.query), names, scope, timestamp, credentials.secret);
  if (has_token && !scope.sign_session_token) request.headers.emplace_back("X-Amz-Security-Token", credentials.session_token);
  request.headers.emplace_back("Authorization", std::string(k_algorithm) + " Credential=" + credentials.access_key + "/" +
                                                    scope_text(std::string_view(timestamp).substr(0, 8), scope.region, scope.service) +
                                                    ", SignedHeaders=" + joined(names) + ", Signature=" + made.signature);
  return made;
}

SigV4Signature sign_by_query(SigV4Request& request, const SigV4Credentials& credentials, const SigV4Scope& scope, WallTime now, std::chrono::seconds expires) {
  const std::string timestamp = amz_date(now);
  const auto names = names_of(request.headers);
  const bool has_token = !credentials.session_token.empty();
  const auto add = [&request](std::string_view name, std::string_view value) {
    request.query += (request.query.empty() ? "" : "&") + std::string(name) + "=" + uri_encode(value, false);
  };
  add("X-Amz-Algorithm", k_algorithm);
  add("X-Amz-Credential", credentials.access_key + "/" + scope_text(std::string_view(timestamp).substr(0, 8), scope.region, scope.service));
  add("X-Amz-Date", timestamp);
  add("X-Amz-SignedHeaders", joined(names));
  add("X-Amz-Expires", std::to_string(expires.count()));
  if (has_token && scope.sign_session_token) add("X-Amz-Security-Token", credentials.session_token);
  auto made = make_signature(request, parameters_of(request.query), names, scope, timestamp, credentials.secret);
  if (has_token && !scope.sign_session_token) add("X-Amz-Security-Token", credentials.session_token);
  add("X-Amz-Signature", made.signature);
  return made;
}

Result<SigV4Claim> read_sigv4_claim(const SigV4Request& request) {
  if (request.query.size() > k_max_field) return fail(Errc::invalid, "a query of more than 8 KiB");
  const std::string* const authorization = find_header(request.headers, "authorization");
  if (authorization != nullptr && authorization->starts_with(std::string(k_algorithm) + " ")) {
    if (authorization->size() > k_max_field) return fail(Errc::invalid, "an Authorization header of more than 8 KiB");
    return read_header_claim(request, *authorization);
  }
  const Parameters parameters = parameters_of(request.query);
  if (find_parameter(parameters, "X-Amz-Signature") != nullptr) return read_query_claim(parameters);
  return fail(Errc::not_found, "the request is not signed");
}

Result<void> verify_sigv4(const SigV4Request& request, const SigV4Claim& claim, const Secret& secret, const SigV4Scope& scope, WallTime now,
                          std::chrono::seconds most_skew) {
  if (claim.region != scope.region || claim.service != scope.service)
    return fail(Errc::denied, "signed for " + claim.region + "/" + claim.service + ", not for " + scope.region + "/" + scope.service);
  const auto& names = claim.signed_headers;
  const auto is_signed = [&names](const std::string& name) { return std::find(names.begin(), names.end(), name) != names.end(); };
  if (!is_signed("host")) return fail(Errc::denied, "the host header is not signed");
  for (const auto& [name, value] : request.headers) {
    const std::string small = lower(name);
    const bool is_token = small == "x-amz-security-token" && !scope.sign_session_token;
    if (small.starts_with("x-amz-") && !is_token && !is_signed(small)) return fail(Errc::denied, small + " is not signed");
  }
  for (const auto& name : names)
    if (find_header(request.headers, name) == nullptr) return fail(Errc::denied, "the signed header " + name + " is missing");
  const auto age = now - claim.signed_at;
  const auto late = std::chrono::duration_cast<std::chrono::seconds>(age).count();
  if (age < -most_skew || age > (claim.by_query ? claim.expires : most_skew))
    return fail(Errc::denied, claim.by_query && age > most_skew ? "the signed query has expired"
                                                                : "clock skew: signed " + std::to_string(late) + " s before the present time here");
  Parameters parameters = parameters_of(request.query);
  if (claim.by_query && !scope.sign_session_token)
    std::erase_if(parameters, [](const auto& parameter) { return parameter.first == "X-Amz-Security-Token"; });
  const auto right = make_signature(request, parameters, names, scope, amz_date(claim.signed_at), secret);
  if (!crypto::equal_constant_time(bytes_of(right.signature), bytes_of(claim.signature))) return fail(Errc::denied, "the signature is wrong");
  return {};
}

}  // namespace sallyport::net
