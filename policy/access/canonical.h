// policy/access/canonical.h -- what a definition means, as text: for the digest, and to say what changed.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "policy/access/snapshot.h"

namespace sallyport::policy {

/// Field name and value, in a fixed order. Two definitions with the same fields mean the same.
using CanonicalFields = std::vector<std::pair<std::string_view, std::string>>;

[[nodiscard]] CanonicalFields canonical(const Principal& principal);
[[nodiscard]] CanonicalFields canonical(const TrustedCa& ca);
[[nodiscard]] CanonicalFields canonical(const Group& group);
[[nodiscard]] CanonicalFields canonical(const Target& target);
[[nodiscard]] CanonicalFields canonical(const Role& role);
[[nodiscard]] CanonicalFields canonical(const Binding& binding);
[[nodiscard]] CanonicalFields canonical(const BreakGlass& glass);
[[nodiscard]] std::string canonical(const Rule& rule);

/// SHA-256 over all of it, hexadecimal; the order of definitions does not matter.
[[nodiscard]] std::string digest_of(const Documents& documents);

}  // namespace sallyport::policy
