#include "policy/guard/code_reader.h"

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <vector>

#include "policy/guard/argv_words.h"
#include "policy/guard/code_tokens.h"
#include "policy/guard/dialects.h"

namespace sallyport::guard {
namespace {

/// Names that start programs or run text as code.
bool starts_programs(std::string_view name) {
  static constexpr std::array<std::string_view, 57> k_names{
      "system", "popen", "popen2", "popen3", "run", "call", "check_output", "check_call", "Popen", "getoutput", "getstatusoutput", "execl", "execlp", "execle", "execv", "execvp", "execve", "execvpe",
      "execlpe", "spawnl", "spawnlp", "spawnv", "spawnvp", "spawnve", "posix_spawn", "spawn", "spawnSync", "exec", "execSync", "execFile", "execFileSync", "fork", "shell_exec", "passthru", "proc_open",
      "pcntl_exec", "capture2", "capture2e", "capture3", "pipeline", "execute", "create_subprocess_shell", "create_subprocess_exec", "startfile", "callCommand", "readProcess", "shell", "sh", "cmd", "os_system",
      "Run", "getRuntime", "ProcessBuilder", "pty_spawn", "system2", "exec_command", "Command"};
  return std::find(k_names.begin(), k_names.end(), name) != k_names.end();
}
/// Of these, the ones that are ordinary words too: they count when a telling module is named.
bool is_common_word(std::string_view name) {
  return is_one_of(name, {"run", "call", "spawn", "fork", "execute", "pipeline", "sh", "cmd", "shell", "exec", "Run", "system", "Command"});
}
bool runs_code(std::string_view name) {
  return is_one_of(name, {"eval", "exec", "compile", "execfile", "runInThisContext", "runInNewContext", "loadstring", "load", "instance_eval", "class_eval", "assert", "create_function", "Function", "dostring", "evalc", "timeit", "runcode", "runsource", "run_string", "runctx"});
}

bool looks_like_path(std::string_view text) {
  if (text.size() < 3 || text.size() > 300 || text.find('\n') != std::string_view::npos) return false;
  return text[0] == '/' || text.starts_with("~/") || text.starts_with("../") || text.starts_with("./") || text.starts_with(".ssh") || text.starts_with(".aws") || text.starts_with("file://");
}

/// What a piece of code does with programs, files and the network.
class CodeReader {
 public:
  CodeReader(Walk& walk, Language language, std::string_view program, const Input& input) : walk_(walk), language_(language), program_(program), input_(input) {}

  void read(std::string_view code) {
    tokens_ = tokenise(language_, code);
    if (!walk_.spend(tokens_.size() * 40 + 50)) return;
    if (language_ == Language::python) resolve_imports();
    fold(language_, tokens_);
    bool names_process_module = false;
    bool builds_names = false;
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      const Token& t = tokens_[i];
      if (t.kind == Token::Kind::name || t.kind == Token::Kind::text) {
        if (is_one_of(t.value, {"os", "subprocess", "pty", "child_process", "commands", "Open3", "Kernel", "Process", "IPC", "posix", "io", "node:child_process", "shutil", "Runtime", "System", "paramiko", "fabric", "sh", "plumbum", "pexpect", "shelljs", "execa", "asyncio", "Bun", "Deno"})) names_process_module = true;
      }
      if (t.kind == Token::Kind::name && is_one_of(t.value, {"getattr", "__import__", "globals", "locals", "vars", "__builtins__", "__subclasses__", "import_module", "send", "public_send", "constructor", "marshal", "pickle", "ctypes", "syscall", "cffi", "call_user_func", "Reflect", "ffi", "Fiddle", "__globals__", "__class__"})) builds_names = true;
    }
    std::size_t calls = 0;
    for (std::size_t i = 0; i < tokens_.size() && walk_.spend(4); ++i) {
      const Token& t = tokens_[i];
      if (t.kind == Token::Kind::command) {
        run_shell(t.value);
        ++calls;
        continue;
      }
      const bool by_text = t.kind == Token::Kind::text && builds_names_near(i);
      if (t.kind != Token::Kind::name && !by_text) continue;
      if (language_ == Language::perl && t.value == "open" && opens_pipe(i)) {
        ++calls;
        continue;
      }
      if (t.value == "fork" && has_loop()) {
        Command bomb;
        bomb.argv = {"fork-bomb", std::string(program_)};
        walk_.emit(std::move(bomb));
      }
      const bool starts = starts_programs(t.value) && (!is_common_word(t.value) || names_process_module || language_ == Language::perl || language_ == Language::ruby || language_ == Language::php || language_ == Language::other || language_ == Language::node);
      const bool evaluates = runs_code(t.value) && !(i > 0 && tokens_[i - 1].value == "." && !is_one_of(t.value, {"eval", "timeit", "runcode", "runsource", "run_string", "runctx"}) && language_ == Language::python);
      if (evaluates && !(starts && language_ != Language::python)) {
        evaluate(i, by_text);
        continue;
      }
      if (starts) {
        if (i > 0 && is_one_of(tokens_[i - 1].value, {"def", "function", "sub", "import"})) continue;
        ++calls;
        call(i, by_text);
      }
    }
    files_and_network();
    bulk_effects();
    if (calls == 0 && builds_names && names_dangerous_text()) walk_.note(Opaque::unseen_code, "code that builds the names of what it calls", code);
    if (calls == 0 && builds_names && is_obscure()) walk_.note(Opaque::unseen_code, "code that hides what it calls", code);
  }

