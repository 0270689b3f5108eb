// An expression, a line end, a text: what the small matcher answers, RE2 answers as well.
#include <re2/re2.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "policy/guard/small_pattern.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const std::size_t end = all.find('\n');
  if (end == std::string_view::npos || end > 400 || size > 4096) return 0;
  const std::string_view expression = all.substr(0, end);
  const std::string_view text = all.substr(end + 1);
  const auto small = sallyport::guard::SmallPattern::read(expression);
  if (!small) return 0;
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_dot_nl(true);
  options.set_never_capture(true);
  const re2::RE2 whole(re2::StringPiece(expression.data(), expression.size()), options);
  const auto found = small->found_in(text);
  if (!found) return 0;
  // An expression that RE2 refuses never gets here: rules are checked with RE2 when they are loaded.
  if (whole.ok() && *found != re2::RE2::PartialMatch(re2::StringPiece(text.data(), text.size()), whole)) {
    std::fprintf(stderr, "the small matcher and RE2 differ over /%.*s/\n", static_cast<int>(expression.size()), expression.data());
    std::abort();
  }
  return 0;
}
