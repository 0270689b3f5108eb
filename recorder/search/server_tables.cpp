#include <optional>
#include <vector>

#include "recorder/search/tables.h"

namespace sallyport::search {
namespace {

constexpr std::int64_t k_version = 1;  ///< of the schema, as kept in search_about
constexpr std::string_view k_page = "256";

/// `?` as $1, $2 ...; no statement of ours has one within a text.
std::string numbered(std::string_view sql) {
  std::string text;
  int count = 0;
  for (const char c : sql) {
    if (c == '?') text += "$" + std::to_string(++count);
    else text += c;
  }
  return text;
}

class ServerTables : public Tables {
 public:
  explicit ServerTables(postgres::Connection connection) : connection_(std::move(connection)) {}
  Result<Statement> prepare(std::string_view sql, Reading reading) override;
  Result<void> begin(Purpose purpose) override {
    if (auto begun = connection_.execute(purpose == Purpose::write ? "BEGIN" : "BEGIN READ ONLY"); !begun) return begun;
    if (purpose == Purpose::read) return {};
    // The number of the next session is the highest one and 1: one writer at a time, whichever node it is on.
    if (auto locked = connection_.execute("SELECT 1 FROM search_about WHERE name = 'version' FOR UPDATE"); !locked) {
      rollback();
      return locked;
    }
    return {};
  }
  Result<void> commit() override { return connection_.execute("COMMIT"); }
  void rollback() noexcept override {
    static_cast<void>(connection_.settle().has_value());
    static_cast<void>(connection_.execute("ROLLBACK").has_value());
  }
  // Removed rows stay in the server's files and its log until they are written over: it is theirs to vacuum, and all of it is sealed.
  Result<void> sweep() override { return {}; }

 private:
  postgres::Connection connection_;
  unsigned cursors_ = 0;
};

class ServerRows : public Rows {
 public:
  ServerRows(postgres::Connection& connection, std::string sql, std::string cursor) : connection_(connection), sql_(std::move(sql)), cursor_(std::move(cursor)) {}
  ~ServerRows() override { reset(); }
  void bind_integer(int position, std::int64_t value) override { at(position) = postgres::value_of(value); }
  void bind_text(int position, std::string_view value) override { at(position) = postgres::value_of(value); }
  void bind_bytes(int position, ByteView value) override { at(position) = postgres::value_of(value); }
  void bind_null(int position) override { at(position) = {}; }
  Result<bool> step() override;
  Result<void> run() override { return connection_.queue(sql_, values_); }
  void reset() noexcept override {
    if (is_open_) static_cast<void>(connection_.execute("CLOSE " + cursor_).has_value());  // a failed one ends with its transaction
    is_open_ = false;
    answer_.reset();
  }
  [[nodiscard]] bool is_null(int column) const override { return answer_->is_null(row_, column); }
  [[nodiscard]] std::int64_t integer(int column) const override { return answer_->integer(row_, column); }
  [[nodiscard]] std::string text(int column) const override { return answer_->text(row_, column); }
  [[nodiscard]] Bytes bytes(int column) const override { return answer_->bytes(row_, column); }

 private:
  postgres::Value& at(int position) {
    const auto index = static_cast<std::size_t>(position - 1);
    if (values_.size() <= index) values_.resize(index + 1);
    return values_[index];
  }
  Result<postgres::Answer> next_page();

