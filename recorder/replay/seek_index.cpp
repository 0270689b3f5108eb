#include "recorder/replay/seek_index.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "platform/crypto/hex.h"
#include "platform/crypto/merkle.h"
#include "platform/os/fd.h"
#include "platform/sql/database.h"
#include "recorder/replay/session_growth.h"

namespace sallyport::replay {
namespace {

constexpr std::uint64_t k_batch_bytes = 64ULL << 20;  ///< of the journal in one transaction

constexpr std::array<std::string_view, 1> k_schema{R"(
CREATE TABLE place(one INTEGER PRIMARY KEY CHECK(one = 1), file INTEGER NOT NULL, at INTEGER NOT NULL, next_frame INTEGER NOT NULL,
  last_at INTEGER NOT NULL, last_size INTEGER NOT NULL, last_crc INTEGER NOT NULL);
CREATE TABLE session(id INTEGER PRIMARY KEY, label TEXT NOT NULL UNIQUE, header TEXT NOT NULL, wrapped BLOB NOT NULL, began INTEGER NOT NULL,
  last INTEGER NOT NULL, entries INTEGER NOT NULL, stored INTEGER NOT NULL, has_end INTEGER NOT NULL, final INTEGER NOT NULL,
  end_reason TEXT NOT NULL, channels TEXT NOT NULL, whole INTEGER NOT NULL, rest BLOB NOT NULL, reach INTEGER NOT NULL DEFAULT 0);
CREATE TABLE spot(session INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, file INTEGER NOT NULL, at INTEGER NOT NULL,
  size INTEGER NOT NULL, boot INTEGER NOT NULL, last_boot INTEGER NOT NULL, segment INTEGER NOT NULL, PRIMARY KEY(session, first)) WITHOUT ROWID;
CREATE INDEX spot_by_time ON spot(session, boot);
CREATE TABLE block(session INTEGER NOT NULL, number INTEGER NOT NULL, root BLOB NOT NULL, PRIMARY KEY(session, number)) WITHOUT ROWID;
CREATE TABLE log_block(number INTEGER PRIMARY KEY, root BLOB NOT NULL, leaves BLOB NOT NULL);
CREATE TABLE log_rest(one INTEGER PRIMARY KEY CHECK(one = 1), leaves BLOB NOT NULL);
CREATE TABLE head(session INTEGER NOT NULL, leaf INTEGER NOT NULL, entries INTEGER NOT NULL, file INTEGER NOT NULL, at INTEGER NOT NULL,
  size INTEGER NOT NULL, PRIMARY KEY(session, leaf)) WITHOUT ROWID;
CREATE TABLE checkpoint(frame INTEGER PRIMARY KEY, note TEXT NOT NULL);
CREATE TABLE key_frame(session INTEGER NOT NULL, channel INTEGER NOT NULL, sequence INTEGER NOT NULL, boot INTEGER NOT NULL,
  segment INTEGER NOT NULL, sealed BLOB NOT NULL, PRIMARY KEY(session, channel, sequence)) WITHOUT ROWID;
)"};

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

/// A session as it grows while the journal is read.
struct Growing {
  std::int64_t id = 0;
  SessionGrowth growth;
  std::vector<crypto::Hash256> rest;
  std::uint64_t blocks = 0;
  bool whole = true;
};

}  // namespace

struct SeekIndex::State {
  std::string file;
  JournalPlace where;
  sql::Database database;
  std::map<std::uint64_t, Fd> open_files;
  std::string file_trouble;

  // While catching up.
  std::map<seal::Label, Growing> growing;
  std::vector<crypto::Hash256> log_rest;
  std::uint64_t log_blocks = 0;