 private:
  /// `from os import system as go`: go is system from there on.
  void resolve_imports() {
    constexpr std::size_t k_most = 16;
    std::size_t found = 0;
    for (std::size_t i = 1; i + 1 < tokens_.size() && found < k_most; ++i) {
      if (tokens_[i].value != "as" || tokens_[i].kind != Token::Kind::name || tokens_[i - 1].kind != Token::Kind::name || tokens_[i + 1].kind != Token::Kind::name) continue;
      ++found;
      const std::string real = tokens_[i - 1].value;
      const std::string given = tokens_[i + 1].value;
      for (std::size_t j = i + 2; j < tokens_.size(); ++j) {
        if (tokens_[j].kind == Token::Kind::name && tokens_[j].value == given) tokens_[j].value = real;
      }
    }
  }
  [[nodiscard]] const Token& token(std::size_t i) const {
    static const Token k_end{Token::Kind::sign, "", false};
    return i < tokens_.size() ? tokens_[i] : k_end;
  }
  [[nodiscard]] bool is_sign(std::size_t i, std::string_view sign) const { return token(i).kind == Token::Kind::sign && token(i).value == sign; }

  [[nodiscard]] bool has_loop() const {
    return std::any_of(tokens_.begin(), tokens_.end(), [](const Token& t) { return t.kind == Token::Kind::name && is_one_of(t.value, {"while", "for", "loop", "until"}); });
  }
  /// getattr(x, "system"), x["exec"], send("system"): the text is a name.
  [[nodiscard]] bool builds_names_near(std::size_t i) const {
    const std::string& value = tokens_[i].value;
    if (!starts_programs(value) && !runs_code(value)) return false;
    if (language_ == Language::php && is_sign(i + 1, ";") && i > 0 && is_sign(i - 1, "=")) return true;  // $f = "system"; $f(...)
    return is_sign(i + 1, ")") || is_sign(i + 1, "]") || is_sign(i + 1, ",");
  }
  [[nodiscard]] bool names_dangerous_text() const {
    return std::any_of(tokens_.begin(), tokens_.end(), [](const Token& t) { return t.kind == Token::Kind::text && (starts_programs(t.value) || t.value.find("/bin/") != std::string::npos); });
  }
  [[nodiscard]] bool is_obscure() const {
    return std::any_of(tokens_.begin(), tokens_.end(), [](const Token& t) {
      return t.kind == Token::Kind::name && is_one_of(t.value, {"exec", "eval", "compile", "marshal", "pickle", "ctypes", "syscall", "__subclasses__", "b64decode", "fromhex", "unhexlify", "atob", "zlib", "decompress", "Fiddle", "ffi"});
    });
  }

  void run_shell(const std::string& text) {
    if (text.empty()) return;
    (void)walk_.run_text(sanitise(text), Input{}, program_);
  }
  void run_words(Argv words) {
    for (std::string& word : words) word = sanitise(word);
    (void)walk_.run_argv(std::move(words), Input{}, program_);
  }

