// platform/sql/database.h -- a thin owner of one SQLite connection.
//
// One Database belongs to one thread (or one strand). WAL journal, synchronous=FULL: what a committed transaction wrote
// survives power loss. Prepared statements only; SQL text is a constant of the caller, values are bound.
// Errors: Errc::conflict (a constraint), Errc::unavailable (busy, disk full), Errc::corrupt (not a database, malformed),
// Errc::internal (everything else). The detail never holds bound values.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "platform/model/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace sallyport::sql {

struct CloseDatabase {
  void operator()(sqlite3* database) const noexcept;
};
struct FinalizeStatement {
  void operator()(sqlite3_stmt* statement) const noexcept;
};

/// One prepared statement. Bind (positions count from 1), step, read columns (count from 0), reset; use again.
class Statement {
 public:
  Statement() = default;

  /// Binds all parameters from position 1 on: integers, bool, double, text, bytes, nullptr, std::optional of these.
  template <class... Values>
  Statement& bind(const Values&... values) {
    int position = 0;
    (bind_at(++position, values), ...);
    return *this;
  }
  void bind_at(int position, std::int64_t value);
  void bind_at(int position, std::uint64_t value) { bind_at(position, static_cast<std::int64_t>(value)); }
  void bind_at(int position, std::uint32_t value) { bind_at(position, static_cast<std::int64_t>(value)); }
  void bind_at(int position, int value) { bind_at(position, static_cast<std::int64_t>(value)); }
  void bind_at(int position, bool value) { bind_at(position, static_cast<std::int64_t>(value ? 1 : 0)); }
  void bind_at(int position, double value);
  void bind_at(int position, std::string_view value);
  void bind_at(int position, const std::string& value) { bind_at(position, std::string_view(value)); }
  void bind_at(int position, const char* value) { bind_at(position, std::string_view(value)); }
  void bind_at(int position, std::span<const std::byte> value);
  void bind_at(int position, const std::vector<std::byte>& value) { bind_at(position, std::span<const std::byte>(value)); }
  void bind_at(int position, std::nullptr_t);
  template <class T>
  void bind_at(int position, const std::optional<T>& value) {
    if (value) {
      bind_at(position, *value);
    } else {
      bind_at(position, nullptr);
    }
  }

  /// true: a row is there; false: done, the statement was reset. An earlier failed bind is told here.
  Result<bool> step();
  /// For statements that give no row: step and reset.
  Result<void> run();
  void reset() noexcept;

  [[nodiscard]] bool is_null(int column) const;
  [[nodiscard]] std::int64_t integer(int column) const;
  [[nodiscard]] double real(int column) const;
  [[nodiscard]] std::string text(int column) const;
  [[nodiscard]] std::vector<std::byte> bytes(int column) const;

 private:
  friend class Database;
  explicit Statement(sqlite3_stmt* statement) : statement_(statement) {}
  void note(int code) noexcept;
  std::unique_ptr<sqlite3_stmt, FinalizeStatement> statement_;
  int bind_error_ = 0;
};

struct OpenOptions {
  bool read_only = false;
  bool create = true;
  std::uint32_t busy_ms = 5000;
  int mode = 0600;  ///< of a newly made file and its WAL
};

class Database {
 public:
  /// `path` ":memory:" is a private database in memory.
  [[nodiscard]] static Result<Database> open(const std::string& path, const OpenOptions& options = {});

  Result<void> execute(std::string_view sql);  ///< one or more statements without parameters
  [[nodiscard]] Result<Statement> prepare(std::string_view sql);
  [[nodiscard]] std::int64_t last_row_id() const noexcept;
  [[nodiscard]] std::int64_t changes() const noexcept;

  /// Moves WAL contents into the file. Errc::unavailable while a reader holds it back.
  Result<void> checkpoint();

 private:
  explicit Database(sqlite3* database) : database_(database) {}
  std::unique_ptr<sqlite3, CloseDatabase> database_;
};

/// BEGIN IMMEDIATE ... COMMIT; rolled back when destroyed before commit().
class Transaction {
 public:
  [[nodiscard]] static Result<Transaction> begin(Database& database);
  Transaction(Transaction&& other) noexcept : database_(std::exchange(other.database_, nullptr)) {}
  Transaction& operator=(Transaction&&) = delete;
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  ~Transaction();
  Result<void> commit();

 private:
  explicit Transaction(Database& database) : database_(&database) {}
  Database* database_;
};

/// Brings the schema to the newest version: migration i is run when PRAGMA user_version <= i, each in one transaction.
/// Errc::conflict when the file is of a newer program than this one.
Result<void> migrate(Database& database, std::span<const std::string_view> migrations);

}  // namespace sallyport::sql
