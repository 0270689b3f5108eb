// platform/os/port_holder.h -- why an address could not be listened on, and what an operator does about it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sallyport::os {

/// "sshd (pid 812)": who listens on the TCP port, as far as /proc shows it to us; empty when it does not (another user's process,
/// another network namespace).
[[nodiscard]] std::string who_listens_on(std::uint16_t port);

/// The words behind "listening on ADDRESS: " for errno `error` of socket, bind or listen: what, who, and the remedy that names the
/// setting `key` (`listen`, `admin.listen`).
[[nodiscard]] std::string why_not_listening(int error, std::uint16_t port, std::string_view key);

}  // namespace sallyport::os
