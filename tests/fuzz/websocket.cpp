// What a browser, or something else, sends where frames of a WebSocket are expected: the same bytes in one piece and byte by byte say
// the same.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "platform/net/websocket.h"

namespace {

constexpr std::size_t k_most = 4096;

std::string heard(std::string_view bytes, std::size_t step) {
  sallyport::net::WebSocketReader reader(k_most);
  std::string all;
  for (std::size_t i = 0; i < bytes.size(); i += step) {
    const auto fed = reader.feed(bytes.substr(i, step), [&](sallyport::net::WsKind kind, std::string_view payload) {
      if (payload.size() > k_most) std::abort();
      all += static_cast<char>(kind);
      all.append(payload).append("|");
    });
    if (!fed) return all + fed.error().detail;
  }
  return all;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (size > 0 && heard(bytes, size) != heard(bytes, 1)) std::abort();
  return 0;
}