  Result<std::optional<Growing>> load(std::string_view label);
  Result<Growing*> session_for(const seal::Label& label);
  Result<void> store_session(Growing& session);
  Result<void> take_frame(const Frame& frame);
  Result<void> take_entries(const Frame& frame);
  Result<void> take_leaf(const Frame& frame);
  Result<std::int64_t> id_of(const SessionId& session);
  Result<std::optional<JournalFiles>> resume();
};

SeekIndex::SeekIndex(std::unique_ptr<State> state) : state_(std::move(state)) {}
SeekIndex::SeekIndex(SeekIndex&&) noexcept = default;
SeekIndex& SeekIndex::operator=(SeekIndex&&) noexcept = default;
SeekIndex::~SeekIndex() = default;

const std::string& SeekIndex::file_trouble() const noexcept { return state_->file_trouble; }
const JournalPlace& SeekIndex::journal() const noexcept { return state_->where; }

Result<SeekIndex> SeekIndex::open(const std::string& file, const JournalPlace& journal) {
  const auto attempt = [&]() -> Result<sql::Database> {
    auto database = sql::Database::open(file);
    if (!database) return tl::unexpected(database.error());
    // A cache: what power loss takes is read again.
    if (auto set = database->execute("PRAGMA synchronous=OFF"); !set) return tl::unexpected(set.error());
    if (auto migrated = sql::migrate(*database, k_schema); !migrated) return tl::unexpected(migrated.error());
    return database;
  };
  auto database = attempt();
  if (!database && file != ":memory:" && database.error().code != Errc::unavailable) {
    for (const char* tail : {"", "-wal", "-shm"}) {
      std::error_code ignored;
      std::filesystem::rename(file + tail, file + ".aside" + tail, ignored);
    }
    database = attempt();
  }
  if (!database) return tl::unexpected(database.error());
  return SeekIndex(std::unique_ptr<State>(new State{file, journal, std::move(*database), {}, {}, {}, {}, 0}));
}

Result<void> SeekIndex::begin_anew() {
  return state_->database.execute(
      "BEGIN IMMEDIATE; DELETE FROM place; DELETE FROM session; DELETE FROM spot; DELETE FROM block; DELETE FROM log_block; DELETE FROM log_rest;"
      "DELETE FROM head; DELETE FROM checkpoint; DELETE FROM key_frame; COMMIT");
}

Result<std::optional<Growing>> SeekIndex::State::load(std::string_view label) {
  auto row = database.prepare(
      "SELECT id, header, wrapped, began, last, entries, stored, has_end, final, end_reason, channels, whole, rest FROM session WHERE label = ?");
  if (!row) return tl::unexpected(row.error());
  auto found = row->bind(label).step();
  if (!found) return tl::unexpected(found.error());
  if (!*found) return std::optional<Growing>();
  Growing session;
  session.id = row->integer(0);
  SessionSummary& summary = session.growth.summary;
  summary.session = SessionId(std::string(label));
  session.growth.read_header_json(row->text(1));
  summary.wrapped_key = row->bytes(2);
  summary.began_us = row->integer(3);
  summary.last_us = row->integer(4);
  summary.entries = static_cast<std::uint64_t>(row->integer(5));
  summary.stored_bytes = static_cast<std::uint64_t>(row->integer(6));
  session.growth.has_end = row->integer(7) != 0;
  if (const auto why = row->integer(8); why == 3 || why == 4) session.growth.final_head = static_cast<SessionHead::Why>(why);
  summary.end_reason = row->text(9);
  session.growth.channels = channels_in(row->text(10));
  session.whole = row->integer(11) != 0;
  session.rest = unpacked(row->bytes(12));
  session.blocks = summary.entries / k_block_leaves;
  return std::optional<Growing>(std::move(session));
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
    case FrameType::entries: return take_entries(frame);
    case FrameType::audit_event: return take_leaf(frame);
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
    case FrameType::state: break;
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
      if (auto run = put->bind(last_file, last_offset + k_frame_header_bytes + last.size, last.number + 1, last_offset, last.size, last.crc).run(); !run) return run;
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

Result<std::vector<SessionSummary>> SeekIndex::sessions(const std::function<bool(const SessionId&)>& is_live) {
  auto labels = state_->database.prepare("SELECT label FROM session WHERE entries > 0 ORDER BY began, label");
  if (!labels) return tl::unexpected(labels.error());
  std::vector<std::string> names;
  for (;;) {
    auto row = labels->step();
    if (!row) return tl::unexpected(row.error());
    if (!*row) break;
    names.push_back(labels->text(0));
  }
  std::vector<SessionSummary> all;
  for (const std::string& name : names) {
    auto loaded = state_->load(name);
    if (!loaded) return tl::unexpected(loaded.error());
    if (*loaded) all.push_back((*loaded)->growth.finish(is_live));
  }
  return all;
}

Result<std::optional<SessionId>> SeekIndex::newest_session() {
  auto row = state_->database.prepare("SELECT label FROM session WHERE entries > 0 ORDER BY began DESC, label DESC LIMIT 1");
  if (!row) return tl::unexpected(row.error());
  auto found = row->step();
  if (!found) return tl::unexpected(found.error());
  return *found ? std::optional(SessionId(row->text(0))) : std::nullopt;
}

Result<SessionSummary> SeekIndex::find_session(std::string_view prefix, const std::function<bool(const SessionId&)>& is_live) {
  std::string wanted(prefix);
  std::transform(wanted.begin(), wanted.end(), wanted.begin(), [](unsigned char c) { return static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c); });
  auto labels = state_->database.prepare("SELECT label FROM session WHERE entries > 0 AND label >= ?1 AND label < ?1 || '~' LIMIT 1000");
  if (!labels) return tl::unexpected(labels.error());
  std::vector<std::string> names;
  labels->bind(wanted);
  for (;;) {
    auto row = labels->step();
    if (!row) return tl::unexpected(row.error());
    if (!*row) break;
    names.push_back(labels->text(0));
  }
  if (names.empty()) return fail(Errc::not_found, "no session " + std::string(prefix) + " in the journal");
  if (names.size() > 1)
    return fail(Errc::conflict, std::to_string(names.size()) + " sessions begin with " + std::string(prefix) + ": give more of its name");
  auto loaded = state_->load(names.front());
  if (!loaded) return tl::unexpected(loaded.error());
  return (*loaded)->growth.finish(is_live);
}

Result<std::int64_t> SeekIndex::State::id_of(const SessionId& session) {
  auto row = database.prepare("SELECT id FROM session WHERE label = ?");
  if (!row) return tl::unexpected(row.error());
  auto found = row->bind(session.str()).step();
  if (!found) return tl::unexpected(found.error());
  if (!*found) return fail(Errc::not_found, "no session " + session.str() + " in the index");
  return row->integer(0);
}

Result<std::vector<Spot>> SeekIndex::spots(const SessionId& session, std::uint64_t from) {
  const auto id = state_->id_of(session);
  if (!id) return tl::unexpected(id.error());
  auto rows = state_->database.prepare(
      "SELECT first, last, file, at, size, boot, last_boot, segment FROM spot WHERE session = ?1 AND first >="
      " coalesce((SELECT max(first) FROM spot WHERE session = ?1 AND first <= ?2), 0) ORDER BY first");
  if (!rows) return tl::unexpected(rows.error());
  rows->bind(*id, from);
  std::vector<Spot> spots;
  for (;;) {
    auto row = rows->step();
    if (!row) return tl::unexpected(row.error());
    if (!*row) return spots;
    const auto number = [&](int column) { return static_cast<std::uint64_t>(rows->integer(column)); };
    spots.push_back({number(0), number(1), number(2), number(3), static_cast<std::uint32_t>(number(4)), rows->integer(5), rows->integer(6),
                     static_cast<std::uint32_t>(number(7))});
  }
}

Result<std::uint64_t> SeekIndex::entry_before(const SessionId& session, std::int64_t boot_us) {
  const auto id = state_->id_of(session);
  if (!id) return tl::unexpected(id.error());
  auto row = state_->database.prepare("SELECT file, at, size FROM spot WHERE session = ? AND boot <= ? ORDER BY boot DESC, first DESC LIMIT 1");
  if (!row) return tl::unexpected(row.error());
  auto found = row->bind(*id, boot_us).step();
  if (!found) return tl::unexpected(found.error());
  if (!*found) return std::uint64_t{0};
  const auto payload = read_frame(static_cast<std::uint64_t>(row->integer(0)), static_cast<std::uint64_t>(row->integer(1)), static_cast<std::uint32_t>(row->integer(2)));
  if (!payload) return tl::unexpected(payload.error());
  std::uint64_t last = 0;
  if (auto entries = EntriesFrame::parse(*payload))
    while (const auto entry = entries->next())
      if (entry->header.boot_us <= boot_us) last = entry->header.sequence;
  return last;
}

Result<std::int64_t> SeekIndex::first_boot(const SessionId& session) {
  const auto id = state_->id_of(session);
  if (!id) return tl::unexpected(id.error());
  auto row = state_->database.prepare("SELECT boot FROM spot WHERE session = ? ORDER BY first LIMIT 1");
  if (!row) return tl::unexpected(row.error());
  auto found = row->bind(*id).step();
  if (!found) return tl::unexpected(found.error());
  if (!*found) return fail(Errc::not_found, "no entry of session " + session.str() + " is in the index");
  return row->integer(0);
}

Result<bool> SeekIndex::is_whole(const SessionId& session) {
  auto row = state_->database.prepare("SELECT whole FROM session WHERE label = ?");
  if (!row) return tl::unexpected(row.error());
  auto found = row->bind(session.str()).step();
  if (!found) return tl::unexpected(found.error());
  return *found && row->integer(0) != 0;
}

Result<SeekIndex::Tree> SeekIndex::tree(std::string_view session) {
  Tree tree;
  const bool is_log = session.empty();
  auto rest = state_->database.prepare(is_log ? "SELECT leaves, 0 FROM log_rest" : "SELECT rest, id FROM session WHERE label = ?");
  if (!rest) return tl::unexpected(rest.error());
  if (!is_log) rest->bind(session);
  auto found = rest->step();
  if (!found) return tl::unexpected(found.error());
  if (!*found) return tree;
  tree.rest = unpacked(rest->bytes(0));
  auto blocks = state_->database.prepare(is_log ? "SELECT root FROM log_block ORDER BY number" : "SELECT root FROM block WHERE session = ? ORDER BY number");
  if (!blocks) return tl::unexpected(blocks.error());
  if (!is_log) blocks->bind(rest->integer(1));
  for (;;) {
    auto row = blocks->step();
    if (!row) return tl::unexpected(row.error());
    if (!*row) return tree;
    const auto hashes = unpacked(blocks->bytes(0));
    if (hashes.size() != 1) return fail(Errc::corrupt, "the seek index is damaged");
    tree.blocks.push_back(hashes.front());
  }
}

Result<std::vector<crypto::Hash256>> SeekIndex::log_block(std::uint64_t number) {
  auto row = state_->database.prepare("SELECT leaves FROM log_block WHERE number = ?");
  if (!row) return tl::unexpected(row.error());
  auto found = row->bind(number).step();
  if (!found) return tl::unexpected(found.error());
  auto leaves = *found ? unpacked(row->bytes(0)) : std::vector<crypto::Hash256>();
  if (leaves.size() != k_block_leaves) return fail(Errc::corrupt, "the seek index is damaged");
  return leaves;
}

Result<std::optional<HeadSpot>> SeekIndex::head_before(const SessionId& session, std::uint64_t leaf) {
  const auto id = state_->id_of(session);
  if (!id) return tl::unexpected(id.error());
  auto row = state_->database.prepare("SELECT leaf, entries, file, at, size FROM head WHERE session = ? AND leaf <= ? ORDER BY leaf DESC LIMIT 1");
  if (!row) return tl::unexpected(row.error());
  auto found = row->bind(*id, leaf).step();
  if (!found) return tl::unexpected(found.error());
  if (!*found) return std::optional<HeadSpot>();
  const auto number = [&](int column) { return static_cast<std::uint64_t>(row->integer(column)); };
  return std::optional(HeadSpot{number(0), number(1), number(2), number(3), static_cast<std::uint32_t>(number(4))});
}

Result<std::vector<std::string>> SeekIndex::checkpoints(std::size_t most) {
  auto rows = state_->database.prepare("SELECT note FROM checkpoint ORDER BY frame DESC LIMIT ?");
  if (!rows) return tl::unexpected(rows.error());
  rows->bind(static_cast<std::uint64_t>(most));
  std::vector<std::string> notes;
  for (;;) {
    auto row = rows->step();
    if (!row) return tl::unexpected(row.error());
    if (!*row) return notes;
    notes.push_back(rows->text(0));
  }
}

Result<void> SeekIndex::keep_key_frames(const SessionId& session, std::span<const KeyFrame> frames, std::uint64_t reach) {
  const auto id = state_->id_of(session);
  if (!id) return tl::unexpected(id.error());
  auto transaction = sql::Transaction::begin(state_->database);
  if (!transaction) return tl::unexpected(transaction.error());
  auto away = state_->database.prepare("DELETE FROM key_frame WHERE session = ?");
  if (!away) return tl::unexpected(away.error());
  if (auto run = away->bind(*id).run(); !run) return run;
  auto put = state_->database.prepare("INSERT OR REPLACE INTO key_frame(session, channel, sequence, boot, segment, sealed) VALUES(?, ?, ?, ?, ?, ?)");
  if (!put) return tl::unexpected(put.error());
  for (const KeyFrame& frame : frames)
    if (auto run = put->bind(*id, frame.channel, frame.sequence, frame.boot_us, frame.segment, frame.sealed).run(); !run) return run;
  auto reached = state_->database.prepare("UPDATE session SET reach = ? WHERE id = ?");
  if (!reached) return tl::unexpected(reached.error());
  if (auto run = reached->bind(reach, *id).run(); !run) return run;
  return transaction->commit();
}

Result<std::optional<KeyFrame>> SeekIndex::key_frame_before(const SessionId& session, std::uint32_t channel, std::uint64_t sequence) {
  const auto id = state_->id_of(session);
  if (!id) return tl::unexpected(id.error());
  auto row = state_->database.prepare(
      "SELECT sequence, boot, segment, sealed FROM key_frame WHERE session = ? AND channel = ? AND sequence <= ? ORDER BY sequence DESC LIMIT 1");
  if (!row) return tl::unexpected(row.error());
  auto found = row->bind(*id, channel, sequence).step();
  if (!found) return tl::unexpected(found.error());
  if (!*found) return std::optional<KeyFrame>();
  return std::optional(KeyFrame{channel, static_cast<std::uint64_t>(row->integer(0)), row->integer(1), static_cast<std::uint32_t>(row->integer(2)), row->bytes(3)});
}

Result<std::uint64_t> SeekIndex::key_frames_reach(const SessionId& session) {
  auto row = state_->database.prepare("SELECT reach FROM session WHERE label = ?");
  if (!row) return tl::unexpected(row.error());
  auto found = row->bind(session.str()).step();
  if (!found) return tl::unexpected(found.error());
  return *found ? static_cast<std::uint64_t>(row->integer(0)) : 0;
}

Result<Bytes> SeekIndex::read_frame(std::uint64_t file, std::uint64_t offset, std::uint32_t size) {
  if (size > k_max_payload) return fail(Errc::corrupt, "the seek index is damaged");
  auto known = state_->open_files.find(file);
  if (known == state_->open_files.end()) {
    if (state_->open_files.size() >= 16) state_->open_files.clear();
    Fd opened(::open((state_->where.folder / journal_file_name(file)).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!opened && (errno != ENOENT || !state_->where.far)) return fail(Errc::not_found, journal_file_name(file) + ": " + std::strerror(errno));
    known = state_->open_files.emplace(file, std::move(opened)).first;  // none: it is elsewhere
  }
  Bytes bytes(k_frame_header_bytes + size);
  std::size_t have = 0;
  if (!known->second) {
    auto got = state_->where.far->read(file, offset, bytes.size());
    if (!got) return tl::unexpected(got.error());
    if (got->size() != bytes.size()) return fail(Errc::corrupt, journal_file_name(file) + " ends in the store before byte " + std::to_string(offset + bytes.size()));
    bytes = std::move(*got);
    have = bytes.size();
  }
  while (have < bytes.size()) {
    const ssize_t got = pread(known->second.get(), bytes.data() + have, bytes.size() - have, static_cast<off_t>(offset + have));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return fail(Errc::corrupt, journal_file_name(file) + " ends before byte " + std::to_string(offset + bytes.size()));
    have += static_cast<std::size_t>(got);
  }
  const auto header = parse_frame_header(bytes);
  const ByteView payload = ByteView(bytes).subspan(k_frame_header_bytes);
  if (!header || header->size != size || frame_crc(bytes, payload) != header->crc)
    return fail(Errc::corrupt, journal_file_name(file) + ", byte " + std::to_string(offset) + ": the frame's checksum is wrong");
  bytes.erase(bytes.begin(), bytes.begin() + k_frame_header_bytes);
  return bytes;
}

Result<JournalFiles> SeekIndex::files_from_here() {
  auto files = state_->resume();
  if (!files) return tl::unexpected(files.error());
  if (!*files) return fail(Errc::not_found, "the journal has changed behind the index");
  return std::move(**files);
}

crypto::Hash256 root_of_blocks(std::span<const crypto::Hash256> blocks, std::span<const crypto::Hash256> rest) {
  // The blocks' subtrees are perfect and of one size: what is above them has the shape of a tree whose leaves they are.
  crypto::MerkleTree above;
  for (const auto& block : blocks) above.append_leaf(block);
  auto tree = crypto::MerkleTree::resume(blocks.size() * k_block_leaves, above.frontier());
  if (!tree) return {};
  for (const auto& leaf : rest) tree->append_leaf(leaf);
  return tree->root();
}

std::filesystem::path seek_index_file(const std::filesystem::path& folder, const std::filesystem::path& journal) {
  std::error_code error;
  const auto whole = std::filesystem::weakly_canonical(journal, error);
  const auto digest = crypto::sha256((error ? journal : whole).string());
  return folder / ("seek-" + crypto::to_hex(ByteView(digest).first(12)) + ".sqlite");
}

}  // namespace sallyport::replay
