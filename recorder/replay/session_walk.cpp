#include "recorder/replay/session_walk.h"

#include <chrono>
#include <thread>

#include "recorder/replay/journal_files.h"

namespace sallyport::replay {
namespace {

using seal::EntryKind;

constexpr auto k_look_again = std::chrono::milliseconds(50);

/// Whether the frame is the last head of that session.
bool is_final_head(const Frame& frame, const seal::Label& label) {
  if (static_cast<FrameType>(frame.header.type) != FrameType::session_head) return false;
  const auto head = parse_session_head(frame.payload);
  return head && head->label == label && (head->why == SessionHead::Why::end || head->why == SessionHead::Why::truncated);
}

/// Gives the session's entries in order, each once, with the tag of the one before.
class EntryStream {
 public:
  EntryStream(JournalFiles files, const seal::Label& label) : files_(std::move(files)), label_(label) {}

  /// False: the visitor wants no more, or the session is over.
  template <class Visit>
  bool read(const Visit& visit) {
    while (const auto frame = files_.next()) {
      if (static_cast<FrameType>(frame->header.type) == FrameType::entries) {
        auto entries = EntriesFrame::parse(frame->payload);
        if (!entries || entries->label() != label_) continue;
        while (const auto entry = entries->next()) {
          if (entry->header.sequence <= last_) continue;
          if (entry->header.sequence != last_ + 1) previous_.reset();
          if (!visit(*entry, previous_)) return false;
          previous_ = entry->tag();
          last_ = entry->header.sequence;
          if (entry->header.kind == EntryKind::end) return false;
        }
      } else if (is_final_head(*frame, label_)) {
        return false;
      }
    }
    return true;
  }
  [[nodiscard]] bool found_any() const noexcept { return last_ != 0; }

