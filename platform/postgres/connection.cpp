#include "platform/postgres/connection.h"

#include <libpq-fe.h>

#include <algorithm>
#include <array>
#include <utility>

#include "platform/model/json_text.h"

namespace sallyport::postgres {
namespace {

/// So many statements are sent before their answers are read: what the server answers meanwhile must fit into the socket's buffers.
constexpr std::size_t k_most_queued = 256;

Errc code_of(std::string_view state) {
  const std::string_view group = state.substr(0, 2);
  if (state == "3D000" || state == "42P01" || state == "3F000") return Errc::not_found;
  if (group == "28" || state == "42501") return Errc::denied;
  if (group == "23") return Errc::conflict;
  if (group == "22") return Errc::invalid;
  if (state.empty() || group == "08" || group == "40" || group == "53" || group == "55" || group == "57" || group == "25" || group == "58") return Errc::unavailable;
  return Errc::internal;
}

/// libpq's own words: one line, nothing that drives a terminal.
std::string words_of(const char* message) {
  std::string text = message == nullptr ? "" : message;
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  std::replace(text.begin(), text.end(), '\n', ' ');
  return printable(text.substr(0, 400));
}

struct Bound {
  std::vector<const char*> values;
  std::vector<int> lengths, formats;
  explicit Bound(const std::vector<Value>& from) {
    static constexpr char k_nothing = 0;
    for (const Value& value : from) {
      const bool null = value.kind == Value::Kind::null;
      values.push_back(null ? nullptr : value.bytes.empty() ? &k_nothing : reinterpret_cast<const char*>(value.bytes.data()));
      lengths.push_back(static_cast<int>(value.bytes.size()));
      formats.push_back(1);  // text in binary form is the text itself
    }
  }
  [[nodiscard]] int count() const { return static_cast<int>(values.size()); }
};

}  // namespace

Value value_of(std::int64_t number) {
  Value value{Value::Kind::binary, Bytes(8)};
  for (std::size_t i = 0; i < 8; ++i) value.bytes[i] = static_cast<std::byte>(static_cast<std::uint64_t>(number) >> (56 - 8 * i));
  return value;
}
Value value_of(std::string_view text) {
  const ByteView bytes = bytes_of(text);
  return {Value::Kind::text, Bytes(bytes.begin(), bytes.end())};
}
Value value_of(ByteView bytes) { return {Value::Kind::binary, Bytes(bytes.begin(), bytes.end())}; }

void Answer::Clear::operator()(pg_result* result) const noexcept { PQclear(result); }
void Connection::Finish::operator()(pg_conn* connection) const noexcept { PQfinish(connection); }

std::size_t Answer::rows() const { return static_cast<std::size_t>(PQntuples(result_.get())); }
bool Answer::is_null(std::size_t row, int column) const { return PQgetisnull(result_.get(), static_cast<int>(row), column) != 0; }
ByteView Answer::field(std::size_t row, int column) const {
  const int at = static_cast<int>(row);
  if (column >= PQnfields(result_.get()) || at >= PQntuples(result_.get())) return {};
  return {reinterpret_cast<const std::byte*>(PQgetvalue(result_.get(), at, column)), static_cast<std::size_t>(PQgetlength(result_.get(), at, column))};
}
std::int64_t Answer::integer(std::size_t row, int column) const {
  const ByteView bytes = field(row, column);
  if (bytes.size() != 8) return 0;
  std::uint64_t value = 0;
  for (const std::byte byte : bytes) value = value << 8 | std::to_integer<std::uint64_t>(byte);
  return static_cast<std::int64_t>(value);
}
std::string Answer::text(std::size_t row, int column) const { return std::string(text_of(field(row, column))); }
Bytes Answer::bytes(std::size_t row, int column) const {
  const ByteView bytes = field(row, column);
  return {bytes.begin(), bytes.end()};
}

Result<Connection> Connection::open(const Place& place, const Secret& password) {
  const std::string secret(password.reveal_text());
  const std::string ca = place.ca_file.empty() ? "/etc/ssl/certs/ca-certificates.crt" : place.ca_file;
  const std::array names{"host", "port", "user", "dbname", "password", "passfile", "sslmode", "sslrootcert", "ssl_min_protocol_version", "gssencmode", "connect_timeout",
                         "tcp_user_timeout", "application_name", "client_encoding", "options", static_cast<const char*>(nullptr)};
  const std::array values{place.host.c_str(), place.port.c_str(), place.user.c_str(), place.database.c_str(), secret.c_str(), "/dev/null", place.is_socket() ? "disable" : "verify-full",
                          ca.c_str(), "TLSv1.2", "disable", "10", "20000", "sallyport", "UTF8",
                          "-c statement_timeout=60000 -c lock_timeout=30000 -c idle_in_transaction_session_timeout=120000 -c standard_conforming_strings=on", static_cast<const char*>(nullptr)};
  static_assert(names.size() == values.size());
  Connection connection(PQconnectdbParams(names.data(), values.data(), 0));
  OPENSSL_cleanse(const_cast<char*>(secret.data()), secret.size());
  pg_conn* const raw = connection.connection_.get();
  if (raw == nullptr) return fail(Errc::unavailable, "no memory for a connection to " + place.url());
  if (PQstatus(raw) != CONNECTION_OK) {
    const std::string words = words_of(PQerrorMessage(raw));
    const bool refused = words.find("authentication failed") != std::string::npos || words.find("no pg_hba.conf entry") != std::string::npos || PQconnectionNeedsPassword(raw) != 0;
    return fail(refused ? Errc::denied : Errc::unavailable, words);
  }
  // A notice may quote what was sent: nobody needs it.
  PQsetNoticeProcessor(raw, [](void*, const char*) {}, nullptr);
  PQsetErrorVerbosity(raw, PQERRORS_TERSE);
  return connection;
}

Result<Answer> Connection::checked(pg_result* result) {
  Answer answer(result);
  const ExecStatusType status = PQresultStatus(result);
  if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) return answer;
  if (status == PGRES_PIPELINE_ABORTED) return fail(Errc::unavailable, "an earlier statement failed");
  const char* const state = result == nullptr ? nullptr : PQresultErrorField(result, PG_DIAG_SQLSTATE);
  const char* const message = result == nullptr ? nullptr : PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
  if (state == nullptr) return fail(Errc::unavailable, "the database is gone: " + words_of(PQerrorMessage(connection_.get())));
  return fail(code_of(state), words_of(message) + " (SQLSTATE " + state + ")");
}

