// gateway/ssh/line_guard.h -- holds the key that submits a line until the line was read and judged.
//
// Two views of the line are compared: what the keys say (KeyView) and what the terminal shows (terminal::Screen). Where
// both agree the key goes on at once. Otherwise the guard waits until the target has answered: it sends a probe behind the
// keys and waits for the answer and a short quiet, whatever the delay of the line is. Then it judges every reading that is
// left; the strictest verdict counts, and readings that differ beyond editing keys are opaque.
//
// What is not seen here: programs that read the terminal by themselves, scripts, binaries, what a program named like an
// editor does inside its own screen. docs/explanation/guard-terminal.md lists it, tests/unit/gateway/line_guard_test.cpp
// shows each.
//
// Pure: time comes in with every call, nothing is sent here; what is to be done stands in Actions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/ssh/hop_signs.h"
#include "gateway/ssh/key_view.h"
#include "platform/model/bytes.h"
#include "platform/model/messages.h"
#include "platform/terminal/screen.h"
#include "policy/guard/guard.h"

namespace sallyport::gateway {

class LineGuard {
 public:
  struct Actions {
    Bytes to_target;
    std::string to_client;
    bool probe = false;            ///< ask the target for any answer; probe_answered() follows
    std::optional<Notice> end;     ///< the session is over
  };
  /// For the audit log.
  struct Judged {
    guard::Verdict verdict = guard::Verdict::allow;
    std::string source = "line";   ///< line, screen
    std::string rule, text, matched, reason, code, person_reason;
    bool opaque = false;
    bool secret = false;           ///< not shown on the screen: `text` and `matched` are empty
    bool went_on = false;
    std::int64_t waited_us = 0;
  };
  struct Hooks {
    std::function<guard::Judgement(std::string_view text, guard::Dialect dialect)> judge;
    std::function<void(std::string_view text, guard::Dialect dialect)> ran;
    std::function<guard::Verdict(guard::Opaque kind)> opaque_verdict;
    std::function<void(const Judged&)> judged;
    /// A second person is asked; approval_answered() follows. Not set: such lines are denied.
    std::function<void(const Judged&)> ask_approval;
    /// The role wants to know what the shell says of itself (OSC 133). Not set: no.
    std::function<bool()> wants_marks;
    /// The shell says that the line reported last has ended.
    std::function<void(int status)> finished;
  };

  LineGuard(Hooks hooks, std::uint32_t columns, std::uint32_t rows);

  void typed(std::span<const std::byte> keys, std::int64_t now_us, Actions& actions);
  void shown(std::span<const std::byte> output, std::int64_t now_us, Actions& actions);
  void probe_answered(std::int64_t now_us, Actions& actions);
  void approval_answered(bool granted, std::string_view by, std::int64_t now_us, Actions& actions);
  void tick(std::int64_t now_us, Actions& actions);
  /// What runs in the terminal from the start, when it is no login shell.
  void runs(const guard::Judgement& program);
  void resized(std::uint32_t columns, std::uint32_t rows);
  /// The client asked the target for a signal or a break: as Ctrl-C, but it says nothing of the line.
  void signalled(std::int64_t now_us);

  /// When tick() is wanted; 0: never.
  [[nodiscard]] std::int64_t wake_at() const noexcept { return wake_at_; }
  [[nodiscard]] std::size_t held_bytes() const noexcept { return input_.size(); }
  [[nodiscard]] const terminal::Screen& screen() const noexcept { return screen_; }

 private:
  enum class Phase : std::uint8_t { passing, interrupted, settling, asking, approving, clearing, over };
  /// What the screen says of the line at the cursor.
  struct View {
    std::string before, rest;      ///< the logical line up to the cursor, and behind it
    std::string prefix;            ///< `before` without the keys, when they agree
    bool agrees = false;
    bool same_line = false;        ///< the line submitted last still stands there
    std::optional<std::string> line;  ///< without its prompt, when that is known
    std::string prompt;
  };
  struct Reading {
    std::vector<std::string> texts;
    std::optional<guard::Opaque> opaque;
    std::string why;
    bool secret = false;
    bool pass = false;             ///< nothing to judge
    bool editor = false;           ///< a command typed inside an editor or pager
    std::string prompt;
  };

