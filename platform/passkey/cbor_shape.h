// platform/passkey/cbor_shape.h -- is this whole CBOR (RFC 8949), before a library believes its counts?
//
// libcbor makes room for as many elements as an array or map says it has and writes to all of it, before it looks at the first one:
// ten bytes cost gigabytes. What devices write has definite lengths and little depth (CTAP 2.1 section 8).
#pragma once

#include <string_view>

namespace sallyport::passkey {

/// `data` is nothing but whole data items, each within its bytes.
[[nodiscard]] bool is_whole_cbor(std::string_view data) noexcept;

}  // namespace sallyport::passkey
