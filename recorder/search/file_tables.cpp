#include <array>

#include "platform/sql/database.h"
#include "recorder/search/tables.h"

namespace sallyport::search {
namespace {

class FileRows : public Rows {
 public:
  explicit FileRows(sql::Statement statement) : statement_(std::move(statement)) {}
  void bind_integer(int position, std::int64_t value) override { statement_.bind_at(position, value); }
  void bind_text(int position, std::string_view value) override { statement_.bind_at(position, value); }
  void bind_bytes(int position, ByteView value) override { statement_.bind_at(position, value); }
  void bind_null(int position) override { statement_.bind_at(position, nullptr); }
  Result<bool> step() override { return statement_.step(); }
  Result<void> run() override { return statement_.run(); }
  void reset() noexcept override { statement_.reset(); }
  [[nodiscard]] bool is_null(int column) const override { return statement_.is_null(column); }
  [[nodiscard]] std::int64_t integer(int column) const override { return statement_.integer(column); }
  [[nodiscard]] std::string text(int column) const override { return statement_.text(column); }
  [[nodiscard]] Bytes bytes(int column) const override { return statement_.bytes(column); }

 private:
  sql::Statement statement_;
};

class FileTables : public Tables {
 public:
  explicit FileTables(sql::Database database) : database_(std::move(database)) {}
  Result<Statement> prepare(std::string_view text, Reading) override {
    auto statement = database_.prepare(text);
    if (!statement) return tl::unexpected(statement.error());
    return Statement(std::make_unique<FileRows>(std::move(*statement)));
  }
  Result<void> begin(Purpose purpose) override { return database_.execute(purpose == Purpose::write ? "BEGIN IMMEDIATE" : "BEGIN"); }
  Result<void> commit() override { return database_.execute("COMMIT"); }
  void rollback() noexcept override { static_cast<void>(database_.execute("ROLLBACK").has_value()); }
  Result<void> sweep() override { return database_.execute("PRAGMA wal_checkpoint(TRUNCATE)"); }

 private:
  sql::Database database_;
};

}  // namespace

Result<std::unique_ptr<Tables>> open_file_tables(const std::string& file, std::string_view schema) {
  auto database = sql::Database::open(file);
  if (!database) return tl::unexpected(database.error());
  // Built from recordings: what power loss takes is built again.
  if (auto set = database->execute("PRAGMA synchronous=NORMAL; PRAGMA secure_delete=ON"); !set) return tl::unexpected(set.error());
  const std::array steps{schema};
  if (auto migrated = sql::migrate(*database, steps); !migrated) return tl::unexpected(migrated.error());
  return std::make_unique<FileTables>(std::move(*database));
}

}  // namespace sallyport::search
