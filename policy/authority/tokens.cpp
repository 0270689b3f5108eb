#include "policy/authority/tokens.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <array>
#include <utility>

#include "platform/crypto/hash.h"
#include "platform/crypto/hex.h"
#include "platform/crypto/ulid.h"
#include "platform/model/bytes.h"

namespace sallyport::authority {
namespace {

constexpr std::size_t k_most_tokens = 10'000;
constexpr std::size_t k_secret_bytes = 32;
constexpr std::string_view k_prefix = "spt_";
constexpr std::size_t k_id = 26;
constexpr std::chrono::hours k_default{24 * 30};
constexpr std::chrono::hours k_longest{24 * 366};

std::string hash_of(std::string_view secret) { return crypto::to_hex(crypto::sha256(bytes_of(secret))); }

std::vector<Network> networks_in(std::string_view words) {
  std::vector<Network> networks;
  while (!words.empty()) {
    const auto space = words.find(' ');
    if (const auto network = Network::parse(words.substr(0, space))) networks.push_back(*network);
    words = space == std::string_view::npos ? std::string_view{} : words.substr(space + 1);
  }
  return networks;
}

bool is_scope(std::string_view text) { return text == "request" || policy::parse_admin_right(text).has_value(); }

}  // namespace

void Tokens::remember(std::vector<TokenRow> rows) {
  for (TokenRow& row : rows) {
    const std::string id = row.id;
    rows_.emplace(id, std::move(row));
  }
}

void Tokens::create(const Operator& who, const TokenWanted& wanted, Done<std::shared_ptr<TokenMade>> done) {
  const policy::Principal* principal = authority_.snapshot->find_principal(wanted.principal);
  if (principal == nullptr) return done(fail(Errc::not_found, "there is no principal `" + wanted.principal + "`"));
  if (wanted.name.empty() || wanted.name.size() > 255) return done(fail(Errc::invalid, "a token needs a name of at most 255 bytes that says what it is for"));
  if (wanted.lasts > k_longest) return done(fail(Errc::invalid, "a token lasts a year at most"));
  if (rows_.size() >= k_most_tokens) return done(fail(Errc::conflict, "there are too many tokens; revoke some"));
  auto made = std::make_shared<TokenMade>();
  TokenRow& row = made->row;
  for (const std::string& scope : wanted.scopes) {
    if (!is_scope(scope)) return done(fail(Errc::invalid, "there is no scope `" + scope + "`; there are policy, lock, audit, view, secret, approve, input, request"));
    row.scopes += (row.scopes.empty() ? "" : " ") + scope;
  }
  // Who took a token that is good from some places only must not make herself one that is good from everywhere.
  const auto maker = who.token.empty() ? rows_.end() : rows_.find(who.token);
  const std::vector<Network> bound = maker == rows_.end() ? std::vector<Network>{} : networks_in(maker->second.networks);
  for (const std::string& network : wanted.networks) {
    const auto parsed = Network::parse(network);
    if (!parsed) return done(fail(Errc::invalid, "`" + network + "` is no network; write 10.0.0.0/8"));
    if (!bound.empty() &&
        std::none_of(bound.begin(), bound.end(), [&](const Network& one) { return one.length() <= parsed->length() && one.contains(parsed->address()); }))
      return done(fail(Errc::denied, "`" + network + "` is not within the networks of the token that asks: " + maker->second.networks));
    row.networks += (row.networks.empty() ? "" : " ") + network;
  }
  if (row.networks.empty() && !bound.empty()) row.networks = maker->second.networks;
  row.id = crypto::make_ulid(authority_.clock, authority_.random);
  row.principal = wanted.principal;
  row.name = wanted.name;
  row.created_by = who.principal.empty() ? who.name : who.principal;
  row.created_us = authority_.now_us();
  row.expires_us = row.created_us + std::chrono::microseconds(wanted.lasts.count() > 0 ? wanted.lasts : std::chrono::seconds(k_default)).count();
  std::array<std::byte, k_secret_bytes> bytes{};
  authority_.random.fill(bytes);
  std::string secret = crypto::to_hex(bytes);
  row.hash = hash_of(secret);
  std::string whole = std::string(k_prefix) + row.id + "_" + secret;
  made->token = Secret(std::string_view(whole));
  OPENSSL_cleanse(whole.data(), whole.size());
  OPENSSL_cleanse(secret.data(), secret.size());
  OPENSSL_cleanse(bytes.data(), bytes.size());
  EventJson details;
  details.text("made_token", row.id).text("for", row.principal).text("name", row.name).text("scopes", row.scopes).text("networks", row.networks);
  details.number("expires_us", row.expires_us);
  run_act(
      authority_, who, "token.create", details,
      [this, made, details](const std::string& intent, std::uint64_t, const std::function<void(Result<EventJson>)>& outcome) {
        authority_.store->put_token(made->row, intent, [this, made, details, outcome](const Result<void>& stored) {
          if (!stored) return outcome(tl::unexpected(stored.error()));
          rows_[made->row.id] = made->row;
          outcome(details);
        });
      },
      [made, done = std::move(done)](const Result<void>& result) {
        if (!result) return done(tl::unexpected(result.error()));
        done(made);
      });
}

void Tokens::revoke(const Operator& who, const std::string& id, Done<TokenRow> done) {
  const auto row = find(id);
  if (!row) return done(tl::unexpected(row.error()));
  EventJson details;
  details.text("revoked_token", row->id).text("for", row->principal).text("name", row->name);
  run_act(
      authority_, who, "token.revoke", details,
      [this, id, details](const std::string& intent, std::uint64_t, const std::function<void(Result<EventJson>)>& outcome) {
        authority_.store->remove_token(id, intent, [this, id, details, outcome](const Result<void>& removed) {
          if (!removed) return outcome(tl::unexpected(removed.error()));
          rows_.erase(id);
          outcome(details);
        });
      },
      [row = *row, done = std::move(done)](const Result<void>& result) {
        if (!result) return done(tl::unexpected(result.error()));
        done(row);
      });
}

std::vector<TokenRow> Tokens::list() const {
  std::vector<TokenRow> rows;
  for (auto at = rows_.rbegin(); at != rows_.rend(); ++at) rows.push_back(at->second);
  return rows;
}

Result<TokenRow> Tokens::find(const std::string& id) const {
  const auto found = rows_.find(id);
  if (found == rows_.end()) return fail(Errc::not_found, "no token " + printable(id.substr(0, 40)));
  return found->second;
}

Result<Operator> Tokens::recognise(std::string_view bearer, const std::optional<IpAddress>& source) {
  if (!bearer.starts_with(k_prefix) || bearer.size() != k_prefix.size() + k_id + 1 + 2 * k_secret_bytes) return fail(Errc::denied, "no token");
  const auto found = rows_.find(std::string(bearer.substr(k_prefix.size(), k_id)));
  // The hash is worked out for an unknown id as well: time tells nobody which ids exist.
  const std::string hash = hash_of(bearer.substr(k_prefix.size() + k_id + 1));
  const std::string& expected = found == rows_.end() ? hash : found->second.hash;
  const bool same = hash.size() == expected.size() && CRYPTO_memcmp(hash.data(), expected.data(), hash.size()) == 0;
  if (found == rows_.end() || !same) return fail(Errc::denied, "an unknown token");
  TokenRow& row = found->second;
  const std::int64_t now = authority_.now().time_since_epoch().count();
  if (row.expires_us <= now) return fail(Errc::denied, "the token " + row.id + " has expired");
  const auto is_inside = [&source](const std::vector<Network>& networks) {
    return source && std::any_of(networks.begin(), networks.end(), [&](const Network& one) { return one.contains(*source); });
  };
  if (!row.networks.empty()) {
    if (!is_inside(networks_in(row.networks)))
      return fail(Errc::denied, "the token " + row.id + " is not good from " + (source ? source->str() : "this machine"));
  }
  const policy::Principal* principal = authority_.snapshot->find_principal(row.principal);
  if (principal == nullptr) return fail(Errc::denied, "the token's principal is gone");
  if (principal->expires && *principal->expires <= authority_.now()) return fail(Errc::denied, "the token's principal has expired");
  // As at every other door; this machine's own socket is no network.
  if (!principal->networks.empty() && source && !is_inside(principal->networks))
    return fail(Errc::denied, "used from " + source->str() + ", which is not among the principal's networks");
  if (authority_.locks.find(row.principal, {}, {}, authority_.now()) != nullptr) return fail(Errc::denied, "the token's principal is locked");
  row.used_us = authority_.now_us();
  Operator who;
  who.name = row.principal;
  who.principal = row.principal;
  who.token = row.id;
  who.scopes = row.scopes;
  return who;
}

}  // namespace sallyport::authority
