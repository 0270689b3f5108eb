#include "platform/sql/database.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "platform/os/fd.h"

namespace sallyport::sql {
namespace {

Errc errc_of(int code) noexcept {
  switch (code & 0xff) {
    case SQLITE_CONSTRAINT: return Errc::conflict;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY: return Errc::unavailable;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return Errc::corrupt;
    default: return Errc::internal;
  }
}

tl::unexpected<Error> failed(std::string_view doing, int code, sqlite3* database) {
  std::string detail(doing);
  detail += ": ";
  detail += database != nullptr ? sqlite3_errmsg(database) : sqlite3_errstr(code);
  return fail(errc_of(code), std::move(detail));
}

// The file is made by us so that its mode is right from the first moment; SQLite gives its WAL the same mode.
Result<void> make_file(const std::string& path, int mode) {
  const Fd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, mode));
  if (!file) return fail(Errc::unavailable, "opening " + path + ": " + std::strerror(errno));
  // What root makes in somebody's folder is that somebody's: a service without root's rights goes on with it. SQLite does so with its own files.
  struct stat made {}, folder {};
  if (geteuid() == 0 && fstat(file.get(), &made) == 0 && made.st_size == 0 && made.st_nlink == 1 && stat(std::filesystem::path(path).parent_path().c_str(), &folder) == 0 &&
      made.st_uid != folder.st_uid && fchown(file.get(), folder.st_uid, folder.st_gid) != 0)
    return fail(Errc::unavailable, "opening " + path + ": " + std::strerror(errno));
  return {};
}

}  // namespace

void CloseDatabase::operator()(sqlite3* database) const noexcept { sqlite3_close_v2(database); }
void FinalizeStatement::operator()(sqlite3_stmt* statement) const noexcept { sqlite3_finalize(statement); }

void Statement::note(int code) noexcept {
  if (code != SQLITE_OK && bind_error_ == SQLITE_OK) bind_error_ = code;
}
void Statement::bind_at(int position, std::int64_t value) { note(sqlite3_bind_int64(statement_.get(), position, value)); }
void Statement::bind_at(int position, double value) { note(sqlite3_bind_double(statement_.get(), position, value)); }
void Statement::bind_at(int position, std::string_view value) {
  note(sqlite3_bind_text64(statement_.get(), position, value.data() == nullptr ? "" : value.data(), value.size(),
                           SQLITE_TRANSIENT, SQLITE_UTF8));
}
void Statement::bind_at(int position, std::span<const std::byte> value) {
  if (value.empty()) {
    note(sqlite3_bind_zeroblob(statement_.get(), position, 0));
  } else {
    note(sqlite3_bind_blob64(statement_.get(), position, value.data(), value.size(), SQLITE_TRANSIENT));
  }
}
void Statement::bind_at(int position, std::nullptr_t) { note(sqlite3_bind_null(statement_.get(), position)); }

Result<bool> Statement::step() {
  if (!statement_) return fail(Errc::internal, "step of an empty statement");
  if (bind_error_ != SQLITE_OK) {
    const int code = std::exchange(bind_error_, SQLITE_OK);
    reset();
    return failed("binding a value", code, nullptr);
  }
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) {
    reset();
    return false;
  }
  auto error = failed("running a statement", code, sqlite3_db_handle(statement_.get()));
  reset();
  return error;
}

Result<void> Statement::run() {
  for (;;) {
    auto row = step();
    if (!row) return tl::unexpected(row.error());
    if (!*row) return {};
  }
}

void Statement::reset() noexcept {
  sqlite3_reset(statement_.get());
  sqlite3_clear_bindings(statement_.get());
}

bool Statement::is_null(int column) const { return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL; }
std::int64_t Statement::integer(int column) const { return sqlite3_column_int64(statement_.get(), column); }
double Statement::real(int column) const { return sqlite3_column_double(statement_.get(), column); }
std::string Statement::text(int column) const {
  const unsigned char* start = sqlite3_column_text(statement_.get(), column);
  if (start == nullptr) return {};
  return {reinterpret_cast<const char*>(start), static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column))};
}
std::vector<std::byte> Statement::bytes(int column) const {
  const void* start = sqlite3_column_blob(statement_.get(), column);
  if (start == nullptr) return {};
  const auto* first = static_cast<const std::byte*>(start);
  return {first, first + sqlite3_column_bytes(statement_.get(), column)};
}

