#include "platform/terminal/sequences.h"

#include <algorithm>
#include <utility>

namespace sallyport::terminal {
namespace {

constexpr char k_bell = '\a';
constexpr char k_cancel = '\x18';
constexpr char k_substitute = '\x1a';
constexpr char k_escape_byte = '\x1b';
constexpr char k_delete = '\x7f';
constexpr char k_c1_lead = '\xc2';  // U+0080 .. U+00BF begin with it
constexpr char k_c1_end = '\x9c';   // then ST
constexpr std::string_view k_notable = "\x1b\x7f\xc2";
constexpr std::string_view k_openers = "[]PX^_\\";
constexpr std::size_t k_longest_sequence = 256;
constexpr std::size_t k_most_parameters = 15;
constexpr std::uint32_t k_most_repeats = 100'000;

[[nodiscard]] constexpr unsigned value_of(char byte) { return static_cast<unsigned char>(byte); }

/// "ESC [ private mark, parameters, intermediate byte, last byte" within what libvterm's fixed tables hold: 16 parameters (0.1.4
/// writes beyond them), one mark, one intermediate byte. Parameters above 9999 become 9999, those too many are dropped.
/// "" for what is not of this form.
[[nodiscard]] std::string within_bounds(std::string_view sequence) {
  std::string out(sequence.substr(0, 2));
  std::size_t at = 2;
  if (at < sequence.size() && sequence[at] >= '<' && sequence[at] <= '?') out.push_back(sequence[at++]);
  for (std::size_t parameters = 1; at < sequence.size() && sequence[at] >= '0' && sequence[at] <= ';'; ++parameters) {
    const std::size_t end = std::min(sequence.find_first_not_of("0123456789", at), sequence.size());
    const std::string_view digits = sequence.substr(at, end - at);
    const bool kept = parameters <= k_most_parameters;
    if (kept) out += digits.size() > 4 && digits.find_first_not_of('0') + 4 < digits.size() ? "9999" : digits.substr(digits.size() - std::min<std::size_t>(digits.size(), 4));
    at = end;
    if (at >= sequence.size() || (sequence[at] != ':' && sequence[at] != ';')) break;
    if (kept && parameters < k_most_parameters) out.push_back(sequence[at]);
    ++at;
  }
  if (at + 1 < sequence.size() && sequence[at] < '0') out.push_back(sequence[at++]);
  return at + 1 == sequence.size() ? out + sequence[at] : std::string{};
}

/// The first parameter of "ESC [ Ps ; ... "; 1 when it is missing or 0.
[[nodiscard]] std::uint32_t first_count(std::string_view sequence) {
  std::uint32_t count = 0;
  for (const char byte : sequence.substr(2)) {
    if (byte < '0' || byte > '9') break;
    count = std::min(count * 10 + static_cast<std::uint32_t>(byte - '0'), k_most_repeats);
  }
  return std::max(count, 1U);
}

}  // namespace

Sequences::Piece Sequences::take(std::string_view& output) {
  if (state_ == State::k_text) return text(output);
  const char byte = output.front();
  if (state_ == State::k_c1) {
    state_ = State::k_text;
    if (value_of(byte) < 0x80 || value_of(byte) > 0x9f) return one(k_c1_lead);  // an ordinary character
    output.remove_prefix(1);
    begin();
    return in_escape(static_cast<char>(value_of(byte) - 0x40));
  }
  output.remove_prefix(1);
  if (byte == '\0' || byte == k_delete) return {};
  if (byte == k_cancel || byte == k_substitute) {
    state_ = State::k_text;
    return {};
  }
  if (state_ == State::k_command || state_ == State::k_string) return in_string(byte);
  if (byte == k_escape_byte) {
    begin();
    return {};
  }
  if (value_of(byte) < 0x20) return one(byte);  // control characters act at once, in the middle of a sequence as well
  if (value_of(byte) >= 0x80) {                 // no sequence has such a byte: it is text again
    state_ = byte == k_c1_lead ? State::k_c1 : State::k_text;
    return state_ == State::k_text ? one(byte) : Piece{};
  }
  return state_ == State::k_escape ? in_escape(byte) : in_control(byte);
}

Sequences::Piece Sequences::text(std::string_view& output) {
  const std::size_t length = std::min(output.find_first_of(k_notable), output.size());
  if (length > 0) {
    const std::string_view bytes = output.substr(0, length);
    output.remove_prefix(length);
    return {bytes, 0, {}};
  }
  if (output.front() == k_c1_lead) state_ = State::k_c1;
  if (output.front() == k_escape_byte) begin();
  output.remove_prefix(1);
  return {};
}

void Sequences::begin() {
  held_.assign(1, k_escape_byte);
  state_ = State::k_escape;
  too_long_ = marked_ = false;
}

Sequences::Piece Sequences::in_escape(char byte) {
  if (held_.size() == 1) switch (byte) {
      case '[':
        hold(byte);
        state_ = State::k_control;
        return {};
      case ']':
        held_.clear();
        state_ = State::k_command;
        return {};
      case 'P':
      case 'X':
      case '^':
      case '_':
        state_ = State::k_string;
        return {};
      case '\\':  // the end of a string that is over already
        state_ = State::k_text;
        return {};
      default: break;
    }
  if (byte >= '0') return whole(byte);
  hold(byte);
  return {};
}

Sequences::Piece Sequences::in_control(char byte) {
  if (byte >= '@') return whole(byte);
  if (byte < '0' || byte > ';') marked_ = true;
  hold(byte);
  return {};
}

Sequences::Piece Sequences::in_string(char byte) {
  const bool c1_end = byte == k_c1_end && std::exchange(previous_, byte) == k_c1_lead;
  previous_ = byte;
  if (byte == k_escape_byte || byte == k_bell || c1_end) {
    // ESC ends the string, whether \ follows (then it is the string's terminator) or another sequence.
    const bool command = state_ == State::k_command;
    if (command) handed_ = held_;
    if (command && c1_end && !handed_.empty() && handed_.back() == k_c1_lead) handed_.pop_back();
    begin();
    if (byte != k_escape_byte) state_ = State::k_text;
    return command ? Piece{{}, 0, handed_} : Piece{};
  }
  if (state_ == State::k_command && held_.size() < k_longest_command && value_of(byte) >= 0x20) held_.push_back(byte);
  return {};
}

Sequences::Piece Sequences::whole(char last) {
  const bool repeat = state_ == State::k_control && last == 'b';
  state_ = State::k_text;
  if (too_long_) return {};
  // libvterm does not take / for an intermediate byte and would see ESC [ in ESC / [; no terminal knows such a designation.
  const bool control = held_.size() > 1 && held_[1] == '[';
  if (!control && held_.size() > 1 && (held_.find('/') != std::string::npos || k_openers.find(last) != std::string_view::npos)) return {};
  if (repeat) return {{}, marked_ ? 0 : first_count(held_), {}};
  handed_ = std::exchange(held_, {});
  handed_.push_back(last);
  if (control) handed_ = within_bounds(handed_);
  return {handed_, 0, {}};
}

Sequences::Piece Sequences::one(char byte) {
  handed_.assign(1, byte);
  return {handed_, 0, {}};
}

void Sequences::hold(char byte) {
  if (held_.size() < k_longest_sequence) {
    held_.push_back(byte);
  } else {
    too_long_ = true;
  }
}

}  // namespace sallyport::terminal
