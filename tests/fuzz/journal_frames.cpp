// Bytes as a journal file, and as each payload by itself: what is read must be bounded, and what can be written again must
// come out the same.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>

#include "platform/crypto/crc32c.h"
#include "recorder/journal/frame.h"

using namespace sallyport;
using namespace sallyport::recorder;

namespace {

void read_payload(FrameType type, ByteView payload) {
  switch (type) {
    case FrameType::entries: {
      auto entries = EntriesReader::open(payload);
      if (!entries) return;
      SessionTrail trail;
      std::uint64_t total = 0;
      while (const auto entry = entries->next()) {
        total += entry->size();
        (void)trail.take(*entry);
      }
      if (total > 4 * payload.size()) std::abort();  // a short entry has 20 bytes at least, whole it has 64
      return;
    }
    case FrameType::event:
      if (const auto event = read_event(payload)) {
        Bytes again;
        put_event(again, *event);
        if (again.size() != payload.size() || std::memcmp(again.data(), payload.data(), again.size()) != 0) std::abort();
      }
      return;
    case FrameType::head:
      if (const auto head = read_head(payload)) {
        Bytes again;
        put_head(again, *head);
        if (again.size() != payload.size() || std::memcmp(again.data(), payload.data(), again.size()) != 0) std::abort();
      }
      return;
    case FrameType::state:
      if (const auto state = read_state(payload); state && state->trails.size() > payload.size()) std::abort();
      return;
    case FrameType::checkpoint: return;
  }
}

void read_file(ByteView bytes) {
  if (!read_file_header(bytes)) return;
  FrameReader reader(bytes.subspan(k_file_header_bytes));
  Frame frame;
  std::size_t before = 0;
  while (reader.next(frame) == FrameReader::Next::frame) {
    if (reader.offset() <= before) std::abort();
    before = reader.offset();
    read_payload(frame.type, frame.payload);
    (void)leaf_of(frame.type, frame.payload);
  }
  if (reader.offset() != before) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView bytes = std::as_bytes(std::span(data, size));
  read_file(bytes);
  for (const auto type : {FrameType::entries, FrameType::event, FrameType::head, FrameType::checkpoint, FrameType::state}) {
    read_payload(type, bytes);
    // The same bytes behind right headers.
    Bytes file;
    put_file_header(file, {1, 1, 0});
    const std::size_t at = begin_frame(file, type, 1);
    file.insert(file.end(), bytes.begin(), bytes.end());
    end_frame(file, at);
    read_file(file);
  }
  return 0;
}
