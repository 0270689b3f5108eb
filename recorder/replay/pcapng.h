// recorder/replay/pcapng.h -- a tunnel's recorded bytes as a capture that Wireshark and tshark read (pcapng, IETF draft-ietf-opsawg-pcapng).
//
// What passed the gateway was a stream, not packets: the IP and TCP around it are made up, with addresses that stand for the
// origin and the destination where these are no numeric IPv4 addresses; times and bytes are those that were recorded.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "platform/model/bytes.h"

namespace sallyport::replay {

struct TunnelEnds {
  std::string origin_host, host;
  std::uint16_t origin_port = 0, port = 0;
};

class PcapngWriter {
 public:
  using Out = std::function<bool(std::string_view)>;
  explicit PcapngWriter(Out out) : out_(std::move(out)) {}

  /// The file's head; `comment` says what this is.
  bool begin(std::string_view comment);
  bool open(std::uint32_t channel, const TunnelEnds& ends, std::int64_t wall_us);
  bool data(std::uint32_t channel, bool from_client, ByteView bytes, std::int64_t wall_us);
  bool close(std::uint32_t channel, std::int64_t wall_us);

 private:
  struct Stream {
    TunnelEnds ends;
    std::uint32_t addresses[2]{};
    std::uint32_t sequence[2]{1000, 1000};
    bool closed = false;
  };
  bool packet(Stream& stream, bool from_client, std::uint8_t flags, ByteView bytes, std::int64_t wall_us, std::string_view comment = {});
  Out out_;
  std::map<std::uint32_t, Stream> streams_;
};

}  // namespace sallyport::replay