Result<void> Connection::settle() {
  if (queued_ == 0) return {};
  queued_ = 0;
  pg_conn* const raw = connection_.get();
  Result<void> outcome;
  if (PQpipelineSync(raw) != 1) outcome = fail(Errc::unavailable, "the database is gone: " + words_of(PQerrorMessage(raw)));
  // Nothing stands between two statements; nothing twice: no answer is left to come.
  for (bool nothing = false; outcome || PQstatus(raw) == CONNECTION_OK;) {
    pg_result* const result = PQgetResult(raw);
    if (result == nullptr && nothing) {
      if (outcome) outcome = fail(Errc::unavailable, "the database is gone: " + words_of(PQerrorMessage(raw)));
      break;
    }
    nothing = result == nullptr;
    if (nothing) continue;
    if (PQresultStatus(result) == PGRES_PIPELINE_SYNC) {
      PQclear(result);
      break;
    }
    const auto one = checked(result);
    if (!one && outcome) outcome = tl::unexpected(one.error());
  }
  PQexitPipelineMode(raw);
  return outcome;
}

Result<void> Connection::execute(std::string_view sql) {
  if (auto settled = settle(); !settled) return settled;
  const auto answer = checked(PQexec(connection_.get(), std::string(sql).c_str()));
  if (!answer) return tl::unexpected(answer.error());
  return {};
}

Result<std::string> Connection::prepare(std::string_view sql) {
  if (const auto known = prepared_.find(sql); known != prepared_.end()) return known->second;
  if (auto settled = settle(); !settled) return tl::unexpected(settled.error());
  std::string name = "s" + std::to_string(prepared_.size());
  const auto answer = checked(PQprepare(connection_.get(), name.c_str(), std::string(sql).c_str(), 0, nullptr));
  if (!answer) return tl::unexpected(answer.error());
  prepared_.emplace(std::string(sql), name);
  return name;
}

Result<Answer> Connection::ask(std::string_view sql, const std::vector<Value>& values, bool keep) {
  if (auto settled = settle(); !settled) return tl::unexpected(settled.error());
  const Bound bound(values);
  if (!keep) return checked(PQexecParams(connection_.get(), std::string(sql).c_str(), bound.count(), nullptr, bound.values.data(), bound.lengths.data(), bound.formats.data(), 1));
  const auto name = prepare(sql);
  if (!name) return tl::unexpected(name.error());
  return checked(PQexecPrepared(connection_.get(), name->c_str(), bound.count(), bound.values.data(), bound.lengths.data(), bound.formats.data(), 1));
}

Result<void> Connection::queue(std::string_view sql, const std::vector<Value>& values) {
  const auto name = prepare(sql);
  if (!name) return tl::unexpected(name.error());
  pg_conn* const raw = connection_.get();
  if (queued_ == 0 && PQenterPipelineMode(raw) != 1) return fail(Errc::internal, "no pipeline: " + words_of(PQerrorMessage(raw)));
  const Bound bound(values);
  ++queued_;
  if (PQsendQueryPrepared(raw, name->c_str(), bound.count(), bound.values.data(), bound.lengths.data(), bound.formats.data(), 1) != 1)
    return fail(Errc::unavailable, "the database is gone: " + words_of(PQerrorMessage(raw)));
  return queued_ >= k_most_queued ? settle() : Result<void>();
}

}  // namespace sallyport::postgres
