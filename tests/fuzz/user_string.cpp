// Any bytes as the user name of a login: what is understood must be written back to the same bytes, and a destination,
// path or command template made of them must not be understood in two ways.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "platform/model/ip.h"
#include "policy/access/file_rules.h"
#include "policy/access/tunnels.h"
#include "policy/identity/login.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sallyport;
  using namespace sallyport::policy;
  const std::string_view text(reinterpret_cast<const char*>(data), size);

  if (const auto user = parse_user_string(text)) {
    std::string again = user->principal;
    if (!user->account.empty()) again += "+" + user->account;
    if (!user->target.empty()) again += "+" + user->target;
    if (again != text || user->principal.empty() || (user->target.empty() && !user->account.empty())) std::abort();
  }

  const std::string host = canonical_host(text);
  if (canonical_host(host) != host) std::abort();
  const std::string path = normalise_path(text, "/home/x");
  if (!path.empty() && (normalise_path(path) != path || path.find("/../") != std::string::npos)) std::abort();
  if (const auto address = IpAddress::parse(text)) {
    if (IpAddress::parse(address->str()) != address) std::abort();
  }
  if (const auto network = Network::parse(text)) {
    if (Network::parse(network->str()) != network || !network->contains(network->address())) std::abort();
  }
  if (const auto pattern = TunnelPattern::parse(text)) {
    (void)pattern->matches("db.example", 5432);
    (void)pattern->matches_socket("/run/app.sock");
  }
  if (const auto command = CommandTemplate::parse(text)) (void)command->matches(text);
  return 0;
}
