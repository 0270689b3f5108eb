#include "policy/authority/recording_holds.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>

#include "platform/crypto/ulid.h"
#include "platform/os/fd.h"

namespace sallyport::authority {

Result<RecordingHolds> RecordingHolds::load(std::string file) {
  RecordingHolds holds(std::move(file));
  std::ifstream in(holds.file_);
  for (std::string line; std::getline(in, line);) {
    const std::size_t space = line.find(' ');
    if (!crypto::is_ulid(line.substr(0, space))) return fail(Errc::corrupt, holds.file_ + " does not name sessions: `" + line.substr(0, 40) + "`");
    holds.why_[line.substr(0, space)] = space == std::string::npos ? "" : line.substr(space + 1);
  }
  return holds;
}

Result<void> RecordingHolds::save(const std::map<std::string, std::string>& why) const {
  const std::string fresh = file_ + ".new";
  std::string text;
  for (const auto& [session, reason] : why) {
    text += session + " ";
    for (const char c : reason) text += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    text += "\n";
  }
  const Fd out(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!out || ::write(out.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) || ::fsync(out.get()) != 0 ||
      std::rename(fresh.c_str(), file_.c_str()) != 0)
    return fail(Errc::unavailable, file_ + ": " + std::strerror(errno));
  return {};
}

Result<void> RecordingHolds::hold(const std::string& session, const std::string& reason) {
  auto next = why_;
  next[session] = reason;
  if (auto saved = save(next); !saved) return saved;
  why_ = std::move(next);
  return {};
}

Result<void> RecordingHolds::release(const std::string& session) {
  auto next = why_;
  if (next.erase(session) == 0) return fail(Errc::not_found, "session " + session + " is not under legal hold");
  if (auto saved = save(next); !saved) return saved;
  why_ = std::move(next);
  return {};
}

}  // namespace sallyport::authority
