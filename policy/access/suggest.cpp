#include "policy/access/suggest.h"

#include <algorithm>
#include <numeric>
#include <vector>

namespace sallyport::policy {
namespace {

/// Optimal string alignment distance (insert, remove, replace, swap neighbours).
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before_last(b.size() + 1);
  std::vector<std::size_t> last(b.size() + 1);
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(last.begin(), last.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0U : 1U)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[j] = std::min(row[j], before_last[j - 2] + 1);
    }
    before_last.swap(last);
    last.swap(row);
  }
  return last[b.size()];
}

}  // namespace

void Suggestion::consider(std::string_view candidate) {
  if (written_.size() > 64 || candidate.size() > 64 || candidate.size() > written_.size() + best_distance_) return;
  const std::size_t d = distance(written_, candidate);
  if (d < best_distance_) {
    best_distance_ = d;
    best_ = std::string(candidate);
  }
}

std::string Suggestion::text() const { return best_.empty() ? std::string() : "; did you mean `" + best_ + "`?"; }

}  // namespace sallyport::policy
