// gateway/ssh/file_rules.h -- the file rules that came with a channel's decision.
#pragma once

#include <cstdint>
#include <vector>

#include "policy/access/file_rules.h"

namespace sallyport::gateway {

struct FileRules {
  bool apply = false;                ///< false: every path is allowed
  std::uint64_t max_file_bytes = 0;  ///< of one file, either direction; 0: no limit
  std::vector<policy::FileRule> list;
};

}  // namespace sallyport::gateway
