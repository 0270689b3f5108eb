// How the seek index takes in what was appended to the journal: one transaction for each batch.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "recorder/replay/seek_index_state.h"

namespace sallyport::replay {
namespace {

constexpr std::uint64_t k_batch_bytes = 64ULL << 20;  ///< of the journal in one transaction

}  // namespace

Bytes packed(std::span<const crypto::Hash256> hashes) {
  Bytes bytes;
  bytes.reserve(hashes.size() * 32);
  for (const auto& hash : hashes) bytes.insert(bytes.end(), hash.begin(), hash.end());
  return bytes;
}

std::vector<crypto::Hash256> unpacked(ByteView bytes) {
  std::vector<crypto::Hash256> hashes(bytes.size() / 32);
  for (std::size_t i = 0; i < hashes.size(); ++i) std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(i * 32), 32, hashes[i].begin());
  return hashes;
}

Result<Growing*> SeekIndex::State::session_for(const seal::Label& label) {
  const auto known = growing.find(label);
  if (known != growing.end()) return &known->second;
  auto loaded = load(seal::text_of(label));
  if (!loaded) return tl::unexpected(loaded.error());
  Growing session = *loaded ? std::move(**loaded) : Growing();
  if (!*loaded) {
    session.growth.summary.session = SessionId(std::string(seal::text_of(label)));
    auto made = database.prepare(
        "INSERT INTO session(label, header, wrapped, began, last, entries, stored, has_end, final, end_reason, channels, whole, rest)"
        " VALUES(?, '', x'', 0, 0, 0, 0, 0, 0, '', '', 1, x'')");
    if (!made) return tl::unexpected(made.error());
    if (auto run = made->bind(seal::text_of(label)).run(); !run) return tl::unexpected(run.error());
    session.id = database.last_row_id();
  }
  return &growing.emplace(label, std::move(session)).first->second;
}

Result<void> SeekIndex::State::store_session(Growing& session) {
  const SessionSummary& summary = session.growth.summary;
  auto put = database.prepare(
      "UPDATE session SET header = ?, wrapped = ?, began = ?, last = ?, entries = ?, stored = ?, has_end = ?, final = ?, end_reason = ?,"
      " channels = ?, whole = ?, rest = ? WHERE id = ?");
  if (!put) return tl::unexpected(put.error());
  return put
      ->bind(summary.header_json, summary.wrapped_key, summary.began_us, summary.last_us, summary.entries, summary.stored_bytes, session.growth.has_end,
             session.growth.final_head ? static_cast<int>(*session.growth.final_head) : 0, summary.end_reason, channels_text(session.growth.channels),
             session.whole, packed(session.rest), session.id)
      .run();
}

Result<void> SeekIndex::State::take_entries(const Frame& frame) {
  auto entries = EntriesFrame::parse(frame.payload);
  if (!entries) return {};
  const auto found = session_for(entries->label());
  if (!found) return tl::unexpected(found.error());
  Growing& session = **found;
  Spot spot;
  while (const auto entry = entries->next()) {
    const std::uint64_t due = session.growth.summary.entries + 1;
    if (entry->header.sequence < due) continue;  // drained twice
    if (entry->header.sequence > due) session.whole = false;
    session.growth.take(*entry);
    if (spot.first == 0) {
      spot.first = entry->header.sequence;
      spot.boot_us = entry->header.boot_us;
      spot.segment = entry->header.segment;
    }
    spot.last = entry->header.sequence;
    spot.last_boot_us = entry->header.boot_us;
    if (!session.whole) continue;
    session.rest.push_back(crypto::merkle_leaf(entry->whole));
    if (session.rest.size() < k_block_leaves) continue;
    auto put = database.prepare("INSERT OR REPLACE INTO block(session, number, root) VALUES(?, ?, ?)");
    if (!put) return tl::unexpected(put.error());
    const auto root = crypto::merkle_root(session.rest);
    if (auto run = put->bind(session.id, session.blocks, std::span<const std::byte>(root)).run(); !run) return run;
    ++session.blocks;
    session.rest.clear();
  }
  if (!entries->is_sound()) session.whole = false;
  if (spot.first == 0) return {};
  auto put = database.prepare("INSERT OR REPLACE INTO spot(session, first, last, file, at, size, boot, last_boot, segment) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)");
  if (!put) return tl::unexpected(put.error());
  return put->bind(session.id, spot.first, spot.last, frame.file, frame.offset, frame.header.size, spot.boot_us, spot.last_boot_us, spot.segment).run();
}

