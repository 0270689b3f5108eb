// policy/guard/guard.h -- the command guard: what would this text run, and may it?
//
// Pure: no I/O, no clock, no threads of its own. A Guard belongs to one shell (one channel) and to one thread; a RuleSet is
// immutable and may be shared. The guard parses the text as bash would, resolves what can be resolved (quotes, variables,
// substitutions, decoders, wrappers, interpreters' one-liners, files written before), and judges every simple command that would
// run. The most severe verdict wins; no rule can whitewash a line by matching another part of it.
//
// What it cannot see is reported, never guessed: such a part is `opaque`, with a reason, and the rule set says what verdict that
// has. It is a guard against slips and unprepared misuse that leaves evidence; see docs/guard.md for the list of what it misses.
//
// Bounds: 64 KiB of text, 32 levels of nesting, a fixed budget of work (at most 5 ms); beyond any of them the text is opaque.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "platform/model/result.h"

namespace sallyport::guard {

/// In rising order.
enum class Verdict : std::uint8_t { allow, alert, confirm, approve, deny, kill };
[[nodiscard]] std::string_view name_of(Verdict verdict) noexcept;
[[nodiscard]] std::optional<Verdict> parse_verdict(std::string_view text) noexcept;

/// exact: as written; resolved: found behind quoting, variables, decoders or wrappers; opaque: cannot be known.
enum class Confidence : std::uint8_t { exact, resolved, opaque };
[[nodiscard]] std::string_view name_of(Confidence confidence) noexcept;

/// Why something is opaque. Policy gives each kind its own verdict.
enum class Opaque : std::uint8_t {
  none,
  hidden_command,  ///< the command's name comes from what cannot be known
  unseen_input,    ///< an interpreter runs data that cannot be seen
  unseen_code,     ///< code for an interpreter that starts programs by means that were not understood
  unseen_file,     ///< a script or program file that was not seen being written
  nested_shell,    ///< a shell or prompt inside the shell; its lines are judged when the terminal shows them
  history,         ///< the shell replaces `!x` or `^a^b` after Enter
  unreadable,      ///< not understood, too long, too deep, or too much work
};
constexpr std::size_t k_opaque_kinds = 8;
[[nodiscard]] std::string_view name_of(Opaque kind) noexcept;  ///< "hidden-command"
[[nodiscard]] std::optional<Opaque> parse_opaque(std::string_view text) noexcept;

/// Whose prompt the text is typed at. `other`: a prompt nobody knows; its lines are opaque.
enum class Dialect : std::uint8_t { shell, psql, mysql, redis, python, other };
[[nodiscard]] std::string_view name_of(Dialect dialect) noexcept;

/// Where the text comes from: `line` is typed at a terminal (history expansion applies, stdin is the terminal); `exec` is an SSH exec
/// request (stdin is the channel's data); `script` is text from a file or a test (no history, stdin is a terminal).
enum class Origin : std::uint8_t { line, exec, script };

struct Redirect {
  int fd = 1;
  std::string op;      ///< "<", ">", ">>", "<>", "<<", "<<<", ">&", "<&"
  std::string target;  ///< resolved; a path made absolute when the working directory is known
};

/// One command that would run.
struct SimpleCommand {
  std::vector<std::string> argv;         ///< resolved; what cannot be known reads `<?>`
  std::vector<std::string> assignments;  ///< "LD_PRELOAD=/tmp/x.so", only those in front of the command
  std::vector<Redirect> redirects;
  std::string text;      ///< normalised: what rules see
  std::string stdin_of;  ///< "terminal", "pipe", "here-document", "file", "channel"
  std::string nesting;   ///< "sudo > sh -c"; empty at the top
  Confidence confidence = Confidence::exact;
};

struct Finding {
  Verdict verdict = Verdict::allow;
  std::string rule;     ///< "destructive/rm-tree", "opaque/unseen-input", "allow-list", "deny-list"
  std::string matched;  ///< the normalised simple command
  std::string reason;   ///< one sentence for the person
  std::string remedy;   ///< what to do instead; may be empty
  std::string code;     ///< "SP-9001"
  Confidence confidence = Confidence::exact;
  Opaque opaque = Opaque::none;
};

struct Judgement {
  Verdict verdict = Verdict::allow;
  std::vector<Finding> findings;        ///< most severe first
  std::vector<SimpleCommand> commands;  ///< in the order they would start
  /// The shell would ask for more (PS2): open quote, here-document, `do` without `done`. What is there already is judged.
  bool incomplete = false;
  /// A prompt or an interpreter that will read what follows: at a terminal its own prompt, with `exec` the channel's data, which
  /// is then to be judged line by line in this dialect.
  std::optional<Dialect> enters;
  [[nodiscard]] const Finding* worst() const noexcept { return findings.empty() ? nullptr : &findings.front(); }
};

/// What is known of the shell. A variable may have several possible values (assigned in one branch only).
struct Variable {
  std::vector<std::string> values;  ///< possible values, at most four
  std::vector<std::string> items;   ///< an array's
  bool is_array = false;
  bool is_associative = false;
  char folds = 0;                      ///< 'l', 'u': what is assigned later turns to small or capital letters
  std::vector<std::string> keys = {};  ///< an associative array's, beside its items
};
struct KnownFile {
  std::string content;      ///< empty and `is_content_known` false: only known by path and hash
  std::string sha256;       ///< lower case hex, may be empty
  std::string program;      ///< it is a copy of, or a link to, this program
  bool is_content_known = false;
  bool is_executable_known = false;
};
struct ShellState {
  std::string cwd;   ///< absolute; empty: unknown
  std::string home;  ///< empty: /home/USER
  std::string user;
  std::map<std::string, Variable, std::less<>> variables;
  std::map<std::string, std::string, std::less<>> aliases;
  std::map<std::string, std::string, std::less<>> functions;  ///< name to body
  std::map<std::string, KnownFile, std::less<>> files;        ///< absolute path, or as written when cwd is unknown
  std::vector<std::string> arguments;                         ///< $1...
};

/// Compiled rules of one role for one target and account. Immutable; share it between channels; swap it by shared_ptr.
class RuleSet {
 public:
  RuleSet(const RuleSet&) = delete;
  RuleSet& operator=(const RuleSet&) = delete;
  ~RuleSet();
  /// Reads what compile_rules() made. Errc::invalid when the bytes are not a rule set. Cheap (a regular expression is compiled at the
  /// first judgement that needs it, at most 128 KiB each), so that a change reaches a thousand sessions at once.
  [[nodiscard]] static Result<std::shared_ptr<const RuleSet>> from_bytes(std::span<const std::byte> bytes);
  /// No rule at all: everything is allowed, nothing is judged.
  [[nodiscard]] static std::shared_ptr<const RuleSet> none();

