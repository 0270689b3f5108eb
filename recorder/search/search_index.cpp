#include "recorder/search/search_index.h"

#include <re2/re2.h>

#include <algorithm>
#include <cstdio>
#include <map>

#include "platform/crypto/aead.h"
#include "platform/crypto/hkdf.h"
#include "platform/crypto/hmac.h"
#include "platform/crypto/random.h"
#include "platform/seal/entry.h"
#include "recorder/search/tables.h"
#include "recorder/search/words.h"

namespace sallyport::search {
namespace {

using seal::get_number;
using seal::put_number;

// Types that SQLite and PostgreSQL both know; no statement below uses a dialect of its own.
constexpr std::string_view k_schema = R"(
CREATE TABLE search_about(name TEXT PRIMARY KEY, value BYTEA NOT NULL);
CREATE TABLE search_session(id BIGINT PRIMARY KEY, label TEXT NOT NULL UNIQUE, principal TEXT NOT NULL, account TEXT NOT NULL, target TEXT NOT NULL,
  began BIGINT NOT NULL, last BIGINT NOT NULL, boot BIGINT NOT NULL, entries BIGINT NOT NULL);
CREATE INDEX search_session_by_time ON search_session(began);
CREATE TABLE search_line(session BIGINT NOT NULL, number BIGINT NOT NULL, channel BIGINT NOT NULL, wall BIGINT NOT NULL, boot BIGINT NOT NULL,
  sequence BIGINT NOT NULL, command BIGINT NOT NULL, status BIGINT, sealed BYTEA NOT NULL, PRIMARY KEY(session, number));
CREATE TABLE search_word(token BIGINT NOT NULL, session BIGINT NOT NULL, places BYTEA NOT NULL, PRIMARY KEY(token, session));
CREATE INDEX search_word_of_session ON search_word(session);
)";

constexpr std::string_view k_put_session = "INSERT INTO search_session(id, label, principal, account, target, began, last, boot, entries) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)";
constexpr std::string_view k_put_line = "INSERT INTO search_line(session, number, channel, wall, boot, sequence, command, status, sealed) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)";
constexpr std::string_view k_put_word = "INSERT INTO search_word(token, session, places) VALUES(?, ?, ?)";
constexpr std::size_t k_nonce = crypto::k_aead_nonce_size;
constexpr std::size_t k_tag = crypto::k_aead_tag_size;
constexpr std::int64_t k_common_word = 500;  ///< sessions
constexpr std::size_t k_lines_at_once = 64;
constexpr std::size_t k_most_words = 16;  ///< of a query that are asked for

void put_varint(Bytes& to, std::uint64_t value) {
  while (value >= 0x80) {
    to.push_back(static_cast<std::byte>(value | 0x80));
    value >>= 7;
  }
  to.push_back(static_cast<std::byte>(value));
}

std::vector<std::uint64_t> places_in(ByteView bytes) {
  std::vector<std::uint64_t> places;
  std::uint64_t last = 0, value = 0;
  unsigned shift = 0;
  for (const std::byte byte : bytes) {
    value |= (std::to_integer<std::uint64_t>(byte) & 0x7f) << shift;
    shift += 7;
    if ((byte & std::byte{0x80}) != std::byte{0} && shift < 63) continue;
    last += value;
    places.push_back(last);
    value = 0;
    shift = 0;
  }
  return places;
}

/// The words that whoever matches the expression must have as whole words; empty: it does not tell.
std::vector<std::string> words_of_expression(std::string_view expression) {
  if (expression.find_first_of("|?*{[(\\") != std::string_view::npos) {
    // Only the plain beginning up to the first special character tells anything, and its last word may go on.
    expression = expression.substr(0, expression.find_first_of("|?*{[(\\"));
    const std::size_t blank = expression.find_last_of(" /=:");
    if (blank == std::string_view::npos) return {};
    expression = expression.substr(0, blank);
  }
  if (expression.find_first_of(".^$+") != std::string_view::npos) return {};
  const std::size_t first = expression.find_first_of(" /=:");  // what comes before may be the end of a longer word
  if (first == std::string_view::npos) return {};
  const std::size_t last = expression.find_last_of(" /=:");
  return words_to_ask(fold(expression.substr(first, last - first)));
}

}  // namespace

