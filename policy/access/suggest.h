// policy/access/suggest.h -- "did you mean".
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace sallyport::policy {

/// Collects candidates and keeps the one that is nearest to what was written.
class Suggestion {
 public:
  explicit Suggestion(std::string_view written) : written_(written), best_distance_(written.size() / 3 + 2) {}
  void consider(std::string_view candidate);
  /// "; did you mean `x`?" or nothing when no candidate is near.
  [[nodiscard]] std::string text() const;

 private:
  std::string written_;
  std::string best_;
  std::size_t best_distance_;
};

}  // namespace sallyport::policy
