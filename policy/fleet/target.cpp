#include "policy/fleet/target.h"

#include <algorithm>
#include <array>

namespace sallyport::policy {

const Account* Target::find_account(std::string_view account) const {
  const auto found =
      std::find_if(accounts.begin(), accounts.end(), [&](const Account& a) { return a.name.view() == account; });
  return found == accounts.end() ? nullptr : &*found;
}

std::vector<std::string> Target::certificate_principals(const Account& account) const {
  std::vector<std::string> result;
  for (const std::string& pattern : account.certificate_principals) {
    std::string filled;
    std::string_view rest = pattern;
    const std::array<std::pair<std::string_view, std::string_view>, 3> values{
        {{"{account}", account.name.view()}, {"{target}", name.view()}, {"{instance}", instance}}};
    while (!rest.empty()) {
      const auto hit = std::find_if(values.begin(), values.end(), [&](const auto& v) { return rest.starts_with(v.first); });
      if (hit == values.end()) {
        filled += rest.front();
        rest.remove_prefix(1);
      } else {
        filled += hit->second;
        rest.remove_prefix(hit->first.size());
      }
    }
    result.push_back(std::move(filled));
  }
  return result;
}

std::vector<std::string> Target::host_names() const {
  std::vector<std::string> names{name.str()};
  for (const std::string& other : {address, instance}) {
    if (!other.empty() && std::find(names.begin(), names.end(), other) == names.end()) names.push_back(other);
  }
  return names;
}

}  // namespace sallyport::policy
