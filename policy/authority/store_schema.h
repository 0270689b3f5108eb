// policy/authority/store_schema.h -- the schema of authority.db, version by version; only ever appended to.
#pragma once

#include <array>
#include <string_view>

namespace sallyport::authority {

inline constexpr std::array<std::string_view, 6> k_migrations = {R"sql(
CREATE TABLE sessions(
  label TEXT PRIMARY KEY, state TEXT NOT NULL, started_us INTEGER NOT NULL, started_boot_us INTEGER NOT NULL,
  boot_id TEXT NOT NULL, source TEXT NOT NULL, source_port INTEGER NOT NULL, local TEXT NOT NULL, local_port INTEGER NOT NULL,
  outer TEXT NOT NULL, inner_target TEXT NOT NULL, principal TEXT NOT NULL, display TEXT NOT NULL, target TEXT NOT NULL,
  account TEXT NOT NULL, bare INTEGER NOT NULL, factors TEXT NOT NULL, certificate TEXT NOT NULL,
  key_fingerprint TEXT NOT NULL, problem_code TEXT NOT NULL, problem TEXT NOT NULL, opened_us INTEGER NOT NULL,
  address TEXT NOT NULL, credential TEXT NOT NULL, serial INTEGER NOT NULL, client_algorithms TEXT NOT NULL,
  target_algorithms TEXT NOT NULL, outcome TEXT NOT NULL, code TEXT NOT NULL, ended_us INTEGER NOT NULL,
  exit_code INTEGER NOT NULL, signal INTEGER NOT NULL, cpu_us INTEGER NOT NULL, channels INTEGER NOT NULL,
  bytes_in INTEGER NOT NULL, bytes_out INTEGER NOT NULL, recorded INTEGER) WITHOUT ROWID;
CREATE INDEX sessions_live ON sessions(label) WHERE ended_us = 0;
CREATE TABLE channels(
  session TEXT NOT NULL, channel INTEGER NOT NULL, kind TEXT NOT NULL, up INTEGER NOT NULL, down INTEGER NOT NULL,
  command TEXT NOT NULL, host TEXT NOT NULL, port INTEGER NOT NULL, path TEXT NOT NULL, opened_us INTEGER NOT NULL,
  PRIMARY KEY(session, channel, kind)) WITHOUT ROWID;
CREATE TABLE locks(
  id TEXT PRIMARY KEY, principal TEXT NOT NULL, target TEXT NOT NULL, account TEXT NOT NULL, reason TEXT NOT NULL,
  created_by TEXT NOT NULL, created_us INTEGER NOT NULL, expires_us INTEGER) WITHOUT ROWID;
CREATE TABLE policy_versions(
  version INTEGER PRIMARY KEY, applied_us INTEGER NOT NULL, by TEXT NOT NULL, reason TEXT NOT NULL, digest TEXT NOT NULL,
  intent_sequence INTEGER NOT NULL, outcome_sequence INTEGER NOT NULL);
CREATE TABLE policy_files(
  version INTEGER NOT NULL REFERENCES policy_versions(version), name TEXT NOT NULL, content BLOB NOT NULL,
  PRIMARY KEY(version, name)) WITHOUT ROWID;
CREATE TABLE totp_steps(principal TEXT PRIMARY KEY, step INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE sources(
  principal TEXT NOT NULL, source TEXT NOT NULL, last_us INTEGER NOT NULL, PRIMARY KEY(principal, source)) WITHOUT ROWID;
CREATE TABLE intents(
  id TEXT PRIMARY KEY, kind TEXT NOT NULL, json TEXT NOT NULL, opened_us INTEGER NOT NULL, done INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE marks(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
)sql",
R"sql(
CREATE TABLE requests(
  id TEXT PRIMARY KEY, state TEXT NOT NULL, kind TEXT NOT NULL, principal TEXT NOT NULL, session TEXT NOT NULL, role TEXT NOT NULL,
  target TEXT NOT NULL, account TEXT NOT NULL, text TEXT NOT NULL, reason TEXT NOT NULL, approvers TEXT NOT NULL,
  needed INTEGER NOT NULL, created_us INTEGER NOT NULL, decide_by_us INTEGER NOT NULL, lasts_s INTEGER NOT NULL,
  until_us INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX requests_open ON requests(state) WHERE state IN ('pending', 'approved');
CREATE TABLE request_votes(
  request TEXT NOT NULL, number INTEGER NOT NULL, by TEXT NOT NULL, approve INTEGER NOT NULL, reason TEXT NOT NULL,
  at_us INTEGER NOT NULL, PRIMARY KEY(request, number)) WITHOUT ROWID;
)sql",
R"sql(
CREATE TABLE outcomes(number INTEGER PRIMARY KEY, intent TEXT NOT NULL UNIQUE);
)sql",
R"sql(
CREATE TABLE tokens(
  id TEXT PRIMARY KEY, hash TEXT NOT NULL, principal TEXT NOT NULL, name TEXT NOT NULL, scopes TEXT NOT NULL, networks TEXT NOT NULL,
  created_by TEXT NOT NULL, created_us INTEGER NOT NULL, expires_us INTEGER NOT NULL) WITHOUT ROWID;
)sql",
R"sql(
CREATE TABLE enrolments(
  kind TEXT NOT NULL, principal TEXT NOT NULL, id TEXT NOT NULL, value TEXT NOT NULL, at_us INTEGER NOT NULL,
  PRIMARY KEY(kind, principal, id)) WITHOUT ROWID;
)sql",
R"sql(
CREATE INDEX sessions_started ON sessions(started_us, label);
)sql"};

}  // namespace sallyport::authority
