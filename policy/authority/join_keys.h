// policy/authority/join_keys.h -- what somebody who has joined a session types: commands behind Ctrl-], and keys for the session.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sallyport::authority {

struct JoinKey {
  enum class What { keys, say, hold, go_on, take, give_back, end, leave, help, echo };
  What what = What::keys;
  std::string text;  ///< keys: bytes; say: the line; echo: what her own terminal shows
};

/// Pure: bytes in, acts out. Bounded: a line to say has at most 500 bytes as typed; what of it is no text is U+FFFD.
class JoinKeys {
 public:
  [[nodiscard]] std::vector<JoinKey> read(std::string_view typed);

 private:
  enum class State { plain, prefixed, line };
  State state_ = State::plain;
  std::string line_;
};

/// One line for her terminal that names the keys.
[[nodiscard]] std::string_view join_help() noexcept;

}  // namespace sallyport::authority
