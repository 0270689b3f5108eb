#include "policy/guard/dialects.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "policy/guard/argv_words.h"
#include "policy/guard/walk.h"

namespace sallyport::guard {
namespace {

std::string trimmed(std::string_view text) {
  const std::size_t from = text.find_first_not_of(" \t\r\n");
  if (from == std::string_view::npos) return {};
  return std::string(text.substr(from, text.find_last_not_of(" \t\r\n;") + 1 - std::min(from, text.find_last_not_of(" \t\r\n;") + 1)));
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); });
  return out;
}

/// How a client is told what to run.
struct Client {
  std::string_view name;
  std::string_view statement_flags;  ///< blank-separated
  std::string_view file_flags;
  std::string_view value_flags;      ///< options with a separate value
  bool statement_operand = false;    ///< sqlite3 DB 'SQL'
  Dialect dialect = Dialect::other;
};
constexpr std::array k_clients = {
    Client{"psql", "-c --command", "-f --file", "-h -p -U -d -v -o -L -P -F -R -T --host --port --username --dbname --set --output", false, Dialect::psql},
    Client{"pgcli", "-c", "", "-h -p -U -d -u", false, Dialect::psql},
    Client{"mysql", "-e --execute", "", "-h -P -u -D -S --host --port --user --database --socket --defaults-file --defaults-extra-file", false, Dialect::mysql},
    Client{"mariadb", "-e --execute", "", "-h -P -u -D -S --host --port --user --database --socket", false, Dialect::mysql},
    Client{"mycli", "-e --execute", "", "-h -P -u -D", false, Dialect::mysql},
    Client{"sqlite3", "-cmd", "-init", "-separator -newline -nullvalue", true, Dialect::other},
    Client{"sqlite", "", "", "", true, Dialect::other},
    Client{"litecli", "-e", "", "", false, Dialect::other},
    Client{"duckdb", "-c -s", "-init -f", "", true, Dialect::other},
    Client{"clickhouse-client", "-q --query", "--queries-file", "-h --host --port -u --user --password -d --database", false, Dialect::other},
    Client{"cqlsh", "-e --execute", "-f --file", "-u -p -k", false, Dialect::other},
    Client{"sqlcmd", "-Q -q", "-i", "-S -U -P -d", false, Dialect::other},
    Client{"bq", "", "", "--project_id", false, Dialect::other},
    Client{"presto", "--execute", "--file", "--server --catalog --schema --user", false, Dialect::other},
    Client{"trino", "--execute", "--file", "--server --catalog --schema --user", false, Dialect::other},
    Client{"hive", "-e", "-f", "--database --hiveconf", false, Dialect::other},
    Client{"beeline", "-e", "-f", "-u -n -p", false, Dialect::other},
    Client{"spark-sql", "-e", "-f", "--master --conf", false, Dialect::other},
    Client{"influx", "-execute", "", "-host -port -database", false, Dialect::other},
    Client{"snowsql", "-q", "-f", "-a -u -d -s -c -w", false, Dialect::other},
    Client{"cockroach", "-e --execute", "-f", "--host --url -u -d", false, Dialect::psql},
};

void emit(Walk& walk, Argv argv) {
  Command made;
  made.argv = std::move(argv);
  made.is_resolved = true;
  walk.emit(std::move(made));
}

/// \! cmd, system cmd, .shell cmd, \copy ... program 'cmd', copy ... to program 'cmd'
void shell_escapes(Walk& walk, std::string_view line) {
  const std::string text = trimmed(line);
  const auto run = [&](std::size_t skip) {
    const std::string rest = trimmed(std::string_view(text).substr(std::min(skip, text.size())));
    if (!rest.empty()) {
      emit(walk, {"sql-shell", rest});
      (void)walk.run_text(rest, Input{}, "database client");
    } else {
      emit(walk, {"sql-shell"});
    }
  };
  if (text.starts_with("\\!")) return run(2);
  const std::string low = lower(text.substr(0, 16));
  if (low.starts_with("system ")) return run(7);
  if (low.starts_with(".shell") || low.starts_with(".system")) return run(text.find_first_of(" \t") == std::string::npos ? text.size() : text.find_first_of(" \t"));
  if (low.starts_with("\\g |") || low.starts_with("\\o |")) return run(4);
  if (low.starts_with("pager ")) return run(6);
  if (low.starts_with("\\setenv pager")) return run(13);
}

