// policy/access/compiled.h -- the indexes of a Snapshot, for the engine and the plan only.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "policy/access/snapshot.h"

namespace sallyport::policy {

/// A set of small numbers: everything, one word of bits, a short sorted list, or many bits.
class IndexSet {
 public:
  static IndexSet all() { IndexSet s; s.all_ = true; return s; }
  /// `members` sorted, out of 0..universe-1.
  static IndexSet of(std::vector<std::uint32_t> members, std::size_t universe);
  [[nodiscard]] bool has(std::uint32_t index) const {
    if (all_) return true;
    if (is_word_) return index < 64 && ((word_ >> index) & 1U) != 0;
    return has_slow(index);
  }
  [[nodiscard]] bool is_all() const noexcept { return all_; }

 private:
  [[nodiscard]] bool has_slow(std::uint32_t index) const;

  bool all_ = false;
  bool is_word_ = false;
  std::uint64_t word_ = 0;
  std::vector<std::uint32_t> list_;
  std::vector<std::uint64_t> bits_;
};

struct CompiledRule {
  const Rule* rule = nullptr;
  KindSet channels;
  IndexSet targets;
  IndexSet accounts;  ///< over Compiled::account_ids
  std::uint32_t role = 0;
  std::uint32_t index = 0;
  bool is_deny = false;
};

struct CompiledRole {
  std::vector<CompiledRule> allow;
  std::vector<CompiledRule> deny;
};

/// A principal's role, by the binding that lasts longest.
struct Grant {
  std::uint32_t role = 0;
  std::uint32_t binding = 0;
  std::optional<WallTime> expires;
};

struct Compiled {
  Documents documents;
  std::vector<CompiledRole> roles;           ///< as documents.roles
  std::vector<std::vector<Grant>> grants;    ///< as documents.principals
  std::vector<std::vector<Grant>> group_grants;  ///< as documents.groups: for whom a directory puts into them
  std::unordered_map<std::string_view, std::uint32_t> principal_ids;
  std::unordered_map<std::string_view, std::uint32_t> target_ids;
  std::unordered_map<std::string_view, std::uint32_t> instance_ids;
  std::unordered_map<std::string_view, std::uint32_t> role_ids;
  std::unordered_map<std::string_view, std::uint32_t> group_ids;
  std::unordered_map<std::string_view, std::uint32_t> account_ids;
  std::unordered_map<std::string_view, std::uint32_t> key_owners;
  std::unordered_map<std::string_view, std::uint32_t> ca_ids;
  bool offers_passwords = false;
  std::string dummy_hash;
  std::string digest;
};

/// What the policy grants to the principal, and to the groups that a directory adds. `room` holds the answer when it is not the policy's own.
[[nodiscard]] std::span<const Grant> grants_of(const Compiled& compiled, std::uint32_t principal, const std::vector<std::string>& groups, std::vector<Grant>& room);

}  // namespace sallyport::policy
