// Hostile keys and tokens of an identity provider: "KEY SET\nTOKEN", and the claims as if their signature were right.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "policy/identity/oidc_token.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sallyport;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto line = text.find('\n');
  const std::string_view token = line == std::string_view::npos ? text : text.substr(line + 1);
  const policy::OidcExpected expected{"https://op.example", "gateway", "n-1", "access", "preferred_username", "groups", 1'790'000'000, 3600};
  if (const auto keys = crypto::TokenKeys::parse(text.substr(0, line))) {
    // A key set of the corpus is not the attacker's: nothing that it did not sign may come through as more than its claims say.
    if (const auto verified = keys->verify(token)) static_cast<void>(policy::check_id_token(*verified, expected));
  }
  if (const auto identity = policy::check_id_token({"ES256", std::string(token)}, expected))
    if (identity->subject.empty() || identity->name.empty() || identity->authenticated > expected.now) std::abort();
  return 0;
}
