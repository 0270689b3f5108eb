#include "vault/secret_store.h"

#include <array>

#include "platform/crypto/ssh_wire.h"

namespace sallyport::vault {
namespace {

constexpr std::array<std::string_view, 2> k_migrations{R"(
CREATE TABLE secret (
  name TEXT PRIMARY KEY, kind TEXT NOT NULL, last_version INTEGER NOT NULL, live INTEGER NOT NULL,
  changed_us INTEGER NOT NULL, labels BLOB NOT NULL, public_key BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE secret_version (
  name TEXT NOT NULL, version INTEGER NOT NULL, made_us INTEGER NOT NULL, key_generation INTEGER NOT NULL,
  data_key BLOB NOT NULL, value BLOB NOT NULL, PRIMARY KEY (name, version)) STRICT, WITHOUT ROWID;
CREATE TABLE totp_used (name TEXT PRIMARY KEY, step INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE checkpoint_seen (origin TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE lease (
  id TEXT PRIMARY KEY, session TEXT NOT NULL, secret TEXT NOT NULL, purpose TEXT NOT NULL, version INTEGER NOT NULL,
  started_us INTEGER NOT NULL) STRICT, WITHOUT ROWID;
)",
                                                      R"(
CREATE TABLE recording_key (session TEXT PRIMARY KEY, wrapped BLOB NOT NULL, changed_us INTEGER NOT NULL) STRICT, WITHOUT ROWID;
)"};

constexpr std::string_view k_find = "SELECT kind, last_version, live FROM secret WHERE name = ?1";
constexpr std::string_view k_put_secret =
    "INSERT INTO secret (name, kind, last_version, live, changed_us, labels, public_key) VALUES (?1, ?2, ?3, 1, ?4, ?5, ?6) "
    "ON CONFLICT (name) DO UPDATE SET kind = ?2, last_version = ?3, live = 1, changed_us = ?4, labels = ?5, public_key = ?6";
constexpr std::string_view k_put_version =
    "INSERT INTO secret_version (name, version, made_us, key_generation, data_key, value) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
constexpr std::string_view k_read =
    "SELECT s.kind, v.version, v.data_key, v.value FROM secret s JOIN secret_version v ON v.name = s.name "
    "WHERE s.name = ?1 AND s.live = 1 AND (?2 IS NULL OR v.version = ?2) ORDER BY v.version DESC LIMIT 1";
constexpr std::string_view k_list =
    "SELECT s.name, s.kind, (SELECT max(version) FROM secret_version v WHERE v.name = s.name), s.changed_us, s.labels, s.public_key "
    "FROM secret s WHERE s.live = 1 AND substr(s.name, 1, length(?1)) = ?1 ORDER BY s.name";
constexpr std::string_view k_use_step =
    "INSERT INTO totp_used (name, step) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET step = ?2 WHERE step < ?2";
constexpr std::string_view k_note_checkpoint =
    "INSERT INTO checkpoint_seen (origin, size, root) VALUES (?1, ?2, ?3) ON CONFLICT (origin) DO UPDATE SET size = ?2, root = ?3";

Bytes pack(const Labels& labels) {
  crypto::SshWriter writer;
  for (const auto& [key, value] : labels) writer.string(key).string(value);
  return writer.take();
}

Labels unpack(ByteView bytes) {
  Labels labels;
  crypto::SshReader reader(bytes);
  while (reader.ok() && !reader.at_end()) {
    std::string key(reader.text());
    labels[std::move(key)] = std::string(reader.text());
  }
  return labels;
}

std::int64_t microseconds(WallTime time) { return time.time_since_epoch().count(); }

}  // namespace

Result<SecretStore> SecretStore::open(const std::string& path, Barrier& barrier) {
  auto database = sql::Database::open(path);
  if (!database) return fail_in("vault database", database.error());
  if (auto set = database->execute("PRAGMA secure_delete = ON"); !set) return tl::unexpected(set.error());
  if (auto migrated = sql::migrate(*database, k_migrations); !migrated) return fail_in("vault database", migrated.error());
  return SecretStore(std::move(*database), barrier);
}

Result<std::uint32_t> SecretStore::put(std::string_view name, std::string_view kind, const Secret& value, const Labels& labels, ByteView public_key,
                                       WallTime now) {
  auto transaction = sql::Transaction::begin(database_);
  if (!transaction) return tl::unexpected(transaction.error());
  auto find = database_.prepare(k_find);
  if (!find) return tl::unexpected(find.error());
  auto found = find->bind(name).step();
  if (!found) return tl::unexpected(found.error());
  std::uint32_t version = 1;
  if (*found) {
    if (find->integer(2) != 0 && find->text(0) != kind) return fail(Errc::conflict, std::string(name) + " exists as another kind of secret");
    version = static_cast<std::uint32_t>(find->integer(1)) + 1;
  }
  find->reset();
  const auto sealed = barrier_->protect({name, version, kind}, value);
  if (!sealed) return tl::unexpected(sealed.error());
  auto secret = database_.prepare(k_put_secret);
  auto row = database_.prepare(k_put_version);
  if (!secret || !row) return fail(Errc::internal, "vault database: a statement cannot be prepared");
  secret->bind(name, kind, version, microseconds(now), pack(labels), public_key);
  if (auto done = secret->run(); !done) return tl::unexpected(done.error());
  row->bind(name, version, microseconds(now), barrier_->generation(), sealed->data_key, sealed->value);
  if (auto done = row->run(); !done) return tl::unexpected(done.error());
  if (auto done = transaction->commit(); !done) return tl::unexpected(done.error());
  return version;
}

Result<StoredSecret> SecretStore::read(std::string_view name, std::optional<std::uint32_t> version) {
  auto statement = database_.prepare(k_read);
  if (!statement) return tl::unexpected(statement.error());
  statement->bind(name, version);
  auto found = statement->step();
  if (!found) return tl::unexpected(found.error());
  if (!*found) return fail(Errc::not_found, "no secret " + std::string(name));
  StoredSecret stored{statement->text(0), static_cast<std::uint32_t>(statement->integer(1)), {}};
  auto value = barrier_->reveal({name, stored.version, stored.kind}, {statement->bytes(2), statement->bytes(3)});
  if (!value) return tl::unexpected(value.error());
  stored.value = std::move(*value);
  return stored;
}

Result<SecretInfo> SecretStore::describe(std::string_view name) {
  auto all = list(name);
  if (!all) return tl::unexpected(all.error());
  for (SecretInfo& info : *all)
    if (info.name == name) return std::move(info);
  return fail(Errc::not_found, "no secret " + std::string(name));
}

Result<std::vector<SecretInfo>> SecretStore::list(std::string_view prefix) {
  auto statement = database_.prepare(k_list);
  if (!statement) return tl::unexpected(statement.error());
  statement->bind(prefix);
  std::vector<SecretInfo> rows;
  for (;;) {
    auto row = statement->step();
    if (!row) return tl::unexpected(row.error());
    if (!*row) return rows;
    rows.push_back({statement->text(0), statement->text(1), static_cast<std::uint32_t>(statement->integer(2)), statement->integer(3),
                    unpack(statement->bytes(4)), statement->bytes(5)});
  }
}

Result<void> SecretStore::remove(std::string_view name, std::uint32_t version) {
  auto transaction = sql::Transaction::begin(database_);
  if (!transaction) return tl::unexpected(transaction.error());
  auto erase = database_.prepare("DELETE FROM secret_version WHERE name = ?1 AND (?2 = 0 OR version = ?2)");
  auto hide = database_.prepare(
      "UPDATE secret SET live = 0, labels = x'', public_key = x'' WHERE name = ?1 AND NOT EXISTS "
      "(SELECT 1 FROM secret_version v WHERE v.name = ?1)");
  if (!erase || !hide) return fail(Errc::internal, "vault database: a statement cannot be prepared");
  if (auto done = erase->bind(name, version).run(); !done) return tl::unexpected(done.error());
  if (database_.changes() == 0) return fail(Errc::not_found, "no secret " + std::string(name) + (version == 0 ? "" : " of that version"));
  if (auto done = hide->bind(name).run(); !done) return tl::unexpected(done.error());
  if (auto done = transaction->commit(); !done) return tl::unexpected(done.error());
  // Old pages must not live on in the write-ahead log. Not being able to do it now is no failure: the next one will.
  static_cast<void>(database_.checkpoint());
  return {};
}

Result<bool> SecretStore::use_totp_step(std::string_view name, std::int64_t step) {
  auto statement = database_.prepare(k_use_step);
  if (!statement) return tl::unexpected(statement.error());
  if (auto done = statement->bind(name, step).run(); !done) return tl::unexpected(done.error());
  return database_.changes() == 1;
}

Result<std::int64_t> SecretStore::last_totp_step(std::string_view name) {
  auto statement = database_.prepare("SELECT step FROM totp_used WHERE name = ?1");
  if (!statement) return tl::unexpected(statement.error());
  auto row = statement->bind(name).step();
  if (!row) return tl::unexpected(row.error());
  return *row ? statement->integer(0) : 0;
}

Result<std::optional<CheckpointSeen>> SecretStore::newest_checkpoint(std::string_view origin) {
  auto statement = database_.prepare("SELECT size, root FROM checkpoint_seen WHERE origin = ?1");
  if (!statement) return tl::unexpected(statement.error());
  auto row = statement->bind(origin).step();
  if (!row) return tl::unexpected(row.error());
  if (!*row) return std::optional<CheckpointSeen>();
  CheckpointSeen seen;
  seen.size = static_cast<std::uint64_t>(statement->integer(0));
  const Bytes root = statement->bytes(1);
  if (root.size() != seen.root.size()) return fail(Errc::corrupt, "vault database: a stored checkpoint is broken");
  std::copy(root.begin(), root.end(), seen.root.begin());
  return std::optional(seen);
}

Result<void> SecretStore::note_checkpoint(std::string_view origin, const CheckpointSeen& seen) {
  auto statement = database_.prepare(k_note_checkpoint);
  if (!statement) return tl::unexpected(statement.error());
  return statement->bind(origin, seen.size, ByteView(seen.root)).run();
}

Result<std::optional<RecordingKeyRow>> SecretStore::recording_key(std::string_view session) {
  auto row = database_.prepare("SELECT wrapped, changed_us FROM recording_key WHERE session = ?1");
  if (!row) return tl::unexpected(row.error());
  const auto found = row->bind(session).step();
  if (!found) return tl::unexpected(found.error());
  if (!*found) return std::optional<RecordingKeyRow>();
  return std::optional(RecordingKeyRow{row->bytes(0), row->integer(1)});
}

Result<void> SecretStore::put_recording_key(std::string_view session, ByteView wrapped, WallTime now) {
  const auto known = recording_key(session);
  if (!known) return tl::unexpected(known.error());
  if (*known && (*known)->wrapped.empty()) return fail(Errc::conflict, "the key of session " + std::string(session) + " was erased");
  auto put = database_.prepare(
      "INSERT INTO recording_key (session, wrapped, changed_us) VALUES (?1, ?2, ?3) ON CONFLICT (session) DO UPDATE SET wrapped = ?2, changed_us = ?3");
  if (!put) return tl::unexpected(put.error());
  return put->bind(session, wrapped, microseconds(now)).run();
}

Result<void> SecretStore::erase_recording_key(std::string_view session, WallTime now) {
  auto put = database_.prepare(
      "INSERT INTO recording_key (session, wrapped, changed_us) VALUES (?1, x'', ?2) ON CONFLICT (session) DO UPDATE SET wrapped = x'', changed_us = ?2");
  if (!put) return tl::unexpected(put.error());
  if (auto run = put->bind(session, microseconds(now)).run(); !run) return run;
  // secure_delete wipes the page; the log still holds what it was.
  return database_.execute("PRAGMA wal_checkpoint(TRUNCATE)");
}

Result<void> SecretStore::add_lease(const Lease& lease) {
  auto statement = database_.prepare("INSERT INTO lease (id, session, secret, purpose, version, started_us) VALUES (?1, ?2, ?3, ?4, ?5, ?6)");
  if (!statement) return tl::unexpected(statement.error());
  return statement->bind(lease.id, lease.session, lease.secret, lease.purpose, lease.version, lease.started_us).run();
}

Result<void> SecretStore::remove_lease(std::string_view id) {
  auto statement = database_.prepare("DELETE FROM lease WHERE id = ?1");
  if (!statement) return tl::unexpected(statement.error());
  return statement->bind(id).run();
}

Result<std::vector<Lease>> SecretStore::leases() {
  auto statement = database_.prepare("SELECT id, session, secret, purpose, version, started_us FROM lease ORDER BY id");
  if (!statement) return tl::unexpected(statement.error());
  std::vector<Lease> all;
  for (;;) {
    auto row = statement->step();
    if (!row) return tl::unexpected(row.error());
    if (!*row) return all;
    all.push_back({statement->text(0), statement->text(1), statement->text(2), statement->text(3), static_cast<std::uint32_t>(statement->integer(4)),
                   statement->integer(5)});
  }
}

}  // namespace sallyport::vault
