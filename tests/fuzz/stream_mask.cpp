// Any stream in any pieces: every byte is written down before it is released, in order, and the known value never stands in what can be read.
#include <cstdint>
#include <cstdlib>
#include <map>
#include <span>
#include <string>

#include "gateway/ssh/stream_mask.h"

using namespace sallyport;
using namespace sallyport::gateway;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2 || size > 65536) return 0;
  const ByteView bytes = std::as_bytes(std::span(data, size));
  const std::string_view value = "aabaab";
  std::vector<Secret> known;
  known.emplace_back(value);
  std::vector<seal::MaskValue> lent{*seal::mask_value(bytes_of("key"), bytes_of("abababababab"))};
  const seal::MaskSet set(std::move(known), Secret(std::string_view("key")), std::move(lent));
  StreamMask mask;
  std::map<std::uint64_t, std::string> held;
  std::string text;
  std::uint64_t written = 0, sent = 0;
  const auto take = [&] {
    for (; !mask.steps().empty(); mask.steps().pop_front()) {
      const auto& step = mask.steps().front();
      using Kind = StreamMask::Step::Kind;
      if (step.kind == Kind::clear || step.kind == Kind::hold) {
        if (step.offset != written) std::abort();
        written += step.bytes.size();
      }
      if (step.kind == Kind::clear) text += text_of(step.bytes);
      else if (step.kind == Kind::hold) held[step.offset] = text_of(step.bytes);
      else if (step.kind != Kind::note) {
        const auto piece = held.find(step.offset);
        if (piece == held.end()) std::abort();
        text += step.kind == Kind::reveal ? piece->second : std::string(text_of(step.bytes));
        held.erase(piece);
      }
    }
  };
  for (ByteView rest = bytes; rest.size() > 1;) {
    const std::size_t length = std::min<std::size_t>(std::to_integer<std::size_t>(rest[0]) % 32, rest.size() - 1);
    std::string piece(text_of(rest.subspan(1, length)));
    for (char& c : piece) c = static_cast<char>('a' + (static_cast<unsigned char>(c) & 1));
    if (mask.plan(set, bytes_of(piece), true, sent)) mask.keep(bytes_of(piece));
    sent += piece.size();
    take();
    if (written != sent) std::abort();
    rest = rest.subspan(1 + length);
  }
  mask.finish();
  take();
  if (!held.empty() || text.size() != sent || text.find(value) != std::string::npos) std::abort();
  return 0;
}
