// platform/model/messages.h -- the one catalogue of messages that a person may read when Sallyport says no.
//
// A code never changes its meaning and is never used again for something else. SP-1xxx login, SP-2xxx policy, SP-3xxx
// target, SP-4xxx recording, SP-5xxx limits and availability of the gateway, SP-6xxx files and tunnels, SP-7xxx admin and
// input, SP-8xxx verification. docs/reference/messages.md shows the same table; a test compares the two.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace sallyport {

struct Message {
  std::string_view code;    ///< "SP-2001"
  std::string_view what;    ///< what happened, one clause
  std::string_view why;     ///< the reason in general terms
  std::string_view remedy;  ///< what the reader can do now, one sentence with its full stop
};

/// All messages, sorted by code.
[[nodiscard]] std::span<const Message> all_messages() noexcept;
/// nullptr when there is no such code. "2001", "sp-2001" and "SP-2001" all name the same one.
[[nodiscard]] const Message* find_message(std::string_view code) noexcept;
/// The message of `code`; for an unknown code SP-5000 (so that a refusal can never fail to be told).
[[nodiscard]] const Message& message_of(std::string_view code) noexcept;

/// A message made concrete for one refusal. `why` may be more exact than the catalogue's; `reference` is the audit
/// event's id and may be empty.
struct Notice {
  std::string code;
  std::string what;
  std::string why;
  std::string remedy;
  std::string reference;
};
/// `why` empty: the catalogue's own.
[[nodiscard]] Notice make_notice(std::string_view code, std::string_view why = {}, std::string_view reference = {});

/// "sallyport: SP-2001 what - why. remedy (ref EVENTID)", without a newline; control characters become '?'.
[[nodiscard]] std::string render(const Notice& notice);

}  // namespace sallyport
