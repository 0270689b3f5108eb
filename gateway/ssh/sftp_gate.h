// gateway/ssh/sftp_gate.h -- file rules and evidence for SFTP as it passes (draft-ietf-secsh-filexfer-02, version 3, and
// OpenSSH's extensions).
#pragma once

#include <memory>

#include "gateway/ssh/file_rules.h"
#include "gateway/ssh/stream_filter.h"

namespace sallyport::gateway {

/// Parses both directions, never answers for the target but to refuse (SSH_FX_PERMISSION_DENIED with the request's id).
/// One event for each file operation: path after lexical normalisation, direction, bytes, result, SHA-256 of what was
/// transferred; contents that were not moved once, in full, from offset 0 give ranges and complete:false.
[[nodiscard]] std::unique_ptr<StreamFilter> make_sftp_gate(FileRules rules, StreamFilter::EventSink sink);

}  // namespace sallyport::gateway