void copy_program(Walk& walk, std::string_view text) {
  const std::string low = lower(text);
  for (std::size_t p = low.find(" program "); p != std::string::npos; p = low.find(" program ", p + 9)) {
    const std::size_t open = text.find('\'', p);
    if (open == std::string_view::npos) return;
    const std::size_t close = std::min(text.find('\'', open + 1), text.size());
    emit(walk, {"sql-shell", std::string(text.substr(open + 1, close - open - 1))});
    (void)walk.run_text(text.substr(open + 1, close - open - 1), Input{}, "copy program");
  }
}

}  // namespace

std::vector<std::string> sql_statements(std::string_view text, bool& is_incomplete) {
  std::vector<std::string> statements;
  std::string current;
  bool has_end = true;
  const auto blank = [&] {
    if (!current.empty() && current.back() != ' ') current.push_back(' ');
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const std::string_view rest = text.substr(i);
    if (rest.starts_with("--") || (c == '#' && current.find_first_not_of(' ') == std::string::npos)) {
      i = std::min(text.find('\n', i), text.size()) - 1;
      blank();
      if (i + 1 >= text.size()) break;
    } else if (rest.starts_with("/*!")) {  // MySQL runs what stands in these
      i += 2;
      while (i + 1 < text.size() && std::isdigit(static_cast<unsigned char>(text[i + 1])) != 0) ++i;
      blank();
    } else if (rest.starts_with("/*")) {
      const std::size_t end = text.find("*/", i + 2);
      if (end == std::string_view::npos) {
        is_incomplete = true;
        break;
      }
      i = end + 1;
      blank();
    } else if (rest.starts_with("*/")) {
      ++i;
      blank();
    } else if (c == '\'' ) {
      std::size_t j = i + 1;
      while (j < text.size() && text[j] != '\'') j += text[j] == '\\' ? 2 : 1;
      if (j >= text.size()) is_incomplete = true;
      current += "'?'";
      i = std::min(j, text.size());
      has_end = false;
    } else if (c == '"' || c == '`') {
      current.push_back(' ');
      current.pop_back();
    } else if (rest.starts_with("$$")) {
      const std::size_t end = text.find("$$", i + 2);
      if (end == std::string_view::npos) {
        is_incomplete = true;
        break;
      }
      // The body of a DO block or function: its statements count too.
      bool ignored = false;
      for (std::string& inner : sql_statements(text.substr(i + 2, end - i - 2), ignored)) {
        if (inner.starts_with("begin ")) inner.erase(0, 6);
        statements.push_back(std::move(inner));
      }
      current += "$$?$$";
      i = end + 1;
    } else if (c == ';' || (c == '\\' && (rest.starts_with("\\g") || rest.starts_with("\\G")))) {
      if (c == '\\') ++i;
      std::string done = trimmed(current);
      if (!done.empty()) statements.push_back(std::move(done));
      current.clear();
      has_end = true;
    } else if (std::isspace(static_cast<unsigned char>(c)) != 0) {
      blank();
    } else {
      current.push_back(static_cast<char>(std::tolower(static_cast<unsigned char>(c))));
      has_end = false;
    }
  }
  std::string last = trimmed(current);
  if (!last.empty()) statements.push_back(std::move(last));
  if (!has_end) is_incomplete = true;
  return statements;
}

