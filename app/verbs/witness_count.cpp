#include "app/verbs/witness_count.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>

#include "app/verbs/recording_proof.h"

namespace sallyport::app {
namespace {

std::optional<std::string> load_text(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(in), {});
}

bool is_same(const crypto::NoteKey& a, const crypto::NoteKey& b) { return a.public_key == b.public_key; }

}  // namespace

Result<Witnessed> count_witnesses(const std::vector<std::string>& given, std::size_t wanted, const std::vector<crypto::NoteKey>& log_keys,
                                  const std::vector<replay::OutsideCheckpoint>& outside) {
  std::vector<crypto::NoteKey> keys;
  for (const std::string& each : given) {
    std::error_code error;
    const auto text = std::filesystem::exists(each, error) ? load_text(each) : std::optional(each);
    const auto found = text ? keys_in(*text) : Result<std::vector<crypto::NoteKey>>(fail(Errc::invalid, "cannot be read"));
    if (!found || found->empty()) return fail(Errc::invalid, "--witness-key " + each + " is neither a file nor a key");
    for (const auto& key : *found) {
      if (std::any_of(log_keys.begin(), log_keys.end(), [&](const auto& other) { return is_same(key, other); }))
        return fail(Errc::invalid, "the log's own key " + key.name + " is no witness");
      if (std::none_of(keys.begin(), keys.end(), [&](const auto& other) { return is_same(key, other); })) keys.push_back(key);
    }
  }
  Witnessed result;
  result.wanted = wanted == 0 ? keys.size() : wanted;
  if (result.wanted > keys.size())
    return fail(Errc::invalid, "--witnesses " + std::to_string(wanted) + " needs as many keys of witnesses, and " + std::to_string(keys.size()) + " were given");
  std::map<std::string, std::uint64_t> reach;
  for (const auto& each : outside) {
    if (!each.note) continue;
    for (const auto& key : keys) {
      const bool claims = std::any_of(each.note->signatures.begin(), each.note->signatures.end(), [&](const auto& one) { return one.name == key.name && one.id == key.id; });
      if (!claims) continue;
      if (crypto::verify_note(*each.note, std::span(&key, 1))) {
        auto& leaves = reach[crypto::vkey_of(key)];
        leaves = std::max(leaves, each.checkpoint.size);
        continue;
      }
      replay::Finding wrong;
      wrong.kind = "witness-signature";
      wrong.leaf = each.checkpoint.size;
      wrong.text = "the signature of the witness " + key.name + " in " + each.where + " is wrong";
      result.findings.push_back(std::move(wrong));
    }
  }
  result.seen = reach.size();
  if (result.seen < result.wanted) {
    replay::Finding missing;
    missing.kind = "witnesses-missing";
    missing.text = std::to_string(result.seen) + " of the " + std::to_string(result.wanted) + " witnesses that are wanted signed a checkpoint of this log";
    result.findings.push_back(std::move(missing));
    return result;
  }
  std::vector<std::uint64_t> sizes;
  for (const auto& [key, leaves] : reach) sizes.push_back(leaves);
  std::sort(sizes.rbegin(), sizes.rend());
  if (result.wanted > 0) result.leaves = sizes[result.wanted - 1];
  return result;
}

}  // namespace sallyport::app
