// gateway/ssh/transfer_gate.h -- evidence and file rules for `scp -O` and rsync, whose server runs as a command.
#pragma once

#include <memory>
#include <string_view>

#include "gateway/ssh/file_rules.h"
#include "gateway/ssh/stream_filter.h"

namespace sallyport::gateway {

/// `command` is what the client asked to run ("scp -t /srv/x"). The rcp protocol is parsed in both directions: one event
/// per file with path, direction, size and SHA-256. nullptr: the command is not a plain scp server call.
[[nodiscard]] std::unique_ptr<StreamFilter> make_scp_gate(std::string_view command, FileRules rules, StreamFilter::EventSink sink);

/// One event per call with the parsed arguments, and at the end byte counts and SHA-256 of each direction's stream.
/// nullptr: --daemon, an option we do not know, or (where file rules apply) a path they refuse.
[[nodiscard]] std::unique_ptr<StreamFilter> make_rsync_gate(std::string_view command, FileRules rules, StreamFilter::EventSink sink);

}  // namespace sallyport::gateway
