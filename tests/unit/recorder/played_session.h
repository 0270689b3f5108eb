// tests/unit/recorder/played_session.h -- what a session does and hears, played by the tests of the recorder as a process.
#pragma once

#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>

#include "recorder_node.h"

namespace sallyport::recorder::test {

using Put = seal::SessionLog::Put;
using seal::Stream;

inline Bytes text(std::string_view value) { return copy_of(bytes_of(value)); }

inline void ring_if_needed(PlayedSession& session, bool sync = false) {
  if (!session.log->bell_needed() && !sync) return;
  control::Envelope envelope;
  envelope.mutable_ring_bell()->set_sync(sync);
  (void)session.link.send(envelope);
}

/// As a session does: when the ring is full, ring and hold until the recorder, however busy the machine, has made room.
template <class Append>
void store(PlayedSession& session, Append append) {
  Put put = append();
  for (int tries = 0; put == Put::no_room && tries < 2000; ++tries) {
    if (tries % 100 == 0) {
      control::Envelope bell;
      bell.mutable_ring_bell()->set_end(false);
      (void)session.link.send(bell);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    put = append();
  }
  REQUIRE(put == Put::stored);
  ring_if_needed(session);
}

inline void put(PlayedSession& session, std::string_view out) {
  store(session, [&] { return session.log->append_data(1, Stream::out, text(out)); });
}

inline void begin(PlayedSession& session) {
  store(session, [&] { return session.log->append_header(R"({"principal":"engineer"})", text("wrapped")); });
}

inline void end(PlayedSession& session) {
  store(session, [&] { return session.log->append_end("done"); });
}

/// What the session hears: the first message that `wanted` likes.
template <class Wanted>
bool hears(RecorderNode& node, PlayedSession& session, Wanted wanted, int milliseconds = 5000) {
  return node.pump_until(
      [&] {
        for (;;) {
          auto received = session.link.receive();
          if (!received || !*received) return false;
          if (wanted((*received)->envelope)) return true;
        }
      },
      milliseconds);
}

inline std::string read_file(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream all;
  all << file.rdbuf();
  return all.str();
}

inline bool ring_exists(const RecorderNode& node, const PlayedSession& session) {
  return std::filesystem::exists(node.ring_dir + "/" + session.id.str() + ".ring");
}

}  // namespace sallyport::recorder::test