Result<void> SeekIndex::State::take_leaf(const Frame& frame) {
  Bytes leaf(1 + frame.payload.size());
  leaf[0] = static_cast<std::byte>(frame.header.type);
  std::copy(frame.payload.begin(), frame.payload.end(), leaf.begin() + 1);
  log_rest.push_back(crypto::merkle_leaf(leaf));
  if (log_rest.size() < k_block_leaves) return {};
  auto put = database.prepare("INSERT OR REPLACE INTO log_block(number, root, leaves) VALUES(?, ?, ?)");
  if (!put) return tl::unexpected(put.error());
  const auto root = crypto::merkle_root(log_rest);
  if (auto run = put->bind(log_blocks, std::span<const std::byte>(root), packed(log_rest)).run(); !run) return run;
  ++log_blocks;
  log_rest.clear();
  return {};
}

Result<void> SeekIndex::State::take_frame(const Frame& frame) {
  switch (static_cast<FrameType>(frame.header.type)) {
    case FrameType::entries:
      return take_entries(frame);
    case FrameType::audit_event:
      return take_leaf(frame);
    case FrameType::session_head: {
      if (auto taken = take_leaf(frame); !taken) return taken;
      const auto head = parse_session_head(frame.payload);
      if (!head) return {};
      const auto found = session_for(head->label);
      if (!found) return tl::unexpected(found.error());
      if (head->why == SessionHead::Why::end || head->why == SessionHead::Why::truncated) (*found)->growth.final_head = head->why;
      auto put = database.prepare("INSERT OR REPLACE INTO head(session, leaf, entries, file, at, size) VALUES(?, ?, ?, ?, ?, ?)");
      if (!put) return tl::unexpected(put.error());
      return put->bind((*found)->id, head->leaf, head->entries, frame.file, frame.offset, frame.header.size).run();
    }
    case FrameType::checkpoint: {
      auto put = database.prepare("INSERT OR REPLACE INTO checkpoint(frame, note) VALUES(?, ?)");
      if (!put) return tl::unexpected(put.error());
      return put->bind(frame.header.number, text_of(frame.payload)).run();
    }
    case FrameType::state:
      break;
  }
  return {};
}

