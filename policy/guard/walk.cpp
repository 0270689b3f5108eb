#include "policy/guard/walk.h"

#include <algorithm>
#include <cctype>

#include "policy/guard/shapes.h"
#include "policy/guard/wildcard.h"
#include "policy/guard/wrapper_table.h"

namespace sallyport::guard {
namespace {

constexpr std::uint64_t k_budget = 320'000;  // about 2 ms
constexpr int k_deepest = 24;
constexpr int k_most_commands = 512;
constexpr std::size_t k_most_iterations = 64;

}  // namespace

std::string_view program_name(std::string_view word) {
  const std::size_t slash = word.rfind('/');
  return slash == std::string_view::npos ? word : word.substr(slash + 1);
}

Walk::Walk(const ShellState& base, Origin origin) : base_(base), origin_(origin), budget_(k_budget) {}

bool Walk::spend(std::uint64_t units) {
  if (budget_ < units) {
    budget_ = 0;
    return false;
  }
  budget_ -= units;
  return true;
}

void Walk::note(Opaque kind, std::string reason, std::string_view text) {
  const bool again = std::any_of(notes.begin(), notes.end(), [&](const OpaqueNote& n) { return n.kind == kind && n.reason == reason; });
  if (!again && notes.size() < 32) notes.push_back(OpaqueNote{kind, std::move(reason), shown(text.substr(0, 400))});
}

void Walk::run(std::string_view text) {
  const std::string clean = sanitise(text);
  if (origin_ == Origin::line && has_history_expansion(clean)) {
    note(Opaque::history, "the shell replaces history references after Enter", clean);
  }
  Input input;
  input.kind = origin_ == Origin::exec ? Input::Kind::channel : Input::Kind::terminal;
  const Script script = parse_script(clean, budget_);
  is_incomplete = script.is_incomplete;
  if (script.is_error) note(Opaque::unreadable, budget_ == 0 ? "this takes too long to read" : "this is not understood as shell text", clean);
  (void)node(script, script.root, input);
  if (commands.size() > 15) note_sweep();
  if (budget_ == 0) note(Opaque::unreadable, "this takes too long to read", clean);
}

Output Walk::run_text(std::string_view text, const Input& input, std::string_view nest) {
  if (depth_ >= k_deepest || !spend(16 + text.size() / 4)) {
    note(Opaque::unreadable, "this is nested too deep", text);
    return std::string(1, k_hole);
  }
  if (text.size() == 1 && text[0] == k_hole) {
    note(Opaque::unseen_input, std::string(nest) + " runs text that cannot be known", text);
    return std::string(1, k_hole);
  }
  const std::string kept(text);
  const Script script = parse_script(kept, budget_);
  if (script.is_error || (script.is_incomplete && depth_ > 0 && !is_incomplete)) note(Opaque::unreadable, "this is not understood as shell text", text);
  ++depth_;
  if (!nest.empty()) nest_.emplace_back(nest);
  Output output = node(script, script.root, input);
  if (!nest.empty()) nest_.pop_back();
  --depth_;
  return output;
}

Output Walk::run_argv(std::vector<std::string> argv, const Input& input, std::string_view nest) {
  if (argv.empty()) return {};
  if (depth_ >= k_deepest || !spend(40 + 12 * argv.size())) {
    note(Opaque::unreadable, "this is nested too deep", argv[0]);
    return std::string(1, k_hole);
  }
  ++depth_;
  nest_.emplace_back(nest);
  Command command;
  command.argv = std::move(argv);
  command.input = input;
  command.is_resolved = true;
  Output output = dispatch(std::move(command));
  nest_.pop_back();
  --depth_;
  return output;
}

std::string Walk::nesting() const {
  std::string all;
  for (const std::string& one : nest_) all += (all.empty() ? "" : " > ") + one;
  return all;
}

void Walk::emit(Command command) {
  if (emitted_ >= k_most_commands) {
    note(Opaque::unreadable, "this runs too many commands to judge them all", command.argv.empty() ? std::string_view() : std::string_view(command.argv[0]));
    return;
  }
  std::string key;
  for (const std::string& word : command.argv) key += word + '\x01';
  for (const auto& [name, value] : command.assignments) key += name + "=" + value + '\x01';
  for (const Redirect& r : command.redirects) key += r.op + r.target + '\x01';
  if (!spend(100 + 8 * command.argv.size() + key.size() / 4)) return;  // run() says so
  if (!emitted_texts_.insert(std::move(key)).second) return;
  ++emitted_;
  command.nesting = nesting();
  command.cwd = cwd();
  if (!nest_.empty()) command.is_resolved = true;
  commands.push_back(std::move(command));
}

Output Walk::node(const Script& script, std::uint32_t index, const Input& input) {
  if (index >= script.nodes.size() || depth_ > k_deepest + 16 || !spend(80)) return {};
  const Node& self = script.nodes[index];
  if (self.kind == NodeKind::simple) return simple(script, self, input);
  if (self.kind == NodeKind::function) {
    overlay_.functions[std::string(self.name)] = std::string(self.source);
    if (is_fork_bomb(self.name, self.source)) {
      Command bomb;
      bomb.argv = {"fork-bomb", std::string(self.name)};
      emit(std::move(bomb));
    }
    // Called by the shell itself, for any name that is not found.
    if (self.name == "command_not_found_handle" || self.name == "command_not_found_handler") (void)run_text(self.source, Input{}, self.name);
    return {};
  }
  ++depth_;
  Output output;
  Input own = input;
  std::vector<Redirect> redirects;
  if (!self.redirects.empty()) {
    take_redirects(self, own, redirects);
    if (!redirects.empty()) {
      Command here;  // the redirections of a group belong to no command
      here.argv = {":"};
      here.redirects = redirects;
      here.input = own;
      emit(std::move(here));
    }
  }
  const auto child = [&](std::size_t i) { return i < self.children.size() ? node(script, self.children[i], own) : Output(); };
  const auto branch = [&](std::size_t i) {
    const Overlay before = saved();
    Output out = child(i);
    merge(before);
    return out;
  };
  switch (self.kind) {
    case NodeKind::sequence:
      for (std::size_t i = 0; i < self.children.size(); ++i) {
        output += self.joints[i] == Joint::conditional ? branch(i) : child(i);
        if (output.size() > 256 * 1024) output = std::string(1, k_hole);
      }
      break;
    case NodeKind::pipeline: {
      Input from = own;
      for (std::size_t i = 0; i < self.children.size(); ++i) {
        const Overlay before = saved();
        output = node(script, self.children[i], from);
        leave(before);
        from = Input{};
        from.kind = Input::Kind::pipe;
        from.text = output;
        const Node& stage = script.nodes[self.children[i]];
        from.producer = stage.source.substr(0, 80);
      }
      break;
    }
    case NodeKind::subshell: {
      const Overlay before = saved();
      output = child(0);
      leave(before);
      break;
    }
    case NodeKind::group: output = child(0); break;
    case NodeKind::condition:
      for (std::size_t i = 0; i < self.children.size(); ++i) output += i == 0 ? child(i) : branch(i);
      break;
    case NodeKind::loop: {
      // `while read` over known text runs once for each line.
      std::size_t last = *own.consumed;
      const std::size_t first = commands.size();
      for (std::size_t n = 0; n < k_most_iterations; ++n) {
        output += child(0);
        output += branch(1);
        if (!own.text || *own.consumed == last || *own.consumed >= own.text->size() || budget_ == 0) break;
        last = *own.consumed;
      }
      if (self.children.size() > 1) note_endless_loop(script, self.children[0], self.children[1], first);
      break;
    }
    case NodeKind::for_words: {
      const std::vector<std::string> words = self.has_in ? expand_words(self.words) : arguments();
      std::size_t n = 0;
      for (const std::string& word : words) {
        if (++n > k_most_iterations || budget_ == 0) break;
        set_variable(self.name, word);
        output += child(0);
      }
      break;
    }
    case NodeKind::for_arithmetic:
      look_into_names(expand_here_document(self.source));
      output = child(0);
      break;
    case NodeKind::choice:
      (void)expand_words(self.words);
      for (std::size_t i = 0; i < self.children.size(); ++i) output += branch(i);
      break;
    case NodeKind::test: {
      // What these compare, or ask for, is read as an expression.
      const std::vector<std::string> words = expand_words(self.words);
      for (std::size_t i = 0; i < words.size(); ++i) {
        const bool is_one = words[i] == "-v" || words[i] == "-R";
        if (!is_one && words[i] != "-eq" && words[i] != "-ne" && words[i] != "-lt" && words[i] != "-le" && words[i] != "-gt" && words[i] != "-ge") continue;
        if (i + 1 < words.size()) look_into_subscript(words[i + 1]);
        if (!is_one && i > 0) look_into_subscript(words[i - 1]);
      }
      break;
    }
    case NodeKind::arithmetic: look_into_names(expand_here_document(self.source)); break;
    case NodeKind::simple:
    case NodeKind::function: break;
  }
  write_output(redirects, output);
  --depth_;
  return output;
}

Output Walk::simple(const Script&, const Node& node, const Input& input) {
  // An alias stands for text in front of everything else.
  if (!node.words.empty() && (!overlay_.aliases.empty() || !base_.aliases.empty())) {
    const std::string_view first = node.words[0];
    std::optional<std::string> text;
    if (const auto found = overlay_.aliases.find(first); found != overlay_.aliases.end()) {
      text = found->second;
    } else if (const auto outside = base_.aliases.find(first); outside != base_.aliases.end()) {
      text = outside->second;
    }
    if (text && !aliases_in_use_.contains(first)) {
      aliases_in_use_.emplace(first);
      Output output;
      const bool is_plain = text->find_first_of(";&|()<>{}\n\"'`$\\") == std::string::npos;
      if (is_plain) {
        Node changed = node;
        std::vector<std::string_view> words;
        for (std::size_t at = 0; at < text->size();) {
          const std::size_t end = std::min(text->find_first_of(" \t", at), text->size());
          if (end > at) words.push_back(std::string_view(*text).substr(at, end - at));
          at = end + 1;
        }
        words.insert(words.end(), node.words.begin() + 1, node.words.end());
        changed.words = std::move(words);
        nest_.push_back("alias " + std::string(first));
        output = simple(Script{}, changed, input);
        nest_.pop_back();
      } else {
        output = run_text(*text + std::string(node.source.substr(first.size())), input, "alias " + std::string(first));
      }
      aliases_in_use_.erase(std::string(first));
      return output;
    }
  }
  return simple_once(node, input);
}

Output Walk::simple_once(const Node& node, const Input& input) {
  const std::size_t outer_choice = choice_;
  const std::size_t outer_seen = choices_seen_;
  choices_seen_ = 1;
  Output first;
  for (choice_ = 0; choice_ < choices_seen_ && choice_ < k_most_values; ++choice_) {
    is_resolved_ = false;
    Command command;
    command.input = input;
    std::vector<std::string> argv = expand_words(node.words);
    const bool was_resolved = is_resolved_;
    if (choice_ == 0 && node.words.size() > 1) note_secret_variables(node.words);
    if (choice_ == 0 && node.words.size() > 1) note_upload(node.words);
    if (node.words.empty()) {
      const std::size_t this_choice = choice_;
      for (const std::string_view raw : node.assignments) assign(raw, &command.assignments);
      choice_ = this_choice;
      command.is_assignment = true;
    } else if (!node.assignments.empty()) {
      // In front of a command: for the command alone.
      const Overlay before = saved();
      for (const std::string_view raw : node.assignments) assign(raw, &command.assignments);
      leave(before);
    }
    take_redirects(node, command.input, command.redirects);
    command.is_resolved = was_resolved || is_resolved_;
    for (std::size_t i = 0; i < node.words.size() && i < argv.size() && !command.is_resolved; ++i) {
      if (node.words.size() != argv.size() || (i == 0 && node.words[0] != plain(argv[0]))) command.is_resolved = true;
    }
    const std::vector<Redirect> redirects = command.redirects;
    command.argv = std::move(argv);
    Output output;
    if (command.argv.empty()) {
      if (!command.assignments.empty() || !redirects.empty()) emit(command);
      output.clear();
    } else {
      const bool declares = command.argv[0] == "declare" || command.argv[0] == "typeset" || command.argv[0] == "local" || command.argv[0] == "readonly";
      output = dispatch(std::move(command));
      // Lists are read as they stand: their words lose their quotes when they are expanded.
      for (std::size_t i = 1; declares && i < node.words.size(); ++i) {
        const std::size_t prefix = assignment_prefix(node.words[i]);
        if (prefix != 0 && node.words[i].substr(prefix).starts_with('(')) assign(node.words[i], nullptr);
      }
    }
    write_output(redirects, output);
    if (choice_ == 0) first = std::move(output);
  }
  choice_ = outer_choice;
  choices_seen_ = outer_seen;
  return first;
}

void Walk::call_function(const Command& command, std::string_view body, Output& output) {
  const std::string name = command.argv[0];
  if (!functions_in_use_.insert(name).second) return;
  const std::optional<std::vector<std::string>> outer = overlay_.arguments;
  overlay_.arguments = std::vector<std::string>(command.argv.begin() + 1, command.argv.end());
  output = run_text(body, command.input, "function " + name);
  overlay_.arguments = outer;
  functions_in_use_.erase(name);
}

Output Walk::dispatch(Command command) {
  if (command.argv.empty()) return {};
  if (command.argv[0].size() == 1 && command.argv[0][0] == k_class) command.argv[0] = "[";
  // zsh: the path of that program
  if (command.argv[0].size() > 1 && command.argv[0][0] == '=' && std::isalpha(static_cast<unsigned char>(command.argv[0][1])) != 0) command.argv[0].erase(0, 1);
  const std::string& word = command.argv[0];
  const std::string name(program_name(word));
  const auto function = [&]() -> std::optional<std::string> {
    if (const auto found = overlay_.functions.find(word); found != overlay_.functions.end()) return found->second;
    if (const auto found = base_.functions.find(word); found != base_.functions.end()) return found->second;
    return std::nullopt;
  };
  Output output(1, k_hole);
  // `command rm` inside a function rm is the program, and so is what a wrapper starts: env, sudo and xargs know no functions.
  const bool starts_a_program = !nest_.empty() && nest_.back() != "time" && nest_.back() != "coproc" &&
                                (find_wrapper(nest_.back()) != nullptr || is_one_of(nest_.back(), {"xargs", "find -exec", "parallel"}));
  if (const auto body = function(); body && !functions_in_use_.contains(word)) {
    call_function(command, *body, output);
    if (!starts_a_program) return output;
  }
  if (name.empty() || has_hole(name) || (word.find('/') == std::string::npos && has_hole(word))) {
    note(Opaque::hidden_command, "the command's name cannot be known", shown(word));
    // An unset variable in front vanishes: the rest is then the command.
    if (word.size() == 1 && command.argv.size() > 1) {
      Command rest = command;
      rest.argv.erase(rest.argv.begin());
      rest.is_resolved = true;
      if (!rest.argv[0].starts_with('-') && depth_ < k_deepest) {
        ++depth_;
        (void)dispatch(std::move(rest));
        --depth_;
      }
    }
    emit(command);
    return output;
  }
  if (has_glob(name)) note(Opaque::hidden_command, "the command's name is a pattern", shown(word));
  if (word.find('/') != std::string::npos || overlay_.files.contains(absolute(word)) || base_.files.contains(absolute(word))) {
    if (const KnownFile* file = find_file(word)) {
      if (!file->program.empty()) {
        Command real = command;
        // A link to busybox is the part of it that the link is named after.
        const bool is_many = (file->program == "busybox" || file->program == "toybox") && name != file->program;
        real.argv[0] = is_many ? name : file->program;
        real.is_resolved = true;
        if (depth_ < k_deepest) {
          ++depth_;
          output = dispatch(std::move(real));
          --depth_;
        }
        return output;
      }
      std::vector<std::string> arguments(command.argv.begin() + 1, command.argv.end());
      emit(command);
      if (!file->is_content_known) note_open_folder(word);
      (void)run_file(word, std::move(arguments), command, word, output);
      return output;
    }
  }
  emit(command);
  note_open_folder(word);
  remember_copies(command);
  if (builtin(command, output) || shell_program(command, output) || wrapper(command, output) || interpreter(command, output)) return output;
  if (const auto known = filter_output(*this, command.argv, command.input.text)) return *known;
  return output;
}

}  // namespace sallyport::guard
