// Any bytes on a control link: decoded, judged and bounded without a crash, and what is accepted follows the table.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "platform/control/link.h"
#include "platform/control/state_table.h"

namespace {

using namespace sallyport;

void check(const control::Envelope& envelope, std::size_t descriptors) {
  for (unsigned i = 0; i < control::k_session_states; ++i) {
    const auto state = static_cast<control::SessionState>(i);
    for (const bool restored : {false, true}) {
      const auto judgement = control::judge_session_message(state, envelope, descriptors, restored);
      const bool answers = envelope.reply() || envelope.has_failure();
      if (judgement != control::Judgement::violation && (answers || descriptors != 0)) std::abort();
      if (judgement == control::Judgement::accept && state == control::SessionState::kit) std::abort();
      if (judgement == control::Judgement::accept && !control::may_travel(control::PEER_SESSION, control::PEER_AUTHORITY, envelope.body_case()))
        std::abort();
    }
  }
  if (control::name_of(envelope.body_case()).empty()) std::abort();
  static_cast<void>(control::check_bounds(envelope).has_value());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::size_t descriptors = data[0] & 1U;
  control::Envelope envelope;
  if (envelope.ParseFromArray(data + 1, static_cast<int>(size - 1))) check(envelope, descriptors);

  // The same bytes through a real socket: the Link must give an Envelope or an error, never hang or crash.
  static auto* pair = [] {
    auto made = control::Link::make_pair();
    if (!made) std::abort();
    return new std::pair<Fd, Fd>(std::move(*made));
  }();
  static control::Link link{Fd(dup(pair->second.get()))};
  if (size - 1 <= control::k_max_packet && ::write(pair->first.get(), data + 1, size - 1) >= 0 && size > 1) {
    auto received = link.receive();
    if (received && *received && (*received)->envelope.version() != control::k_version) std::abort();
  }
  return 0;
}
