#include "policy/authority/qr_text.h"

#include <qrencode.h>

#include <memory>

namespace sallyport::authority {
namespace {

constexpr int k_border = 2;

struct FreeCode {
  void operator()(QRcode* code) const noexcept { QRcode_free(code); }
};

std::unique_ptr<QRcode, FreeCode> code_of(std::string_view text) {
  const std::string copy(text);
  return std::unique_ptr<QRcode, FreeCode>(QRcode_encodeString8bit(copy.c_str(), 0, QR_ECLEVEL_L));
}

}  // namespace

std::string qr_text(std::string_view text) {
  const auto code = code_of(text);
  if (!code) return {};
  // Colours are set, not assumed: white modules are white on every terminal.
  const auto is_white = [&](int row, int column) {
    if (row < 0 || column < 0 || row >= code->width || column >= code->width) return row < code->width + k_border;
    return (code->data[row * code->width + column] & 1) == 0;
  };
  std::string out;
  for (int row = -k_border; row < code->width + k_border; row += 2) {
    out += "\x1b[97;40m";
    for (int column = -k_border; column < code->width + k_border; ++column) {
      const bool upper = is_white(row, column);
      const bool lower = is_white(row + 1, column);
      out += upper && lower ? "\xe2\x96\x88" : upper ? "\xe2\x96\x80" : lower ? "\xe2\x96\x84" : " ";
    }
    out += "\x1b[0m\n";
  }
  return out;
}

std::vector<std::string> qr_rows(std::string_view text) {
  const auto code = code_of(text);
  if (!code) return {};
  std::vector<std::string> rows;
  for (int row = 0; row < code->width; ++row) {
    std::string& line = rows.emplace_back();
    for (int column = 0; column < code->width; ++column) line += (code->data[row * code->width + column] & 1) == 0 ? '0' : '1';
  }
  return rows;
}

}  // namespace sallyport::authority
