// policy/access/read_documents.h -- from the YAML tree of one file to Documents. For the loader only.
#pragma once

#include <span>

#include "policy/access/fields.h"
#include "policy/access/load.h"

namespace sallyport::policy {

/// Everything that the readers of one load share.
struct ReadState {
  Documents* documents = nullptr;
  std::span<const SourceFile> files;  ///< for attachments
  void refer(Reference::Kind kind, const Spot& spot, const std::string& name) {
    documents->references.push_back(Reference{kind, name, spot.place(), spot.pointer()});
  }
};

void read_principal(ReadState& state, const Spot& spot);
void read_user_ca(ReadState& state, const Spot& spot);
void read_group(ReadState& state, const Spot& spot);
void read_target(ReadState& state, const Spot& spot);
void read_role(ReadState& state, const Spot& spot);
/// `guard:` of a role.
void read_guard(ReadState& state, const Spot& spot, Role& role);
void read_rule_targets(ReadState& state, const Spot& spot, Rule& rule);
void read_rule_hours(const Spot& spot, Rule& rule);
void read_test(ReadState& state, const Spot& spot);
void read_binding(ReadState& state, const Spot& spot);
void read_break_glass(ReadState& state, const Spot& spot);

/// One line of authorized_keys with the options that are supported; nothing, and a complaint, for anything else.
[[nodiscard]] std::optional<LoginKey> read_key(const Spot& spot);
/// A `name:` as principals, groups, targets and roles have it.
[[nodiscard]] std::string read_name(const Spot& spot, std::string_view what);
[[nodiscard]] std::vector<Network> read_networks(const Spot& spot);

}  // namespace sallyport::policy
