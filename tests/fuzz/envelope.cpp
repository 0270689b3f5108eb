// Any bytes as a break-glass envelope: what is taken for one writes itself back as the bytes that are signed.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "policy/identity/envelope.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sallyport;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto sealed = policy::parse_envelope(text)) {
    const auto again = policy::parse_envelope(sealed->envelope.text());
    if (!again || again->envelope.text() != sealed->envelope.text()) std::abort();
    if (policy::check_signatures(*sealed, *policy::Snapshot::make_empty(), WallTime{})) std::abort();
  }
  if (const auto signature = crypto::SshFileSignature::parse(text)) {
    if (signature->verify("nobody", "signed this")) std::abort();
  }
  return 0;
}
