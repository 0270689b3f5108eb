// platform/control/state_table.h -- which message may come on which link in which state. Everything else ends the peer.
//
// One table for the whole product, so that it can be read, fuzzed and tested in one place. Sizes of the fields that a
// session process (hostile once it is compromised) may fill are bounded here too, before anybody looks inside.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "platform/control/control.pb.h"
#include "platform/model/result.h"

namespace sallyport::control {

/// What the authority knows about a session, by its own acts and never by the session's word.
enum class SessionState : std::uint8_t {
  kit,         ///< made by the keeper, no connection on it yet: silent
  logging_in,  ///< the listener has started it
  bare,        ///< logged in without a target: self service and jumps
  identified,  ///< logged in with a target that is not granted yet
  dialling,    ///< OpenTarget is being worked on
  granted,     ///< the target's socket was handed over
  ready,       ///< logged in at the target
  ending,      ///< told to end; late messages are ignored
};
constexpr std::size_t k_session_states = 8;
[[nodiscard]] std::string_view name_of(SessionState state) noexcept;

enum class Judgement : std::uint8_t {
  accept,
  ignore,     ///< legal, but it came too late: drop it
  violation,  ///< end the session and write it to the audit log
};

/// A message from a session process to the authority. `restored`: the authority was restarted while this session lived,
/// so a question that was answered already may be asked once more.
[[nodiscard]] Judgement judge_session_message(SessionState state, const Envelope& message, std::size_t descriptors,
                                              bool restored);

/// A message from another of our services: may `from` say this to `to` at all?
[[nodiscard]] bool may_travel(Peer from, Peer to, Envelope::BodyCase body) noexcept;

/// Bounds of every field that a session may fill. Errc::invalid names the field.
[[nodiscard]] Result<void> check_bounds(const Envelope& message);

/// The body's name in control.proto, for the audit log: "auth_attempt".
[[nodiscard]] std::string_view name_of(Envelope::BodyCase body) noexcept;

}  // namespace sallyport::control
