// policy/guard/packs/embedded.h -- the YAML of the shipped packs, put into the binary by the build.
#pragma once

#include <string_view>
#include <vector>

namespace sallyport::guard {

struct EmbeddedPack {
  std::string_view file;
  std::string_view text;
};
/// `paths.yaml` first, then by name.
[[nodiscard]] const std::vector<EmbeddedPack>& embedded_packs();

}  // namespace sallyport::guard