void walk_sql(Walk& walk, std::string_view text, std::string_view client, bool& is_incomplete, bool is_prompt) {
  if (!walk.spend(16 + text.size())) {
    walk.note(Opaque::unreadable, "this takes too long to read", text);
    return;
  }
  // Lines of the client's own: \! \copy .shell system
  std::string statements;
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string line = trimmed(text.substr(at, end - at));
    const std::string low = lower(line.substr(0, 8));
    if (line.starts_with('\\') || line.starts_with('.') || low.starts_with("system ") || low.starts_with("pager ") || low.starts_with("source ")) {
      shell_escapes(walk, line);
      if (line.starts_with("\\copy")) copy_program(walk, line);
      if (low.starts_with("\\i") || low.starts_with("source ") || low.starts_with(".read")) walk.note(Opaque::unseen_file, "a file of statements that was not seen", line);
      emit(walk, {"sql-meta", std::string(client), line});
    } else {
      // \! in the middle of a line works in psql as well.
      if (const std::size_t bang = line.find("\\!"); bang != std::string::npos) shell_escapes(walk, std::string_view(line).substr(bang));
      statements += text.substr(at, end - at);
      statements += '\n';
    }
    at = end + 1;
  }
  copy_program(walk, statements);
  std::vector<std::string> all = sql_statements(statements, is_incomplete);
  // Typed over several lines, the WHERE may still come; the whole is judged with the line that ends it.
  if (is_prompt && is_incomplete && !all.empty() && (all.back().starts_with("delete ") || all.back().starts_with("update ") || all.back().starts_with("with "))) all.pop_back();
  for (std::string& statement : all) emit(walk, {"sql", std::move(statement)});
}

void walk_redis(Walk& walk, std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    Argv words{"redis"};
    std::string word;
    char quote = '\0';
    bool open = false;
    for (const char c : text.substr(at, end - at)) {
      if (quote != '\0') {
        if (c == quote) quote = '\0';
        else word.push_back(c);
      } else if (c == '"' || c == '\'') {
        quote = c;
        open = true;
      } else if (c == ' ' || c == '\t' || c == '\r') {
        if (open || !word.empty()) words.push_back(std::move(word));
        word.clear();
        open = false;
      } else {
        word.push_back(c);
      }
    }
    if (open || !word.empty()) words.push_back(std::move(word));
    if (words.size() > 1) {
      if (words.size() > 2 && std::all_of(words[1].begin(), words[1].end(), [](char c) { return c >= '0' && c <= '9'; })) words.erase(words.begin() + 1);  // a repeat count
      words[1] = lower(words[1]);
      if (is_one_of(words[1], {"config", "debug", "client", "cluster", "script", "acl", "module", "memory", "replicaof", "slaveof", "function"}) && words.size() > 2) words[2] = lower(words[2]);
      emit(walk, std::move(words));
    }
    at = end + 1;
  }
}

void walk_prompt(Walk& walk, std::string_view text, Dialect dialect) {
  const std::string clean = sanitise(text);
  switch (dialect) {
    case Dialect::psql:
    case Dialect::mysql: walk_sql(walk, clean, name_of(dialect), walk.is_incomplete, true); break;
    case Dialect::redis: walk_redis(walk, clean); break;
    case Dialect::python: {
      std::string line = trimmed(clean);
      if (line.starts_with('!')) {  // ipython
        (void)walk.run_text(line.substr(1), Input{}, "ipython !");
      } else {
        (void)walk.run_code("python", clean, Input{}, "python prompt");
      }
      walk.is_incomplete = line.ends_with(':') || line.ends_with('\\') || line.ends_with('(') || line.ends_with('[');
      break;
    }
    case Dialect::other: walk.note(Opaque::nested_shell, "a line at a prompt that is not known", clean); break;
    case Dialect::shell: walk.run(text); break;
  }
}

