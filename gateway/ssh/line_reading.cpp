#include "gateway/ssh/line_guard.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include "gateway/ssh/line_text.h"

// What the line is that Enter would submit: read from the screen and from the keys.
namespace sallyport::gateway {
namespace {

constexpr std::size_t k_most_prompts = 8;

template <std::size_t N>
[[nodiscard]] bool is_one_of(const std::array<std::string_view, N>& list, std::string_view name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

/// Programs that take the whole screen and have commands of their own that start a shell.
constexpr std::array<std::string_view, 26> k_editors = {
    "vim", "vi", "nvim", "view", "vimdiff", "vim.tiny", "vim.basic", "rvim", "ex", "less", "more", "most", "man", "pager", "nano", "pico",
    "emacs", "mcedit", "crontab", "visudo", "vipw", "journalctl", "systemctl", "git", "top", "htop"};
/// What may ask for a password without showing it.
constexpr std::array<std::string_view, 24> k_askers = {
    "sudo", "su", "doas", "ssh", "scp", "sftp", "rsync", "passwd", "chpasswd", "mysql", "psql", "redis-cli", "openssl", "gpg",
    "kinit", "ftp", "curl", "wget", "docker", "git", "cryptsetup", "htpasswd", "login", "read"};
/// Built into the shell, and silent: after these the next prompt is the shell's.
constexpr std::array<std::string_view, 22> k_silent = {"stty", "set", "export", "unset", "alias", "unalias", "cd", ":", "true", "false", "shopt",
                                                       "bind", "bindkey", "setopt", "unsetopt", "declare", "typeset", "local", "trap", "echo",
                                                       "printf", "setterm"};

/// "(reverse-i-search)`x': command": the command.
[[nodiscard]] std::optional<std::string> searched(std::string_view line) {
  if (line.find("i-search)`") == std::string_view::npos) return std::nullopt;
  const std::size_t end = line.find("': ");
  if (end == std::string_view::npos) return std::string();
  return std::string(line.substr(end + 3));
}

[[nodiscard]] bool begins_with_word(std::string_view text, std::string_view word) {
  return text.starts_with(word) && (text.size() == word.size() || (std::isalnum(static_cast<unsigned char>(text[word.size()])) == 0));
}

/// What an editor's or pager's own command line would give to a shell; nullopt: nothing. `unclear`: code that may start anything.
[[nodiscard]] std::optional<std::string> escape_of(std::string_view line, bool& unclear) {
  line = trim(line);
  if (line.starts_with('!')) return std::string(trim(line.substr(1)));
  if (line.starts_with('|') && line.size() > 2) return std::string(trim(line.substr(2)));
  if (!line.starts_with(':')) return std::nullopt;
  line = trim(line.substr(1));
  while (!line.empty() && line.front() == ':') line = trim(line.substr(1));
  static constexpr std::array<std::string_view, 16> k_code = {"lua", "luafile", "py", "py3", "python", "python3", "pyx", "perl", "ruby", "tcl",
                                                              "call", "exe", "execute", "source", "so", "mz"};
  std::string_view word = line.substr(0, line.find_first_of(" !\t"));
  if (begins_with_word(line, "silent") || begins_with_word(line, "sil")) {
    const std::size_t space = line.find(' ');
    if (space != std::string_view::npos) {
      const std::string rest = ":" + std::string(line.substr(space + 1));
      return escape_of(rest, unclear);
    }
  }
  if (is_one_of(k_code, word)) {
    unclear = true;
    // The strings in it may be commands.
    const std::size_t open = line.find_first_of("'\"");
    const std::size_t close = line.find_last_of("'\"");
    if (open != std::string_view::npos && close > open) return std::string(line.substr(open + 1, close - open - 1));
    return std::string();
  }
  if (word == "sh" || word == "shell") return std::string("sh");
  if (word == "te" || word == "ter" || word == "term" || word == "terminal") {
    const std::string_view rest = trim(line.substr(word.size()));
    return rest.empty() ? std::string("sh") : std::string(rest);
  }
  // `:!x`, `:r !x`, `:w !x`, `:%!x`; a name with a bang (`:q!`, `:w! file`) is no filter.
  const std::size_t bang = line.find('!');
  if (bang == std::string_view::npos) return std::nullopt;
  if (bang > 0 && std::isalpha(static_cast<unsigned char>(line[bang - 1])) != 0) {
    const std::string_view again = line.substr(bang + 1);
    const std::size_t next = again.find('!');
    return next == std::string_view::npos ? std::nullopt : std::optional(std::string(trim(again.substr(next + 1))));
  }
  return std::string(trim(line.substr(bang + 1)));
}

}  // namespace

bool LineGuard::knows_prompt(std::string_view text) const {
  return !text.empty() && std::any_of(prompts_.begin(), prompts_.end(), [&](const std::string& prompt) {
    return text == prompt || (prompt.size() >= 2 && text.ends_with(prompt));
  });
}

void LineGuard::learn_prompt(std::string prompt) {
  if (prompt.size() < 2 || prompt.size() > 256) return;
  std::erase(prompts_, prompt);
  prompts_.push_front(std::move(prompt));
  if (prompts_.size() > k_most_prompts) prompts_.pop_back();
}

bool LineGuard::in_editor() const {
  if (!screen_.in_alternate()) return false;
  return std::any_of(foreground_.begin(), foreground_.end(), [](const std::string& name) { return is_one_of(k_editors, name); });
}

bool LineGuard::may_ask_secret() const {
  if (blind_shell_) return false;
  if (foreground_.empty()) return false;
  return std::any_of(foreground_.begin(), foreground_.end(),
                     [](const std::string& name) { return is_one_of(k_askers, name) || !is_one_of(k_silent, name); });
}

LineGuard::View LineGuard::look() const {
  View view;
  const terminal::Place cursor = screen_.cursor();
  const std::uint64_t begin = screen_.logical_begin(cursor.line);
  const std::uint64_t end = screen_.logical_end(cursor.line);
  view.before = screen_.text({begin, 0}, cursor);
  std::string rest = screen_.text(cursor, {end, screen_.columns()});
  rest = std::string(trim_right(rest));
  if (!anchor_rest_.empty() && rest.ends_with(anchor_rest_)) rest = std::string(trim_right(rest.substr(0, rest.size() - anchor_rest_.size())));
  view.rest = rest;
  const std::string whole = view.before + view.rest;
  view.same_line = begin == submitted_line_ && !submitted_text_.empty() && whole.starts_with(submitted_text_);

  std::string typed_before = keys_.before();
  if (const std::size_t newline = typed_before.rfind('\n'); newline != std::string::npos) typed_before.erase(0, newline + 1);
  const std::string typed_after(trim_right(keys_.after()));
  if (keys_.is_sure() && view.before.ends_with(typed_before) && view.rest == typed_after) {
    view.prefix = view.before.substr(0, view.before.size() - typed_before.size());
    view.agrees = !view.same_line || knows_prompt(view.prefix);
  }

  // Where the prompt ends: at the place where the line began, if its prompt still stands there; else behind a known one.
  const bool has_anchor = line_begun_ && anchor_settled_;
  const bool on_this_row = has_anchor && anchor_.line >= begin && anchor_.line <= cursor.line && screen_.text({begin, 0}, anchor_) == anchor_prompt_ &&
                           !(view.same_line && !knows_prompt(anchor_prompt_));
  const bool of_several_rows = !on_this_row && has_anchor && anchor_.line < begin && anchor_.line >= screen_.first() && begin - anchor_.line < 40 &&
                               screen_.text({screen_.logical_begin(anchor_.line), 0}, anchor_) == anchor_prompt_;
  if (on_this_row || of_several_rows) {
    view.prompt = anchor_prompt_;
    view.line = screen_.text(anchor_, cursor) + view.rest;
  } else if (const auto found = searched(whole)) {
    view.line = *found;
  } else {
    std::size_t longest = 0;
    for (const std::string& prompt : prompts_)
      if (whole.starts_with(prompt) && prompt.size() > longest) longest = prompt.size();
    if (longest > 0) {
      view.prompt = whole.substr(0, longest);
      view.line = whole.substr(longest);
    }
  }
  if (view.line) {
    if (const auto found = searched(*view.line)) view.line = *found;
    view.line = std::string(trim_right(*view.line));
  }
  return view;
}

std::optional<LineGuard::Reading> LineGuard::read_editor(bool settled) const {
  const terminal::Place cursor = screen_.cursor();
  const std::uint64_t bottom = screen_.top() + screen_.rows() - 1;
  const bool at_bottom = screen_.logical_end(cursor.line) == bottom;
  const std::string& tail = keys_.tail();
  const bool typed_command = tail.starts_with(':') || tail.starts_with('!') || tail.starts_with('|');
  const View view = look();
  // A shell that pretends: its prompt in front of what was typed.
  if (view.agrees && !keys_.text().empty() && knows_prompt(view.prefix)) return read(settled);
  Reading reading;
  if (!typed_command && !at_bottom) {
    reading.pass = true;
    return reading;
  }
  const std::string row = screen_.text({screen_.logical_begin(cursor.line), 0}, {bottom, screen_.columns()});
  const bool echoed = typed_command && keys_.is_sure() && trim_right(row).ends_with(trim_right(tail));
  if (!settled && !echoed) return std::nullopt;
  reading.editor = true;
  bool unclear = false;
  for (const std::string& text : {std::string(at_bottom ? row : std::string()), typed_command ? tail : std::string()})
    if (auto command = escape_of(text, unclear); command && !command->empty()) reading.texts.push_back(std::move(*command));
  if (unclear) {
    reading.opaque = guard::Opaque::unseen_code;
    reading.why = "a program text inside an editor may start anything";
  }
  reading.pass = reading.texts.empty() && !unclear;
  return reading;
}

std::optional<LineGuard::Reading> LineGuard::read(bool settled) const {
  const View view = look();
  Reading reading;
  const std::string typed = keys_.text();
  const auto add = [&](std::string text) {
    if (std::find(reading.texts.begin(), reading.texts.end(), text) == reading.texts.end()) reading.texts.push_back(std::move(text));
  };
  // Every place where a prompt may end.
  const auto add_guesses_of = [&](const std::string& whole) {
    for (std::size_t at = 0; at + 1 < whole.size(); ++at)
      if (std::string_view("$#%>").find(whole[at]) != std::string_view::npos && whole[at + 1] == ' ' && reading.texts.size() < 8)
        if (const auto guess = trim(std::string_view(whole).substr(at + 2)); !guess.empty()) add(std::string(guess));
  };
  const auto add_guesses = [&] { add_guesses_of(view.before + view.rest); };
  // Panes side by side: what stands between their borders is a line of its own, wherever its prompt ends.
  const auto add_pane = [&] {
    constexpr std::string_view k_border = "\u2502";
    const std::size_t left = view.before.rfind(k_border);
    const std::size_t right = view.rest.find(k_border);
    if (left == std::string::npos && right == std::string::npos) return;
    const std::string pane = (left == std::string::npos ? view.before : view.before.substr(left + k_border.size())) + view.rest.substr(0, right);
    add_guesses_of(pane);
    if (const auto whole = trim(pane); !whole.empty()) add(std::string(whole));
  };
  if (view.agrees) {
    reading.prompt = view.prefix;
    if (typed.empty() && (view.prefix.empty() || knows_prompt(view.prefix) || !view.line || trim(*view.line).empty())) {
      reading.pass = block_.empty();
      if (!reading.pass) add(typed);
      return reading;
    }
    if (!typed.empty()) add(typed);
    // Something stands between a known prompt and the keys: it belongs to the line, whoever put it there.
    if (view.line && folded(*view.line) != folded(typed) && !knows_prompt(view.prefix)) {
      if (!settled) return std::nullopt;
      add(*view.line);
    }
    if (reading.texts.empty()) reading.pass = true;
    return reading;
  }
  if (!settled) return std::nullopt;
  add_pane();
  reading.prompt = view.prompt;
  if (keys_.is_sure()) {
    if (typed.empty()) {
      if (view.line && !view.line->empty()) add(*view.line);
      reading.pass = reading.texts.empty() && block_.empty();
      if (!reading.pass && reading.texts.empty()) add(typed);
      return reading;
    }
    // Typed before its prompt came, where it begins is not known: then the row must not have the keys in it.
    const bool nothing_shown = view.line ? view.line->empty() : folded(view.before + view.rest).find(folded(typed)) == std::string::npos;
    if (nothing_shown) {
      reading.secret = true;
      if (!knows_prompt(view.before) && may_ask_secret()) {
        reading.pass = true;
        return reading;
      }
      add(typed);
      return reading;
    }
    if (view.line && folded(*view.line) == folded(typed)) {
      add(typed);
      return reading;
    }
    add(typed);
    if (view.line) add(*view.line);
    else add_guesses();
    if (!keys_.was_edited() || !view.line) {
      reading.opaque = guard::Opaque::unreadable;
      reading.why = "the keys and the screen do not show the same line";
    }
    return reading;
  }
  if (view.line) {
    if (!view.line->empty()) add(*view.line);
    if (moved_by_itself_ && !view.line->empty()) {
      reading.opaque = guard::Opaque::unreadable;
      reading.why = "the line changed on the screen without a key";
    }
    // A line of several rows whose cursor was moved up: what is below is not known to belong to it.
    reading.pass = reading.texts.empty() && !reading.opaque && block_.empty();
    if (!reading.pass && reading.texts.empty()) add("");
    return reading;
  }
  // No prompt is known.
  add_guesses();
  const std::string row = view.before + view.rest;
  if (reading.texts.empty() && !trim(row).empty()) add(std::string(trim(row)));
  if (reading.texts.empty() && block_.empty()) {
    reading.pass = true;
    return reading;
  }
  reading.opaque = guard::Opaque::unreadable;
  reading.why = "where the prompt ends is not known";
  return reading;
}

}  // namespace sallyport::gateway