struct SearchIndex::State {
  std::unique_ptr<Tables> tables;
  Secret word_key;
  crypto::Aes256Gcm cipher;

  [[nodiscard]] std::int64_t token(std::string_view word) const {
    const auto digest = crypto::hmac_sha256(word_key.reveal(), bytes_of(word));
    return static_cast<std::int64_t>(get_number<std::uint64_t>(digest.data()));
  }
  [[nodiscard]] static Bytes context(std::string_view label, std::uint64_t number, const IndexedLine& line);
  [[nodiscard]] Bytes seal(std::string_view label, std::uint64_t number, const IndexedLine& line);
  [[nodiscard]] Result<std::string> open(std::string_view label, std::uint64_t number, const IndexedLine& line, ByteView sealed);
  Result<void> forget(std::int64_t id);
  Result<std::optional<std::int64_t>> id_of(const SessionId& session);
  struct Candidate {
    std::int64_t id = 0;
    IndexedSession session;
    std::optional<std::vector<std::uint64_t>> places;  ///< nothing: all lines
  };
  /// Each session that may have what is asked for, newest first, until `look` says false.
  Result<void> each_candidate(const Query& query, const std::vector<std::string>& words, const std::function<Result<bool>(const Candidate&)>& look);
};

SearchIndex::SearchIndex(std::unique_ptr<State> state) : state_(std::move(state)) {}
SearchIndex::SearchIndex(SearchIndex&&) noexcept = default;
SearchIndex& SearchIndex::operator=(SearchIndex&&) noexcept = default;
SearchIndex::~SearchIndex() = default;

Bytes SearchIndex::State::context(std::string_view label, std::uint64_t number, const IndexedLine& line) {
  Bytes bytes(label.size() + 8 * 5 + 1 + 8);
  std::byte* at = std::copy_n(bytes_of(label).begin(), label.size(), bytes.data());
  for (const std::uint64_t value : {number, static_cast<std::uint64_t>(line.channel), static_cast<std::uint64_t>(line.wall_us), static_cast<std::uint64_t>(line.boot_us),
                                    line.sequence}) {
    put_number(at, value);
    at += 8;
  }
  *at++ = std::byte{line.is_command};
  put_number(at, static_cast<std::int64_t>(line.status.value_or(INT32_MIN)));
  return bytes;
}

Bytes SearchIndex::State::seal(std::string_view label, std::uint64_t number, const IndexedLine& line) {
  Bytes sealed(k_nonce + line.text.size() + k_tag);
  const std::span<std::byte> all(sealed);
  crypto::system_random().fill(all.first(k_nonce));
  crypto::Nonce nonce{};
  std::copy_n(all.begin(), k_nonce, nonce.begin());
  cipher.seal(nonce, context(label, number, line), bytes_of(line.text), all.data() + k_nonce, all.last<k_tag>());
  return sealed;
}

Result<std::string> SearchIndex::State::open(std::string_view label, std::uint64_t number, const IndexedLine& line, ByteView sealed) {
  if (sealed.size() < k_nonce + k_tag) return fail(Errc::corrupt, "a line of the search index is damaged");
  crypto::Nonce nonce{};
  std::copy_n(sealed.begin(), k_nonce, nonce.begin());
  Bytes plain(sealed.size() - k_nonce - k_tag);
  if (!cipher.open(nonce, context(label, number, line), sealed.subspan(k_nonce, plain.size()), sealed.last<k_tag>(), plain.data()))
    return fail(Errc::corrupt, "a line of the search index is damaged");
  return std::string(text_of(plain));
}

Result<SearchIndex> SearchIndex::open(const std::string& file, const Secret& search_key) { return open(SearchPlace{file, {}, {}, {}, {}}, search_key); }