  void advance(std::int64_t now, Actions& actions);
  void forward(std::string_view key, bool alone, std::int64_t now, Actions& actions);
  void begin_line(std::int64_t now);
  void settle(std::int64_t now);
  void wait_for_interrupted(std::int64_t now);
  void try_decide(std::int64_t now, Actions& actions);
  [[nodiscard]] View look() const;
  [[nodiscard]] bool knows_prompt(std::string_view text) const;
  void learn_prompt(std::string prompt);
  [[nodiscard]] bool in_editor() const;
  [[nodiscard]] std::optional<Reading> read_editor(bool settled) const;
  [[nodiscard]] std::optional<Reading> read(bool settled) const;
  [[nodiscard]] bool may_ask_secret() const;
  void judge(Reading reading, std::int64_t now, Actions& actions);
  void release(Actions& actions, std::int64_t now);
  void deny(const Notice& notice, std::int64_t now, Actions& actions);
  void interrupt(std::int64_t now, Actions& actions);
  void check_cleared(std::int64_t now, Actions& actions);
  /// A login at another host, as its client shows it: the same rules as for the command that leads there.
  void watch_for_hops(std::span<const std::byte> output, std::int64_t now, Actions& actions);
  void answer(std::string_view keys, std::int64_t now, Actions& actions);
  void report(bool went_on);
  /// A mark of the shell, or of a program that pretends to be one: a witness to be written down, never a reason to judge less.
  void marked(std::string_view command);

  Hooks hooks_;
  terminal::Screen screen_;
  KeyView keys_;
  Phase phase_ = Phase::passing;
  std::string input_;                ///< not sent on yet
  std::size_t packet_left_ = 0;      ///< of it, what came with the newest packet
  std::string held_key_;
  std::int64_t held_since_ = 0;
  std::int64_t wake_at_ = 0;

  // settling
  bool probe_sent_ = false, probe_back_ = false, told_lag_ = false;
  std::int64_t probe_at_ = 0;
  std::int64_t rtt_us_ = 0;
  std::int64_t last_output_ = 0, last_forward_ = 0;

  // where the line begins
  bool line_begun_ = false, anchor_settled_ = false;
  terminal::Place anchor_;
  std::string anchor_prompt_, anchor_rest_;
  bool moved_by_itself_ = false;     ///< output while an unsure line stood still
  std::uint64_t submitted_line_ = UINT64_MAX;
  std::string submitted_text_;
  std::deque<std::string> prompts_;
  std::int64_t last_release_ = 0;

  // what runs
  std::vector<guard::Dialect> dialects_;
  std::vector<std::string> foreground_;
  bool blind_shell_ = false;         ///< prompt or echo was changed by hand: unechoed lines are judged at any prompt
  std::string block_, block_prompt_;

  // verdict in hand
  Judged current_;
  std::string line_text_;
  guard::Dialect line_dialect_ = guard::Dialect::shell;
  std::optional<guard::Dialect> line_enters_;
  std::vector<std::string> line_commands_;
  bool line_incomplete_ = false, line_editor_ = false;
  std::string line_prompt_;
  std::string answer_;
  HopSigns signs_;
  int clear_tries_ = 0;
  bool interrupt_due_ = false;       ///< a denied line waits for its Ctrl-C
  std::int64_t denied_at_ = 0;
  std::uint64_t denied_line_ = 0;
  std::string denied_row_;

  // what the shell says of itself
  bool status_due_ = false;          ///< a reported line went on, and no exit status was seen since
  std::uint32_t released_ = 0;       ///< lines that went on since the last mark of a start
  std::int64_t told_unseen_ = 0;
};

}  // namespace sallyport::gateway
