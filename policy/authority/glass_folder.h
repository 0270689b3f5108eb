// policy/authority/glass_folder.h -- what break-glass needs when nothing else is left: envelopes, what became of them, and a copy of the
// policy and the locks. A folder of files, each written whole and synced; no database.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "platform/model/result.h"
#include "policy/access/locks.h"
#include "policy/authority/rows.h"

namespace sallyport::authority {

/// What became of an envelope, beside its file: ID.opened or ID.revoked.
struct GlassMark {
  std::int64_t at_us = 0;
  std::int64_t until_us = 0;  ///< opened: the end of what it grants
  std::string by;
};

class GlassFolder {
 public:
  explicit GlassFolder(std::string path) : path_(std::move(path)) {}

  [[nodiscard]] std::map<std::string, std::string> envelopes() const;  ///< id: whole text of the file; what cannot be read is left out
  [[nodiscard]] Result<void> put(const std::string& id, std::string_view text) const;
  [[nodiscard]] std::optional<GlassMark> mark(const std::string& id, std::string_view kind) const;
  [[nodiscard]] Result<void> put_mark(const std::string& id, std::string_view kind, const GlassMark& mark) const;

  [[nodiscard]] Result<void> keep_policy(const PolicyVersion& version) const;
  /// Errc::not_found: there is no copy. Errc::corrupt.
  [[nodiscard]] Result<PolicyVersion> policy() const;
  [[nodiscard]] Result<void> keep_locks(const std::vector<policy::Lock>& locks) const;
  [[nodiscard]] Result<std::vector<policy::Lock>> locks() const;

 private:
  [[nodiscard]] Result<void> write(const std::string& name, std::string_view text) const;
  [[nodiscard]] Result<std::string> read(const std::string& name, std::size_t most) const;
  std::string path_;
};

}  // namespace sallyport::authority