/// The reader behind what is known, when the journal is still the one that was read; nothing: begin at its start.
Result<std::optional<JournalFiles>> SeekIndex::State::resume() {
  auto place = database.prepare("SELECT file, at, next_frame, last_at, last_size, last_crc FROM place");
  if (!place) return tl::unexpected(place.error());
  auto found = place->step();
  if (!found) return tl::unexpected(found.error());
  if (!*found) return std::optional<JournalFiles>();
  const JournalFiles::Position position{static_cast<std::uint64_t>(place->integer(0)), static_cast<std::uint64_t>(place->integer(1)),
                                        static_cast<std::uint64_t>(place->integer(2))};
  // The frame before must still be there, else the journal was cut or exchanged.
  std::array<std::byte, k_frame_header_bytes> bytes{};
  const Fd last(::open((where.folder / journal_file_name(position.file)).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!last && where.far) {
    const auto got = where.far->read(position.file, static_cast<std::uint64_t>(place->integer(3)), bytes.size());
    if (!got || got->size() != bytes.size()) return std::optional<JournalFiles>();
    std::copy(got->begin(), got->end(), bytes.begin());
  } else if (!last || pread(last.get(), bytes.data(), bytes.size(), static_cast<off_t>(place->integer(3))) != static_cast<ssize_t>(bytes.size())) {
    return std::optional<JournalFiles>();
  }
  const auto header = parse_frame_header(bytes);
  if (!header || header->size != place->integer(4) || header->crc != place->integer(5) || header->number + 1 != position.next_frame)
    return std::optional<JournalFiles>();
  auto files = JournalFiles::resume(where, position);
  if (!files) return std::optional<JournalFiles>();
  return std::optional<JournalFiles>(std::move(*files));
}

Result<void> SeekIndex::catch_up() {
  State& state = *state_;
  auto resumed = state.resume();
  if (!resumed) return tl::unexpected(resumed.error());
  if (!*resumed) {
    auto opened = JournalFiles::open(state.where);
    if (!opened) return tl::unexpected(opened.error());
    if (auto emptied = begin_anew(); !emptied) return emptied;
    *resumed = std::move(*opened);
  }
  JournalFiles& files = **resumed;
  files.set_checks({.crc = true, .at_rest = false});
  state.file_trouble.clear();
  files.on_damage([&state](const FileDamage& damage) {
    if (damage.kind == FileDamage::Kind::file_header || damage.kind == FileDamage::Kind::file_missing || damage.kind == FileDamage::Kind::file_unreadable)
      state.file_trouble = journal_file_name(damage.file) + ": " + damage.text;
  });
  state.log_rest.clear();
  {
    auto rest = state.database.prepare("SELECT leaves, (SELECT count(*) FROM log_block) FROM log_rest");
    if (!rest) return tl::unexpected(rest.error());
    auto found = rest->step();
    if (!found) return tl::unexpected(found.error());
    state.log_rest = *found ? unpacked(rest->bytes(0)) : std::vector<crypto::Hash256>();
    state.log_blocks = *found ? static_cast<std::uint64_t>(rest->integer(1)) : 0;
  }
  for (bool more = true; more;) {
    const std::uint64_t began_at = files.bytes_read();
    std::uint64_t frames = 0;
    FrameHeader last;
    std::uint64_t last_offset = 0, last_file = 0;
    auto transaction = sql::Transaction::begin(state.database);
    if (!transaction) return tl::unexpected(transaction.error());
    while (files.bytes_read() - began_at < k_batch_bytes) {
      const auto frame = files.next();
      if (!frame) {
        more = false;
        break;
      }
      ++frames;
      last = frame->header;
      last_offset = frame->offset;
      last_file = frame->file;
      if (!frame->crc_right) {  // what it held is missing: nothing of its session can be proven
        const auto entries = static_cast<FrameType>(frame->header.type) == FrameType::entries ? EntriesFrame::parse(frame->payload) : std::nullopt;
        const auto hurt = entries ? state.session_for(entries->label()) : Result<Growing*>(fail(Errc::not_found, ""));
        if (hurt) (*hurt)->whole = false;
        continue;
      }
      if (auto taken = state.take_frame(*frame); !taken) return taken;
    }
    if (frames == 0) break;
    for (auto& [label, session] : state.growing)
      if (auto stored = state.store_session(session); !stored) return stored;
    state.growing.clear();
    {
      auto put = state.database.prepare("INSERT OR REPLACE INTO place(one, file, at, next_frame, last_at, last_size, last_crc) VALUES(1, ?, ?, ?, ?, ?, ?)");
      if (!put) return tl::unexpected(put.error());
      if (auto run = put->bind(last_file, last_offset + k_frame_header_bytes + last.size, last.number + 1, last_offset, last.size, last.crc).run(); !run)
        return run;
    }
    auto rest = state.database.prepare("INSERT OR REPLACE INTO log_rest(one, leaves) VALUES(1, ?)");
    if (!rest) return tl::unexpected(rest.error());
    if (auto run = rest->bind(packed(state.log_rest)).run(); !run) return run;
    if (auto committed = transaction->commit(); !committed) return committed;
  }
  // Said again next time: the journal is read from its beginning then.
  if (!state.file_trouble.empty()) return state.database.execute("DELETE FROM place");
  return {};
}

}  // namespace sallyport::replay