Result<SearchIndex> SearchIndex::open(const SearchPlace& place, const Secret& search_key, bool make) {
  Result<std::unique_ptr<Tables>> tables;
  if (place.server) {
    const auto password = password_of(place);
    if (!password) return tl::unexpected(password.error());
    tables = open_server_tables(*place.server, *password, k_schema, make);
  } else {
    tables = open_file_tables(place.file, k_schema);
  }
  if (!tables) return tl::unexpected(tables.error());
  Secret words = crypto::hkdf_sha256(search_key.reveal(), {}, "sallyport search words v1", 32);
  const Secret lines = crypto::hkdf_sha256(search_key.reveal(), {}, "sallyport search lines v1", crypto::k_aead_key_size);
  const auto mark = crypto::hmac_sha256(words.reveal(), bytes_of("sallyport search key check v1"));
  const auto look = [&]() -> Result<bool> {
    auto known = (*tables)->prepare("SELECT value FROM search_about WHERE name = 'key'");
    if (!known) return tl::unexpected(known.error());
    const auto row = known->step();
    if (!row) return tl::unexpected(row.error());
    if (*row && !crypto::equal_constant_time(known->bytes(0), mark)) return fail(Errc::corrupt, "the search index was made under another key");
    return *row;
  };
  auto known = look();
  if (known && !*known && make) {
    auto work = Work::begin(**tables, Tables::Purpose::write);
    if (!work) return tl::unexpected(work.error());
    known = look();  // another may have been first
    if (known && !*known) {
      auto put = (*tables)->prepare("INSERT INTO search_about(name, value) VALUES('key', ?)");
      if (!put) return tl::unexpected(put.error());
      if (auto run = put->bind(ByteView(mark)).run(); !run) return tl::unexpected(run.error());
    }
    if (auto done = work->commit(); !done) return tl::unexpected(done.error());
  }
  if (!known) return tl::unexpected(known.error());
  return SearchIndex(std::unique_ptr<State>(new State{std::move(*tables), std::move(words), crypto::Aes256Gcm(lines.reveal())}));
}

Result<void> SearchIndex::drop(const SearchPlace& place) {
  if (!place.server) {
    for (const char* tail : {"", "-wal", "-shm"}) std::remove((place.file + tail).c_str());
    return {};
  }
  const auto password = password_of(place);
  if (!password) return tl::unexpected(password.error());
  return drop_server_tables(*place.server, *password);
}

Result<std::optional<std::int64_t>> SearchIndex::State::id_of(const SessionId& session) {
  auto row = tables->prepare("SELECT id FROM search_session WHERE label = ?");
  if (!row) return tl::unexpected(row.error());
  auto found = row->bind(session.str()).step();
  if (!found) return tl::unexpected(found.error());
  return *found ? std::optional(row->integer(0)) : std::nullopt;
}

Result<void> SearchIndex::State::forget(std::int64_t id) {
  for (const std::string_view text : {"DELETE FROM search_word WHERE session = ?", "DELETE FROM search_line WHERE session = ?", "DELETE FROM search_session WHERE id = ?"}) {
    auto away = tables->prepare(text);
    if (!away) return tl::unexpected(away.error());
    if (auto run = away->bind(id).run(); !run) return run;
  }
  return {};
}

