// policy/access/snapshot.h -- one version of the whole policy, checked, compiled and never changed again.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "policy/access/policy_test.h"
#include "policy/access/role.h"
#include "policy/fleet/target.h"
#include "policy/identity/principal.h"

namespace sallyport::policy {

struct Compiled;

/// A name that stands for something defined elsewhere, and where it is written.
struct Reference {
  enum class Kind : std::uint8_t { principal, group, target, account, role };
  Kind kind = Kind::principal;
  std::string name;
  Place place;
  std::string pointer;
};

/// Who may sign break-glass envelopes, and what an envelope may grant at most.
struct BreakGlass {
  struct Approver {
    std::string name;
    std::vector<LoginKey> keys;  ///< hers for this only: offline or on a hardware token
    Place place;
  };
  unsigned needed = 2;                      ///< signatures, and codes, at least
  std::chrono::seconds max_validity{};      ///< of an envelope
  std::chrono::seconds max_lasts{};         ///< of what an opened one grants
  std::vector<Approver> approvers;
  Place place;
};

/// What a policy file says, after parsing: names not yet resolved. Built by load.h; tests and benches fill it by hand.
struct Documents {
  std::vector<Principal> principals;
  std::vector<TrustedCa> trusted_user_cas;
  std::vector<Group> groups;
  std::vector<Target> targets;
  std::vector<Role> roles;
  std::vector<Binding> bindings;
  std::optional<BreakGlass> break_glass;
  std::vector<PolicyTest> tests;      ///< do not count for the digest: they say what is meant, not what holds
  std::vector<Reference> references;  ///< may stay empty: then they are collected from the above
};

/// One thing that is wrong, and where.
struct Diagnostic {
  std::string file;
  std::uint32_t line = 0;
  std::uint32_t column = 0;
  std::string pointer;  ///< JSON pointer into the document, "/roles/0/allow/1/channels"
  std::string message;  ///< for a person, with a suggestion where there is one
  [[nodiscard]] std::string str() const;  ///< "roles.yaml:12:5: unknown key `chanels`; did you mean `channels`?"
};

/// Published as shared_ptr<const Snapshot>: any thread reads it without a lock. Every pointer and span it gives lives as
/// long as the snapshot.
class Snapshot {
 public:
  /// Checks references and uniqueness, builds the indexes. Null when `problems` got an entry.
  [[nodiscard]] static std::shared_ptr<const Snapshot> compile(Documents documents, std::vector<Diagnostic>& problems);
  /// A policy in which nobody may do anything.
  [[nodiscard]] static std::shared_ptr<const Snapshot> make_empty();
  ~Snapshot();
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;

  [[nodiscard]] const Principal* find_principal(std::string_view name) const;
  [[nodiscard]] const Target* find_target(std::string_view name) const;
  /// The target that `host` and `port` of a jump mean: its name or instance id, with port 22 or the target's own.
  [[nodiscard]] const Target* find_jump_target(std::string_view host, std::uint32_t port) const;
  /// Who owns this key; null when nobody does. A key belongs to one principal at most (checked at compile).
  [[nodiscard]] const Principal* find_key_owner(std::string_view key_blob) const;
  [[nodiscard]] const TrustedCa* find_user_ca(std::string_view key_blob) const;

  [[nodiscard]] std::span<const Principal> principals() const;
  [[nodiscard]] std::span<const Group> groups() const;
  [[nodiscard]] std::span<const Target> targets() const;
  [[nodiscard]] std::span<const Role> roles() const;
  [[nodiscard]] std::span<const Binding> bindings() const;
  [[nodiscard]] std::span<const TrustedCa> user_cas() const;
  [[nodiscard]] const std::vector<PolicyTest>& tests() const;
  [[nodiscard]] const std::optional<BreakGlass>& break_glass() const;
  /// Does anybody log in with a password or a one-time code? Decides which methods the gateway offers to everybody.
  [[nodiscard]] bool offers_passwords() const;
  /// What passwords of unknown principals are checked against: opened by none, at the cost that most of the hashes have.
  [[nodiscard]] const std::string& dummy_password_hash() const;
  /// SHA-256, hexadecimal, over the meaning (not over comments, order of keys or file names).
  [[nodiscard]] const std::string& digest() const;

  [[nodiscard]] const Compiled& compiled() const noexcept { return *compiled_; }  ///< for the engine and the plan

 private:
  explicit Snapshot(std::unique_ptr<Compiled> compiled);
  std::unique_ptr<Compiled> compiled_;
};

}  // namespace sallyport::policy
