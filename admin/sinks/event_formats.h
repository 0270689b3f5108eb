// admin/sinks/event_formats.h -- one audit event in the words of others: OCSF 1.3 (JSON), CEF 0, RFC 5424.
//
// Pure. Every field of the event is kept: what a format has no place for stands under `unmapped` (OCSF) or is left to the JSON (CEF).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "platform/model/result.h"

namespace sallyport::admin {

/// An event as the journal holds it.
struct OutgoingEvent {
  std::uint64_t leaf = 0;   ///< its place in the log
  std::int64_t wall_us = 0;
  std::string id;           ///< the same in every delivery: receivers drop what they have seen
  std::string session;
  std::string name;         ///< channel.decided
  std::string json;         ///< its fields
};

enum class EventFormat { json, ocsf, cef };
/// Errc::invalid for a word that is none of "json", "ocsf", "cef".
[[nodiscard]] Result<EventFormat> event_format_of(std::string_view word);

/// Classes of OCSF that audit events fall into.
enum class OcsfClass : std::uint16_t { account_change = 3001, authentication = 3002, ssh_activity = 4007, api_activity = 6003 };
[[nodiscard]] OcsfClass ocsf_class_of(std::string_view name);

/// One line without its end. `node` names this gateway.
[[nodiscard]] std::string format_event(const OutgoingEvent& event, EventFormat format, const std::string& node, const std::string& version);

}  // namespace sallyport::admin
