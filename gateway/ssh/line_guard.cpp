#include "gateway/ssh/line_guard.h"

#include <algorithm>
#include <array>
#include <utility>

#include "gateway/ssh/line_text.h"

namespace sallyport::gateway {
namespace {

constexpr std::int64_t k_ms = 1000;
constexpr std::int64_t k_quiet = 25 * k_ms;          // between the last key and the probe, and after its answer
constexpr std::int64_t k_settled_line = 40 * k_ms;   // without output: the prompt stands
constexpr std::int64_t k_after_interrupt = 60 * k_ms;  // of silence, until a program is thought to read again
constexpr std::int64_t k_noisy = 400 * k_ms;         // output that does not end: judged all the same, as opaque
constexpr std::int64_t k_slow_program = 400 * k_ms;  // so long may a busy program take to notice Ctrl-C
constexpr std::int64_t k_told_lag = 3000 * k_ms;
constexpr std::int64_t k_answer_time = 120'000 * k_ms;
constexpr std::int64_t k_by_itself = 300 * k_ms;
constexpr std::int64_t k_unseen_again = 60'000 * k_ms;  // marks of starts that were not seen are told once a minute
constexpr std::size_t k_longest_block = 64 * 1024;
constexpr std::size_t k_most_held = 2 * 1024 * 1024;  // above the channel's window: the client is not read any more before that
constexpr std::size_t k_history = 64;
constexpr int k_most_tries = 3;

/// Programs that print what stands in files, and go nowhere.
constexpr std::array<std::string_view, 24> k_showers = {"cat", "less", "more", "head", "tail", "grep", "egrep", "zgrep", "rg", "sed", "awk", "zcat", "echo", "printf",
                                                        "journalctl", "dmesg", "ls", "diff", "strings", "sort", "uniq", "cut", "wc", "ps"};
constexpr std::array<std::string_view, 6> k_user_changers = {"su", "sudo", "doas", "runuser", "login", "machinectl"};

[[nodiscard]] std::string_view base_name(std::string_view program) {
  const std::size_t slash = program.rfind('/');
  return slash == std::string_view::npos ? program : program.substr(slash + 1);
}

}  // namespace

LineGuard::LineGuard(Hooks hooks, std::uint32_t columns, std::uint32_t rows)
    : hooks_(std::move(hooks)), screen_({.columns = columns, .rows = rows, .history = k_history}) {
  screen_.on_command = [this](std::string_view command) { marked(command); };
}

void LineGuard::marked(std::string_view command) {
  if (!command.starts_with("133;") || !hooks_.wants_marks || !hooks_.wants_marks()) return;
  const std::string_view mark = command.substr(4);
  if (mark.starts_with("D")) {
    if (!std::exchange(status_due_, false) || !hooks_.finished) return;
    int status = -1;
    if (mark.size() > 2 && mark.size() < 6 && mark[1] == ';') {
      status = 0;
      for (const char c : mark.substr(2)) {
        if (c < '0' || c > '9') return;
        status = status * 10 + (c - '0');
      }
    }
    hooks_.finished(status);
  } else if (mark.starts_with("C")) {
    const bool was_seen = std::exchange(released_, 0) > 0;
    if (was_seen || !hooks_.judged || (told_unseen_ != 0 && last_output_ - told_unseen_ < k_unseen_again)) return;
    told_unseen_ = last_output_;
    Judged unseen;
    unseen.verdict = guard::Verdict::alert;
    unseen.source = "marks";
    unseen.rule = "marks/unseen-command";
    unseen.reason = "the shell says that a command started, and no line was seen being entered";
    unseen.went_on = true;
    hooks_.judged(unseen);
  }
}

void LineGuard::runs(const guard::Judgement& program) {
  for (const guard::SimpleCommand& command : program.commands)
    if (!command.argv.empty()) foreground_.emplace_back(base_name(command.argv.front()));
  if (program.enters && *program.enters != guard::Dialect::shell) dialects_.push_back(*program.enters);
}

void LineGuard::resized(std::uint32_t columns, std::uint32_t rows) {
  screen_.resize(columns, rows);
  anchor_settled_ = false;
}

void LineGuard::signalled(std::int64_t now) {
  if (phase_ != Phase::passing && phase_ != Phase::interrupted) return;
  last_forward_ = now;
  wait_for_interrupted(now);
}

void LineGuard::typed(std::span<const std::byte> keys, std::int64_t now, Actions& actions) {
  const auto text = text_of(keys);
  if (phase_ == Phase::over) return;
  if (phase_ == Phase::asking) return answer(text, now, actions);
  if (input_.size() + text.size() > k_most_held) {
    phase_ = Phase::over;
    actions.end = make_notice("SP-9104", "more was typed ahead of a held line than the gateway keeps");
    return;
  }
  input_ += text;
  packet_left_ = text.size();
  advance(now, actions);
}

void LineGuard::advance(std::int64_t now, Actions& actions) {
  while (!input_.empty() && (phase_ == Phase::passing || (phase_ == Phase::interrupted && input_.front() == '\x03'))) {
    const KeyView::Step step = keys_.peek(input_);
    switch (step.key) {
      case KeyView::Key::need_more: return;
      case KeyView::Key::text:
      case KeyView::Key::edit:
      case KeyView::Key::interrupt: {
        const std::string key = input_.substr(0, step.length);
        input_.erase(0, step.length);
        forward(key, input_.empty() && packet_left_ == step.length, now, actions);
        if (step.key == KeyView::Key::interrupt) {
          keys_.clear();
          line_begun_ = false;
          wait_for_interrupted(now);
        }
        break;
      }
      case KeyView::Key::submit:
      case KeyView::Key::paste_line:
        begin_line(now);
        held_key_ = input_.substr(0, step.length);
        input_.erase(0, step.length);
        held_since_ = now;
        settle(now);
        if (step.key == KeyView::Key::paste_line && keys_.is_sure()) {
          // The shell shows a paste only when it is complete: until then the keys are all there is.
          Reading reading;
          if (keys_.text().empty()) reading.pass = true;
          else reading.texts.push_back(keys_.text());
          judge(std::move(reading), now, actions);
        } else {
          try_decide(now, actions);
        }
        break;
    }
    packet_left_ = std::min(packet_left_, input_.size());
  }
}

void LineGuard::begin_line(std::int64_t now) {
  if (line_begun_) return;
  line_begun_ = true;
  moved_by_itself_ = false;
  anchor_ = screen_.cursor();
  const std::uint64_t begin = screen_.logical_begin(anchor_.line);
  anchor_prompt_ = screen_.text({begin, 0}, anchor_);
  anchor_rest_ = std::string(trim_right(screen_.text(anchor_, {anchor_.line, screen_.columns()})));
  // The first prompt of all has nothing before it that could still be printing.
  const bool first = last_release_ == 0 && anchor_prompt_.ends_with(' ');
  anchor_settled_ = first || (now - last_output_ >= k_settled_line && last_output_ >= last_release_);
}

void LineGuard::forward(std::string_view key, bool alone, std::int64_t now, Actions& actions) {
  begin_line(now);
  keys_.take(key, alone);
  last_forward_ = now;
  const auto bytes = bytes_of(key);
  actions.to_target.insert(actions.to_target.end(), bytes.begin(), bytes.end());
}

void LineGuard::settle(std::int64_t now) {
  phase_ = Phase::settling;
  probe_sent_ = probe_back_ = told_lag_ = false;
  wake_at_ = std::max(now, last_forward_ + k_quiet);
  if (wake_at_ <= now) wake_at_ = now + 1;
}

/// A line editor that is interrupted loses keys that reach it before its next prompt: the terminal shows them, the line that runs is
/// another one (`x` and `rm` become `rm`). They wait here until it has answered.
void LineGuard::wait_for_interrupted(std::int64_t now) {
  phase_ = Phase::interrupted;
  probe_sent_ = probe_back_ = false;
  wake_at_ = now + k_quiet;
}

void LineGuard::shown(std::span<const std::byte> output, std::int64_t now, Actions& actions) {
  if (!keys_.is_sure() && phase_ != Phase::settling && line_begun_ && now - last_forward_ > std::max(rtt_us_, 200 * k_ms) + k_by_itself)
    moved_by_itself_ = true;
  last_output_ = now;
  screen_.feed(output);
  if (phase_ == Phase::settling) try_decide(now, actions);
  else if (phase_ == Phase::passing || phase_ == Phase::interrupted) watch_for_hops(output, now, actions);
}

void LineGuard::probe_answered(std::int64_t now, Actions& actions) {
  if ((phase_ != Phase::settling && phase_ != Phase::clearing && phase_ != Phase::interrupted) || !probe_sent_ || probe_back_) return;
  probe_back_ = true;
  const std::int64_t took = now - probe_at_;
  rtt_us_ = rtt_us_ == 0 ? took : (3 * rtt_us_ + took) / 4;
  probe_at_ = now;
  wake_at_ = now + k_quiet;
  tick(now, actions);
}

void LineGuard::tick(std::int64_t now, Actions& actions) {
  if (wake_at_ == 0 || now < wake_at_) return;
  if (phase_ == Phase::asking || phase_ == Phase::approving) return deny(make_notice("SP-9102", "nobody answered in time"), now, actions);
  if (phase_ != Phase::settling && phase_ != Phase::clearing && phase_ != Phase::interrupted) {
    wake_at_ = 0;
    return;
  }
  if (phase_ == Phase::clearing && interrupt_due_) {
    if (now - last_output_ >= k_quiet || now - denied_at_ >= k_noisy) return interrupt(now, actions);
    wake_at_ = last_output_ + k_quiet;
    return;
  }
  if (!probe_sent_) {
    probe_sent_ = true;
    probe_at_ = now;
    actions.probe = true;
    wake_at_ = now + k_told_lag;
    return;
  }
  if (!probe_back_) {
    // The key stays held however long it takes.
    if (!told_lag_ && phase_ == Phase::settling) {
      told_lag_ = true;
      actions.to_client += "\r\n" + render(make_notice("SP-9103")) + "\r\n";
    }
    wake_at_ = 0;
    return;
  }
  const std::int64_t wanted = phase_ == Phase::interrupted ? k_after_interrupt : k_quiet;
  const bool quiet = now - std::max(last_output_, probe_at_) >= wanted;
  if (!quiet && now - probe_at_ < k_noisy) {
    wake_at_ = std::max(last_output_, probe_at_) + wanted;
    return;
  }
  wake_at_ = 0;
  if (phase_ == Phase::interrupted) {
    phase_ = Phase::passing;
    return advance(now, actions);
  }
  if (phase_ == Phase::clearing) return check_cleared(now, actions);
  auto reading = in_editor() ? read_editor(true) : read(true);
  if (reading) judge(std::move(*reading), now, actions);
  advance(now, actions);
}

void LineGuard::try_decide(std::int64_t now, Actions& actions) {
  auto reading = in_editor() ? read_editor(false) : read(false);
  if (!reading) return;
  judge(std::move(*reading), now, actions);
  if (phase_ == Phase::passing) advance(now, actions);
}

void LineGuard::watch_for_hops(std::span<const std::byte> output, std::int64_t now, Actions& actions) {
  const auto runs_only = [&](const auto& names) {
    return !foreground_.empty() && std::all_of(foreground_.begin(), foreground_.end(),
                                               [&](const std::string& name) { return std::find(names.begin(), names.end(), name) != names.end(); });
  };
  const auto sign = signs_.look(screen_, output, last_release_ != 0, runs_only(k_showers), runs_only(k_user_changers));
  if (!sign) return;
  std::string quoted = "ssh '";
  for (const char c : sign->host)
    if (c != '\'' && c >= 0x20) quoted.push_back(c);
  quoted += "'";
  const guard::Judgement judgement = hooks_.judge(quoted, guard::Dialect::shell);
  if (judgement.verdict == guard::Verdict::allow) return;
  current_ = Judged{};
  current_.source = "screen";
  current_.verdict = judgement.verdict;
  current_.text = quoted;
  current_.code = "SP-9111";
  if (const guard::Finding* worst = judgement.worst()) {
    current_.rule = worst->rule;
    current_.reason = worst->reason;
  }
  const bool stops = judgement.verdict > guard::Verdict::alert;
  report(!stops);
  if (!stops) return;
  if (judgement.verdict == guard::Verdict::kill) {
    phase_ = Phase::over;
    actions.end = make_notice("SP-9108", current_.rule);
    return;
  }
  if (sign->is_inside) {
    phase_ = Phase::over;
    actions.end = make_notice("SP-9111", current_.rule);
    return;
  }
  actions.to_client += "\r\n" + render(make_notice("SP-9111", current_.rule)) + "\r\n";
  actions.to_target.push_back(std::byte{0x03});
  last_forward_ = now;
  keys_.clear();
  line_begun_ = false;
}

void LineGuard::judge(Reading reading, std::int64_t now, Actions& actions) {
  current_ = Judged{};
  current_.waited_us = now - held_since_;
  current_.secret = reading.secret;
  line_text_.clear();
  line_enters_.reset();
  line_commands_.clear();
  line_incomplete_ = false;
  line_editor_ = reading.editor;
  line_prompt_ = reading.prompt;
  line_dialect_ = guard::Dialect::shell;
  // Ctrl-X Ctrl-E, and `v` among vi's commands, give the line to an editor: the shell runs what comes back.
  if (!reading.editor && !in_editor() && (held_key_ == "\x18\x05" || held_key_ == "v")) {
    reading.pass = false;
    reading.opaque = guard::Opaque::unseen_input;
    reading.why = "what an editor gives back to the shell is not seen";
  }
  if (reading.pass) return release(actions, now);

  const bool at_known_prompt = !reading.prompt.empty() && knows_prompt(reading.prompt);
  if (!reading.editor && !dialects_.empty() && !at_known_prompt) line_dialect_ = dialects_.back();
  if (at_known_prompt) dialects_.clear();
  // A block goes on unless the prompt it began at is back.
  const bool goes_on = !block_.empty() && !reading.editor && !(!block_prompt_.empty() && reading.prompt == block_prompt_);
  if (!goes_on) block_.clear();

  const guard::Finding* worst = nullptr;
  std::vector<guard::Judgement> judgements;
  judgements.reserve(reading.texts.size());
  for (std::size_t i = 0; i < reading.texts.size(); ++i) {
    std::string text = goes_on ? block_ + "\n" + reading.texts[i] : reading.texts[i];
    judgements.push_back(hooks_.judge(text, reading.editor ? guard::Dialect::shell : line_dialect_));
    const guard::Judgement& judgement = judgements.back();
    if (i == 0 || judgement.verdict > current_.verdict) {
      worst = judgement.worst();
      current_.verdict = judgement.verdict;
      line_text_ = std::move(text);
    }
    if (i == 0) {
      line_incomplete_ = judgement.incomplete && !reading.editor;
      line_enters_ = judgement.enters;
    }
    for (const guard::SimpleCommand& command : judgement.commands)
      if (!command.argv.empty()) line_commands_.emplace_back(base_name(command.argv.front()));
  }
  if (worst != nullptr) {
    current_.rule = worst->rule;
    current_.matched = worst->matched;
    current_.reason = worst->reason;
    current_.code = worst->code;
    current_.opaque = worst->opaque != guard::Opaque::none;
  }
  if (reading.opaque) {
    const guard::Verdict verdict = hooks_.opaque_verdict(*reading.opaque);
    if (verdict > current_.verdict || worst == nullptr) {
      current_.verdict = std::max(verdict, current_.verdict);
      current_.rule = "opaque/" + std::string(guard::name_of(*reading.opaque));
      current_.reason = reading.why;
      current_.code = "SP-9105";
    }
    current_.opaque = true;
  }
  if (!reading.secret) current_.text = line_text_;
  else current_.matched.clear();

  std::string why = current_.rule + ": " + current_.reason;
  if (worst != nullptr && !worst->remedy.empty()) why += " " + worst->remedy;
  while (why.ends_with('.')) why.pop_back();
  switch (current_.verdict) {
    case guard::Verdict::allow: return release(actions, now);
    case guard::Verdict::alert:
      report(true);
      return release(actions, now);
    case guard::Verdict::confirm:
      phase_ = Phase::asking;
      answer_.clear();
      wake_at_ = now + k_answer_time;
      actions.to_client += "\r\n" + render(make_notice("SP-9101", why)) + "\r\nreason: ";
      return;
    case guard::Verdict::approve:
      if (hooks_.ask_approval) {
        phase_ = Phase::approving;
        wake_at_ = 0;
        actions.to_client += "\r\n" + render(make_notice("SP-9106", why)) + "\r\n";
        hooks_.ask_approval(current_);
        return;
      }
      return deny(make_notice("SP-9107", why), now, actions);
    case guard::Verdict::deny: return deny(make_notice("SP-9100", why), now, actions);
    case guard::Verdict::kill:
      phase_ = Phase::over;
      report(false);
      actions.end = make_notice("SP-9108", why);
      return;
  }
}

void LineGuard::report(bool went_on) {
  current_.went_on = went_on;
  if (current_.verdict > guard::Verdict::allow) status_due_ = went_on;
  if (hooks_.judged && current_.verdict > guard::Verdict::allow) hooks_.judged(current_);
}

void LineGuard::release(Actions& actions, std::int64_t now) {
  phase_ = Phase::passing;
  wake_at_ = 0;
  const auto bytes = bytes_of(held_key_);
  actions.to_target.insert(actions.to_target.end(), bytes.begin(), bytes.end());
  last_forward_ = last_release_ = now;
  ++released_;
  const bool in_paste = keys_.in_paste();
  if (!line_text_.empty() && !in_paste && !line_incomplete_) {
    if (!line_editor_ && !current_.secret) {
      hooks_.ran(line_text_, line_dialect_);
      if (!line_prompt_.empty() && line_dialect_ == guard::Dialect::shell && block_.empty()) {
        learn_prompt(line_prompt_);
        blind_shell_ = false;
      }
      if (!line_commands_.empty() || line_dialect_ == guard::Dialect::shell) foreground_ = line_commands_;
      for (const std::string_view word : {"PS1", "PROMPT", "stty"})
        if (line_text_.find(word) != std::string::npos) blind_shell_ = true;
      if (line_text_.find("set -o vi") != std::string::npos || line_text_.find("bindkey -v") != std::string::npos) keys_.vi_keys(true);
      if (line_enters_ && *line_enters_ != guard::Dialect::shell) dialects_.push_back(*line_enters_);
      if (dialects_.size() > 16) dialects_.erase(dialects_.begin());
    } else if (current_.secret) {
      hooks_.ran(line_text_, line_dialect_);
    }
  }
  if (line_incomplete_ && !in_paste && line_text_.size() < k_longest_block) {
    if (block_.empty()) block_prompt_ = line_prompt_;
    // Another program's prompt must not pass for the shell's: its next lines would be read as the shell's.
    if (!line_prompt_.empty() && block_.empty() && line_dialect_ == guard::Dialect::shell) learn_prompt(line_prompt_);
    block_ = line_text_;
  } else if (!line_text_.empty()) {
    block_.clear();
  }
  if (in_paste) {
    keys_.take(held_key_, false);
    held_key_.clear();
    return;
  }
  const View view = look();
  submitted_line_ = screen_.logical_begin(screen_.cursor().line);
  submitted_text_ = view.before + view.rest;
  keys_.clear();
  line_begun_ = false;
  held_key_.clear();
}

void LineGuard::deny(const Notice& notice, std::int64_t now, Actions& actions) {
  current_.code = notice.code;
  report(false);
  actions.to_client += "\r\n" + render(notice) + "\r\n";
  // What came in the same packet or paste was meant to follow this line.
  input_.erase(0, std::min(packet_left_, input_.size()));
  held_key_.clear();
  block_.clear();
  const View view = look();
  denied_line_ = screen_.logical_begin(screen_.cursor().line);
  denied_row_ = view.before + view.rest;
  clear_tries_ = 0;
  phase_ = Phase::clearing;
  // A program that still prints is not back in its read: there it may lose a Ctrl-C, or take it for what comes next.
  interrupt_due_ = true;
  denied_at_ = now;
  wake_at_ = now + k_quiet;
}

void LineGuard::interrupt(std::int64_t now, Actions& actions) {
  interrupt_due_ = false;
  actions.to_target.push_back(std::byte{0x03});
  if (keys_.in_paste()) {
    const auto end = bytes_of(std::string_view("\x1b[201~\x03"));
    actions.to_target.insert(actions.to_target.end(), end.begin(), end.end());
  }
  last_forward_ = now;
  probe_sent_ = probe_back_ = told_lag_ = false;
  wake_at_ = now + k_quiet;
}

void LineGuard::check_cleared(std::int64_t now, Actions& actions) {
  const std::uint64_t begin = screen_.logical_begin(screen_.cursor().line);
  const View view = look();
  const std::string row = view.before + view.rest;
  const bool shell_line = !screen_.in_alternate() && !line_editor_ && !current_.secret && !folded(line_text_).empty();
  const std::string wanted = folded(line_text_.substr(line_text_.rfind('\n') == std::string::npos ? 0 : line_text_.rfind('\n') + 1));
  const bool stands = shell_line && !wanted.empty() && folded(row).ends_with(wanted) && (begin == denied_line_ ? row == denied_row_ : true);
  if (!stands) {
    keys_.clear();
    line_begun_ = false;
    phase_ = Phase::passing;
    return advance(now, actions);
  }
  // Nothing was printed yet: the server has the key, the program may not have looked. A second Ctrl-C would hit what comes next.
  if (last_output_ < last_forward_ && now - last_forward_ < k_slow_program) {
    wake_at_ = now + k_quiet;
    return;
  }
  if (++clear_tries_ >= k_most_tries) {
    phase_ = Phase::over;
    actions.end = make_notice("SP-9104", "the shell would not let go of a denied line");
    return;
  }
  // The shell does not obey Ctrl-C: its own editing keys, end of line and cut.
  for (const char key : std::string_view(clear_tries_ == 1 ? "\x05\x15" : "\x15\x03\x05\x15")) actions.to_target.push_back(static_cast<std::byte>(key));
  last_forward_ = now;
  probe_sent_ = probe_back_ = false;
  wake_at_ = now + k_quiet;
}

void LineGuard::answer(std::string_view keys, std::int64_t now, Actions& actions) {
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const char c = keys[i];
    if (c == 0x03 || c == 0x04) {
      actions.to_client += "^C";
      input_ += keys.substr(i + 1);
      packet_left_ = 0;
      return deny(make_notice("SP-9102", "no reason was given"), now, actions);
    }
    if (c == '\r' || c == '\n') {
      input_ += keys.substr(i + 1);
      packet_left_ = 0;
      if (trim(answer_).size() < 4) return deny(make_notice("SP-9102", "no reason was given"), now, actions);
      current_.person_reason = std::string(trim(answer_));
      actions.to_client += "\r\n";
      report(true);
      release(actions, now);
      return advance(now, actions);
    }
    if (c == 0x7f || c == 0x08) {
      if (!answer_.empty()) {
        answer_.pop_back();
        actions.to_client += "\b \b";
      }
    } else if (c >= 0x20 && c < 0x7f && answer_.size() < 200) {
      answer_.push_back(c);
      actions.to_client.push_back(c);
    }
  }
}

void LineGuard::approval_answered(bool granted, std::string_view by, std::int64_t now, Actions& actions) {
  if (phase_ != Phase::approving) return;
  current_.person_reason = std::string(by);
  if (!granted) return deny(make_notice("SP-9107", by.empty() ? "nobody agreed in time" : std::string(by) + " refused"), now, actions);
  actions.to_client += "agreed by " + std::string(by) + "\r\n";
  report(true);
  release(actions, now);
  advance(now, actions);
}

}  // namespace sallyport::gateway
