#include "app/verbs/feeding.h"

#include <algorithm>

#include "recorder/replay/session_walk.h"

namespace sallyport::app {
namespace {

constexpr int k_follow_ms = 20;

}  // namespace

Result<void> feed(const RecordingPlace& place, RecordingView& view, ViewingProcess& process, std::uint64_t from, bool settles) {
  std::uint64_t count = 0;
  return view.read(place, from, [&](const replay::StoredEntry& entry, const std::optional<crypto::Tag>& previous) {
    const auto kind = entry.header.kind;
    if (settles && kind != seal::EntryKind::line_key && kind != seal::EntryKind::line_dropped) return true;
    if (!process.send_entry(entry, previous, settles)) return false;
    return ++count % 16 != 0 || process.pump(0);
  });
}

Result<void> feed_live(const RecordingPlace& place, RecordingView& view, ViewingProcess& process, std::uint64_t from) {
  // Others catch this index up as well. The place is taken before the entries are read, so whatever it has passed is among them.
  auto files = view.index.files_from_here();
  if (!files) return tl::unexpected(files.error());
  // So is what the index says of its end: an end behind the place is met below.
  const auto now = view.index.find_session(view.session.session.view(), liveness(place));
  if (!now) return tl::unexpected(now.error());
  const bool is_over = now->state == "complete" || now->state == "truncated";
  const auto label = seal::label_of(view.session.session.view());
  from = std::max<std::uint64_t>(from, 1);
  std::uint64_t known = 0;
  std::optional<crypto::Tag> previous;
  previous.emplace();  // what stands before the first entry
  bool wanted = true, ended = false;
  // The entry before `from` is read for its tag.
  auto fed = view.read(place, from > 1 ? from - 1 : from, [&](const replay::StoredEntry& entry, const std::optional<crypto::Tag>& before) {
    if (entry.header.sequence >= from) wanted = process.send_entry(entry, before);
    previous = entry.tag();
    known = entry.header.sequence;
    ended = entry.header.kind == seal::EntryKind::end;
    if (wanted && known % 16 == 0) wanted = process.pump(0);
    return wanted;
  });
  if (!fed) return fed;
  if (!wanted || ended || is_over) return {};
  files->set_checks({.crc = true, .at_rest = false});
  for (;;) {
    while (const auto frame = files->next()) {
      if (static_cast<replay::FrameType>(frame->header.type) == replay::FrameType::session_head) {
        const auto head = replay::parse_session_head(frame->payload);
        if (head && label && head->label == *label && (head->why == replay::SessionHead::Why::end || head->why == replay::SessionHead::Why::truncated)) return {};
        continue;
      }
      if (static_cast<replay::FrameType>(frame->header.type) != replay::FrameType::entries) continue;
      auto entries = replay::EntriesFrame::parse(frame->payload);
      if (!entries || entries->label() != label) continue;
      while (const auto entry = entries->next()) {
        if (entry->header.sequence <= known) continue;
        if (entry->header.sequence != known + 1) previous.reset();
        if (!process.send_entry(*entry, previous)) return {};
        previous = entry->tag();
        known = entry->header.sequence;
        if (entry->header.kind == seal::EntryKind::end) return {};
      }
    }
    if (!process.pump(k_follow_ms)) return {};
  }
}

}  // namespace sallyport::app
