// recorder/spent_envelopes.h -- which break-glass envelopes the journal says were opened or revoked: what is spent stays spent, also when
// the authority's own folder is put back from a backup.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "platform/model/result.h"

namespace sallyport::recorder {

class SpentEnvelopes {
 public:
  /// `file` remembers what events said; when it is not there, the journal's files on this machine are read once.
  SpentEnvelopes(const std::string& journal_dir, std::string file);

  /// An event of the authority, as it goes into the journal. Durable when it returns. Errc::unavailable: it could not be kept, and the
  /// event must not be taken as stored.
  [[nodiscard]] Result<void> take_event(std::string_view name, std::string_view json);
  /// Name of the event that spent it; empty: the journal knows of none.
  [[nodiscard]] std::string how(const std::string& envelope) const;

 private:
  void read_journal(const std::string& journal_dir);
  [[nodiscard]] Result<void> keep(const std::string& lines) const;

  std::string file_;
  std::map<std::string, std::string, std::less<>> spent_;
};

}  // namespace sallyport::recorder
