// Output of a hostile program: the model must stay within its bounds whatever it is fed.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "platform/terminal/screen.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  sallyport::terminal::Screen screen({.columns = 20, .rows = 6, .history = 4, .attributes = true});
  std::size_t at = 0;
  while (at < size) {
    const std::size_t length = std::min<std::size_t>(size - at, 1 + data[at] % 64U);
    screen.feed(std::as_bytes(std::span(data + at, length)));
    if (data[at] % 16U == 3) screen.resize(1U + data[at] % 90U, 1U + data[at + length - 1] % 40U);
    at += length;
    const auto cursor = screen.cursor();
    if (cursor.column >= screen.columns() || cursor.line < screen.top() || cursor.line >= screen.top() + screen.rows()) std::abort();
    static_cast<void>(screen.text({screen.first(), 0}, cursor));
  }
  if (screen.repaint().size() > 4 * 1024 * 1024 || screen.memory() > 4 * 1024 * 1024) std::abort();
  return 0;
}
