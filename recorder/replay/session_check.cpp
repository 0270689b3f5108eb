#include "recorder/replay/session_check.h"

#include <algorithm>
#include <string>

namespace sallyport::replay {
namespace {

using seal::EntryKind;

constexpr std::size_t k_max_clock_moves = 100;
constexpr std::size_t k_max_typed_bytes = 64 * 1024 * 1024;  ///< of unsettled lines that wait for their key

int stream_of(EntryKind kind) { return static_cast<int>(kind) - static_cast<int>(EntryKind::data_in); }
bool is_data(EntryKind kind) { return kind >= EntryKind::data_in && kind <= EntryKind::data_err; }
bool is_sealed(const seal::EntryHeader& header) { return (header.flags & seal::k_flag_sealed) != 0; }

std::string range_text(std::uint64_t first, std::uint64_t last) {
  return first == last ? "entry " + std::to_string(first) : "entries " + std::to_string(first) + " to " + std::to_string(last);
}

/// Of the kinds that the format seals, or leaves plain, the flags must say so.
bool flags_fit(const seal::EntryHeader& header) {
  const auto kind = static_cast<unsigned>(header.kind);
  if (kind < 1 || kind > static_cast<unsigned>(EntryKind::end)) return true;
  const bool plain = header.kind == EntryKind::header || header.kind == EntryKind::event || header.kind == EntryKind::exit ||
                     header.kind == EntryKind::end;
  const bool compressed = (header.flags & seal::k_flag_compressed) != 0;
  return plain != is_sealed(header) && (!compressed || header.kind == EntryKind::data_out || header.kind == EntryKind::data_err);
}

}  // namespace

void SessionCheck::find(std::string kind, std::uint64_t first, std::uint64_t last, std::int64_t since_us, std::string text) {
  ++findings_;
  Finding finding;
  finding.kind = std::move(kind);
  finding.session = seal::text_of(label_);
  finding.first_entry = first;
  finding.last_entry = last;
  finding.since_us = since_us;
  finding.text = std::move(text);
  report_(std::move(finding));
}

/// Whether the entry's number is the next one. If not, says what is missing and whether the entry is to be used.
bool SessionCheck::follows(const StoredEntry& entry) {
  const std::uint64_t sequence = entry.header.sequence;
  if (sequence == last_sequence_ + 1) return true;
  broken_ = true;
  if (sequence <= last_sequence_) {
    find("entries-reordered", sequence, sequence, last_wall_us_, "entry " + std::to_string(sequence) + " stands behind entry " + std::to_string(last_sequence_));
    return false;
  }
  find("entries-missing", last_sequence_ + 1, sequence - 1, last_wall_us_, range_text(last_sequence_ + 1, sequence - 1) + " missing");
  previous_known_ = false;
  return true;
}

void SessionCheck::take(const StoredEntry& entry, const crypto::Hash256& leaf) {
  const auto& header = entry.header;
  if (final_head_) {
    find("entries-after-end", header.sequence, header.sequence, last_wall_us_, "an entry stands behind the session's last head");
    broken_ = true;
  }
  if (!follows(entry)) return;
  const bool is_first = header.sequence == 1;
  if (is_first != (header.kind == EntryKind::header) || has_end_ || !flags_fit(header) || header.segment < segment_ ||
      (previous_known_ && header.segment > segment_ + 1))
    find("entry-malformed", header.sequence, header.sequence, header.wall_us, "an entry of kind " + name_of(header.kind) + " cannot stand here");
  if (previous_known_) check_content(entry);
  clock_.take(header.sequence, header.wall_us, header.boot_us);
  if (tree_.size() == tree_.confirmed()) uncovered_since_us_ = header.wall_us;
  tree_.append(leaf);
  last_sequence_ = header.sequence;
  previous_ = entry.tag();
  previous_known_ = true;
  segment_ = header.segment;
  last_wall_us_ = header.wall_us;
  has_end_ = has_end_ || header.kind == EntryKind::end;
}

void SessionCheck::judge_clock(const ClockWatch& watch, std::vector<std::string>& notices) {
  std::size_t told = 0;
  for (const auto& move : watch.judge(clock_)) {
    if (++told > k_max_clock_moves) return;
    const std::string before = std::to_string(move.by_us / 1000) + " ms before entry " + std::to_string(move.at);
    if (move.explained) notices.push_back("session " + std::string(seal::text_of(label_)) + ": the wall clock was moved by " + before + ", as the log says");
    else if (move.from_the_log) find("clock-moved", move.at, move.until, move.since_us, "its wall clock is " + std::to_string(move.by_us / 1000) + " ms from the log's");
    else find("clock-moved", move.at, move.until, move.since_us, "the wall clock was moved by " + before + ", and the log does not say so");
  }
}

void SessionCheck::check_content(const StoredEntry& entry) {
  const auto& header = entry.header;
  if (!is_sealed(header)) {
    if (!plain_tag_is_right(label_, entry, previous_)) {
      find("entry-changed", header.sequence, header.sequence, header.wall_us, "the tag of entry " + std::to_string(header.sequence) + " is wrong");
    } else if (header.kind == EntryKind::header) {
      start_opening(entry);
    }
    return;
  }
  if (!opener_) return;
  if (header.kind == EntryKind::held) {
    std::uint64_t& next = offsets_[{header.channel, static_cast<int>(seal::stream_of_held(header.extra))}];
    if (!broken_ && seal::offset_of_held(header.extra) != next)
      find("stream-gap", header.sequence, header.sequence, header.wall_us,
           "channel " + std::to_string(header.channel) + " goes on at byte " + std::to_string(seal::offset_of_held(header.extra)) + " instead of " + std::to_string(next));
    next = seal::offset_of_held(header.extra) + header.size;
  }
  if (header.kind == EntryKind::typed || header.kind == EntryKind::held) {
    if (typed_bytes_ + entry.whole.size() > k_max_typed_bytes) return;
    typed_bytes_ += entry.whole.size();
    typed_[{header.channel, header.extra}].push_back({copy_of(entry.whole), previous_});
    return;
  }
  const auto opened = opener_->open(entry, previous_, nullptr);
  if (opened) {
    check_opened(entry, opened->body);
  } else {
    find("seal-broken", header.sequence, header.sequence, header.wall_us, "entry " + std::to_string(header.sequence) + ": " + opened.error().detail);
  }
}

void SessionCheck::start_opening(const StoredEntry& entry) {
  if (!*unwrap_) return;
  const auto body = parse_header_body(entry.body());
  const auto key = body ? (*unwrap_)(SessionId(std::string(seal::text_of(label_))), body->wrapped_key) : std::nullopt;
  if (!key) return;
  if (auto opener = SessionOpener::make(label_, *key)) {
    opener_.emplace(std::move(*opener));
    seals_checked_ = true;
  }
}

/// What only the plaintext shows: gapless streams, settled lines.
void SessionCheck::check_opened(const StoredEntry& entry, ByteView body) {
  const auto& header = entry.header;
  int stream = -1;
  std::uint64_t length = body.size();
  if (is_data(header.kind)) {
    stream = stream_of(header.kind);
  } else if (header.kind == EntryKind::bulk_marker) {
    const auto marker = parse_bulk_marker(body);
    if (marker) {
      stream = marker->stream;
      length = marker->length;
    } else {
      find("entry-malformed", header.sequence, header.sequence, header.wall_us, "a bulk marker of a wrong form");
    }
  } else if (header.kind == EntryKind::line_key || header.kind == EntryKind::line_dropped) {
    settle_line(entry, body);
  }
  if (stream < 0) return;
  std::uint64_t& next = offsets_[{header.channel, stream}];
  if (!broken_ && header.extra != next)
    find("stream-gap", header.sequence, header.sequence, header.wall_us,
         "channel " + std::to_string(header.channel) + " goes on at byte " + std::to_string(header.extra) + " instead of " + std::to_string(next));
  next = header.extra + length;
}

void SessionCheck::settle_line(const StoredEntry& entry, ByteView body) {
  const auto waiting = typed_.find({entry.header.channel, entry.header.extra});
  if (waiting == typed_.end()) return;
  LineKeys keys;  // `body` lies in the opener's memory and goes with the next entry it opens
  if (body.size() == crypto::k_aead_key_size) keys.add(entry.header.channel, entry.header.extra, entry.header.sequence, Secret(body));
  for (const TypedEntry& typed : waiting->second) {
    typed_bytes_ -= typed.whole.size();
    if (entry.header.kind != EntryKind::line_key) continue;
    StoredEntry stored;
    stored.whole = typed.whole;
    stored.header = *seal::read_entry_header(stored.header_bytes());
    if (!opener_->open(stored, typed.previous, &keys))
      find("seal-broken", stored.header.sequence, stored.header.sequence, stored.header.wall_us,
           "entry " + std::to_string(stored.header.sequence) + ": the seal of a typed line is broken");
  }
  typed_.erase(waiting);
}

void SessionCheck::take(const SessionHead& head) {
  const bool is_final = head.why == SessionHead::Why::end || head.why == SessionHead::Why::truncated;
  if (final_head_) find("head-after-end", 0, 0, head.wall_us, "a head stands behind the session's last one");
  if (is_final) final_head_ = head.why;
  if (broken_) return;
  const std::uint64_t confirmed = tree_.confirmed();
  const std::int64_t since = uncovered_since_us_ != 0 ? uncovered_since_us_ : last_wall_us_;
  if (head.entries > tree_.size()) {
    const std::uint64_t first = tree_.size() + 1;
    const bool nothing_there = tree_.size() == 0;
    find(nothing_there ? "session-missing" : "entries-missing", first, head.entries, nothing_there ? head.wall_us : last_wall_us_,
         nothing_there ? "the log knows " + std::to_string(head.entries) + " entries of this session, none is there"
                       : range_text(first, head.entries) + " missing");
    broken_ = true;
    return;
  }
  if (head.entries < confirmed) {
    find("head-reordered", head.entries, confirmed, since, "a head over " + std::to_string(head.entries) + " entries follows one over " + std::to_string(confirmed));
    return;
  }
  if (tree_.root_at(head.entries) != head.root) {
    const std::uint64_t first = std::min(confirmed + 1, head.entries);
    find("entries-changed", first, head.entries, since, range_text(first, head.entries) + " are not those that were recorded");
    broken_ = true;
    return;
  }
  if (is_final && head.entries != tree_.size()) {
    find("entries-after-end", head.entries + 1, tree_.size(), last_wall_us_, "the session's last head does not cover its last entries");
    broken_ = true;
  }
  if (head.why == SessionHead::Why::end && !has_end_)
    find("head-mismatch", head.entries, head.entries, head.wall_us, "the log says that the session ended, its last entry does not");
  tree_.confirm(head.entries);
  if (tree_.size() > tree_.confirmed()) uncovered_since_us_ = last_wall_us_;
  heads_.emplace_back(head.leaf, head.entries);
}

SessionVerdict SessionCheck::finish(std::uint64_t signed_leaves, bool is_live, bool can_tell_live) {
  SessionVerdict verdict;
  verdict.session = SessionId(std::string(seal::text_of(label_)));
  verdict.entries = last_sequence_;
  verdict.covered = heads_.empty() ? 0 : heads_.back().second;
  for (const auto& [leaf, entries] : heads_)
    if (leaf <= signed_leaves) verdict.signed_entries = std::max(verdict.signed_entries, entries);
  if (final_head_ == SessionHead::Why::end) verdict.state = "complete";
  else if (final_head_ == SessionHead::Why::truncated) verdict.state = "truncated";
  else if (!can_tell_live) verdict.state = "open";
  else verdict.state = is_live ? "live" : has_end_ ? "open" : "truncated";
  verdict.seals_checked = seals_checked_;
  verdict.findings = findings_;
  return verdict;
}

}  // namespace sallyport::replay
