#include "policy/access/file_rules.h"

#include <algorithm>

namespace sallyport::policy {

std::string normalise_path(std::string_view path, std::string_view home) {
  if (path.find('\0') != std::string_view::npos || home.find('\0') != std::string_view::npos) return {};
  std::string whole;
  if (path.empty() || path.front() != '/') {
    if (home.empty() || home.front() != '/') return {};
    whole = std::string(home) + "/" + std::string(path);
  } else {
    whole = std::string(path);
  }
  std::vector<std::string_view> parts;
  std::string_view rest = whole;
  while (!rest.empty()) {
    const std::size_t slash = rest.find('/');
    const std::string_view part = rest.substr(0, slash);
    rest = slash == std::string_view::npos ? std::string_view{} : rest.substr(slash + 1);
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      if (!parts.empty()) parts.pop_back();
    } else {
      parts.push_back(part);
    }
  }
  std::string result;
  for (const std::string_view part : parts) result.append("/").append(part);
  return result.empty() ? "/" : result;
}

bool path_is_under(std::string_view path, std::string_view prefix) {
  if (path.empty() || path.front() != '/') return false;
  if (prefix.empty() || prefix == "/") return true;
  return path.starts_with(prefix) && (path.size() == prefix.size() || path[prefix.size()] == '/');
}

bool file_allowed(std::span<const FileRule> rules, std::string_view normalised_path, FileOperation operation) {
  const auto rule = std::find_if(rules.begin(), rules.end(),
                                 [&](const FileRule& r) { return path_is_under(normalised_path, r.prefix); });
  if (rule == rules.end()) return false;
  switch (operation) {
    case FileOperation::up: return rule->up;
    case FileOperation::down: return rule->down;
    case FileOperation::change: return rule->change;
  }
  return false;
}

bool file_held(std::span<const FileRule> rules, std::string_view normalised_path, FileOperation operation) {
  const auto rule = std::find_if(rules.begin(), rules.end(), [&](const FileRule& r) { return path_is_under(normalised_path, r.prefix); });
  if (rule == rules.end()) return false;
  return operation == FileOperation::up ? rule->hold_up : operation == FileOperation::change && rule->hold_change;
}

}  // namespace sallyport::policy
