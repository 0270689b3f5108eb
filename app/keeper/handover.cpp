#include "app/keeper/handover.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <sstream>

namespace sallyport::app {
namespace {

constexpr std::string_view k_first_line = "sallyport-handover 1";

void keep_one(int fd, bool keep) {
  if (fd >= 0) fcntl(fd, F_SETFD, keep ? 0 : FD_CLOEXEC);
}

}  // namespace

std::string render_handover(const Handover& handover) {
  std::ostringstream out;
  out << k_first_line << '\n' << "generation " << handover.generation << '\n' << "lock " << handover.lock << '\n';
  out << "recorder-link " << handover.recorder_link << '\n';
  for (const auto& service : handover.services)
    out << "service " << service.name << ' ' << service.pid << ' ' << service.control << ' ' << service.ready << ' ' << service.restarts << '\n';
  for (const auto& socket : handover.sockets) out << "socket " << socket.fd << ' ' << socket.address << '\n';
  for (const auto& session : handover.sessions)
    out << "session " << session.session << ' ' << session.authority << ' ' << session.vault << ' ' << session.recorder << ' ' << session.ring << '\n';
  return out.str();
}

Result<Handover> parse_handover(const std::string& text) {
  std::istringstream in(text);
  std::string line;
  if (!std::getline(in, line) || line != k_first_line) return fail(Errc::corrupt, "not a handover of this program");
  Handover handover;
  while (std::getline(in, line)) {
    std::istringstream fields(line);
    std::string kind;
    fields >> kind;
    if (kind == "generation") fields >> handover.generation;
    else if (kind == "lock") fields >> handover.lock;
    else if (kind == "recorder-link") fields >> handover.recorder_link;
    else if (kind == "service") {
      Handover::ServiceRecord service;
      fields >> service.name >> service.pid >> service.control >> service.ready >> service.restarts;
      if (fields) handover.services.push_back(std::move(service));
    } else if (kind == "socket") {
      Handover::SocketRecord socket;
      fields >> socket.fd >> socket.address;
      if (fields) handover.sockets.push_back(std::move(socket));
    } else if (kind == "session") {
      Handover::SessionRecord session;
      fields >> session.session >> session.authority >> session.vault >> session.recorder >> session.ring;
      if (fields) handover.sessions.push_back(std::move(session));
    }
    if (fields.fail()) return fail(Errc::corrupt, "handover: cannot read the line `" + line + "`");
  }
  return handover;
}

Result<Fd> write_handover(const Handover& handover) {
  Fd file(memfd_create("sallyport-handover", 0));
  const std::string text = render_handover(handover);
  if (!file || ::pwrite(file.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()))
    return fail(Errc::unavailable, std::string("handover: ") + std::strerror(errno));
  return file;
}

Result<Handover> read_handover(const Fd& file) {
  std::string text;
  char buffer[16384];
  for (;;) {
    const ssize_t n = ::pread(file.get(), buffer, sizeof buffer, static_cast<off_t>(text.size()));
    if (n < 0) return fail(Errc::corrupt, std::string("handover: ") + std::strerror(errno));
    if (n == 0) return parse_handover(text);
    text.append(buffer, static_cast<std::size_t>(n));
  }
}

void keep_over_exec(const Handover& handover, bool keep) {
  keep_one(handover.lock, keep);
  keep_one(handover.recorder_link, keep);
  for (const auto& service : handover.services) keep_one(service.control, keep);
  for (const auto& socket : handover.sockets) keep_one(socket.fd, keep);
  for (const auto& session : handover.sessions)
    for (const int fd : {session.authority, session.vault, session.recorder, session.ring}) keep_one(fd, keep);
}

}  // namespace sallyport::app