bool data_client(Walk& walk, const Command& command) {
  const Argv& argv = command.argv;
  const std::string_view name = program_name(argv[0]);
  if (name == "redis-cli" || name == "valkey-cli" || name == "keydb-cli") {
    Argv words;
    bool is_over = false;
    for (std::size_t i = 1; i < argv.size(); ++i) {
      const std::string& word = argv[i];
      if (!is_over && word.size() > 1 && word[0] == '-' && words.empty()) {
        if (is_one_of(word, {"-h", "-p", "-s", "-a", "-u", "-r", "-i", "-n", "-d", "-D", "--user", "--pass", "--eval", "--pattern", "--rdb", "--cacert", "--cert", "--key", "--tls-ciphers", "--sni", "-t", "--functions-rdb"})) ++i;
        if (is_one_of(word, {"--bigkeys", "--memkeys", "--scan", "--stat", "--latency", "--hotkeys", "--rdb", "--eval", "--pipe", "--version", "--help", "--cluster", "--latency-history", "--intrinsic-latency", "--latency-dist"})) is_over = true;
        continue;
      }
      words.push_back(plain(word));
    }
    if (is_over) return true;
    if (!words.empty()) {
      std::string text;
      for (const std::string& word : words) text += (text.empty() ? "\"" : " \"") + word + "\"";
      walk_redis(walk, text);
    } else if (command.input.text && command.input.kind != Input::Kind::terminal) {
      if (*command.input.text == std::string(1, k_hole)) walk.note(Opaque::unseen_input, "a database client runs what cannot be seen", shown(argv[0]));
      else walk_redis(walk, *command.input.text);
    } else if (command.input.kind == Input::Kind::terminal || command.input.kind == Input::Kind::channel) {
      walk.note(command.input.kind == Input::Kind::channel ? Opaque::unseen_input : Opaque::nested_shell, "a prompt inside the shell", shown(argv[0]));
      walk.enters = Dialect::redis;
    }
    return true;
  }
  if (is_one_of(name, {"mongo", "mongosh"})) {
    for (std::size_t i = 1; i < argv.size(); ++i) {
      if (argv[i] == "--eval" && i + 1 < argv.size()) emit(walk, {"mongo-code", plain(argv[i + 1])});
      if (argv[i].starts_with("--eval=")) emit(walk, {"mongo-code", plain(argv[i].substr(7))});
    }
    if (command.input.text && command.input.kind != Input::Kind::terminal) emit(walk, {"mongo-code", *command.input.text});
    return true;
  }
  const auto client = std::find_if(k_clients.begin(), k_clients.end(), [&](const Client& c) { return c.name == name; });
  if (client == k_clients.end()) return false;
  bool had_statement = false;
  bool ignored = false;
  int operands = 0;
  for (std::size_t i = 1; i < argv.size(); ++i) {
    const std::string& word = argv[i];
    std::string statement;
    if (is_listed(client->statement_flags, word) && i + 1 < argv.size()) {
      statement = plain(argv[++i]);
    } else if (word.starts_with("--") && word.find('=') != std::string::npos && is_listed(client->statement_flags, word.substr(0, word.find('=')))) {
      statement = plain(word.substr(word.find('=') + 1));
    } else if (word.size() > 2 && word[0] == '-' && word[1] != '-' && is_listed(client->statement_flags, word.substr(0, 2))) {
      statement = plain(word.substr(2));
    } else if (word.size() > 2 && word[0] == '-' && word[1] != '-' && i + 1 < argv.size() && is_listed(client->statement_flags, "-" + word.substr(word.size() - 1)) && word.find_first_not_of("ABNtsqXawrEHxceQv-") == std::string::npos) {
      statement = plain(argv[++i]);  // mysql -Ne '...', psql -Atc '...'
    } else if (is_listed(client->file_flags, word) && i + 1 < argv.size()) {
      const KnownFile* file = walk.find_file(argv[++i]);
      if (file != nullptr && file->is_content_known) statement = file->content;
      else walk.note(Opaque::unseen_file, "a file of statements that was not seen", argv[i]);
      had_statement = true;
    } else if (is_listed(client->value_flags, word)) {
      ++i;
    } else if (word.empty() || word[0] != '-') {
      ++operands;
      if (client->statement_operand && operands > 1) statement = plain(word);
    }
    if (!statement.empty()) {
      had_statement = true;
      walk_sql(walk, statement, name, ignored);
    }
  }
  if (had_statement) return true;
  switch (command.input.kind) {
    case Input::Kind::nothing: break;
    case Input::Kind::terminal:
    case Input::Kind::channel:
      if (std::find(argv.begin(), argv.end(), "--version") != argv.end() || std::find(argv.begin(), argv.end(), "-l") != argv.end()) break;
      walk.note(command.input.kind == Input::Kind::channel ? Opaque::unseen_input : Opaque::nested_shell, "a prompt inside the shell", shown(argv[0]));
      walk.enters = client->dialect;
      break;
    default:
      if (command.input.text && *command.input.text != std::string(1, k_hole)) walk_sql(walk, *command.input.text, name, ignored);
      else walk.note(Opaque::unseen_file, "statements that were not seen", shown(argv[0]));
  }
  return true;
}

}  // namespace sallyport::guard