  /// The texts between the brackets that follow `i`; where they end. `unknown`: something else stood there as well.
  Argv arguments(std::size_t i, bool by_text, bool& unknown, std::size_t& end) const {
    Argv texts;
    unknown = false;
    std::size_t at = i + 1;
    if (by_text) {  // behind the closing bracket of getattr( ) or [ ]
      while (at < tokens_.size() && (is_sign(at, ")") || is_sign(at, "]"))) ++at;
      if (is_sign(at, "[")) {  // one of several: [0]
        while (at < tokens_.size() && !is_sign(at, "]")) ++at;
        ++at;
      }
      if (is_sign(at, ",")) ++at;
    }
    while (is_sign(at, ".") && token(at + 1).kind == Token::Kind::name) at += 2;  // run.bind, call.apply
    int depth = 0;
    const bool needs_close = is_sign(at, "(") || is_sign(at, "[") || is_sign(at, "{");
    int nulls = 0;
    for (; at < tokens_.size(); ++at) {
      const Token& t = tokens_[at];
      if (t.kind == Token::Kind::sign) {
        if (t.value == "(" || t.value == "[" || t.value == "{") ++depth;
        else if (t.value == ")" || t.value == "]" || t.value == "}") {
          if (--depth <= 0) break;
        } else if (!needs_close && (t.value == ";" || t.value == "\n")) break;
      } else if (t.kind == Token::Kind::text || t.kind == Token::Kind::command) {
        // name=text is an option, not an argument
        if (at > 1 && is_sign(at - 1, "=") && token(at - 2).kind == Token::Kind::name && token(at - 2).value != "args") continue;
        if (at > 0 && is_sign(at - 1, "=>")) continue;
        if (t.interpolates && t.value.find_first_of("$#{") != std::string::npos && language_ != Language::perl) unknown = true;
        texts.push_back(t.value);
      } else if (t.kind == Token::Kind::name) {
        if (is_one_of(t.value, {"True", "False", "true", "false", "None", "nil", "null", "shell", "stdout", "stderr", "stdin", "subprocess", "PIPE", "capture_output", "check", "text", "universal_newlines", "stdio", "inherit", "encoding", "env", "cwd", "or", "and", "die", "print", "timeout", "DEVNULL", "STDOUT", "shlex", "split", "args", "os", "P_WAIT", "P_NOWAIT", "undefined", "detached", "exit", "if", "unless", "list"})) continue;
        if (is_sign(at + 1, "=") || is_sign(at + 1, ":")) {
          ++nulls;
          continue;
        }
        unknown = true;
      }
      if (!needs_close && depth == 0 && texts.empty() && t.kind == Token::Kind::sign && t.value != "," && at > i + 6) break;
    }
    end = at;
    return texts;
  }

  void call(std::size_t i, bool by_text) {
    bool unknown = false;
    std::size_t end = 0;
    Argv texts = arguments(i, by_text, unknown, end);
    const std::string& name = tokens_[i].value;
    texts.erase(std::remove_if(texts.begin(), texts.end(), [](const std::string& t) { return t.empty() || t == "inherit" || t == "pipe" || t == "r" || t == "w" || t == "utf8" || t == "utf-8"; }), texts.end());
    if (texts.empty()) {
      if (unknown || by_text) walk_.note(Opaque::unseen_code, "code that starts a program which cannot be known", name);
      return;
    }
    if (unknown) {
      // chr(ord(c) - 1): what could not be worked out makes the command.
      for (std::size_t at = i + 1; at < end; ++at) {
        if (token(at).kind != Token::Kind::name || !is_one_of(token(at).value, {"ord", "chr", "translate", "maketrans", "xor", "bytearray", "codecs", "zlib", "charCodeAt", "fromCharCode", "pack", "unpack", "decode", "b64decode", "fromhex", "environ", "getenv", "argv"})) continue;
        walk_.note(Opaque::unseen_code, "code that starts a program which cannot be known", name);
        return;
      }
    }
    if (name.starts_with("execl") || name.starts_with("spawnl") || name.starts_with("execv") || name.starts_with("spawnv") || name == "posix_spawn") {
      if (texts.size() > 1) texts.erase(texts.begin() + 1);  // argv[0]
      run_words(std::move(texts));
      return;
    }
    if (texts.size() == 1) {
      run_shell(texts[0] + (unknown ? " " + std::string(1, k_hole) : std::string()));
      return;
    }
    if (texts[0].find(' ') != std::string::npos) run_shell(texts[0]);
    if (unknown) texts.emplace_back(1, k_hole);
    run_words(std::move(texts));
  }

