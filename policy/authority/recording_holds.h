// policy/authority/recording_holds.h -- which recordings are under legal hold: their keys must not be erased.
#pragma once

#include <map>
#include <string>

#include "platform/model/result.h"

namespace sallyport::authority {

class RecordingHolds {
 public:
  /// Reads `file`; a missing one holds nothing. Errc::corrupt when it cannot be understood: then nothing may be erased.
  [[nodiscard]] static Result<RecordingHolds> load(std::string file);

  [[nodiscard]] bool is_held(const std::string& session) const { return why_.contains(session); }
  /// Session: why.
  [[nodiscard]] const std::map<std::string, std::string>& all() const noexcept { return why_; }
  /// Durable on return. Errc::unavailable.
  Result<void> hold(const std::string& session, const std::string& reason);
  /// Errc::not_found: it is not held.
  Result<void> release(const std::string& session);

 private:
  explicit RecordingHolds(std::string file) : file_(std::move(file)) {}
  [[nodiscard]] Result<void> save(const std::map<std::string, std::string>& why) const;

  std::string file_;
  std::map<std::string, std::string> why_;
};

}  // namespace sallyport::authority
