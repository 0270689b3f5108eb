// `break_glass:` of a policy file: who signs envelopes, and what they may grant.
#include <algorithm>

#include "policy/access/read_documents.h"
#include "policy/identity/login.h"

namespace sallyport::policy {
namespace {

constexpr std::size_t k_most_approvers = 32;
constexpr std::chrono::seconds k_usual_validity = std::chrono::hours(24 * 366);
constexpr std::chrono::seconds k_usual_lasts = std::chrono::hours(8);

void read_approver(BreakGlass& glass, const Spot& spot) {
  if (!spot.is_map_of({"name", "keys"})) return;
  BreakGlass::Approver approver;
  approver.place = spot.place();
  approver.name = read_name(spot, "approver");
  if (const auto keys = spot.field("keys")) {
    keys->each([&](const Spot& item) {
      auto key = read_key(item);
      if (!key) return;
      if (!key->from.empty()) return item.complain("from= says nothing about a signature; leave it out");
      for (const auto& other : glass.approvers)
        if (std::any_of(other.keys.begin(), other.keys.end(), [&](const LoginKey& one) { return one.blob == key->blob; }))
          item.complain("`" + other.name + "` has this key as well: one key is one approver");
      approver.keys.push_back(*std::move(key));
    });
  }
  if (approver.keys.empty()) spot.complain("an approver has `keys`, at least one");
  if (std::any_of(glass.approvers.begin(), glass.approvers.end(), [&](const auto& other) { return other.name == approver.name; }))
    spot.complain("the approver `" + approver.name + "` is listed twice");
  glass.approvers.push_back(std::move(approver));
}

}  // namespace

void read_break_glass(ReadState& state, const Spot& spot) {
  if (!spot.is_map_of({"needed", "max_validity", "max_lasts", "approvers"})) return;
  if (state.documents->break_glass) return spot.complain("`break_glass` stands in " + state.documents->break_glass->place.str() + " already");
  BreakGlass glass;
  glass.place = spot.place();
  glass.max_validity = k_usual_validity;
  glass.max_lasts = k_usual_lasts;
  if (const auto needed = spot.field("needed")) glass.needed = static_cast<unsigned>(needed->number(1, static_cast<std::int64_t>(k_most_approvers)).value_or(2));
  if (const auto validity = spot.field("max_validity")) glass.max_validity = validity->duration().value_or(k_usual_validity);
  if (const auto lasts = spot.field("max_lasts")) glass.max_lasts = lasts->duration().value_or(k_usual_lasts);
  if (const auto approvers = spot.field("approvers")) approvers->each([&](const Spot& item) { read_approver(glass, item); });
  if (glass.approvers.size() < glass.needed)
    spot.complain("`needed` is " + std::to_string(glass.needed) + ", and there are " + std::to_string(glass.approvers.size()) + " approvers");
  if (glass.approvers.size() > k_most_approvers) spot.complain("more than " + std::to_string(k_most_approvers) + " approvers");
  state.documents->break_glass = std::move(glass);
}

}  // namespace sallyport::policy