  void evaluate(std::size_t i, bool by_text) {
    bool unknown = false;
    std::size_t end = 0;
    Argv texts = arguments(i, by_text, unknown, end);
    if (texts.empty() || (unknown && (texts[0].size() < 3 || texts[0].find("://") != std::string::npos))) {
      if (unknown && is_sign(i + 1, "(")) walk_.note(Opaque::unseen_code, "code that runs code which cannot be known", tokens_[i].value);
      return;
    }
    (void)walk_.run_code(program_, sanitise(texts[0]), input_, program_);
  }

  /// open(F, "cmd |"), open(F, "-|", "cmd")
  bool opens_pipe(std::size_t i) {
    bool unknown = false;
    std::size_t end = 0;
    const Argv texts = arguments(i, false, unknown, end);
    for (std::size_t k = 0; k < texts.size(); ++k) {
      const std::string& text = texts[k];
      if ((text == "-|" || text == "|-") && k + 1 < texts.size()) {
        run_shell(texts[k + 1]);
        return true;
      }
      if (text.size() > 1 && (text.front() == '|' || text.back() == '|')) {
        run_shell(text.front() == '|' ? text.substr(1) : text.substr(0, text.size() - 1));
        return true;
      }
    }
    return false;
  }

  void files_and_network() {
    bool opens_socket = false;
    std::string host;
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      const Token& t = tokens_[i];
      if (t.kind == Token::Kind::name) {
        if (is_one_of(t.value, {"socket", "Socket", "TCPSocket", "UDPSocket", "create_connection", "fsockopen", "pfsockopen", "INET", "net", "IO::Socket", "connect", "socket_create", "open_connection", "createConnection", "telnetlib", "paramiko", "SOCK_STREAM", "tcp", "stream_socket_client", "inet", "sockaddr_in", "NET", "SSHClient", "netmiko", "fabric", "asyncssh", "winrm", "pypsrp", "pxssh", "SshMachine", "ssh2", "SSH", "rpyc", "execnet", "scrapli", "napalm", "ssh2_connect", "Net::SSH", "Net::OpenSSH"})) {
          const bool is_certain = is_one_of(t.value, {"create_connection", "fsockopen", "TCPSocket", "telnetlib", "paramiko", "SOCK_STREAM", "stream_socket_client", "open_connection", "createConnection", "sockaddr_in", "INET", "netmiko", "asyncssh", "SSHClient", "winrm", "pypsrp", "pxssh", "SshMachine", "ssh2", "rpyc", "execnet", "scrapli", "napalm", "ssh2_connect", "Net::SSH", "Net::OpenSSH"});
          if (t.value == "SSH" && is_sign(i - 1, "::")) opens_socket = true;
          if (t.value == "fabric" && names_any({"Connection", "ThreadingGroup", "SerialGroup"})) opens_socket = true;
          if (is_certain) opens_socket = true;
          if (t.value == "connect" && is_sign(i + 1, "(") && !is_one_of(token(i - 2).value, {"sqlite3", "psycopg2", "pymysql", "MySQLdb", "psycopg", "mysql"})) {
            if (std::any_of(tokens_.begin(), tokens_.end(), [](const Token& other) { return is_one_of(other.value, {"socket", "Socket", "net"}); })) opens_socket = true;
          }
          if (t.value == "tcp" && language_ == Language::lua) opens_socket = true;
        }
        if (is_one_of(t.value, {"setuid", "setreuid", "setresuid", "setgid", "seteuid"}) || (t.value == "POSIX" && is_sign(i + 1, "::") && token(i + 2).value == "setuid")) {
          Command made;
          made.argv = {"code-setuid", std::string(program_), t.value};
          walk_.emit(std::move(made));
        }
        continue;
      }
      if (t.kind != Token::Kind::text) continue;
      if (t.value.starts_with("/inet/tcp/") || t.value.starts_with("/inet/udp/")) {
        opens_socket = true;
        host = t.value;
      }
      if (!looks_like_path(t.value)) continue;
      touch(i);
    }
    if (opens_socket) {
      Command made;
      made.argv = {"code-connects", std::string(program_)};
      for (const Token& t : tokens_) {
        if (t.kind == Token::Kind::text && t.value.size() < 80 && t.value.find_first_of("\n ") == std::string::npos) made.argv.push_back(t.value);
      }
      walk_.emit(std::move(made));
    }
  }

