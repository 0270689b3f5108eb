// platform/postgres/connection.h -- a thin owner of one connection to a PostgreSQL database (libpq).
//
// One Connection belongs to one thread. TLS 1.2 or newer with a certificate that is verified for the host's name; only a Unix socket
// goes without. Values are bound, never pasted. Nothing of the environment or of anybody's home decides who is trusted.
// Errors: Errc::unavailable (not reached, gone, too slow, out of room), Errc::denied (login or a right refused), Errc::conflict (a
// constraint), Errc::not_found (no such table or database), Errc::invalid (a value it does not take), Errc::internal. The detail never holds bound values.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "platform/model/bytes.h"
#include "platform/model/result.h"
#include "platform/model/secret.h"

struct pg_conn;
struct pg_result;

namespace sallyport::postgres {

struct Place {
  std::string user, host, port, database;
  std::string ca_file;  ///< PEM; empty: the machine's
  [[nodiscard]] bool is_socket() const { return host.starts_with('/'); }
  [[nodiscard]] std::string url() const;  ///< as it was given: nothing of it is secret
};
/// postgresql://USER@HOST[:PORT]/DATABASE; HOST may be [IPv6] or a socket's folder as %2Fvar%2Frun%2Fpostgresql.
/// Errc::invalid: anything else, above all a password within.
[[nodiscard]] Result<Place> parse_place(std::string_view url);

/// What is bound to one $n.
struct Value {
  enum class Kind { null, text, binary } kind = Kind::null;
  Bytes bytes;
};
[[nodiscard]] Value value_of(std::int64_t number);
[[nodiscard]] Value value_of(std::string_view text);
[[nodiscard]] Value value_of(ByteView bytes);

/// Rows that were read, in memory.
class Answer {
 public:
  [[nodiscard]] std::size_t rows() const;
  [[nodiscard]] bool is_null(std::size_t row, int column) const;
  /// 0 or nothing where the column is of another kind: a foreign table.
  [[nodiscard]] std::int64_t integer(std::size_t row, int column) const;
  [[nodiscard]] std::string text(std::size_t row, int column) const;
  [[nodiscard]] Bytes bytes(std::size_t row, int column) const;

 private:
  friend class Connection;
  struct Clear {
    void operator()(pg_result* result) const noexcept;
  };
  explicit Answer(pg_result* result) : result_(result) {}
  [[nodiscard]] ByteView field(std::size_t row, int column) const;
  std::unique_ptr<pg_result, Clear> result_;
};

class Connection {
 public:
  [[nodiscard]] static Result<Connection> open(const Place& place, const Secret& password);

  /// One or more statements without values.
  Result<void> execute(std::string_view sql);
  /// One statement with values at $1, $2 ...; `keep`: prepared, and used again for the same text.
  Result<Answer> ask(std::string_view sql, const std::vector<Value>& values, bool keep = true);
  /// A statement that gives no row, sent without waiting. What failed is told by a later call, at the latest by settle(), which every
  /// other call begins with: to be used within a transaction.
  Result<void> queue(std::string_view sql, const std::vector<Value>& values);
  Result<void> settle();

 private:
  struct Finish {
    void operator()(pg_conn* connection) const noexcept;
  };
  explicit Connection(pg_conn* connection) : connection_(connection) {}
  Result<std::string> prepare(std::string_view sql);
  Result<Answer> checked(pg_result* result);

  std::unique_ptr<pg_conn, Finish> connection_;
  std::map<std::string, std::string, std::less<>> prepared_;  ///< text to name
  std::size_t queued_ = 0;
};

}  // namespace sallyport::postgres
