// app/keeper/sockets.h -- the listening sockets: opened here, from systemd, or from the keeper before this one.
#pragma once

#include <string>
#include <vector>

#include "platform/model/result.h"
#include "platform/os/fd.h"

namespace sallyport::app {

struct ListeningSocket {
  Fd fd;
  std::string address;  ///< "127.0.0.1:2222", "[::1]:2222": as really bound
};

/// Binds and listens, non-blocking. `address` is numeric: "127.0.0.1:2222", "[::]:2222", "*:2222" (IPv4), port 0 for any free one.
/// An IPv6 socket serves IPv6 only. Errc::invalid: not an address. Errc::unavailable: in use or not ours.
[[nodiscard]] Result<ListeningSocket> open_listening(const std::string& address);

/// The sockets that systemd handed over (LISTEN_PID, LISTEN_FDS); empty when there are none. Clears the variables.
[[nodiscard]] Result<std::vector<ListeningSocket>> sockets_of_systemd();

/// "host:port" to which `fd` is bound.
[[nodiscard]] std::string bound_address(int fd);

}  // namespace sallyport::app