Result<void> SearchIndex::put(const IndexedSession& session, const std::vector<IndexedLine>& lines) {
  State& state = *state_;
  auto transaction = Work::begin(*state.tables, Tables::Purpose::write);
  if (!transaction) return tl::unexpected(transaction.error());
  const auto known = state.id_of(session.session);
  if (!known) return tl::unexpected(known.error());
  std::int64_t id = 0;
  if (*known) {
    id = **known;
    if (auto gone = state.forget(id); !gone) return gone;
  } else {
    auto next = state.tables->prepare("SELECT coalesce(max(id), 0) + 1 FROM search_session");
    if (!next) return tl::unexpected(next.error());
    if (auto row = next->step(); !row) return tl::unexpected(row.error());
    id = next->integer(0);
  }
  auto put = state.tables->prepare(k_put_session);
  if (!put) return tl::unexpected(put.error());
  if (auto run = put->bind(id, session.session.str(), session.principal, session.account, session.target, session.began_us, session.last_us, session.boot_us, session.entries).run(); !run)
    return run;
  auto put_line = state.tables->prepare(k_put_line);
  if (!put_line) return tl::unexpected(put_line.error());
  std::map<std::int64_t, std::pair<Bytes, std::uint64_t>> words;  // places as differences, and the last place
  std::uint64_t number = 0;
  for (const IndexedLine& line : lines) {
    ++number;
    const Bytes sealed = state.seal(session.session.view(), number, line);
    put_line->bind(id, number, line.channel, line.wall_us, line.boot_us, line.sequence, line.is_command);
    if (line.status) put_line->bind_at(8, *line.status);
    else put_line->bind_at(8, nullptr);
    put_line->bind_at(9, sealed);
    if (auto run = put_line->run(); !run) return run;
    for (const std::string& word : words_of(fold(line.text))) {
      auto& [places, last] = words[state.token(word)];
      if (number == last) continue;
      put_varint(places, number - last);
      last = number;
    }
  }
  auto put_word = state.tables->prepare(k_put_word);
  if (!put_word) return tl::unexpected(put_word.error());
  for (const auto& [token, places] : words)
    if (auto run = put_word->bind(token, id, places.first).run(); !run) return run;
  return transaction->commit();
}

Result<void> SearchIndex::remove(const SessionId& session) {
  auto transaction = Work::begin(*state_->tables, Tables::Purpose::write);
  if (!transaction) return tl::unexpected(transaction.error());
  const auto id = state_->id_of(session);
  if (!id) return tl::unexpected(id.error());
  if (*id)
    if (auto gone = state_->forget(**id); !gone) return gone;
  if (auto done = transaction->commit(); !done) return done;
  return state_->tables->sweep();
}

Result<std::uint64_t> SearchIndex::reach(const SessionId& session) {
  auto row = state_->tables->prepare("SELECT entries FROM search_session WHERE label = ?");
  if (!row) return tl::unexpected(row.error());
  auto found = row->bind(session.str()).step();
  if (!found) return tl::unexpected(found.error());
  return *found ? static_cast<std::uint64_t>(row->integer(0)) : 0;
}

