#include "gateway/ssh/path_rules.h"

#include <algorithm>

namespace sallyport::gateway {
namespace {

using policy::FileOperation;

[[nodiscard]] bool gives_any(const policy::FileRule& rule) { return rule.up || rule.down || rule.change; }

}  // namespace

bool PathRules::allows_everywhere(FileOperation operation) const {
  return policy::file_allowed(rules_.list, "/", operation) &&
         std::all_of(rules_.list.begin(), rules_.list.end(), [&](const policy::FileRule& rule) {
           return policy::file_allowed(rules_.list, rule.prefix.empty() ? "/" : std::string_view(rule.prefix), operation);
         });
}

bool PathRules::allows(std::string_view path, FileOperation operation) const {
  if (!rules_.apply) return true;
  return path.empty() ? allows_everywhere(operation) : policy::file_allowed(rules_.list, path, operation);
}

bool PathRules::allows_tree(std::string_view path, FileOperation operation) const {
  if (!allows(path, operation)) return false;
  return !rules_.apply || path.empty() || std::all_of(rules_.list.begin(), rules_.list.end(), [&](const policy::FileRule& rule) {
    return !policy::path_is_under(rule.prefix, path) || policy::file_allowed(rules_.list, rule.prefix, operation);
  });
}

bool PathRules::holds(std::string_view path, FileOperation operation) const {
  if (!rules_.apply) return false;
  const auto held = [&](const policy::FileRule& rule) { return operation == FileOperation::up ? rule.hold_up : operation == FileOperation::change && (rule.hold_up || rule.hold_change); };
  if (path.empty()) return std::any_of(rules_.list.begin(), rules_.list.end(), held);
  if (policy::file_held(rules_.list, path, operation)) return true;
  if (operation != FileOperation::change) return false;
  // What is moved or linked takes what may be written with it.
  if (policy::file_held(rules_.list, path, FileOperation::up)) return true;
  return std::any_of(rules_.list.begin(), rules_.list.end(), [&](const policy::FileRule& rule) { return held(rule) && policy::path_is_under(rule.prefix, path); });
}

bool PathRules::is_visible(std::string_view path) const {
  if (!rules_.apply) return true;
  if (path.empty())
    return allows_everywhere(FileOperation::up) || allows_everywhere(FileOperation::down) || allows_everywhere(FileOperation::change);
  const auto covering = std::find_if(rules_.list.begin(), rules_.list.end(), [&](const policy::FileRule& rule) {
    return policy::path_is_under(path, rule.prefix);
  });
  if (covering != rules_.list.end() && gives_any(*covering)) return true;
  return std::any_of(rules_.list.begin(), rules_.list.end(), [&](const policy::FileRule& rule) {
    return gives_any(rule) && policy::path_is_under(rule.prefix, path);
  });
}

bool PathRules::allows_move(std::string_view from, std::string_view to) const {
  if (!rules_.apply) return true;
  if (!allows_tree(from, FileOperation::change) || !allows_tree(to, FileOperation::change)) return false;
  return !allows(to, FileOperation::down) || allows_tree(from, FileOperation::down);
}

bool PathRules::allows_link(std::string_view link, std::string_view content) const {
  if (!rules_.apply) return true;
  if (!allows_tree(content, FileOperation::change) || !allows_tree(link, FileOperation::change)) return false;
  if (allows(link, FileOperation::down) && !allows_tree(content, FileOperation::down)) return false;
  return !allows(link, FileOperation::up) || allows_tree(content, FileOperation::up);
}

}  // namespace sallyport::gateway
