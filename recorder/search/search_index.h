// recorder/search/search_index.h -- what people saw, to be searched, without a word of it in the clear.
//
// Words stand in the database as HMAC tokens, lines sealed (AES-256-GCM); both under keys derived from the vault's search key.
// A sealed vault therefore means: no search. Who, where and when of a session are as readable as they are in the journal.
// Made from recordings alone: it can be dropped and built anew at any time. The same tables stand in a SQLite file or in PostgreSQL.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "platform/model/ids.h"
#include "platform/model/result.h"
#include "platform/model/secret.h"
#include "recorder/search/search_place.h"

namespace sallyport::search {

struct IndexedSession {
  SessionId session;
  std::string principal, account, target;
  std::int64_t began_us = 0, last_us = 0;
  std::int64_t boot_us = 0;   ///< of its first entry: hits are told relative to it
  std::uint64_t entries = 0;  ///< that were looked at
};

struct IndexedLine {
  std::uint32_t channel = 0;
  std::int64_t wall_us = 0, boot_us = 0;
  std::uint64_t sequence = 0;
  bool is_command = false;
  std::optional<int> status;  ///< of a command
  std::string text;
};

struct Query {
  std::string text = {};      ///< a phrase of whole words; with `regex` an expression (RE2)
  bool regex = false;
  bool commands = false;      ///< only command lines
  std::string principal = {}, target = {};
  std::int64_t since_us = 0, until_us = 0;  ///< 0: open
  std::size_t limit = 100;
};

struct Hit {
  IndexedSession session;
  IndexedLine line;
};

class SearchIndex {
 public:
  /// Errc::corrupt: damaged, foreign, or made under another key; Errc::conflict: of a newer program; Errc::unavailable; of a server
  /// also Errc::denied, and Errc::not_found where there is none and `make` is not set.
  [[nodiscard]] static Result<SearchIndex> open(const SearchPlace& place, const Secret& search_key, bool make = true);
  [[nodiscard]] static Result<SearchIndex> open(const std::string& file, const Secret& search_key);
  /// The whole index goes; needs no key.
  static Result<void> drop(const SearchPlace& place);
  SearchIndex(SearchIndex&&) noexcept;
  SearchIndex& operator=(SearchIndex&&) noexcept;
  ~SearchIndex();

  /// Replaces what is known of the session, in one transaction.
  Result<void> put(const IndexedSession& session, const std::vector<IndexedLine>& lines);
  /// Nothing of it is in the file when this returns; a server keeps it, sealed, until it vacuums.
  Result<void> remove(const SessionId& session);
  /// Entries of the session that were looked at; 0: unknown.
  [[nodiscard]] Result<std::uint64_t> reach(const SessionId& session);

  /// Newest sessions first, within a session in order of time. Errc::invalid: nothing to look for, or not an expression.
  [[nodiscard]] Result<std::vector<Hit>> find(const Query& query);

  struct Size {
    std::uint64_t sessions = 0, lines = 0, words = 0;
  };
  [[nodiscard]] Result<Size> size();

 private:
  struct State;
  explicit SearchIndex(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace sallyport::search
