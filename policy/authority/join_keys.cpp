#include "policy/authority/join_keys.h"

#include "platform/model/json_text.h"

namespace sallyport::authority {
namespace {

constexpr char k_prefix = 0x1d;  // Ctrl-], as telnet has it: no shell wants it
constexpr char k_ctrl_c = 3;
constexpr std::size_t k_longest_line = 500;

}  // namespace

std::string_view join_help() noexcept {
  return "Ctrl-] then: m message, h hold, g go on, t take the keyboard, r return it, e end the session, q leave, ? this line";
}

std::vector<JoinKey> JoinKeys::read(std::string_view typed) {
  std::vector<JoinKey> acts;
  const auto add = [&](JoinKey::What what, std::string text = {}) { acts.push_back({what, std::move(text)}); };
  for (const char c : typed) {
    switch (state_) {
      case State::plain:
        if (c == k_prefix) state_ = State::prefixed;
        else if (!acts.empty() && acts.back().what == JoinKey::What::keys) acts.back().text += c;
        else add(JoinKey::What::keys, std::string(1, c));
        break;
      case State::prefixed:
        state_ = State::plain;
        switch (c) {
          case 'm':
            state_ = State::line;
            line_.clear();
            add(JoinKey::What::echo, "\r\nmessage: ");
            break;
          case 'h': add(JoinKey::What::hold); break;
          case 'g': add(JoinKey::What::go_on); break;
          case 't': add(JoinKey::What::take); break;
          case 'r': add(JoinKey::What::give_back); break;
          case 'e': add(JoinKey::What::end); break;
          case 'q': add(JoinKey::What::leave); break;
          case k_prefix: add(JoinKey::What::keys, std::string(1, k_prefix)); break;
          default: add(JoinKey::What::help); break;
        }
        break;
      case State::line:
        if (c == '\r' || c == '\n') {
          state_ = State::plain;
          add(JoinKey::What::echo, "\r\n");
          if (!line_.empty()) add(JoinKey::What::say, printable(line_));
        } else if (c == k_ctrl_c || c == k_prefix) {
          state_ = State::plain;
          add(JoinKey::What::echo, " (not said)\r\n");
        } else if (c == 0x7f || c == '\b') {
          if (line_.empty()) break;
          while (line_.size() > 1 && (static_cast<unsigned char>(line_.back()) & 0xc0U) == 0x80U) line_.pop_back();
          line_.pop_back();
          add(JoinKey::What::echo, "\b \b");
        } else if (static_cast<unsigned char>(c) >= ' ' && line_.size() < k_longest_line) {
          line_ += c;
          add(JoinKey::What::echo, std::string(1, c));
        }
        break;
    }
  }
  return acts;
}

}  // namespace sallyport::authority
