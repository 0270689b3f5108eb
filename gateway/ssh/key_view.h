// gateway/ssh/key_view.h -- the line as the keys say: what a line editor would hold after these keystrokes.
//
// One of the two views the guard compares (the other is the screen). It follows the keys that every line editor
// understands alike; after any other key (history, search, completion, vi commands, quoting) it is no longer sure, and the
// screen has to tell. Pure, bounded: a line keeps at most k_longest characters and is unsure beyond them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace sallyport::gateway {

class KeyView {
 public:
  enum class Key : std::uint8_t {
    text,         ///< characters that are inserted
    edit,         ///< anything else that submits nothing
    submit,       ///< may make a program take the line: CR, LF, Ctrl-O, Ctrl-X Ctrl-E, `v` among vi commands, Ctrl-D behind text
    paste_line,   ///< CR or LF within a bracketed paste
    interrupt,    ///< Ctrl-C
    need_more,    ///< Ctrl-X: what it does depends on the next key
  };
  struct Step {
    std::size_t length = 0;  ///< bytes of `input` that belong to it
    Key key = Key::text;
  };

  /// The next key of `input` (not empty). `last_of_packet`: nothing else came together with these bytes.
  [[nodiscard]] Step peek(std::string_view input) const;
  /// The key went to the target. `alone`: an ESC that came without company.
  void take(std::string_view key, bool alone);
  /// The line was submitted or dropped.
  void clear();
  /// From now on nothing is certain until clear().
  void doubt() noexcept { sure_ = false; }

  [[nodiscard]] bool is_sure() const noexcept { return sure_ && pending_.empty() && escape_ == Escape::none; }
  [[nodiscard]] bool was_edited() const noexcept { return edited_; }
  [[nodiscard]] bool is_empty() const noexcept { return text_.empty() && sure_; }
  [[nodiscard]] bool in_paste() const noexcept { return in_paste_; }
  [[nodiscard]] std::string before() const;  ///< UTF-8, up to the cursor
  [[nodiscard]] std::string after() const;
  [[nodiscard]] std::string text() const { return before() + after(); }
  /// What was typed since the last key that is no text: the command line of an editor, say.
  [[nodiscard]] const std::string& tail() const noexcept { return tail_; }
  void vi_keys(bool on) noexcept { vi_ = on; }

  static constexpr std::size_t k_longest = 16 * 1024;

 private:
  enum class Escape : std::uint8_t { none, started, csi, ss3, string, string_escape };
  void insert(char32_t c);
  void escape_sequence();
  void control(char c);

  std::u32string text_;
  std::size_t cursor_ = 0;
  std::string pending_;    // of a UTF-8 character
  std::string sequence_;   // after ESC
  std::string tail_;
  Escape escape_ = Escape::none;
  bool sure_ = true;
  bool edited_ = false;
  bool in_paste_ = false;
  bool lone_escape_ = false;  // an ESC that came alone: vi's command mode, perhaps
  bool vi_ = false;
};

}  // namespace sallyport::gateway
