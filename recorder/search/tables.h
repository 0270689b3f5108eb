// recorder/search/tables.h -- where the search index keeps its tables: a SQLite file or a PostgreSQL database, by the same SQL.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "platform/model/bytes.h"
#include "platform/model/result.h"
#include "platform/postgres/connection.h"

namespace sallyport::search {

/// One statement: bind (positions count from 1), step, read columns (count from 0), reset; use again.
class Rows {
 public:
  virtual ~Rows() = default;
  virtual void bind_integer(int position, std::int64_t value) = 0;
  virtual void bind_text(int position, std::string_view value) = 0;
  virtual void bind_bytes(int position, ByteView value) = 0;
  virtual void bind_null(int position) = 0;
  virtual Result<bool> step() = 0;
  /// For statements that give no row. Within a transaction its failure may be told by a later call, at the latest by commit().
  virtual Result<void> run() = 0;
  virtual void reset() noexcept = 0;
  [[nodiscard]] virtual bool is_null(int column) const = 0;
  [[nodiscard]] virtual std::int64_t integer(int column) const = 0;
  [[nodiscard]] virtual std::string text(int column) const = 0;
  [[nodiscard]] virtual Bytes bytes(int column) const = 0;
};

class Statement {
 public:
  explicit Statement(std::unique_ptr<Rows> rows) : rows_(std::move(rows)) {}
  template <class... Values>
  Statement& bind(const Values&... values) {
    int position = 0;
    (bind_at(++position, values), ...);
    return *this;
  }
  template <class Number>
    requires std::is_integral_v<Number>
  void bind_at(int position, Number value) { rows_->bind_integer(position, static_cast<std::int64_t>(value)); }
  void bind_at(int position, const std::string& value) { rows_->bind_text(position, value); }
  void bind_at(int position, ByteView value) { rows_->bind_bytes(position, value); }
  void bind_at(int position, const Bytes& value) { rows_->bind_bytes(position, value); }
  void bind_at(int position, std::nullptr_t) { rows_->bind_null(position); }
  Result<bool> step() { return rows_->step(); }
  Result<void> run() { return rows_->run(); }
  void reset() noexcept { rows_->reset(); }
  [[nodiscard]] bool is_null(int column) const { return rows_->is_null(column); }
  [[nodiscard]] std::int64_t integer(int column) const { return rows_->integer(column); }
  [[nodiscard]] std::string text(int column) const { return rows_->text(column); }
  [[nodiscard]] Bytes bytes(int column) const { return rows_->bytes(column); }

 private:
  std::unique_ptr<Rows> rows_;
};

enum class Reading {
  whole,     ///< all rows at once
  by_pages,  ///< as they are asked for: there may be very many, and the first ones be enough. Only within a transaction
};

class Tables {
 public:
  virtual ~Tables() = default;
  [[nodiscard]] virtual Result<Statement> prepare(std::string_view sql, Reading reading = Reading::whole) = 0;
  enum class Purpose { read, write };
  virtual Result<void> begin(Purpose purpose) = 0;  ///< writers wait for each other
  virtual Result<void> commit() = 0;
  virtual void rollback() noexcept = 0;
  virtual Result<void> sweep() = 0;  ///< what was removed stands in no log of the database either, where that can be had
};

/// begin ... commit; rolled back when destroyed before.
class Work {
 public:
  [[nodiscard]] static Result<Work> begin(Tables& tables, Tables::Purpose purpose) {
    if (auto begun = tables.begin(purpose); !begun) return tl::unexpected(begun.error());
    return Work(tables);
  }
  Work(Work&& other) noexcept : tables_(std::exchange(other.tables_, nullptr)) {}
  Work& operator=(Work&&) = delete;
  ~Work() {
    if (tables_ != nullptr) tables_->rollback();
  }
  Result<void> commit() {
    Tables* const tables = tables_;
    if (auto done = tables->commit(); !done) return done;
    tables_ = nullptr;
    return {};
  }

 private:
  explicit Work(Tables& tables) : tables_(&tables) {}
  Tables* tables_;
};

/// The schema, brought to this program's version. Errc::corrupt: foreign or damaged; Errc::conflict: of a newer program; Errc::unavailable.
[[nodiscard]] Result<std::unique_ptr<Tables>> open_file_tables(const std::string& file, std::string_view schema);
/// As above. Errc::not_found: there are none and `make` is not set; Errc::denied: the database refused.
[[nodiscard]] Result<std::unique_ptr<Tables>> open_server_tables(const postgres::Place& place, const Secret& password, std::string_view schema, bool make);
/// Gone with all that is in them; none there is fine, foreign or damaged ones go as well.
Result<void> drop_server_tables(const postgres::Place& place, const Secret& password);

}  // namespace sallyport::search