Result<void> SearchIndex::State::each_candidate(const Query& query, const std::vector<std::string>& words, const std::function<Result<bool>(const Candidate&)>& look) {
  // The rarest word leads; the others only cut its places down.
  struct Asked {
    std::int64_t token = 0;
    std::int64_t count = 0;
  };
  std::vector<Asked> asked;
  for (const std::string& word : words) {
    Asked one{token(word), 0};
    // A word that everybody has is not counted to its end: a server that was not vacuumed looks at a page for each.
    auto count = tables->prepare("SELECT count(*) FROM (SELECT 1 AS one FROM search_word WHERE token = ? LIMIT ?) AS few");
    if (!count) return tl::unexpected(count.error());
    if (auto row = count->bind(one.token, k_common_word + 1).step(); !row) return tl::unexpected(row.error());
    one.count = count->integer(0);
    if (one.count == 0) return {};
    asked.push_back(one);
  }
  std::sort(asked.begin(), asked.end(), [](const Asked& a, const Asked& b) { return a.count < b.count; });
  if (asked.size() > k_most_words) asked.resize(k_most_words);
  std::string columns = "SELECT s.id, s.label, s.principal, s.account, s.target, s.began, s.last, s.boot, s.entries", from, where = " WHERE 1 = 1";
  for (std::size_t i = 0; i < asked.size(); ++i) {
    const std::string word = "w" + std::to_string(i);
    columns += ", " + word + ".places";
    from += (i == 0 ? "search_word " : " CROSS JOIN search_word ") + word;
    where += " AND " + word + ".session = s.id AND " + word + ".token = ?";
  }
  // SQLite keeps the order of a CROSS JOIN; to others it is a join like any. A word of many sessions is looked up session by session,
  // newest first: the first ones that have it are usually enough.
  if (asked.empty()) from = "search_session s";
  else if (asked.front().count > k_common_word) from = "search_session s CROSS JOIN " + from;
  else from.insert(from.find("w0") + 2, " CROSS JOIN search_session s");
  if (!query.principal.empty()) where += " AND s.principal = ?";
  if (!query.target.empty()) where += " AND s.target = ?";
  if (query.since_us != 0) where += " AND s.last >= ?";
  if (query.until_us != 0) where += " AND s.began < ?";
  auto rows = tables->prepare(columns + " FROM " + from + where + " ORDER BY s.began DESC, s.id DESC", Reading::by_pages);
  if (!rows) return tl::unexpected(rows.error());
  int at = 0;
  for (const Asked& word : asked) rows->bind_at(++at, word.token);
  if (!query.principal.empty()) rows->bind_at(++at, query.principal);
  if (!query.target.empty()) rows->bind_at(++at, query.target);
  if (query.since_us != 0) rows->bind_at(++at, query.since_us);
  if (query.until_us != 0) rows->bind_at(++at, query.until_us);
  for (;;) {
    auto row = rows->step();
    if (!row) return tl::unexpected(row.error());
    if (!*row) return {};
    Candidate candidate;
    candidate.id = rows->integer(0);
    candidate.session = {SessionId(rows->text(1)), rows->text(2), rows->text(3), rows->text(4), rows->integer(5), rows->integer(6), rows->integer(7),
                         static_cast<std::uint64_t>(rows->integer(8))};
    if (!asked.empty()) {
      auto places = places_in(rows->bytes(9));
      for (std::size_t i = 1; i < asked.size() && !places.empty(); ++i) {
        const auto theirs = places_in(rows->bytes(9 + static_cast<int>(i)));
        std::vector<std::uint64_t> both;
        std::set_intersection(places.begin(), places.end(), theirs.begin(), theirs.end(), std::back_inserter(both));
        places = std::move(both);
      }
      if (places.empty()) continue;
      candidate.places = std::move(places);
    }
    auto more = look(candidate);
    if (!more) return tl::unexpected(more.error());
    if (!*more) return {};
  }
}

namespace {

struct StoredLine {
  std::uint64_t number = 0;
  IndexedLine line;
  Bytes sealed;
};

constexpr std::string_view k_line_columns = "l.session, l.number, l.channel, l.wall, l.boot, l.sequence, l.command, l.status, l.sealed";

StoredLine stored_line(const Statement& row) {
  return {static_cast<std::uint64_t>(row.integer(1)),
          {static_cast<std::uint32_t>(row.integer(2)), row.integer(3), row.integer(4), static_cast<std::uint64_t>(row.integer(5)), row.integer(6) != 0,
           row.is_null(7) ? std::nullopt : std::optional(static_cast<int>(row.integer(7))), {}},
          row.bytes(8)};
}

/// Lines by session and number, so many in one question: a server far away answers once for all of them.
std::string lines_question() {
  std::string text = "SELECT " + std::string(k_line_columns) + " FROM (VALUES ";
  for (std::size_t i = 0; i < k_lines_at_once; ++i) text += i == 0 ? "(CAST(? AS BIGINT), CAST(? AS BIGINT))" : ", (?, ?)";
  return text + ") AS v CROSS JOIN search_line l WHERE l.session = v.column1 AND l.number = v.column2";
}

}  // namespace