  [[nodiscard]] bool names_any(std::initializer_list<std::string_view> names) const {
    return std::any_of(tokens_.begin(), tokens_.end(), [&](const Token& t) { return (t.kind == Token::Kind::name || t.kind == Token::Kind::text) && is_one_of(t.value, names); });
  }
  void emit_code(std::string_view what, std::string_view of) {
    Command made;
    made.is_resolved = true;
    made.argv = {std::string(what), std::string(program_), std::string(of)};
    walk_.emit(std::move(made));
  }

  /// Removing, sending or reconfiguring what the code itself looks up: no path or host needs to stand there.
  void bulk_effects() {
    const bool talks_to_cloud = names_any({"boto3", "botocore", "google", "azure", "kubernetes", "openstack", "redis", "Redis", "StrictRedis", "AWS", "Aws", "pymongo", "MongoClient", "elasticsearch", "kafka", "hcloud", "docker", "@aws-sdk", "aws-sdk"});
    const bool talks_to_network = names_any({"requests", "httpx", "urllib", "urllib2", "urlopen", "aiohttp", "http", "https", "HTTP", "LWP", "fetch", "axios", "curl_exec", "curl_init", "ftplib", "FTP", "smtplib", "RestClient", "HTTParty", "Faraday"});
    const bool reads_files = names_any({"open", "read", "readFile", "readFileSync", "file_get_contents", "File", "read_bytes", "read_text", "createReadStream", "slurp", "getoutput", "check_output", "environ", "popen"});
    const bool sends = names_any({"post", "put", "patch", "data", "files", "POST", "PUT", "storbinary", "storlines", "sendmail", "send_message", "POSTFIELDS", "CURLOPT_POSTFIELDS", "body", "upload"});
    const bool stays_here = std::any_of(tokens_.begin(), tokens_.end(), [](const Token& t) { return t.kind == Token::Kind::text && (t.value.find("//localhost") != std::string::npos || t.value.find("//127.0.0.1") != std::string::npos); });
    if (talks_to_network && reads_files && sends && !stays_here) emit_code("code-uploads", "");
    if (names_any({"psycopg2", "psycopg", "sqlite3", "pymysql", "MySQLdb", "sqlalchemy", "create_engine", "mysql", "pg", "PDO", "mysqli", "DBI", "cx_Oracle", "oracledb", "pyodbc", "asyncpg", "clickhouse_driver"})) {
      for (const Token& t : tokens_) {
        bool is_incomplete = false;
        if (t.kind == Token::Kind::text && t.value.size() > 6 && t.value.find(' ') != std::string::npos) walk_sql(walk_, t.value, program_, is_incomplete);
      }
    }
    bool has_deleted = false;
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      const Token& t = tokens_[i];
      const bool is_callback = language_ == Language::php && t.kind == Token::Kind::text && t.value == "unlink";
      if (t.kind != Token::Kind::name && !is_callback) continue;
      const std::string_view owner = i >= 2 && (is_sign(i - 1, ".") || is_sign(i - 1, "::") || is_sign(i - 1, "->")) ? std::string_view(tokens_[i - 2].value) : std::string_view();
      const bool is_certain = is_callback || is_one_of(t.value, {"rmtree", "rm_rf", "rm_r", "rmSync", "unlinkSync", "removedirs", "remove_tree", "delete_tree", "rmdirSync", "remove_dir_all", "removeSync"}) ||
                              (t.value == "unlink" && (language_ == Language::perl || language_ == Language::php || language_ == Language::python || language_ == Language::node)) ||
                              (is_one_of(t.value, {"remove", "delete", "rm", "unlink"}) && is_one_of(owner, {"os", "shutil", "File", "FileUtils", "fs", "Dir", "Deno"}));
      std::size_t next = i + 1;
      while (is_sign(next, "(") || is_sign(next, "[") || is_sign(next, ",")) ++next;
      if (is_certain && !has_deleted && (token(next).kind != Token::Kind::text || is_callback) && !(i > 0 && is_one_of(tokens_[i - 1].value, {"def", "import"}))) {
        has_deleted = true;
        emit_code("code-deletes", t.value);
      }
      if (!talks_to_cloud) continue;
      const std::string_view verb = t.value;
      const bool changes = verb.starts_with("delete_") || verb.starts_with("terminate_") || verb.starts_with("stop_") || verb.starts_with("drop_") || verb.starts_with("purge_") || verb.starts_with("put_bucket") || verb.starts_with("create_access") ||
                           verb.starts_with("create_user") || verb.starts_with("attach_") || verb.starts_with("detach_") || verb.starts_with("disable_") || verb.starts_with("modify_") || verb.starts_with("deregister_") || verb.starts_with("schedule_key") ||
                           verb.starts_with("authorize_") || verb.starts_with("revoke_") || verb.starts_with("update_assume") || verb.starts_with("config_set") || verb.starts_with("Delete") || verb.starts_with("Terminate") ||
                           is_one_of(verb, {"flushall", "flushdb", "shutdown", "upload_file", "upload_fileobj", "drop", "get_secret_value", "replicaof", "slaveof"}) || (verb == "delete" && is_sign(i - 1, ".") && is_sign(i + 1, "("));
      if (changes) {
        emit_code("code-cloud", verb);
        return;
      }
    }
  }

  /// A path in the code: read, written or removed, by the word in front of it.
  void touch(std::size_t i) {
    std::string path = tokens_[i].value;
    if (path.starts_with("file://")) path.erase(0, 7);
    if (path.starts_with("~/")) path = walk_.home() + path.substr(1);
    std::string verb;
    for (std::size_t back = 1; back <= 4 && back <= i; ++back) {
      if (token(i - back).kind == Token::Kind::name) {
        verb = token(i - back).value;
        break;
      }
    }
    Command made;
    made.is_resolved = true;
    if (is_one_of(verb, {"rmtree", "remove", "unlink", "rmdir", "rm_rf", "rm_r", "rm", "rmSync", "unlinkSync", "removedirs", "delete", "rmdirSync", "remove_dir", "removeSync", "remove_tree", "rm_f", "remove_entry_secure", "delete_tree"})) {
      made.argv = {"rm", "-rf", path};
    } else if (is_one_of(verb, {"chmod", "chmodSync", "lchmod", "chmod_R"})) {
      std::string mode;
      for (std::size_t next = i + 1; next < i + 4; ++next) {
        if (token(next).kind == Token::Kind::number) mode = token(next).value;
      }
      if (mode.starts_with("0o")) mode.erase(0, 2);
      made.argv = {"chmod", mode.empty() ? "?" : mode, path};
    } else if (is_one_of(verb, {"writeFile", "writeFileSync", "appendFile", "appendFileSync", "file_put_contents", "write_text", "truncate", "createWriteStream"})) {
      made.argv = {"code-writes", path};
      made.redirects.push_back(Redirect{1, ">", path});
    } else {
      bool writes = false;
      for (std::size_t next = i + 1; next < i + 4; ++next) {
        if (token(next).kind == Token::Kind::text && token(next).value.size() <= 3 && token(next).value.find_first_of("wa+x") != std::string::npos) writes = true;
        if (token(next).kind == Token::Kind::name && is_one_of(token(next).value, {"write_text", "write_bytes", "unlink"})) writes = true;
      }
      if (i > 1 && token(i - 1).value == "," && token(i - 2).kind == Token::Kind::text && is_one_of(token(i - 2).value, {">", ">>", "+<"})) writes = true;
      if (language_ == Language::perl && i > 0 && path.starts_with(">")) writes = true;
      made.argv = {writes ? "code-writes" : "code-reads", path};
      if (writes) made.redirects.push_back(Redirect{1, ">", path});
    }
    walk_.emit(std::move(made));
  }

  Walk& walk_;
  Language language_;
  std::string program_;
  const Input& input_;
  std::vector<Token> tokens_;
};

}  // namespace

