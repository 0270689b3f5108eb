#include "policy/authority/store_rows.h"

#include <utility>

namespace sallyport::authority {
namespace {

constexpr std::string_view k_session_columns =
    "label, state, started_us, started_boot_us, boot_id, source, source_port, local, local_port, outer, inner_target, "
    "principal, display, target, account, bare, factors, certificate, key_fingerprint, problem_code, problem, opened_us, "
    "address, credential, serial, client_algorithms, target_algorithms, outcome, code, ended_us, exit_code, signal, cpu_us, "
    "channels, bytes_in, bytes_out";

std::string put_session_sql() {
  std::string marks = "?";
  for (int i = 1; i < 36; ++i) marks += ",?";
  std::string updates;
  std::string_view rest = k_session_columns;
  rest.remove_prefix(std::string_view("label, ").size());
  while (!rest.empty()) {
    const auto comma = rest.find(", ");
    const std::string column(rest.substr(0, comma));
    updates += (updates.empty() ? "" : ",") + column + "=excluded." + column;
    rest = comma == std::string_view::npos ? std::string_view{} : rest.substr(comma + 2);
  }
  return "INSERT INTO sessions(" + std::string(k_session_columns) + ") VALUES(" + marks + ") ON CONFLICT(label) DO UPDATE SET " +
         updates;
}

SessionRow session_of(const sql::Statement& s) {
  SessionRow row;
  int c = 0;
  row.label = s.text(c++);
  row.state = s.text(c++);
  row.started_us = s.integer(c++);
  row.started_boot_us = s.integer(c++);
  row.boot_id = s.text(c++);
  row.source = s.text(c++);
  row.source_port = static_cast<std::uint32_t>(s.integer(c++));
  row.local = s.text(c++);
  row.local_port = static_cast<std::uint32_t>(s.integer(c++));
  row.outer = s.text(c++);
  row.inner_target = s.text(c++);
  row.principal = s.text(c++);
  row.display = s.text(c++);
  row.target = s.text(c++);
  row.account = s.text(c++);
  row.bare = s.integer(c++) != 0;
  row.factors = s.text(c++);
  row.certificate = s.text(c++);
  row.key_fingerprint = s.text(c++);
  row.problem_code = s.text(c++);
  row.problem = s.text(c++);
  row.opened_us = s.integer(c++);
  row.address = s.text(c++);
  row.credential = s.text(c++);
  row.serial = s.integer(c++);
  row.client_algorithms = s.text(c++);
  row.target_algorithms = s.text(c++);
  row.outcome = s.text(c++);
  row.code = s.text(c++);
  row.ended_us = s.integer(c++);
  row.exit_code = static_cast<int>(s.integer(c++));
  row.signal = static_cast<int>(s.integer(c++));
  row.cpu_us = s.integer(c++);
  row.channels = static_cast<std::uint64_t>(s.integer(c++));
  row.bytes_in = static_cast<std::uint64_t>(s.integer(c++));
  row.bytes_out = static_cast<std::uint64_t>(s.integer(c++));
  if (!s.is_null(c)) row.recorded_complete = s.integer(c) != 0;
  return row;
}

/// Calls `take` for each row of a query without parameters.
template <class Take>
Result<void> for_each(sql::Database& database, std::string_view sql, Take take) {
  auto statement = database.prepare(sql);
  if (!statement) return tl::unexpected(statement.error());
  for (;;) {
    auto row = statement->step();
    if (!row) return tl::unexpected(row.error());
    if (!*row) return {};
    take(*statement);
  }
}

WallTime wall_of(std::int64_t us) { return WallTime(std::chrono::microseconds(us)); }

}  // namespace

Result<Statements> Statements::prepare(sql::Database& database) {
  Statements made;
  const std::pair<sql::Statement*, std::string> wanted[] = {
      {&made.put_session, put_session_sql()},
      {&made.put_channel, "INSERT OR REPLACE INTO channels VALUES(?,?,?,?,?,?,?,?,?,?)"},
      {&made.remove_channel, "DELETE FROM channels WHERE session=? AND channel=?"},
      {&made.remove_channels, "DELETE FROM channels WHERE session=?"},
      {&made.set_recorded, "UPDATE sessions SET recorded=? WHERE label=?"},
      {&made.remember_source, "INSERT OR REPLACE INTO sources VALUES(?,?,?)"},
      {&made.set_mark, "INSERT OR REPLACE INTO marks VALUES(?,?)"},
  };
  for (const auto& [place, sql] : wanted) {
    auto statement = database.prepare(sql);
    if (!statement) return tl::unexpected(statement.error());
    *place = std::move(*statement);
  }
  return made;
}

Result<void> write_session(Statements& statements, const SessionRow& row) {
  return statements.put_session
      .bind(row.label, row.state, row.started_us, row.started_boot_us, row.boot_id, row.source, row.source_port, row.local,
            row.local_port, row.outer, row.inner_target, row.principal, row.display, row.target, row.account, row.bare, row.factors,
            row.certificate, row.key_fingerprint, row.problem_code, row.problem, row.opened_us, row.address, row.credential,
            row.serial, row.client_algorithms, row.target_algorithms, row.outcome, row.code, row.ended_us, row.exit_code,
            row.signal, row.cpu_us, row.channels, row.bytes_in, row.bytes_out)
      .run();
}

Result<void> write_channel(Statements& statements, const ChannelRow& row) {
  return statements.put_channel
      .bind(row.session, row.channel, row.kind, row.up, row.down, row.command, row.host, row.port, row.path, row.opened_us)
      .run();
}

Result<std::vector<SessionRow>> read_sessions(sql::Database& database, const SessionQuery& query) {
  // By when they began: a label is older than its session, which waited for its client.
  std::int64_t began_us = INT64_MAX;
  if (!query.before.empty()) {
    auto last = database.prepare("SELECT started_us FROM sessions WHERE label=?");
    if (!last) return tl::unexpected(last.error());
    const auto found = last->bind(query.before).step();
    if (!found) return tl::unexpected(found.error());
    if (!*found) return fail(Errc::invalid, "before: there is no session " + query.before + " to go on from; begin without it");
    began_us = last->integer(0);
  }
  auto statement = database.prepare(
      "SELECT " + std::string(k_session_columns) +
      ", recorded FROM sessions WHERE ((?1 AND ended_us=0) OR (?2 AND ended_us<>0)) AND (?3='' OR principal=?3) AND "
      "(?4='' OR target=?4) AND (?5='' OR (started_us, label)<(?6, ?5)) AND started_us BETWEEN ?7 AND ?8 "
      "ORDER BY started_us DESC, label DESC LIMIT ?9");
  if (!statement) return tl::unexpected(statement.error());
  statement->bind(query.live, query.ended, query.principal, query.target, query.before, began_us, query.since_us, query.until_us, query.limit);
  std::vector<SessionRow> rows;
  for (;;) {
    auto row = statement->step();
    if (!row) return tl::unexpected(row.error());
    if (!*row) return rows;
    rows.push_back(session_of(*statement));
  }
}

Result<std::vector<UseRow>> read_uses(sql::Database& database) {
  std::vector<UseRow> rows;
  auto statement = database.prepare("SELECT principal, target, account, max(started_us), count(*) FROM sessions WHERE opened_us<>0 GROUP BY principal, target, account");
  if (!statement) return tl::unexpected(statement.error());
  for (;;) {
    auto row = statement->step();
    if (!row) return tl::unexpected(row.error());
    if (!*row) return rows;
    rows.push_back({statement->text(0), statement->text(1), statement->text(2), statement->integer(3), static_cast<std::uint64_t>(statement->integer(4))});
  }
}

Result<SessionRow> read_session(sql::Database& database, const std::string& label) {
  auto statement = database.prepare("SELECT " + std::string(k_session_columns) + ", recorded FROM sessions WHERE label=?");
  if (!statement) return tl::unexpected(statement.error());
  statement->bind(label);
  auto row = statement->step();
  if (!row) return tl::unexpected(row.error());
  if (!*row) return fail(Errc::not_found, "no session " + label);
  return session_of(*statement);
}

Result<std::vector<PolicyVersion>> read_policy_versions(sql::Database& database, std::uint32_t limit, bool with_files) {
  auto statement = database.prepare(
      "SELECT version, applied_us, by, reason, digest, intent_sequence, outcome_sequence FROM policy_versions "
      "ORDER BY version DESC LIMIT ?");
  if (!statement) return tl::unexpected(statement.error());
  statement->bind(limit);
  std::vector<PolicyVersion> versions;
  for (;;) {
    auto row = statement->step();
    if (!row) return tl::unexpected(row.error());
    if (!*row) break;
    PolicyVersion version;
    version.version = statement->integer(0);
    version.applied_us = statement->integer(1);
    version.by = statement->text(2);
    version.reason = statement->text(3);
    version.digest = statement->text(4);
    version.intent_sequence = static_cast<std::uint64_t>(statement->integer(5));
    version.outcome_sequence = static_cast<std::uint64_t>(statement->integer(6));
    versions.push_back(std::move(version));
  }
  if (!with_files) return versions;
  for (PolicyVersion& version : versions)
    if (auto read = read_policy_files(database, version); !read) return tl::unexpected(read.error());
  return versions;
}

Result<void> read_policy_files(sql::Database& database, PolicyVersion& version) {
  auto files = database.prepare("SELECT name, content FROM policy_files WHERE version=? ORDER BY name");
  if (!files) return tl::unexpected(files.error());
  files->bind(version.version);
  for (;;) {
    auto row = files->step();
    if (!row) return tl::unexpected(row.error());
    if (!*row) return {};
    version.files.push_back({files->text(0), files->text(1)});
  }
}

Result<void> write_policy(sql::Database& database, const PolicyVersion& version) {
  auto row = database.prepare("INSERT INTO policy_versions VALUES(?,?,?,?,?,?,?)");
  if (!row) return tl::unexpected(row.error());
  if (auto written = row->bind(version.version, version.applied_us, version.by, version.reason, version.digest,
                               version.intent_sequence, version.outcome_sequence)
                         .run();
      !written)
    return written;
  auto file = database.prepare("INSERT INTO policy_files VALUES(?,?,?)");
  if (!file) return tl::unexpected(file.error());
  for (const PolicyFile& each : version.files) {
    const auto bytes = std::as_bytes(std::span(each.content.data(), each.content.size()));
    if (auto written = file->bind(version.version, each.name, bytes).run(); !written) return written;
  }
  // The last 50 versions stay for comparison and explanation.
  return database.execute("DELETE FROM policy_files WHERE version <= (SELECT max(version) FROM policy_versions) - 50");
}

Result<void> write_lock(sql::Database& database, const policy::Lock& lock) {
  auto statement = database.prepare("INSERT INTO locks VALUES(?,?,?,?,?,?,?,?)");
  if (!statement) return tl::unexpected(statement.error());
  std::optional<std::int64_t> expires;
  if (lock.expires) expires = lock.expires->time_since_epoch().count();
  return statement
      ->bind(lock.id, lock.principal, lock.target, lock.account, lock.reason, lock.created_by,
             static_cast<std::int64_t>(lock.created.time_since_epoch().count()), expires)
      .run();
}

Result<void> write_request(sql::Database& database, const RequestRow& row) {
  auto statement = database.prepare("INSERT OR REPLACE INTO requests VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)");
  if (!statement) return tl::unexpected(statement.error());
  auto written = statement
                     ->bind(row.id, row.state, row.kind, row.principal, row.session, row.role, row.target, row.account, row.text, row.reason,
                            row.approvers, row.needed, row.created_us, row.decide_by_us, row.lasts_s, row.until_us)
                     .run();
  if (!written) return written;
  auto vote = database.prepare("INSERT OR REPLACE INTO request_votes VALUES(?,?,?,?,?,?)");
  if (!vote) return tl::unexpected(vote.error());
  for (std::size_t i = 0; i < row.votes.size(); ++i) {
    const Vote& one = row.votes[i];
    if (auto done = vote->bind(row.id, static_cast<std::int64_t>(i), one.by, one.approve, one.reason, one.at_us).run(); !done) return done;
  }
  return {};
}

Result<std::vector<RequestRow>> read_requests(sql::Database& database, bool open_only, const std::string& before, std::uint32_t limit) {
  auto statement = database.prepare(
      "SELECT id, state, kind, principal, session, role, target, account, text, reason, approvers, needed, created_us, decide_by_us, "
      "lasts_s, until_us FROM requests WHERE (?1=0 OR state IN ('pending', 'approved')) AND (?2='' OR id<?2) ORDER BY id DESC LIMIT ?3");
  if (!statement) return tl::unexpected(statement.error());
  statement->bind(open_only, before, limit);
  std::vector<RequestRow> rows;
  for (;;) {
    auto there = statement->step();
    if (!there) return tl::unexpected(there.error());
    if (!*there) break;
    const sql::Statement& s = *statement;
    RequestRow row;
    row.id = s.text(0);
    row.state = s.text(1);
    row.kind = s.text(2);
    row.principal = s.text(3);
    row.session = s.text(4);
    row.role = s.text(5);
    row.target = s.text(6);
    row.account = s.text(7);
    row.text = s.text(8);
    row.reason = s.text(9);
    row.approvers = s.text(10);
    row.needed = static_cast<std::uint32_t>(s.integer(11));
    row.created_us = s.integer(12);
    row.decide_by_us = s.integer(13);
    row.lasts_s = s.integer(14);
    row.until_us = s.integer(15);
    rows.push_back(std::move(row));
  }
  auto votes = database.prepare("SELECT by, approve, reason, at_us FROM request_votes WHERE request=? ORDER BY number");
  if (!votes) return tl::unexpected(votes.error());
  for (RequestRow& row : rows) {
    votes->bind(row.id);
    for (;;) {
      auto there = votes->step();
      if (!there) return tl::unexpected(there.error());
      if (!*there) break;
      row.votes.push_back({votes->text(0), votes->integer(1) != 0, votes->text(2), votes->integer(3)});
    }
  }
  return rows;
}

Result<Remembered> read_remembered(sql::Database& database) {
  Remembered all;
  auto requests = read_requests(database, true, {}, 100'000);
  if (!requests) return tl::unexpected(requests.error());
  all.requests = std::move(*requests);
  SessionQuery live;
  live.ended = false;
  live.limit = 1'000'000;
  auto sessions = read_sessions(database, live);
  if (!sessions) return tl::unexpected(sessions.error());
  all.live = std::move(*sessions);
  auto versions = read_policy_versions(database, 1, true);
  if (!versions) return tl::unexpected(versions.error());
  if (!versions->empty()) all.policy = std::move(versions->front());
  Result<void> read;
  read = for_each(database, "SELECT session, channel, kind, up, down, command, host, port, path, opened_us FROM channels",
                  [&](const sql::Statement& s) {
                    all.channels.push_back({s.text(0), static_cast<std::uint32_t>(s.integer(1)), s.text(2), s.integer(3) != 0,
                                            s.integer(4) != 0, s.text(5), s.text(6), static_cast<std::uint32_t>(s.integer(7)),
                                            s.text(8), s.integer(9)});
                  });
  if (!read) return tl::unexpected(read.error());
  read = for_each(database, "SELECT id, principal, target, account, reason, created_by, created_us, expires_us FROM locks",
                  [&](const sql::Statement& s) {
                    policy::Lock lock;
                    lock.id = s.text(0);
                    lock.principal = s.text(1);
                    lock.target = s.text(2);
                    lock.account = s.text(3);
                    lock.reason = s.text(4);
                    lock.created_by = s.text(5);
                    lock.created = wall_of(s.integer(6));
                    if (!s.is_null(7)) lock.expires = wall_of(s.integer(7));
                    all.locks.push_back(std::move(lock));
                  });
  if (!read) return tl::unexpected(read.error());
  read = for_each(database, "SELECT id, hash, principal, name, scopes, networks, created_by, created_us, expires_us FROM tokens", [&](const sql::Statement& s) {
    all.tokens.push_back({s.text(0), s.text(1), s.text(2), s.text(3), s.text(4), s.text(5), s.text(6), s.integer(7), s.integer(8), 0});
  });
  if (!read) return tl::unexpected(read.error());
  read = for_each(database, "SELECT kind, principal, id, value, at_us FROM enrolments ORDER BY at_us", [&](const sql::Statement& s) {
    all.enrolments.push_back({s.text(0), s.text(1), s.text(2), s.text(3), s.integer(4)});
  });
  if (!read) return tl::unexpected(read.error());
  read = for_each(database, "SELECT principal, step FROM totp_steps",
                  [&](const sql::Statement& s) { all.totp_steps[s.text(0)] = s.integer(1); });
  if (!read) return tl::unexpected(read.error());
  read = for_each(database, "SELECT principal, source, last_us FROM sources ORDER BY last_us DESC LIMIT 65536",
                  [&](const sql::Statement& s) { all.sources.push_back({s.text(0), s.text(1), s.integer(2)}); });
  if (!read) return tl::unexpected(read.error());
  read = for_each(database, "SELECT id, kind, json, opened_us, done FROM intents", [&](const sql::Statement& s) {
    all.intents.push_back({s.text(0), s.text(1), s.text(2), s.integer(3), s.integer(4) != 0});
  });
  if (!read) return tl::unexpected(read.error());
  read = for_each(database, "SELECT intent FROM outcomes", [&](const sql::Statement& s) { all.outcomes.push_back(s.text(0)); });
  if (!read) return tl::unexpected(read.error());
  read = for_each(database, "SELECT coalesce(max(serial), 0) FROM sessions",
                  [&](const sql::Statement& s) { all.last_serial = s.integer(0); });
  if (!read) return tl::unexpected(read.error());
  read = for_each(database, "SELECT value FROM marks WHERE name='wall_high_us'",
                  [&](const sql::Statement& s) { all.wall_high_us = s.integer(0); });
  if (!read) return tl::unexpected(read.error());
  return all;
}

}  // namespace sallyport::authority
