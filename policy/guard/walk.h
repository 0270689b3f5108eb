// policy/guard/walk.h -- follows a text through the shell's eyes and collects every simple command that would run.
//
// An abstract interpreter: values that cannot be known are holes (marked_text.h), branches are all taken, loops over known words run
// for each word. State changes stay in an overlay over the shell's state; a subshell gets a copy of the overlay.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "policy/guard/guard.h"
#include "policy/guard/marked_text.h"
#include "policy/guard/syntax.h"

namespace sallyport::guard {

/// Where a command's standard input comes from, and what is known of it.
struct Input {
  enum class Kind : std::uint8_t { terminal, channel, pipe, here_document, file, nothing };
  Kind kind = Kind::terminal;
  std::optional<std::string> text;  ///< may hold holes; nullopt: unknown
  std::string producer;             ///< pipe: the command in front of it
  std::shared_ptr<std::size_t> consumed = std::make_shared<std::size_t>(0);  ///< how much of the text `read` took
};
/// What a command prints; a lone hole when unknown.
using Output = std::string;

/// A simple command as the walk met it. Texts may hold marks.
struct Command {
  std::vector<std::string> argv;
  std::vector<std::pair<std::string, std::string>> assignments;
  std::vector<Redirect> redirects;
  Input input;
  std::string nesting;
  std::string cwd;
  bool is_resolved = false;   ///< something had to be resolved to see it
  bool is_assignment = false; ///< no command: `HISTFILE=/dev/null`, also `export`, `declare`
};
struct OpaqueNote {
  Opaque kind = Opaque::none;
  std::string reason;
  std::string text;
};

class Walk {
 public:
  Walk(const ShellState& base, Origin origin);

  /// Runs the text and collects. Call once.
  void run(std::string_view text);
  /// The base state with what the run changed.
  void apply_to(ShellState& state) const;

  std::vector<Command> commands;
  std::vector<OpaqueNote> notes;
  bool is_incomplete = false;
  std::optional<Dialect> enters;

  // ---- for the parts of the walk (expansion, builtins, wrappers, interpreters)
  /// What the walk changed; copied for a subshell.
  struct Overlay {
    std::map<std::string, std::optional<Variable>, std::less<>> variables;
    std::map<std::string, std::optional<std::string>, std::less<>> aliases;
    std::map<std::string, std::string, std::less<>> functions;
    std::map<std::string, KnownFile, std::less<>> files;
    std::optional<std::string> cwd;
    std::optional<std::vector<std::string>> arguments;
  };

  [[nodiscard]] const Variable* find_variable(std::string_view name) const;
  void set_variable(std::string_view name, std::string value);
  void set_array(std::string_view name, std::vector<std::string> items);
  [[nodiscard]] const std::vector<std::string>& arguments() const;
  [[nodiscard]] std::string cwd() const;
  [[nodiscard]] std::string home() const;
  [[nodiscard]] std::string absolute(std::string_view path) const;
  [[nodiscard]] const KnownFile* find_file(std::string_view path) const;
  void write_file(std::string_view path, std::string content, bool appends);
  /// The files that the run wrote, as find_file() knows them.
  [[nodiscard]] std::vector<std::string> written_files() const;
  /// What find_file() would find the file under; empty: nothing is known of it.
  [[nodiscard]] std::string key_of_file(std::string_view path) const;

  /// Text that a shell would run: parsed, walked, judged. `nest` says how it came here.
  Output run_text(std::string_view text, const Input& input, std::string_view nest);
  /// An argv that would run.
  Output run_argv(std::vector<std::string> argv, const Input& input, std::string_view nest);
  /// Code in another language; see interpreters.cpp.
  Output run_code(std::string_view language, std::string_view code, const Input& input, std::string_view program);
  void note(Opaque kind, std::string reason, std::string_view text);
  bool spend(std::uint64_t units);
  /// The strings inside code of another language that it might run as a command (SQL's \!, vim's :!).
  void emit(Command command);