void read_code(Walk& walk, Language language, std::string_view program, const Input& input, std::string_view code) { CodeReader(walk, language, program, input).read(code); }

// awk: system("x"), "x" | getline, print | "x", and redirections to files.
void read_awk(Walk& walk, std::string_view code, const Input& input, std::string_view program) {
  std::vector<Token> tokens = tokenise(Language::other, code);
  if (!walk.spend(tokens.size() * 10 + 20)) return;
  // Strings side by side are one.
  for (std::size_t i = 0; i + 1 < tokens.size();) {
    if (tokens[i].kind == Token::Kind::text && tokens[i + 1].kind == Token::Kind::text) {
      tokens[i].value += tokens[i + 1].value;
      tokens.erase(tokens.begin() + static_cast<std::ptrdiff_t>(i) + 1);
    } else {
      ++i;
    }
  }
  std::map<std::string, std::string> variables;
  const auto at = [&](std::size_t i) -> const Token& {
    static const Token k_end{Token::Kind::sign, "", false};
    return i < tokens.size() ? tokens[i] : k_end;
  };
  const auto value_at = [&](std::size_t i) -> std::optional<std::string> {
    if (at(i).kind == Token::Kind::text) return at(i).value;
    if (at(i).kind == Token::Kind::name) {
      if (const auto found = variables.find(at(i).value); found != variables.end()) return found->second;
    }
    return std::nullopt;
  };
  bool connects = false;
  bool saw_system = false;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const Token& t = tokens[i];
    if (t.kind == Token::Kind::name && at(i + 1).value == "=" && at(i + 2).kind == Token::Kind::text) variables[t.value] = at(i + 2).value;
    if (t.kind == Token::Kind::text && t.value.starts_with("/inet/")) connects = true;
    if (t.kind == Token::Kind::name && t.value == "system") {
      saw_system = true;
      const std::size_t from = at(i + 1).value == "(" ? i + 2 : i + 1;
      std::string text;
      bool known = false;
      for (std::size_t j = from; j < tokens.size() && at(j).value != ")" && at(j).value != ";" && at(j).value != "}"; ++j) {
        if (const auto value = value_at(j)) {
          text += *value;
          known = true;
        } else if (at(j).kind == Token::Kind::number && at(j - 1).value == "$") {
          text += k_hole;
        } else if (at(j).kind == Token::Kind::name) {
          text += k_hole;
        }
      }
      if (known) (void)walk.run_text(text, Input{}, program);
      else walk.note(Opaque::unseen_code, "awk runs commands that cannot be known", code);
    }
    if (t.kind == Token::Kind::sign && t.value == "|" && at(i + 1).value != "|" && !(i > 0 && at(i - 1).value == "|")) {
      if (at(i + 1).kind == Token::Kind::name && at(i + 1).value == "getline") {
        if (i > 0) {
          if (const auto value = value_at(i - 1)) (void)walk.run_text(sanitise(*value), Input{}, program);
          else walk.note(Opaque::unseen_code, "awk runs commands that cannot be known", code);
        }
      } else {
        const std::size_t from = at(i + 1).value == "&" ? i + 2 : i + 1;
        if (const auto value = value_at(from)) {
          Input data;
          data.kind = Input::Kind::pipe;
          // print "rm -rf /data" | "sh"
          std::string printed;
          for (std::size_t back = i; back-- > 0;) {
            if (at(back).value == "{" || at(back).value == ";" || at(back).value == "print" || at(back).value == "printf") break;
            if (const auto part = value_at(back)) printed = *part + printed;
            else if (at(back).kind == Token::Kind::number || at(back).value == "$") printed = std::string(1, k_hole) + printed;
          }
          data.text = printed.empty() ? std::string(1, k_hole) : printed + "\n";
          (void)walk.run_text(sanitise(*value), data, program);
        } else if (at(from).kind == Token::Kind::name) {
          walk.note(Opaque::unseen_code, "awk runs commands that cannot be known", code);
        }
      }
    }
    if (t.kind == Token::Kind::sign && t.value == ">" && at(i + 1).kind == Token::Kind::text && i > 1 && at(i + 1).value.find('/') != std::string::npos) {
      Command made;
      made.argv = {"code-writes", at(i + 1).value};
      made.redirects.push_back(Redirect{1, ">", at(i + 1).value});
      walk.emit(std::move(made));
    }
    if (t.kind == Token::Kind::name && t.value == "getline" && at(i + 1).value == "<" && at(i + 2).kind == Token::Kind::text) {
      Command made;
      made.argv = {"code-reads", at(i + 2).value};
      walk.emit(std::move(made));
    }
    if (t.kind == Token::Kind::name && t.value == "getline" && at(i + 2).value == "<" && at(i + 3).kind == Token::Kind::text) {
      Command made;
      made.argv = {"code-reads", at(i + 3).value};
      walk.emit(std::move(made));
    }
  }
  // A quote inside a regular expression can hide what follows from the tokens.
  if (!saw_system && code.find("system(") != std::string_view::npos) walk.note(Opaque::unseen_code, "awk code that may run commands", code);
  if (connects) {
    Command made;
    made.argv = {"code-connects", std::string(program)};
    walk.emit(std::move(made));
  }
  (void)input;
}

}  // namespace sallyport::guard
