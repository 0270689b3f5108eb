// policy/authority/store_rows.h -- rows in and out of SQLite. Used by store.cpp only, on the store's thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "platform/sql/database.h"
#include "policy/authority/rows.h"

namespace sallyport::authority {

/// Prepared once, used for every row.
struct Statements {
  sql::Statement put_session;
  sql::Statement put_channel;
  sql::Statement remove_channel;
  sql::Statement remove_channels;
  sql::Statement set_recorded;
  sql::Statement remember_source;
  sql::Statement set_mark;
  [[nodiscard]] static Result<Statements> prepare(sql::Database& database);
};

Result<void> write_session(Statements& statements, const SessionRow& row);
Result<void> write_channel(Statements& statements, const ChannelRow& row);
[[nodiscard]] Result<std::vector<SessionRow>> read_sessions(sql::Database& database, const SessionQuery& query);
[[nodiscard]] Result<SessionRow> read_session(sql::Database& database, const std::string& label);
[[nodiscard]] Result<std::vector<PolicyVersion>> read_policy_versions(sql::Database& database, std::uint32_t limit, bool with_files);
Result<void> read_policy_files(sql::Database& database, PolicyVersion& version);
Result<void> write_policy(sql::Database& database, const PolicyVersion& version);
Result<void> write_lock(sql::Database& database, const policy::Lock& lock);
Result<void> write_request(sql::Database& database, const RequestRow& row);
/// Newest first. `open_only`: pending and approved.
[[nodiscard]] Result<std::vector<UseRow>> read_uses(sql::Database& database);
[[nodiscard]] Result<std::vector<RequestRow>> read_requests(sql::Database& database, bool open_only, const std::string& before, std::uint32_t limit);
[[nodiscard]] Result<Remembered> read_remembered(sql::Database& database);

}  // namespace sallyport::authority
