// policy/authority/tokens.h -- bearer tokens for the admin API: hashed at rest, scoped, expiring, bound to source networks.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "policy/authority/acts.h"

namespace sallyport::authority {

/// What is asked for. A token never gives more than its principal's roles do at the moment of use.
struct TokenWanted {
  std::string principal;
  std::string name;                    ///< what it is for, free text
  std::vector<std::string> scopes;     ///< admin rights and `request`; empty: everything the principal may
  std::vector<std::string> networks;   ///< sources it is good from; empty: any
  std::chrono::seconds lasts{0};       ///< 0: 30 days; at most a year
};

/// The whole token is told once and never stored: only its SHA-256 is.
struct TokenMade {
  TokenRow row;
  Secret token;
};

class Tokens {
 public:
  template <class T>
  using Done = std::function<void(Result<T>)>;

  explicit Tokens(Authority& authority) : authority_(authority) {}
  void remember(std::vector<TokenRow> rows);

  void create(const Operator& who, const TokenWanted& wanted, Done<std::shared_ptr<TokenMade>> done);
  void revoke(const Operator& who, const std::string& id, Done<TokenRow> done);
  [[nodiscard]] std::vector<TokenRow> list() const;
  [[nodiscard]] Result<TokenRow> find(const std::string& id) const;

  /// Who shows this token from there. Errc::denied: nobody, or not from there; the detail is for the log, never for the one who asks.
  [[nodiscard]] Result<Operator> recognise(std::string_view bearer, const std::optional<IpAddress>& source);

 private:
  Authority& authority_;
  std::map<std::string, TokenRow> rows_;
};

}  // namespace sallyport::authority
