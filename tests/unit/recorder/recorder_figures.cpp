// Figures of the recorder alone, not run by default. In CPU time, so that other work on the machine matters little. The target
// `recorder_bench` is this, optimised:
//
//   recorder_bench "[typing]"      500 sessions that type at once: the recorder's CPU
//   recorder_bench "[full-hash]"   what recording a GiB costs: in full (sealed, into the ring, into the journal) and by its hash
//   recorder_bench "[verify]"      MB/s of verify, by size of entries
//   recorder_bench "[make-recording]", "[search-figures]": replay_figures.cpp
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>

#include "platform/crypto/hash.h"
#include "recorder/replay/verify.h"
#include "tests/unit/recorder/journal_maker.h"
#include "tests/unit/recorder/recorder_node.h"

using namespace sallyport;
using seal::SessionLog;
using seal::Stream;

namespace {

double seconds_of(const timeval& time) { return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6; }

double own_cpu() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
}

double cpu_of(pid_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
  std::string word;
  long ticks = 0;
  for (int i = 1; i <= 15 && in >> word; ++i)
    if (i >= 14) ticks += std::stol(word);
  return static_cast<double>(ticks) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

void ring_if_needed(recorder::test::PlayedSession& session) {
  if (!session.log->bell_needed()) return;
  control::Envelope bell;
  bell.mutable_ring_bell();
  static_cast<void>(session.link.send(bell));
}

}  // namespace