  postgres::Connection& connection_;
  std::string sql_, cursor_;
  std::vector<postgres::Value> values_;
  std::optional<postgres::Answer> answer_;
  std::size_t row_ = 0;
  bool is_open_ = false;
};

Result<postgres::Answer> ServerRows::next_page() {
  if (!is_open_) {
    if (auto declared = connection_.ask("DECLARE " + cursor_ + " NO SCROLL CURSOR FOR " + sql_, values_, false); !declared) return declared;
    is_open_ = true;
  }
  return connection_.ask("FETCH " + std::string(k_page) + " FROM " + cursor_, {}, false);
}

Result<bool> ServerRows::step() {
  if (answer_ && ++row_ < answer_->rows()) return true;
  if (answer_ && cursor_.empty()) {
    answer_.reset();
    return false;
  }
  auto answer = cursor_.empty() ? connection_.ask(sql_, values_) : next_page();
  if (!answer) {
    answer_.reset();
    return tl::unexpected(answer.error());
  }
  if (answer->rows() == 0) {
    reset();
    return false;
  }
  answer_.emplace(std::move(*answer));
  row_ = 0;
  return true;
}

Result<Statement> ServerTables::prepare(std::string_view sql, Reading reading) {
  return Statement(std::make_unique<ServerRows>(connection_, numbered(sql), reading == Reading::by_pages ? "pages" + std::to_string(++cursors_) : std::string()));
}

Result<bool> has_tables(postgres::Connection& connection) {
  // Not to_regclass: that one remembers, within a transaction, that there was none.
  const auto there = connection.ask("SELECT count(*) FROM pg_class WHERE relname = 'search_about' AND pg_table_is_visible(oid)", {}, false);
  if (!there) return tl::unexpected(there.error());
  return there->integer(0, 0) != 0;
}

Result<void> make_tables(postgres::Connection& connection, std::string_view schema) {
  if (auto begun = connection.execute("BEGIN; SELECT pg_advisory_xact_lock(hashtext('sallyport search index'))"); !begun) return begun;
  const auto made = [&]() -> Result<void> {
    const auto there = has_tables(connection);
    if (!there) return tl::unexpected(there.error());
    if (*there) return {};  // by another node, while we waited
    if (auto done = connection.execute(schema); !done) return done;
    auto put = connection.ask("INSERT INTO search_about(name, value) VALUES('version', $1)", {postgres::value_of(ByteView(postgres::value_of(k_version).bytes))}, false);
    if (!put) return tl::unexpected(put.error());
    return {};
  }();
  if (!made) {
    static_cast<void>(connection.execute("ROLLBACK").has_value());
    return made;
  }
  return connection.execute("COMMIT");
}

}  // namespace

Result<std::unique_ptr<Tables>> open_server_tables(const postgres::Place& place, const Secret& password, std::string_view schema, bool make) {
  auto connection = postgres::Connection::open(place, password);
  if (!connection) return tl::unexpected(connection.error());
  const auto there = has_tables(*connection);
  if (!there) return tl::unexpected(there.error());
  if (!*there && !make) return fail(Errc::not_found, "there is no search index yet");
  if (!*there)
    if (auto made = make_tables(*connection, schema); !made) return tl::unexpected(made.error());
  const auto about = connection->ask("SELECT value FROM search_about WHERE name = 'version'", {}, false);
  if (!about && about.error().code == Errc::internal) return fail(Errc::corrupt, "a table search_about stands there that is not of a search index");
  if (!about) return tl::unexpected(about.error());
  const Bytes version = about->rows() == 1 ? about->bytes(0, 0) : Bytes();
  const Bytes ours = postgres::value_of(k_version).bytes;
  if (version.size() != ours.size()) return fail(Errc::corrupt, "a table search_about stands there that is not of a search index");
  if (version > ours) return fail(Errc::conflict, "the search index is of a newer version than this program knows");
  if (version != ours) return fail(Errc::corrupt, "the search index names no version");
  // The planner expects far more rows than come; compiling for them takes longer than the answer.
  if (auto set = connection->execute("SET jit = off"); !set) return tl::unexpected(set.error());
  return std::make_unique<ServerTables>(std::move(*connection));
}

Result<void> drop_server_tables(const postgres::Place& place, const Secret& password) {
  auto connection = postgres::Connection::open(place, password);
  if (!connection) return tl::unexpected(connection.error());
  return connection->execute("SET client_min_messages = error; BEGIN; DROP TABLE IF EXISTS search_word; DROP TABLE IF EXISTS search_line; DROP TABLE IF EXISTS search_session; "
                             "DROP TABLE IF EXISTS search_about; COMMIT");
}

}  // namespace sallyport::search