Result<std::vector<Hit>> SearchIndex::find(const Query& query) {
  State& state = *state_;
  const std::string phrase = fold(query.text);
  std::optional<RE2> expression;
  if (query.regex) {
    RE2::Options options;
    options.set_log_errors(false);
    options.set_case_sensitive(false);
    options.set_max_mem(8 << 20);
    expression.emplace(query.text, options);
    if (!expression->ok()) return fail(Errc::invalid, "not an expression: " + expression->error());
  }
  const auto words = query.regex ? words_of_expression(query.text) : words_to_ask(phrase);
  if (!query.regex && words.empty()) return fail(Errc::invalid, "there is no word to look for in `" + query.text + "`");
  auto work = Work::begin(*state.tables, Tables::Purpose::read);
  if (!work) return tl::unexpected(work.error());
  auto some = state.tables->prepare(lines_question());
  if (!some) return tl::unexpected(some.error());
  auto all = state.tables->prepare("SELECT " + std::string(k_line_columns) + " FROM search_line l WHERE l.session = ? ORDER BY l.number");
  if (!all) return tl::unexpected(all.error());
  std::vector<Hit> hits;
  const auto look = [&](const IndexedSession& session, StoredLine&& stored) -> Result<void> {
    IndexedLine& line = stored.line;
    if (query.commands && !line.is_command) return {};
    if (query.since_us != 0 && line.wall_us < query.since_us) return {};
    if (query.until_us != 0 && line.wall_us >= query.until_us) return {};
    auto text = state.open(session.session.view(), stored.number, line, stored.sealed);
    if (!text) return tl::unexpected(text.error());
    if (expression ? !RE2::PartialMatch(*text, *expression) : !has_phrase(fold(*text), phrase)) return {};
    line.text = std::move(*text);
    hits.push_back({session, std::move(line)});
    return {};
  };
  struct Wanted {
    std::int64_t id = 0;
    std::uint64_t number = 0;
    std::shared_ptr<const IndexedSession> session;
  };
  std::vector<Wanted> wanted;  // in the order in which they are told
  const auto look_at_wanted = [&]() -> Result<void> {
    some->reset();
    for (std::size_t i = 0; i < k_lines_at_once; ++i) {  // no session has the number 0
      some->bind_at(static_cast<int>(2 * i + 1), i < wanted.size() ? wanted[i].id : 0);
      some->bind_at(static_cast<int>(2 * i + 2), i < wanted.size() ? wanted[i].number : 0);
    }
    std::map<std::pair<std::int64_t, std::uint64_t>, StoredLine> found;
    for (;;) {
      auto row = some->step();
      if (!row) return tl::unexpected(row.error());
      if (!*row) break;
      auto line = stored_line(*some);
      found.insert_or_assign({some->integer(0), line.number}, std::move(line));
    }
    for (const Wanted& one : wanted) {
      if (hits.size() >= query.limit) break;
      const auto there = found.find({one.id, one.number});
      if (there == found.end()) continue;
      if (auto looked = look(*one.session, std::move(there->second)); !looked) return looked;
    }
    wanted.clear();
    return {};
  };
  const auto look_in = [&](const State::Candidate& candidate) -> Result<bool> {
    if (candidate.places) {
      const auto session = std::make_shared<const IndexedSession>(candidate.session);
      for (const std::uint64_t number : *candidate.places) {
        wanted.push_back({candidate.id, number, session});
        if (wanted.size() < k_lines_at_once) continue;
        if (auto looked = look_at_wanted(); !looked) return tl::unexpected(looked.error());
        if (hits.size() >= query.limit) return false;
      }
      return true;
    }
    all->reset();
    all->bind(candidate.id);
    for (;;) {
      auto row = all->step();
      if (!row) return tl::unexpected(row.error());
      if (!*row) break;
      if (auto looked = look(candidate.session, stored_line(*all)); !looked) return tl::unexpected(looked.error());
      if (hits.size() >= query.limit) return false;
    }
    return true;
  };
  if (auto all_seen = state.each_candidate(query, words, look_in); !all_seen) return tl::unexpected(all_seen.error());
  if (!wanted.empty())
    if (auto looked = look_at_wanted(); !looked) return tl::unexpected(looked.error());
  return hits;
}

Result<SearchIndex::Size> SearchIndex::size() {
  auto row = state_->tables->prepare("SELECT (SELECT count(*) FROM search_session), (SELECT count(*) FROM search_line), (SELECT count(*) FROM search_word)");
  if (!row) return tl::unexpected(row.error());
  if (auto found = row->step(); !found) return tl::unexpected(found.error());
  const auto number = [&](int column) { return static_cast<std::uint64_t>(row->integer(column)); };
  return Size{number(0), number(1), number(2)};
}

}  // namespace sallyport::search
