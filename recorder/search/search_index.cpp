#include "recorder/search/search_index.h"

#include <re2/re2.h>

#include <algorithm>
#include <array>
#include <map>

#include "platform/crypto/aead.h"
#include "platform/crypto/hkdf.h"
#include "platform/crypto/hmac.h"
#include "platform/crypto/random.h"
#include "platform/seal/entry.h"
#include "platform/sql/database.h"
#include "recorder/search/words.h"

namespace sallyport::search {
namespace {

using seal::get_number;
using seal::put_number;

// Types that SQLite and PostgreSQL both know; no statement below uses a dialect of its own.
constexpr std::array<std::string_view, 1> k_schema{R"(
CREATE TABLE search_about(name TEXT PRIMARY KEY, value BYTEA NOT NULL);
CREATE TABLE search_session(id BIGINT PRIMARY KEY, label TEXT NOT NULL UNIQUE, principal TEXT NOT NULL, account TEXT NOT NULL, target TEXT NOT NULL,
  began BIGINT NOT NULL, last BIGINT NOT NULL, boot BIGINT NOT NULL, entries BIGINT NOT NULL);
CREATE INDEX search_session_by_time ON search_session(began);
CREATE TABLE search_line(session BIGINT NOT NULL, number BIGINT NOT NULL, channel BIGINT NOT NULL, wall BIGINT NOT NULL, boot BIGINT NOT NULL,
  sequence BIGINT NOT NULL, command BIGINT NOT NULL, status BIGINT, sealed BYTEA NOT NULL, PRIMARY KEY(session, number));
CREATE TABLE search_word(token BIGINT NOT NULL, session BIGINT NOT NULL, places BYTEA NOT NULL, PRIMARY KEY(token, session));
CREATE INDEX search_word_of_session ON search_word(session);
)"};

constexpr std::string_view k_put_session = "INSERT INTO search_session(id, label, principal, account, target, began, last, boot, entries) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)";
constexpr std::string_view k_put_line = "INSERT INTO search_line(session, number, channel, wall, boot, sequence, command, status, sealed) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)";
constexpr std::string_view k_put_word = "INSERT INTO search_word(token, session, places) VALUES(?, ?, ?)";
constexpr std::size_t k_nonce = crypto::k_aead_nonce_size;
constexpr std::size_t k_tag = crypto::k_aead_tag_size;
constexpr std::int64_t k_common_word = 500;  ///< sessions
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

std::string_view search_schema() { return k_schema[0]; }

struct SearchIndex::State {
  sql::Database database;
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

Result<SearchIndex> SearchIndex::open(const std::string& file, const Secret& search_key) {
  auto database = sql::Database::open(file);
  if (!database) return tl::unexpected(database.error());
  // Built from recordings: what power loss takes is built again.
  if (auto set = database->execute("PRAGMA synchronous=NORMAL; PRAGMA secure_delete=ON"); !set) return tl::unexpected(set.error());
  if (auto migrated = sql::migrate(*database, k_schema); !migrated) return tl::unexpected(migrated.error());
  Secret words = crypto::hkdf_sha256(search_key.reveal(), {}, "sallyport search words v1", 32);
  const Secret lines = crypto::hkdf_sha256(search_key.reveal(), {}, "sallyport search lines v1", crypto::k_aead_key_size);
  const auto mark = crypto::hmac_sha256(words.reveal(), bytes_of("sallyport search key check v1"));
  auto known = database->prepare("SELECT value FROM search_about WHERE name = 'key'");
  if (!known) return tl::unexpected(known.error());
  auto row = known->step();
  if (!row) return tl::unexpected(row.error());
  if (*row) {
    if (!crypto::equal_constant_time(known->bytes(0), mark)) return fail(Errc::corrupt, "the search index was made under another key");
  } else {
    auto put = database->prepare("INSERT INTO search_about(name, value) VALUES('key', ?)");
    if (!put) return tl::unexpected(put.error());
    if (auto run = put->bind(std::span<const std::byte>(mark)).run(); !run) return tl::unexpected(run.error());
  }
  known->reset();
  return SearchIndex(std::unique_ptr<State>(new State{std::move(*database), std::move(words), crypto::Aes256Gcm(lines.reveal())}));
}

Result<std::optional<std::int64_t>> SearchIndex::State::id_of(const SessionId& session) {
  auto row = database.prepare("SELECT id FROM search_session WHERE label = ?");
  if (!row) return tl::unexpected(row.error());
  auto found = row->bind(session.str()).step();
  if (!found) return tl::unexpected(found.error());
  return *found ? std::optional(row->integer(0)) : std::nullopt;
}

Result<void> SearchIndex::State::forget(std::int64_t id) {
  for (const std::string_view text : {"DELETE FROM search_word WHERE session = ?", "DELETE FROM search_line WHERE session = ?", "DELETE FROM search_session WHERE id = ?"}) {
    auto away = database.prepare(text);
    if (!away) return tl::unexpected(away.error());
    if (auto run = away->bind(id).run(); !run) return run;
  }
  return {};
}

Result<void> SearchIndex::put(const IndexedSession& session, const std::vector<IndexedLine>& lines) {
  State& state = *state_;
  auto transaction = sql::Transaction::begin(state.database);
  if (!transaction) return tl::unexpected(transaction.error());
  const auto known = state.id_of(session.session);
  if (!known) return tl::unexpected(known.error());
  std::int64_t id = 0;
  if (*known) {
    id = **known;
    if (auto gone = state.forget(id); !gone) return gone;
  } else {
    auto next = state.database.prepare("SELECT coalesce(max(id), 0) + 1 FROM search_session");
    if (!next) return tl::unexpected(next.error());
    if (auto row = next->step(); !row) return tl::unexpected(row.error());
    id = next->integer(0);
  }
  auto put = state.database.prepare(k_put_session);
  if (!put) return tl::unexpected(put.error());
  if (auto run = put->bind(id, session.session.str(), session.principal, session.account, session.target, session.began_us, session.last_us, session.boot_us, session.entries).run(); !run)
    return run;
  auto put_line = state.database.prepare(k_put_line);
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
  auto put_word = state.database.prepare(k_put_word);
  if (!put_word) return tl::unexpected(put_word.error());
  for (const auto& [token, places] : words)
    if (auto run = put_word->bind(token, id, places.first).run(); !run) return run;
  return transaction->commit();
}

Result<void> SearchIndex::remove(const SessionId& session) {
  auto transaction = sql::Transaction::begin(state_->database);
  if (!transaction) return tl::unexpected(transaction.error());
  const auto id = state_->id_of(session);
  if (!id) return tl::unexpected(id.error());
  if (*id)
    if (auto gone = state_->forget(**id); !gone) return gone;
  if (auto done = transaction->commit(); !done) return done;
  return state_->database.execute("PRAGMA wal_checkpoint(TRUNCATE)");  // nothing of it in the database's log either
}

Result<std::uint64_t> SearchIndex::reach(const SessionId& session) {
  auto row = state_->database.prepare("SELECT entries FROM search_session WHERE label = ?");
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
    auto count = database.prepare("SELECT count(*) FROM search_word WHERE token = ?");
    if (!count) return tl::unexpected(count.error());
    if (auto row = count->bind(one.token).step(); !row) return tl::unexpected(row.error());
    one.count = count->integer(0);
    if (one.count == 0) return {};
    asked.push_back(one);
  }
  std::sort(asked.begin(), asked.end(), [](const Asked& a, const Asked& b) { return a.count < b.count; });
  if (asked.size() > k_most_words) asked.resize(k_most_words);
  std::string text = "SELECT s.id, s.label, s.principal, s.account, s.target, s.began, s.last, s.boot, s.entries";
  // A word of many sessions is looked up session by session, newest first: the first ones that have it are usually enough. SQLite
  // keeps the order of a CROSS JOIN; to others it is a join like any.
  if (!asked.empty() && asked.front().count > k_common_word)
    text += ", w.places FROM search_session s CROSS JOIN search_word w WHERE w.session = s.id AND w.token = ?";
  else if (!asked.empty()) text += ", w.places FROM search_word w JOIN search_session s ON s.id = w.session WHERE w.token = ?";
  else text += " FROM search_session s WHERE 1 = 1";
  if (!query.principal.empty()) text += " AND s.principal = ?";
  if (!query.target.empty()) text += " AND s.target = ?";
  if (query.since_us != 0) text += " AND s.last >= ?";
  if (query.until_us != 0) text += " AND s.began < ?";
  text += " ORDER BY s.began DESC, s.id DESC";
  auto rows = database.prepare(text);
  if (!rows) return tl::unexpected(rows.error());
  int at = 0;
  if (!asked.empty()) rows->bind_at(++at, asked.front().token);
  if (!query.principal.empty()) rows->bind_at(++at, query.principal);
  if (!query.target.empty()) rows->bind_at(++at, query.target);
  if (query.since_us != 0) rows->bind_at(++at, query.since_us);
  if (query.until_us != 0) rows->bind_at(++at, query.until_us);
  auto other = database.prepare("SELECT places FROM search_word WHERE token = ? AND session = ?");
  if (!other) return tl::unexpected(other.error());
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
        other->reset();
        auto more = other->bind(asked[i].token, candidate.id).step();
        if (!more) return tl::unexpected(more.error());
        const auto theirs = *more ? places_in(other->bytes(0)) : std::vector<std::uint64_t>();
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
  auto one = state.database.prepare("SELECT number, channel, wall, boot, sequence, command, status, sealed FROM search_line WHERE session = ? AND number = ?");
  if (!one) return tl::unexpected(one.error());
  auto all = state.database.prepare("SELECT number, channel, wall, boot, sequence, command, status, sealed FROM search_line WHERE session = ? ORDER BY number");
  if (!all) return tl::unexpected(all.error());
  std::vector<Hit> hits;
  const auto look = [&](const State::Candidate& candidate, sql::Statement& row) -> Result<void> {
    IndexedLine line{static_cast<std::uint32_t>(row.integer(1)), row.integer(2), row.integer(3), static_cast<std::uint64_t>(row.integer(4)), row.integer(5) != 0,
                     row.is_null(6) ? std::nullopt : std::optional(static_cast<int>(row.integer(6))), {}};
    if (query.commands && !line.is_command) return {};
    if (query.since_us != 0 && line.wall_us < query.since_us) return {};
    if (query.until_us != 0 && line.wall_us >= query.until_us) return {};
    auto text = state.open(candidate.session.session.view(), static_cast<std::uint64_t>(row.integer(0)), line, row.bytes(7));
    if (!text) return tl::unexpected(text.error());
    if (expression ? !RE2::PartialMatch(*text, *expression) : !has_phrase(fold(*text), phrase)) return {};
    line.text = std::move(*text);
    hits.push_back({candidate.session, std::move(line)});
    return {};
  };
  const auto look_in = [&](const State::Candidate& candidate) -> Result<bool> {
    if (candidate.places) {
      for (const std::uint64_t number : *candidate.places) {
        one->reset();
        auto row = one->bind(candidate.id, number).step();
        if (!row) return tl::unexpected(row.error());
        if (!*row) continue;
        if (auto looked = look(candidate, *one); !looked) return tl::unexpected(looked.error());
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
      if (auto looked = look(candidate, *all); !looked) return tl::unexpected(looked.error());
      if (hits.size() >= query.limit) return false;
    }
    return true;
  };
  if (auto all_seen = state.each_candidate(query, words, look_in); !all_seen) return tl::unexpected(all_seen.error());
  return hits;
}

Result<SearchIndex::Size> SearchIndex::size() {
  auto row = state_->database.prepare("SELECT (SELECT count(*) FROM search_session), (SELECT count(*) FROM search_line), (SELECT count(*) FROM search_word)");
  if (!row) return tl::unexpected(row.error());
  if (auto found = row->step(); !found) return tl::unexpected(found.error());
  const auto number = [&](int column) { return static_cast<std::uint64_t>(row->integer(column)); };
  return Size{number(0), number(1), number(2)};
}

}  // namespace sallyport::search
