// gateway/ssh/stream_filter.h -- a gate in the byte stream of a channel whose protocol we know (sftp, scp, rsync, agent).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/ssh/file_rules.h"
#include "gateway/ssh/written_files.h"

namespace sallyport::gateway {

/// Reads both directions as they pass. What may go on is appended to `forward`; what answers the sender itself (a
/// refusal in the protocol's own words) is appended to `back`. Bounded: never holds more than k_most_held bytes.
class StreamFilter {
 public:
  using EventSink = std::function<void(std::string_view name, const std::string& json)>;
  static constexpr std::size_t k_most_held = 1024 * 1024;

  virtual ~StreamFilter() = default;
  /// False: the stream broke its protocol; `error` says how, and the channel ends.
  [[nodiscard]] virtual bool from_client(std::span<const std::byte> data, std::vector<std::byte>& forward, std::vector<std::byte>& back) = 0;
  [[nodiscard]] virtual bool from_target(std::span<const std::byte> data, std::vector<std::byte>& forward, std::vector<std::byte>& back) = 0;
  /// The channel ended: events about what was left incomplete.
  virtual void finish() = 0;
  [[nodiscard]] virtual std::string_view error() const { return {}; }
  /// What the target shall run in the place of the client's command; "" when it is the same.
  [[nodiscard]] virtual std::string replaced_command() const { return {}; }
  /// The policy changed while the channel lives: what it no longer allows is refused from here on, transfers that run
  /// included.
  virtual void replace_rules(const FileRules& rules) { static_cast<void>(rules); }

  /// An act that waits for a person was decided. What it leads to goes on as in the other calls.
  virtual void decided(std::uint32_t act, bool granted, std::string_view said, std::vector<std::byte>& to_target, std::vector<std::byte>& to_client) {
    static_cast<void>(act);
    static_cast<void>(granted);
    static_cast<void>(said);
    static_cast<void>(to_target);
    static_cast<void>(to_client);
  }

  /// Something was refused: what a person should read, beside the protocol's own word for it. Clients show that word alone ("Permission denied").
  std::function<void(std::string_view code, std::string_view text)> on_refused;

  /// A person has to agree to this act before it goes on; decided() brings the answer.
  std::function<void(std::uint32_t act, const std::string& text)> on_hold;
  /// Nobody waits for those any more.
  std::function<void()> on_unheld;

  /// Called for each file that was written to the target as a whole.
  WrittenFileSink on_written;
};

}  // namespace sallyport::gateway