  [[nodiscard]] std::vector<std::string> expand_words(const std::vector<std::string_view>& raw);
  [[nodiscard]] std::string expand_string(std::string_view raw);         ///< no splitting
  [[nodiscard]] std::string expand_here_document(std::string_view raw);  ///< as in double quotes
  void look_into_names(std::string_view expression);                     ///< what the variables of an arithmetic text hold
  void look_into_subscript(std::string_view name);                       ///< commands in `a[$(command)]`, where a program takes a name
  [[nodiscard]] std::string arithmetic(std::string_view expression);     ///< digits, or a hole

 private:
  friend class Expansion;
  /// How many values of one variable are followed.
  static constexpr std::size_t k_most_values = 4;
  Output node(const Script& script, std::uint32_t index, const Input& input);
  Output simple(const Script& script, const Node& node, const Input& input);
  Output simple_once(const Node& node, const Input& input);
  Output dispatch(Command command);
  void note_open_folder(std::string_view word);
  void note_secret_variables(const std::vector<std::string_view>& words);
  /// A loop without a condition whose commands, from `first` on, write or make things and never end or pause it.
  void note_endless_loop(const Script& script, std::uint32_t condition, std::uint32_t body, std::size_t first);
  void note_upload(const std::vector<std::string_view>& words);
  void note_sweep();
  void take_redirects(const Node& node, Input& input, std::vector<Redirect>& redirects);
  void write_output(const std::vector<Redirect>& redirects, Output& output);
  /// Variables whose text a shell runs by itself: at a prompt, or when it starts.
  void run_by_name(std::string_view name, const std::string& value);
  void assign(std::string_view raw, std::vector<std::pair<std::string, std::string>>* seen);
  /// Variables that differ from `other` may have either value from now on.
  void merge(const Overlay& other);
  /// The state to come back to; paid for by its size.
  [[nodiscard]] Overlay saved();
  /// Leaves a subshell: everything as before, but files stay written.
  void leave(Overlay before);
  [[nodiscard]] std::string nesting() const;
  void call_function(const Command& command, std::string_view body, Output& output);

  // builtins.cpp: true when the command was one, with its output
  bool builtin(const Command& command, Output& output);
  void declare(const Command& command);
  void remember_copies(const Command& command);
  // wrappers.cpp
  bool wrapper(const Command& command, Output& output);
  // repeaters.cpp
  bool repeater(const Command& command, Output& output);
  bool multiplexer(const Command& command, Output& output);
  /// make, git, vim, gdb: runs what their options name. True: it is such a tool.
  bool tool_with_commands(const Command& command);
  // shells.cpp
  bool shell_program(const Command& command, Output& output);
  bool run_file(const std::string& path, std::vector<std::string> arguments, const Command& command, std::string_view how, Output& output);
  // interpreters.cpp
  bool interpreter(const Command& command, Output& output);

  const ShellState& base_;
  Origin origin_;
  Overlay overlay_;
  std::uint64_t budget_;
  int depth_ = 0;
  int emitted_ = 0;
  std::vector<std::string> nest_;
  std::set<std::string, std::less<>> aliases_in_use_;
  std::set<std::string, std::less<>> functions_in_use_;
  std::size_t choice_ = 0;        ///< which of a variable's possible values is taken
  std::size_t choices_seen_ = 1;
  bool is_resolved_ = false;      ///< set by an expansion that had to work
  std::set<std::string> emitted_texts_;
};

/// `declare -l` and `-u`: in small or capital letters; any other `folds`: as it is.
[[nodiscard]] std::string folded(std::string text, char folds);

/// The name of a program: the last part of its path, `\`-free.
[[nodiscard]] std::string_view program_name(std::string_view word);

/// What a text program prints for known input; nullopt when it is not one that is understood.
[[nodiscard]] std::optional<std::string> filter_output(const Walk& walk, const std::vector<std::string>& argv, const std::optional<std::string>& input);

}  // namespace sallyport::guard