TEST_CASE("500 sessions type at once", "[.][typing]") {
  constexpr int k_sessions = 500, k_seconds = 20, k_keys_per_second = 5;
  recorder::test::RecorderNode node;
  node.start();
  std::vector<std::unique_ptr<recorder::test::PlayedSession>> sessions;
  for (int i = 0; i < k_sessions; ++i) {
    sessions.push_back(node.make_session(true, seal::k_ring_min_capacity));
    REQUIRE(sessions.back()->log->append_header(R"({"principal":"engineer"})", bytes_of("wrapped")) == SessionLog::Put::stored);
    ring_if_needed(*sessions.back());
  }
  REQUIRE(node.pump_until([&] { return node.status().live_rings() == k_sessions; }, 60'000));
  const double before = cpu_of(node.pid());
  const auto began = std::chrono::steady_clock::now();
  std::uint64_t keys = 0, held = 0;
  std::vector<std::uint64_t> line(k_sessions, 0);
  // Each key is one entry in and its echo one entry out, at moments of their own; each 40th ends the line, with output.
  for (int step = 0; step < k_seconds * k_keys_per_second * k_sessions; ++step) {
    const auto number = static_cast<std::size_t>(step % k_sessions);
    auto& session = *sessions[number];
    const bool enter = (step / k_sessions + static_cast<int>(number)) % 40 == 39;
    const bool stored = session.log->append_input_typed(1, line[number], bytes_of(enter ? "\r" : "x")) == SessionLog::Put::stored &&
                        (!enter || session.log->reveal_line(1, line[number]) == SessionLog::Put::stored) &&
                        session.log->append_data(1, Stream::out, bytes_of(enter ? std::string(200, 'o') : std::string("x"))) == SessionLog::Put::stored;
    if (!stored) ++held;
    if (enter) ++line[number];
    ++keys;
    ring_if_needed(session);
    const auto due = began + std::chrono::microseconds(static_cast<std::int64_t>(step) * 1'000'000 / (k_sessions * k_keys_per_second));
    if (step % 64 == 0) static_cast<void>(node.pump_until([] { return true; }, 1));
    std::this_thread::sleep_until(due);
  }
  const double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  const double used = cpu_of(node.pid()) - before;
  std::printf("%d sessions, %.0f keys a second for %.1f s (%llu held): recorder %.1f %% of one core, %.0f us a key\n", k_sessions, static_cast<double>(keys) / took, took,
              static_cast<unsigned long long>(held), used / took * 100, used / static_cast<double>(keys) * 1e6);
  CHECK(held == 0);
}

TEST_CASE("a GiB in full and by hash, in the session's own process", "[.][full-hash]") {
  constexpr std::uint64_t k_bytes = 1ULL << 30;
  const Bytes piece(32 * 1024, std::byte{0x5a});
  test::JournalMaker made;
  auto& session = made.begin("{}", 16 << 20);
  crypto::Sha256 hash;
  double drained = 0;
  const double start = own_cpu();
  for (std::uint64_t done = 0; done < k_bytes; done += piece.size()) {
    while (session.log->append_data(1, Stream::in, piece) != SessionLog::Put::stored) {  // full: what the recorder would do, not counted
      const double before = own_cpu();
      Bytes entry;
      while (session.ring->next(entry) == seal::RingConsumer::Next::entry) entry.clear();
      session.ring->free_up_to(session.ring->position());
      drained += own_cpu() - before;
    }
  }
  const double full = own_cpu() - start - drained;
  recorder::test::RecorderNode node;
  node.start();
  auto played = node.make_session(true, 1 << 20);
  REQUIRE(played->log->append_header("{}", {}) == SessionLog::Put::stored);
  const double recorder_before = cpu_of(node.pid());
  for (std::uint64_t done = 0; done < k_bytes; done += piece.size())
    while (played->log->append_data(1, Stream::in, piece) != SessionLog::Put::stored) {
      ring_if_needed(*played);
      static_cast<void>(node.pump_until([] { return true; }, 1));
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
  static_cast<void>(node.pump_until([] { return false; }, 1500));
  const double recorder = cpu_of(node.pid()) - recorder_before;
  double hashed = own_cpu();
  for (std::uint64_t done = 0; done < k_bytes; done += piece.size()) hash.update(piece);
  static_cast<void>(hash.finish());
  hashed = own_cpu() - hashed;
  std::printf("a GiB recorded in full: %.2f CPU s in the session, %.2f in the recorder; by hash: %.2f in the session\n", full, recorder, hashed);
}

TEST_CASE("verify reads so many MB a second", "[.][verify]") {
  for (const std::size_t size : {60, 200, 1000, 32 * 1024}) {
    test::TemporaryFolder folder;
    test::JournalMaker made;
    made.short_form = std::getenv("SALLYPORT_SHORT_FORM") != nullptr;
    auto& session = made.begin("{}", 16 << 20);
    const Bytes piece(size, std::byte{0x5a});
    const std::uint64_t total = 200ULL << 20;
    for (std::uint64_t written = 0, count = 0; written < total; written += size + 68) {
      REQUIRE(session.log->append_data(1, Stream::in, piece) == SessionLog::Put::stored);
      if (++count * (size + 84) > (1 << 20)) {
        made.drain(session);
        made.clock.pass(1'000'000);
        count = 0;
      }
    }
    made.end(session);
    made.checkpoint();
    made.write(folder.path());
    replay::VerifyOptions options;
    options.journal = folder.path();
    options.checkpoint_keys = {made.note_key()};
    options.patience = std::chrono::milliseconds(0);
    REQUIRE(replay::verify_journal(options));  // once, so that the files are in memory
    std::vector<double> cpu, took;
    double megabytes = 0;
    for (int round = 0; round < 9; ++round) {
      const double before = own_cpu();
      const auto began = std::chrono::steady_clock::now();
      const auto report = replay::verify_journal(options);
      took.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count());
      cpu.push_back(own_cpu() - before);
      REQUIRE(report);
      CHECK(report->is_clean());
      megabytes = static_cast<double>(report->bytes) / 1e6;
    }
    std::sort(cpu.begin(), cpu.end());
    std::sort(took.begin(), took.end());
    std::printf("entries of %zu bytes: %.0f MB, %.0f MB/s (of CPU time %.0f MB/s), best %.0f MB/s\n", size, megabytes, megabytes / took[4], megabytes / cpu[4], megabytes / took[0]);
  }
}
