// app/verbs/guard_score.h -- the guard against a corpus of labelled commands.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include "app/verbs/console.h"

namespace sallyport::app {

/// One JSON line {"id","command"} in, one {"id","verdict","rules","us"} out, judged with every shipped pack.
int score_lines(std::istream& in, std::ostream& out);
/// A table over the corpora: flagged, denied, false alarms, beside a word list as a baseline.
int score_corpora(const Common& common, const std::vector<std::string>& folders, bool list_misses);

}  // namespace sallyport::app
