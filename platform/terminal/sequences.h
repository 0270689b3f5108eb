// platform/terminal/sequences.h -- a program's output, parted into what libvterm may have and what the model does itself.
//
// libvterm 0.1.4's REP (CSI Ps b, ECMA-48 8.3.103) never ends when the character before it has no width, so five bytes of a
// hostile program would hold a session for good; and a string (OSC) whose end comes in a later write is lost. Sequences are
// therefore kept back until their last byte is there; REP and operating system commands are handed out apart, other
// strings (DCS, APC, PM, SOS) are dropped. C1 characters written as UTF-8 (U+0080 .. U+009F), to which libvterm gives
// the width -1, become the escape sequences that they stand for, as in xterm.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sallyport::terminal {

class Sequences {
 public:
  /// At most one member is set. What is shown stands until the next call.
  struct Piece {
    std::string_view bytes;     ///< for libvterm
    std::uint32_t repeats = 0;  ///< repeat the last character so often
    std::string_view command;   ///< an operating system command, cut at k_longest_command bytes
  };
  static constexpr std::size_t k_longest_command = 320;

  /// Takes the next piece off the front of `output`, which is not empty. The piece is empty while a sequence is under way.
  [[nodiscard]] Piece take(std::string_view& output);
  [[nodiscard]] std::size_t memory() const noexcept { return held_.capacity() + handed_.capacity(); }

 private:
  enum class State {
    k_text,
    k_c1,      ///< after 0xc2
    k_escape,  ///< after ESC and perhaps intermediate bytes
    k_control, ///< after ESC [
    k_command, ///< after ESC ]
    k_string,  ///< in a string that nobody wants
  };

  [[nodiscard]] Piece text(std::string_view& output);
  [[nodiscard]] Piece in_escape(char byte);
  [[nodiscard]] Piece in_control(char byte);
  [[nodiscard]] Piece in_string(char byte);
  [[nodiscard]] Piece whole(char last);
  [[nodiscard]] Piece one(char byte);
  void begin();
  void hold(char byte);

  State state_ = State::k_text;
  std::string held_;      ///< the sequence so far, from its ESC; of a command what follows ESC ]
  std::string handed_;    ///< what the newest piece shows
  char previous_ = '\0';  ///< in a string
  bool too_long_ = false; ///< the sequence is swallowed
  bool marked_ = false;   ///< it has a private mark or an intermediate byte
};

}  // namespace sallyport::terminal