 private:
  JournalFiles files_;
  seal::Label label_;
  std::uint64_t last_ = 0;
  std::optional<crypto::Tag> previous_ = crypto::Tag{};
};

}  // namespace

namespace {

constexpr std::size_t k_most_held = 4096;  ///< pieces that wait at once; what a sound recording never needs

EntryKind kind_of_stream(unsigned stream) { return stream == 0 ? EntryKind::data_in : stream == 1 ? EntryKind::data_out : EntryKind::data_err; }

}  // namespace

void HeldPieces::take(const StoredEntry& stored, const std::optional<crypto::Tag>& previous, WalkedEntry& walked) {
  seal::EntryHeader& header = walked.header;
  const bool of_held = (header.extra & seal::k_held_bit) != 0;
  const std::pair place{header.channel, header.extra};
  if (header.kind == EntryKind::held) {
    if (walked.state == WalkedEntry::State::damaged || walked.state == WalkedEntry::State::locked || !previous || pieces_.size() >= k_most_held) return;
    pieces_.insert_or_assign(place, Piece{copy_of(stored.whole), *previous});
    return;
  }
  if (!of_held || walked.state != WalkedEntry::State::open) return;
  if (header.kind == EntryKind::line_dropped) {
    pieces_.erase(place);
  } else if (header.kind == EntryKind::line_key && walked.body.size() == crypto::k_aead_key_size) {
    const auto known = pieces_.find(place);
    if (known == pieces_.end()) return;
    StoredEntry held;
    held.whole = known->second.whole;
    held.header = *seal::read_entry_header(held.header_bytes());
    crypto::Aes256Gcm cipher(walked.body);
    plain_.resize(held.body().size());
    const bool right = cipher.open(crypto::nonce_of(held.header.sequence), seal::additional_data(label_, held.header_bytes(), known->second.previous), held.body(),
                                   held.tag(), plain_.data());
    pieces_.erase(known);
    header.kind = kind_of_stream(seal::stream_of_held(header.extra));
    header.extra = seal::offset_of_held(header.extra);
    walked.body = plain_;
    if (right) return;
    walked.state = WalkedEntry::State::damaged;
    walked.trouble = "the seal of a held piece is broken";
  } else if (header.kind == EntryKind::masked) {
    const auto masked = parse_masked(header, walked.body);
    if (!masked || masked->instead.empty()) return;
    header.kind = kind_of_stream(masked->stream);
    header.extra = masked->offset;
    walked.body = masked->instead;
  }
}

void keep_line(LineKeys& lines, const seal::EntryHeader& header, ByteView body) {
  if ((header.extra & seal::k_held_bit) != 0) return;  // HeldPieces settles these in order
  if (header.kind == EntryKind::line_key && body.size() == crypto::k_aead_key_size)
    lines.add(header.channel, header.extra, header.sequence, Secret(body));
  else if (header.kind == EntryKind::line_dropped && body.size() == 8)
    lines.add_dropped(header.channel, header.extra, header.sequence, seal::get_number<std::uint64_t>(body.data()));
}

WalkedEntry open_entry(const StoredEntry& entry, const std::optional<crypto::Tag>& previous, SessionOpener* opener, const LineKeys& lines) {
  WalkedEntry walked;
  walked.header = entry.header;
  const bool is_sealed = (entry.header.flags & seal::k_flag_sealed) != 0;
  if (is_sealed && opener == nullptr) {
    walked.state = WalkedEntry::State::locked;
    return walked;
  }
  if (!is_sealed) walked.body = entry.body();
  if (!previous) {
    walked.state = WalkedEntry::State::damaged;
    walked.trouble = "the entries before it are missing";
    return walked;
  }
  if (entry.header.kind == EntryKind::held) {
    walked.state = WalkedEntry::State::unsettled;
    return walked;
  }
  if (entry.header.kind == EntryKind::typed) {
    const auto fate = lines.after(entry.header.channel, entry.header.extra, entry.header.sequence);
    if (!fate || fate->key == nullptr) {
      walked.state = fate ? WalkedEntry::State::not_echoed : WalkedEntry::State::unsettled;
      walked.dropped_bytes = fate ? fate->dropped_bytes : 0;
      return walked;
    }
  }
  auto opened = opener == nullptr ? Result<SessionOpener::Opened>(SessionOpener::Opened{entry.body()}) : opener->open(entry, *previous, &lines);
  if (opened) {
    walked.body = opened->body;
  } else {
    walked.state = WalkedEntry::State::damaged;
    walked.trouble = opened.error().detail;
  }
  return walked;
}

Result<void> read_stored(const JournalPlace& journal, const SessionId& session, bool follow, const std::function<bool()>& stop,
                         const VisitStored& visit) {
  const auto label = seal::label_of(session.view());
  if (!label) return fail(Errc::invalid, "not the name of a session: " + session.str());
  auto files = JournalFiles::open(journal);
  if (!files) return tl::unexpected(files.error());
  files->set_checks({.crc = false, .at_rest = false});
  EntryStream stream(std::move(*files), *label);
  while (stream.read(visit) && follow && stream.found_any()) {
    if (stop && stop()) break;
    std::this_thread::sleep_for(k_look_again);
  }
  if (!stream.found_any()) return fail(Errc::not_found, "no session " + session.str() + " in the journal");
  return {};
}

Result<void> walk_session(const WalkOptions& options, const std::function<bool(const WalkedEntry&)>& visit) {
  if (options.source) return options.source(visit);
  const auto label = seal::label_of(options.session.view());
  if (!label) return fail(Errc::invalid, "not the name of a session: " + options.session.str());
  LineKeys lines;
  if (options.key && options.typed) {
    auto files = JournalFiles::open(options.journal);
    auto opener = SessionOpener::make(*label, *options.key);
    if (!files) return tl::unexpected(files.error());
    if (!opener) return tl::unexpected(opener.error());
    files->set_checks({.crc = false, .at_rest = false});
    EntryStream(std::move(*files), *label).read([&](const StoredEntry& entry, const std::optional<crypto::Tag>& previous) {
      const auto kind = entry.header.kind;
      if (!previous || (kind != EntryKind::line_key && kind != EntryKind::line_dropped)) return true;
      if (const auto opened = opener->open(entry, *previous, nullptr)) keep_line(lines, entry.header, opened->body);
      return true;
    });
  }

  auto files = JournalFiles::open(options.journal);
  if (!files) return tl::unexpected(files.error());
  files->set_checks({.crc = false, .at_rest = false});
  std::optional<SessionOpener> opener;
  if (options.key) {
    auto made = SessionOpener::make(*label, *options.key);
    if (!made) return tl::unexpected(made.error());
    opener.emplace(std::move(*made));
  }
  EntryStream stream(std::move(*files), *label);
  HeldPieces held(*label);
  const auto give = [&](const StoredEntry& entry, const std::optional<crypto::Tag>& previous) {
    WalkedEntry walked = open_entry(entry, previous, opener ? &*opener : nullptr, lines);
    held.take(entry, previous, walked);
    return visit(walked);
  };
  while (stream.read(give) && options.follow && stream.found_any()) {
    if (options.stop && options.stop()) break;
    std::this_thread::sleep_for(k_look_again);
  }
  if (!stream.found_any()) return fail(Errc::not_found, "no session " + options.session.str() + " in the journal");
  return {};
}

}  // namespace sallyport::replay
