// The fork server's saved state: what decodes must encode to the same bytes.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "gateway/listener/saved_state.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto state = sallyport::gateway::decode_state(bytes);
  if (state && state->penalties.size() + state->counters.size() < 2) {
    const auto again = sallyport::gateway::decode_state(sallyport::gateway::encode(*state));
    if (!again || again->settings != state->settings) std::abort();
  }
  return 0;
}
