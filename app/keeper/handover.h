// app/keeper/handover.h -- what one image of the keeper leaves to the next when it executes itself anew.
#pragma once

#include <string>
#include <vector>

#include "platform/model/result.h"
#include "platform/os/fd.h"

namespace sallyport::app {

/// Descriptor numbers stay what they are over exec; this says what each is. Written as text into a memfd, one record per line, so that
/// a newer and an older version can read each other's: unknown records are skipped, missing ones are made anew.
struct Handover {
  struct ServiceRecord {
    std::string name;
    int pid = -1;
    int control = -1;
    bool ready = false;
    unsigned restarts = 0;
  };
  struct SocketRecord {
    int fd = -1;
    std::string address;
  };
  struct SessionRecord {
    std::string session;
    int authority = -1;
    int vault = -1;
    int recorder = -1;
    int ring = -1;
  };
  unsigned generation = 1;
  int lock = -1;
  int recorder_link = -1;  ///< the keeper's own link to the recorder
  std::vector<ServiceRecord> services;
  std::vector<SocketRecord> sockets;
  std::vector<SessionRecord> sessions;
};

[[nodiscard]] std::string render_handover(const Handover& handover);
/// Errc::corrupt: not such a text.
[[nodiscard]] Result<Handover> parse_handover(const std::string& text);

/// A memfd that holds the text, without close-on-exec.
[[nodiscard]] Result<Fd> write_handover(const Handover& handover);
[[nodiscard]] Result<Handover> read_handover(const Fd& file);

/// Sets or clears close-on-exec of every descriptor that the handover names.
void keep_over_exec(const Handover& handover, bool keep);

}  // namespace sallyport::app
