// policy/guard/dialects.h -- what is typed at the prompts of databases, or handed to their clients.
//
// Statements become commands of their own for the rules: `sql drop table users`, `redis flushall`, `mongo db.dropDatabase()`.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "policy/guard/guard.h"

namespace sallyport::guard {

class Walk;
struct Command;

/// psql, mysql, sqlite3, redis-cli, mongosh and others: true when the command was one; its statements have then been emitted.
[[nodiscard]] bool data_client(Walk& walk, const Command& command);

/// SQL text as statements: lower case, no comments, strings as '?', single blanks.
[[nodiscard]] std::vector<std::string> sql_statements(std::string_view text, bool& is_incomplete);

/// `is_prompt`: typed line by line; a statement without an end may go on with the next.
void walk_sql(Walk& walk, std::string_view text, std::string_view client, bool& is_incomplete, bool is_prompt = false);
void walk_redis(Walk& walk, std::string_view text);
/// Text typed at a prompt of `dialect`.
void walk_prompt(Walk& walk, std::string_view text, Dialect dialect);

}  // namespace sallyport::guard
