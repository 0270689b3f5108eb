#include "recorder/replay/far_journal.h"

#include <algorithm>
#include <chrono>
#include <fstream>

#include "recorder/replay/journal_files.h"

namespace sallyport::replay {
namespace {

constexpr std::uint64_t k_read_ahead = 256 * 1024;
constexpr std::uint64_t k_most_kept = 16ULL << 20;
constexpr std::uint64_t k_whole_below = 384 * 1024;  ///< a parcel of at most this size comes in one piece
constexpr std::uint64_t k_parcel_head = 48 + 16;     ///< of a parcel with one piece (docs/format/store.md)
constexpr std::int64_t k_ask_again_us = 1'000'000;

std::int64_t steady_us() {
  return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// NODE/journal/00000012/
std::string prefix_of(const std::string& node, std::uint64_t file) {
  std::string name = journal_file_name(file);
  return node + "/journal/" + name.substr(0, name.find('.')) + "/";
}

}  // namespace

StoreJournal::StoreJournal(Open open, std::string node, std::filesystem::path notes)
    : open_(std::move(open)), node_(std::move(node)), notes_(std::move(notes)) {}

Result<recorder::ObjectStore*> StoreJournal::store() {
  if (store_) return store_.get();
  auto opened = open_();
  if (!opened) return tl::unexpected(opened.error());
  store_ = std::move(*opened);
  return store_.get();
}

std::filesystem::path StoreJournal::note_of(std::uint64_t file) const { return notes_ / (journal_file_name(file) + ".parcels"); }

Result<StoreJournal::Spans> StoreJournal::list_spans(std::uint64_t file) {
  const auto store = this->store();
  if (!store) return tl::unexpected(store.error());
  ++counts_.requests;
  const auto keys = (*store)->list(prefix_of(node_, file));
  if (!keys) return tl::unexpected(keys.error());
  Spans spans;
  for (const std::string& key : *keys) {
    const auto parsed = recorder::parse_parcel_key(key);
    if (!parsed || parsed->node != node_ || parsed->span.file != file) continue;
    Span& span = spans.try_emplace(parsed->span.from, Span{parsed->span, parsed->lanes, {}}).first->second;
    if (span.span == parsed->span) span.keys.emplace(parsed->lane, key);
  }
  return spans;
}

/// The parcels of a file. Listed again when they do not reach `reach` and the list was not made just now.
Result<const StoreJournal::Spans*> StoreJournal::spans_of(std::uint64_t file, std::uint64_t reach) {
  const auto end_of = [](const Spans& spans) { return spans.empty() ? 0 : spans.rbegin()->second.span.to; };
  const auto known = spans_.find(file);
  if (known != spans_.end() && end_of(known->second) > reach) return &known->second;
  if (known == spans_.end() && !notes_.empty()) {
    Spans spans;
    std::ifstream in(note_of(file));
    for (std::string key; std::getline(in, key);) {
      const auto parsed = recorder::parse_parcel_key(key);
      if (!parsed || parsed->node != node_ || parsed->span.file != file) continue;
      spans.try_emplace(parsed->span.from, Span{parsed->span, parsed->lanes, {}}).first->second.keys.emplace(parsed->lane, key);
    }
    if (end_of(spans) > reach) return &spans_.insert_or_assign(file, std::move(spans)).first->second;
  }
  auto listed = list_spans(file);
  if (!listed) return tl::unexpected(listed.error());
  if (!notes_.empty() && !listed->empty()) {
    std::error_code ignored;
    std::filesystem::create_directories(notes_, ignored);
    std::filesystem::permissions(notes_, std::filesystem::perms::owner_all, ignored);
    const std::string draft = note_of(file).string() + ".new";
    std::ofstream out(draft, std::ios::trunc);
    for (const auto& [from, span] : *listed)
      for (const auto& [lane, key] : span.keys) out << key << '\n';
    out.close();
    if (out) std::filesystem::rename(draft, note_of(file), ignored);
  }
  return &spans_.insert_or_assign(file, std::move(*listed)).first->second;
}

Result<std::uint64_t> StoreJournal::file_after(std::uint64_t number) {
  if (none_after_ && none_after_->first == number && steady_us() - none_after_->second < k_ask_again_us) return std::uint64_t{0};
  const auto next = spans_of(number + 1, 0);
  if (!next) return tl::unexpected(next.error());
  if (!(*next)->empty()) return number + 1;
  spans_.erase(number + 1);
  none_after_ = {number, steady_us()};
  return std::uint64_t{0};
}

Result<std::vector<StoreHole>> StoreJournal::holes(std::uint64_t file) {
  auto listed = list_spans(file);
  if (!listed) return tl::unexpected(listed.error());
  std::vector<StoreHole> holes;
  for (const auto& [from, span] : *listed)
    if (span.keys.size() < span.lanes && span.keys.contains(1)) holes.push_back({file, span.span.from, span.span.to});
  spans_.insert_or_assign(file, std::move(*listed));
  return holes;
}

/// All lanes of a span, put together; what is not there any more is zeros.
Result<Bytes> StoreJournal::whole_span(const Span& span) {
  const auto store = this->store();
  if (!store) return tl::unexpected(store.error());
  Bytes whole(static_cast<std::size_t>(span.span.to - span.span.from));
  for (const auto& [lane, key] : span.keys) {
    ++counts_.requests;
    const auto body = (*store)->get(key);
    if (!body && body.error().code == Errc::not_found && lane != 1) continue;  // its time to be kept is over
    if (!body) return tl::unexpected(body.error());
    counts_.bytes += body->size();
    const auto parcel = recorder::unpack_parcel(*body);
    if (!parcel) return fail(Errc::corrupt, key + ": " + parcel.error().detail);
    if (parcel->span != span.span) return fail(Errc::corrupt, key + " is not what its name says");
    for (const auto& piece : parcel->pieces)
      std::copy(piece.bytes.begin(), piece.bytes.end(), whole.begin() + static_cast<std::ptrdiff_t>(piece.offset - span.span.from));
  }
  return whole;
}

/// Bytes of the span around `offset`; `begin` is where in the file they begin. Valid until the next call.
Result<const Bytes*> StoreJournal::chunk(const Span& span, std::uint64_t offset, std::uint64_t length, std::uint64_t& begin) {
  for (auto at = chunks_.begin(); at != chunks_.end(); ++at) {
    if (at->file != span.span.file || at->begin > offset || offset >= at->begin + at->bytes.size()) continue;
    chunks_.splice(chunks_.begin(), chunks_, at);
    begin = chunks_.front().begin;
    return &chunks_.front().bytes;
  }
  Chunk made{span.span.file, span.span.from, {}};
  const std::uint64_t size = span.span.to - span.span.from;
  const bool in_parts = span.lanes == 1 && size > k_whole_below && span.keys.contains(1);
  if (in_parts) {
    // The only piece is the span itself: its bytes stand behind a head of known size.
    const auto store = this->store();
    if (!store) return tl::unexpected(store.error());
    made.begin = offset;
    const std::uint64_t wanted = std::min(std::max(length, k_read_ahead), span.span.to - offset);
    ++counts_.requests;
    auto bytes = (*store)->get_range(span.keys.at(1), k_parcel_head + (offset - span.span.from), wanted);
    if (!bytes) return tl::unexpected(bytes.error());
    if (bytes->size() != wanted) return fail(Errc::corrupt, span.keys.at(1) + " is shorter than its name says");
    counts_.bytes += bytes->size();
    made.bytes = std::move(*bytes);
  } else {
    auto whole = whole_span(span);
    if (!whole) return tl::unexpected(whole.error());
    made.bytes = std::move(*whole);
  }
  chunk_bytes_ += made.bytes.size();
  chunks_.push_front(std::move(made));
  while (chunk_bytes_ > k_most_kept && chunks_.size() > 1) {
    chunk_bytes_ -= chunks_.back().bytes.size();
    chunks_.pop_back();
  }
  begin = chunks_.front().begin;
  return &chunks_.front().bytes;
}

Result<Bytes> StoreJournal::read(std::uint64_t file, std::uint64_t offset, std::uint64_t length) {
  Bytes out;
  bool relisted = false;
  while (length > 0) {
    const auto spans = spans_of(file, offset);
    if (!spans) return tl::unexpected(spans.error());
    if ((*spans)->empty()) return fail(Errc::not_found, journal_file_name(file) + " is neither here nor in the store");
    auto at = (*spans)->upper_bound(offset);
    if (at == (*spans)->begin()) return fail(Errc::not_found, journal_file_name(file) + ": its beginning is not in the store");
    const Span& span = (--at)->second;
    if (offset >= span.span.to) break;  // it ends here for now, or what follows is missing
    std::uint64_t begin = 0;
    const auto got = chunk(span, offset, length, begin);
    if (!got && got.error().code == Errc::not_found && !relisted) {  // what was noted is not right any more
      relisted = true;
      std::error_code ignored;
      if (!notes_.empty()) std::filesystem::remove(note_of(file), ignored);
      spans_.erase(file);
      continue;
    }
    if (!got) return tl::unexpected(got.error());
    const std::uint64_t skip = offset - begin;
    const std::uint64_t some = std::min<std::uint64_t>(length, (*got)->size() - skip);
    out.insert(out.end(), (*got)->begin() + static_cast<std::ptrdiff_t>(skip), (*got)->begin() + static_cast<std::ptrdiff_t>(skip + some));
    offset += some;
    length -= some;
  }
  return out;
}

}  // namespace sallyport::replay
