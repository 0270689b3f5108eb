// policy/authority/qr_text.h -- a QR code as lines of text.
#pragma once

#include <string>
#include <string_view>

namespace sallyport::authority {

/// Upper and lower half blocks in UTF-8, two modules to a character cell, bright on dark as terminals are, with a border.
/// Empty when `text` does not fit into one.
[[nodiscard]] std::string qr_text(std::string_view text);

}  // namespace sallyport::authority
