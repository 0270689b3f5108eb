// recorder/replay/escape_parser.h -- cuts terminal output into text, controls and escape sequences (ECMA-48, xterm).
//
// What a target printed is hostile: shown raw it could make the auditor's terminal answer, type or copy things.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sallyport::replay {

class EscapeParser {
 public:
  enum class Token {
    none,     ///< inside a sequence
    text,     ///< one byte of text (perhaps of UTF-8)
    control,  ///< one C0 control
    escape,   ///< ESC, intermediates, final
    csi,
    string,   ///< OSC, DCS, APC, PM, SOS with its content, or a sequence too long to be kept
  };
  Token feed(char byte);
  /// The bytes of the token just completed.
  [[nodiscard]] std::string_view raw() const noexcept { return raw_; }
  /// Of a csi or escape: its last byte.
  [[nodiscard]] char final_byte() const noexcept { return raw_.empty() ? '\0' : raw_.back(); }
  /// Of a csi: what stands between "ESC [" and the final byte.
  [[nodiscard]] std::string_view parameters() const noexcept {
    return raw_.size() < 3 ? std::string_view() : std::string_view(raw_).substr(2, raw_.size() - 3);
  }

 private:
  enum class State { ground, escape, csi, string, string_escape };
  Token end(Token token) {
    state_ = State::ground;
    done_ = true;
    return token;
  }
  State state_ = State::ground;
  std::string raw_;
  bool done_ = true;
};

/// What may go to a person's terminal: colours, cursor, erasing, the other screen. Nothing that makes the terminal answer
/// (status, attributes, titles, clipboard), no mouse, no strings.
class TerminalFilter {
 public:
  void feed(std::string_view bytes, std::string& out);

 private:
  void text(char byte, std::string& out);
  EscapeParser parser_;
  int continuations_ = 0;  ///< UTF-8 bytes that are still to come
  unsigned char last_lead_ = 0;
  bool after_c2_ = false;
};

/// Terminal output as lines of plain text: colours and cursor movements away, overwritten ends of lines as they stood last.
class PlainText {
 public:
  void feed(std::string_view bytes, std::string& out);
  /// The line that has no newline yet.
  void finish(std::string& out);

 private:
  void put(char byte);
  void control(char byte, std::string& out);
  void csi();
  EscapeParser parser_;
  std::string cell_;  ///< UTF-8 character being gathered
  std::u32string line_;
  std::size_t column_ = 0;
};

}  // namespace sallyport::replay
