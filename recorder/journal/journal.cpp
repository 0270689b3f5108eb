#include "recorder/journal/journal.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "platform/crypto/note.h"
#include "platform/crypto/ulid.h"
#include "platform/model/moment.h"

namespace sallyport::recorder {
namespace {

/// What one drain takes at most before it lets others have their turn.
constexpr std::size_t k_drain_share = 1024 * 1024;

bool is_event_name(std::string_view name) {
  return !name.empty() && name.size() <= k_max_event_name && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
  });
}

}  // namespace

Journal::Journal(JournalOptions options, Clock& clock, crypto::Random& random)
    : options_(std::move(options)), clock_(clock), random_(random) {}
Journal::~Journal() = default;

SessionTrail* Journal::find_trail(std::string_view label) noexcept {
  const auto found = trails_.find(std::string(label));
  return found == trails_.end() ? nullptr : found->second.get();
}

SessionTrail& Journal::trail_of(std::string_view label) {
  auto& trail = trails_[std::string(label)];
  if (!trail) {
    trail = std::make_unique<SessionTrail>();
    trail->label = seal::label_of(label).value_or(seal::Label{});
  }
  return *trail;
}

void Journal::forget_trail(std::string_view label) { trails_.erase(std::string(label)); }

std::vector<SessionTrail*> Journal::trails() {
  std::vector<SessionTrail*> all;
  all.reserve(trails_.size());
  for (const auto& [label, trail] : trails_) all.push_back(trail.get());
  return all;
}

Journal::Drained Journal::drain(SessionTrail& trail, seal::RingConsumer& ring) {
  Drained drained;
  const std::size_t began_at = pending_.size();
  const std::uint64_t announced = ring.head_hint();
  Bytes first;  // of the next segment: the head of the one before it comes between their frames
  do {
    EntriesWriter frame(pending_, trail.label, next_frame_);
    const auto took = [&] {
      trail.ring_end = ring.position();
      ++drained.entries;
      drained.more = pending_.size() - began_at >= k_drain_share;
    };
    if (!first.empty()) {
      frame.add(first);
      first.clear();
      took();
    }
    while (!drained.more) {
      // From the ring straight into its frame; what turns out not to belong there is cut off again.
      const std::size_t at = frame.begin_entry();
      const auto next = ring.next(pending_);
      const ByteView entry = ByteView(pending_).subspan(at);
      if (next != seal::RingConsumer::Next::entry) {
        frame.take_back(at);
        if (next == seal::RingConsumer::Next::broken) drained.trouble = ring.trouble();
        // The head is stored after the entry: what it announced must stand there.
        else if (announced > ring.position()) drained.trouble = "its head runs ahead of what stands in it";
        break;
      }
      const auto header = SessionTrail::header_of(entry);
      if (header && header->sequence <= trail.last_sequence) {
        frame.take_back(at);
        trail.ring_end = ring.position();  // journalled already: draining twice changes nothing
        continue;
      }
      if (header && header->segment > trail.segment && trail.last_sequence > trail.head_entries) {
        first = copy_of(entry);
        frame.take_back(at);
        break;
      }
      if (const auto wrong = trail.take(entry)) {
        frame.take_back(at);
        drained.trouble = *wrong;
        break;
      }
      frame.end_entry(at);
      took();
    }
    if (frame.finish(trail.ring_end)) ++next_frame_;
    if (first.empty()) break;
    append_head(trail, HeadWhy::segment);
    if (const auto wrong = trail.take(first)) {
      drained.trouble = *wrong;
      break;
    }
  } while (true);
  return drained;
}

void Journal::append_leaf_frame(FrameType type, std::size_t frame_at) {
  end_frame(pending_, frame_at);
  ++next_frame_;
  log_.append_leaf(leaf_of(type, ByteView(pending_).subspan(frame_at + k_frame_header_bytes)));
}

void Journal::append_head(SessionTrail& trail, HeadWhy why) {
  const bool final = why == HeadWhy::end || why == HeadWhy::truncated;
  if (trail.is_final() || (!final && trail.last_sequence == trail.head_entries)) return;
  SessionHead head;
  head.leaf = log_.size() + 1;
  head.wall_us = clock_.wall().time_since_epoch().count();
  head.entries = trail.tree.size();
  head.root = trail.tree.root();
  head.segment = trail.segment;
  head.why = why;
  head.label = trail.label;
  const std::size_t at = begin_frame(pending_, FrameType::head, next_frame_);
  put_head(pending_, head);
  append_leaf_frame(FrameType::head, at);
  trail.head_entries = trail.last_sequence;
  trail.ended = why == HeadWhy::end;
  trail.truncated = why == HeadWhy::truncated;
}

