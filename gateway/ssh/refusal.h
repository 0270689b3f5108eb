// gateway/ssh/refusal.h -- from the authority's answers to what a person reads.
#pragma once

#include <string>
#include <string_view>

#include "platform/control/link.h"
#include "platform/model/messages.h"

namespace sallyport::gateway {

[[nodiscard]] Notice notice_of(const control::Refusal& refusal);
[[nodiscard]] Notice notice_of_error(const Error& error);
/// Empty code: the answer allows.
[[nodiscard]] Notice notice_of_answer(const Result<control::Received>& answer);
/// Foreign text made harmless: printable ASCII, at most `limit` bytes.
/// What a filter of a transfer ended with: its own refusal where it is one, else a breach of the protocol.
[[nodiscard]] Notice notice_of_filter(std::string_view error);
[[nodiscard]] std::string printable(std::string_view text, std::size_t limit);
/// A JSON string literal, quotes included; bytes that are no UTF-8 become U+FFFD.
[[nodiscard]] std::string json_string(std::string_view text);

}  // namespace sallyport::gateway