  [[nodiscard]] const std::string& id() const noexcept;  ///< hash of the bytes, 16 hex digits
  [[nodiscard]] bool is_empty() const noexcept;          ///< true: the guard may be left out
  [[nodiscard]] Verdict opaque_verdict(Opaque kind) const noexcept;
  [[nodiscard]] bool wants_marks() const noexcept;  ///< the role has `marks: true`

  struct Impl;
  [[nodiscard]] const Impl& impl() const noexcept { return *impl_; }
  explicit RuleSet(std::unique_ptr<Impl> impl);

 private:
  std::unique_ptr<Impl> impl_;
};

class Guard {
 public:
  explicit Guard(std::shared_ptr<const RuleSet> rules, ShellState initial = {});
  Guard(Guard&&) noexcept;
  Guard& operator=(Guard&&) noexcept;
  ~Guard();

  /// Judges `text` as if it ran next. Never throws on any bytes, never changes the state.
  [[nodiscard]] Judgement judge(std::string_view text, Dialect dialect = Dialect::shell, Origin origin = Origin::line) const;
  /// The shell was given `text`: remember variables, aliases, functions, working directory and files written by it.
  void ran(std::string_view text, Dialect dialect = Dialect::shell);
  /// A file reached this target by scp, sftp or another session of the same principal. At most 512 files of 64 KiB are kept.
  void file_written(std::string_view path, std::string_view sha256, std::optional<std::string_view> content = std::nullopt);
  /// Files that ran() saw written since the last call; nullopt: their contents are not known. At most 64.
  [[nodiscard]] std::vector<std::pair<std::string, std::optional<std::string>>> take_written();
  /// New rules from now on; the shell's state stays.
  void set_rules(std::shared_ptr<const RuleSet> rules);
  [[nodiscard]] const RuleSet& rules() const noexcept { return *rules_; }
  [[nodiscard]] const ShellState& state() const noexcept { return state_; }

 private:
  /// Imports and assignments typed at a Python prompt: what later lines call by name.
  void remember_python(std::string_view text);
  [[nodiscard]] Judgement judge_inside(std::string_view text, Dialect dialect, Origin origin) const;

  std::shared_ptr<const RuleSet> rules_;
  ShellState state_;
  std::vector<std::string> written_;
  std::string python_;
};

}  // namespace sallyport::guard
