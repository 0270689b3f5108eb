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
#include "recorder/replay/seek_index_state.h"

namespace sallyport::replay {
namespace {

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

}  // namespace

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