Result<Database> Database::open(const std::string& path, const OpenOptions& options) {
  const bool in_memory = path == ":memory:";
  if (!in_memory && options.create && !options.read_only) {
    if (auto made = make_file(path, options.mode); !made) return tl::unexpected(made.error());
  }
  sqlite3* raw = nullptr;
  const int flags = (options.read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE) | SQLITE_OPEN_NOMUTEX |
                    SQLITE_OPEN_EXRESCODE | (in_memory ? SQLITE_OPEN_CREATE : 0);
  const int code = sqlite3_open_v2(path.c_str(), &raw, flags, nullptr);
  Database database(raw);
  if (code != SQLITE_OK) return failed("opening " + path, code, raw);
  sqlite3_busy_timeout(raw, static_cast<int>(options.busy_ms));
  sqlite3_db_config(raw, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(raw, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  if (!options.read_only) {
    if (auto set = database.execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
                                    "PRAGMA secure_delete=ON; PRAGMA temp_store=MEMORY;");
        !set)
      return tl::unexpected(set.error());
  }
  return database;
}

Result<void> Database::execute(std::string_view sql) {
  const std::string text(sql);
  const int code = sqlite3_exec(database_.get(), text.c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return failed("running SQL", code, database_.get());
  return {};
}

Result<Statement> Database::prepare(std::string_view sql) {
  sqlite3_stmt* raw = nullptr;
  const int code = sqlite3_prepare_v3(database_.get(), sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT,
                                      &raw, nullptr);
  if (code != SQLITE_OK) return failed("preparing SQL", code, database_.get());
  return Statement(raw);
}

std::int64_t Database::last_row_id() const noexcept { return sqlite3_last_insert_rowid(database_.get()); }
std::int64_t Database::changes() const noexcept { return sqlite3_changes64(database_.get()); }

Result<void> Database::checkpoint() {
  const int code = sqlite3_wal_checkpoint_v2(database_.get(), nullptr, SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr);
  if (code != SQLITE_OK) return failed("checkpointing the WAL", code, database_.get());
  return {};
}

Result<Transaction> Transaction::begin(Database& database) {
  if (auto begun = database.execute("BEGIN IMMEDIATE"); !begun) return tl::unexpected(begun.error());
  return Transaction(database);
}

Transaction::~Transaction() {
  if (database_ == nullptr) return;
  auto rolled_back = database_->execute("ROLLBACK");
  static_cast<void>(rolled_back);  // the only failure is "no transaction": SQLite has rolled it back itself
}

Result<void> Transaction::commit() {
  if (database_ == nullptr) return fail(Errc::internal, "transaction is over");
  if (auto done = database_->execute("COMMIT"); !done) return done;
  database_ = nullptr;
  return {};
}

Result<void> migrate(Database& database, std::span<const std::string_view> migrations) {
  std::int64_t version = 0;
  {
    auto asked = database.prepare("PRAGMA user_version");
    if (!asked) return tl::unexpected(asked.error());
    auto row = asked->step();
    if (!row) return tl::unexpected(row.error());
    if (*row) version = asked->integer(0);
  }
  if (version > static_cast<std::int64_t>(migrations.size()))
    return fail(Errc::conflict, "the database is of version " + std::to_string(version) + ", this program knows " +
                                    std::to_string(migrations.size()));
  for (std::size_t next = static_cast<std::size_t>(version); next < migrations.size(); ++next) {
    auto transaction = Transaction::begin(database);
    if (!transaction) return tl::unexpected(transaction.error());
    if (auto done = database.execute(migrations[next]); !done) return fail_in("migration " + std::to_string(next + 1), done.error());
    if (auto done = database.execute("PRAGMA user_version=" + std::to_string(next + 1)); !done) return done;
    if (auto done = transaction->commit(); !done) return done;
  }
  return {};
}

}  // namespace sallyport::sql