Result<Journal::Appended> Journal::append_event(SaidBy said_by, std::string_view session, std::string_view name,
                                                std::string_view json) {
  if (!is_event_name(name)) return fail(Errc::invalid, "an audit event needs a dotted lower-case name");
  if (json.size() > k_max_event_json || json.size() < 2 || json.front() != '{' || json.back() != '}')
    return fail(Errc::invalid, "an audit event needs one JSON object of at most 1 MiB");
  if (!session.empty() && !seal::label_of(session)) return fail(Errc::invalid, "an audit event's session is no label");
  AuditEvent event;
  event.leaf = log_.size() + 1;
  const Moment now = moment_of(clock_);
  event.wall_us = now.wall.time_since_epoch().count();
  event.boot_us = now.boot.count();
  event.id = crypto::make_ulid(clock_, random_);
  event.said_by = said_by;
  event.session = session;
  event.name = name;
  event.json = json;
  const std::size_t at = begin_frame(pending_, FrameType::event, next_frame_);
  put_event(pending_, event);
  append_leaf_frame(FrameType::event, at);
  return Appended{event.leaf, std::move(event.id)};
}

void Journal::append_checkpoint(std::string_view note) {
  const std::size_t at = begin_frame(pending_, FrameType::checkpoint, next_frame_);
  const ByteView bytes = bytes_of(note);
  pending_.insert(pending_.end(), bytes.begin(), bytes.end());
  end_frame(pending_, at);
  ++next_frame_;
  newest_checkpoint_ = note;
  if (const auto parsed = crypto::parse_note(note))
    if (const auto checkpoint = crypto::parse_checkpoint(parsed->body)) checkpointed_leaves_ = checkpoint->size;
}

Result<void> Journal::write() {
  if (broken_) return fail(Errc::unavailable, "the journal failed before and must be opened anew");
  if (!pending_.empty()) {
    std::size_t done = 0;
    while (done < pending_.size()) {
      const ssize_t n = ::pwrite(file_->get(), pending_.data() + done, pending_.size() - done, static_cast<off_t>(file_bytes_ + done));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) {
        const std::string why = n == 0 ? "no progress" : std::strerror(errno);
        broken_ = true;
        // What was written of it must not be taken for whole frames later.
        if (::ftruncate(file_->get(), static_cast<off_t>(file_bytes_)) != 0) return fail(Errc::unavailable, "writing and cutting the journal: " + why);
        return fail(Errc::unavailable, "writing the journal: " + why);
      }
      done += static_cast<std::size_t>(n);
    }
    file_bytes_ += pending_.size();
    pending_.clear();
    if (std::find(unsynced_.begin(), unsynced_.end(), file_) == unsynced_.end()) unsynced_.push_back(file_);
  }
  if (file_bytes_ >= options_.roll_bytes) {
    if (auto begun = begin_file(file_number_ + 1); !begun) {
      broken_ = true;
      return begun;
    }
  }
  return {};
}

std::vector<std::shared_ptr<const Fd>> Journal::take_unsynced() { return std::exchange(unsynced_, {}); }

std::string Journal::path_of(std::uint64_t number) const { return options_.directory + "/" + journal_file_name(number); }

Result<void> Journal::begin_file(std::uint64_t number) {
  const std::string path = path_of(number);
  auto file = std::make_shared<const Fd>(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!*file) return fail(Errc::unavailable, path + ": " + std::strerror(errno));
  Bytes bytes;
  put_file_header(bytes, {number, next_frame_, clock_.wall().time_since_epoch().count()});
  std::vector<const SessionTrail*> all;
  for (const auto& [label, trail] : trails_)
    if (trail->last_sequence > 0) all.push_back(trail.get());
  const std::size_t at = begin_frame(bytes, FrameType::state, next_frame_);
  put_state(bytes, log_, all);
  end_frame(bytes, at);
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = ::pwrite(file->get(), bytes.data() + done, bytes.size() - done, static_cast<off_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      const std::string why = std::strerror(errno);
      ::unlink(path.c_str());
      return fail(Errc::unavailable, path + ": " + why);
    }
    done += static_cast<std::size_t>(n);
  }
  ++next_frame_;
  file_ = std::move(file);
  file_number_ = number;
  file_bytes_ = bytes.size();
  unsynced_.push_back(file_);
  unsynced_.push_back(folder_);
  return {};
}

}  // namespace sallyport::recorder
