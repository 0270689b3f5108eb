// policy/authority/qr_text.h -- a QR code as lines of text, or as its modules.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sallyport::authority {

/// Upper and lower half blocks in UTF-8, two modules to a character cell, bright on dark as terminals are, with a border.
/// Empty when `text` does not fit into one.
[[nodiscard]] std::string qr_text(std::string_view text);

/// Its modules, a text a row: '1' is dark, '0' is bright; without a border. Empty when `text` does not fit.
[[nodiscard]] std::vector<std::string> qr_rows(std::string_view text);

}  // namespace sallyport::authority
