// recorder/replay/picture.h -- the screen of a terminal at a moment, as something that can be painted again.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "platform/model/bytes.h"
#include "platform/model/secret.h"
#include "platform/terminal/screen.h"
#include "recorder/replay/escape_parser.h"
#include "recorder/replay/seek_index.h"

namespace sallyport::replay {

/// The screen of a channel, sealed under a key of the session's own for key frames; bound to the tag of the entry it stands behind.
struct ScreenState {
  std::uint32_t columns = 80, rows = 24;
  std::string paint;  ///< bytes that draw it on an empty terminal
};
[[nodiscard]] Bytes seal_screen(const Secret& session_key, const SessionId& session, const KeyFrame& where, const ScreenState& state);
/// Errc::corrupt.
[[nodiscard]] Result<ScreenState> open_screen(const Secret& session_key, const SessionId& session, const KeyFrame& frame);

/// What a repaint does not carry: the scroll region, the pen, the character set.
class Pen {
 public:
  void feed(std::string_view bytes);
  [[nodiscard]] bool in_sequence() const noexcept { return in_sequence_; }
  /// To be written behind the picture; the cursor is then put back.
  [[nodiscard]] std::string before_cursor() const { return region_.empty() ? std::string() : "\x1b[" + region_ + "r"; }
  [[nodiscard]] std::string after_cursor() const { return charset_ + (shift_ == '\0' ? std::string() : std::string(1, shift_)) + pen_; }

 private:
  void csi();
  void escape();
  EscapeParser parser_;
  std::string region_, pen_, charset_;
  char shift_ = '\0';
  bool in_sequence_ = false;
};

/// A terminal whose picture can be sealed (seal_screen).
class Picture {
 public:
  Picture(std::uint32_t columns, std::uint32_t rows) : screen_({.columns = columns, .rows = rows, .history = 0, .attributes = true}) {}
  void feed(ByteView bytes) {
    screen_.feed(bytes);
    pen_.feed(text_of(bytes));
  }
  void resize(std::uint32_t columns, std::uint32_t rows) { screen_.resize(columns, rows); }
  [[nodiscard]] bool in_sequence() const noexcept { return pen_.in_sequence(); }
  [[nodiscard]] ScreenState state() const;

 private:
  terminal::Screen screen_;
  Pen pen_;
};

}  // namespace sallyport::replay
