// kill -9 of session processes, of the recorder, and of both, at random moments: no released byte is lost, nothing is
// recorded twice, no sequence is skipped. SALLYPORT_KILL_ROUNDS sets the number of rounds (20).
#include <poll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <random>

#include "recorder_node.h"

using namespace sallyport;
using namespace sallyport::recorder;
using namespace sallyport::recorder::test;
using Put = seal::SessionLog::Put;

namespace {

constexpr std::size_t k_producers = 3;

/// Shared with the producers; survives them.
struct Shared {
  std::array<std::atomic<std::uint64_t>, 4096> released;  // bytes of output that a Put said were stored
  std::atomic<bool> stop;
};

char byte_at(std::size_t slot, std::uint64_t offset) {
  return static_cast<char>('a' + (offset * 2654435761U + (offset >> 7) + slot) % 26);
}

/// A session process: writes as fast as the ring takes, in pieces of every size; now and then a pause.
[[noreturn]] void produce(PlayedSession& session, Shared& shared, std::size_t slot) {
  std::mt19937 random(static_cast<unsigned>(slot));
  const auto say_bell = [&](bool needed) {
    if (!needed) return;
    control::Envelope bell;
    bell.mutable_ring_bell();
    (void)session.link.send(bell);
  };
  // Without a recorder the session holds; it never gives up by itself here.
  const auto until_stored = [&](auto put) {
    for (;;) {
      const Put verdict = put();
      say_bell(session.log->bell_needed());
      if (verdict == Put::stored) return true;
      if (verdict == Put::failed) return false;
      pollfd waiting{session.link.native(), POLLIN, 0};
      ::poll(&waiting, 1, 20);
      for (;;) {
        auto received = session.link.receive();
        if (!received || !*received) break;
        if ((*received)->envelope.has_recording_failed()) ::_exit(3);
      }
    }
  };
  if (!until_stored([&] { return session.log->append_header("{}", {}); })) ::_exit(2);
  std::uint64_t offset = 0;
  Bytes piece;
  while (!shared.stop.load()) {
    const std::size_t size = random() % 3 == 0 ? 1 + random() % seal::k_max_data : 1 + random() % 200;
    piece.resize(size);
    for (std::size_t i = 0; i < size; ++i) piece[i] = static_cast<std::byte>(byte_at(slot, offset + i));
    if (!until_stored([&] { return session.log->append_data(1, seal::Stream::out, piece); })) ::_exit(2);
    offset += size;
    shared.released[slot].store(offset);  // from here on the bytes may be at the client
    if (random() % 64 == 0) ::usleep(static_cast<useconds_t>(random() % 30'000));
  }
  if (!until_stored([&] { return session.log->append_end("asked to stop"); })) ::_exit(2);
  ::_exit(0);
}

struct Producer {
  std::unique_ptr<PlayedSession> session;
  std::size_t slot = 0;
  pid_t pid = -1;
};

}  // namespace

TEST_CASE("kill -9 at random moments loses no released byte and leaves neither gap nor duplicate", "[recorder][kill]") {
  const char* const wanted = std::getenv("SALLYPORT_KILL_ROUNDS");
  const int rounds = wanted != nullptr ? std::atoi(wanted) : 20;
  auto* const shared = static_cast<Shared*>(::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  REQUIRE(shared != MAP_FAILED);
  new (shared) Shared{};

  char tmpfs[] = "/dev/shm/sallyport-kill-XXXXXX";
  const bool has_tmpfs = ::mkdtemp(tmpfs) != nullptr;
  {
    RecorderNode node(has_tmpfs ? tmpfs : "");
    node.settings.set("journal_roll_bytes", "4000000");
    node.settings.set("checkpoint_interval_ms", "150");
    node.settings.set("leftover_grace_ms", "100");
    node.start();
    std::mt19937 random(std::random_device{}());
    std::vector<std::unique_ptr<PlayedSession>> ended;
    std::vector<std::pair<std::string, std::size_t>> slots;  // label and slot
    std::vector<bool> ended_in_order;
    std::vector<Producer> producers(k_producers);
    std::size_t next_slot = 0;

    const auto begin = [&](Producer& producer) {
      REQUIRE(next_slot < shared->released.size());
      producer.session = node.make_session();
      producer.slot = next_slot++;
      slots.emplace_back(producer.session->id.str(), producer.slot);
      producer.pid = ::fork();
      REQUIRE(producer.pid >= 0);
      if (producer.pid == 0) {
        producer.session->service_end.reset();
        // A process of its own knows nothing of the others' rings.
        for (auto& other : producers) {
          if (&other == &producer || !other.session) continue;
          other.session->log.reset();
          other.session->mapping = {};
          other.session->ring_file.reset();
        }
        produce(*producer.session, *shared, producer.slot);
      }
      producer.session->link.close();
    };
    const auto reap = [&](Producer& producer, bool keeper_knows) {
      int status = 0;
      ::waitpid(producer.pid, &status, 0);
      producer.pid = -1;
      if (keeper_knows) node.session_gone(*producer.session);
      ended.push_back(std::move(producer.session));
      return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    };

    int killed_recorders = 0;
    int killed_sessions = 0;
    for (auto& producer : producers) begin(producer);
    for (int round = 0; round < rounds; ++round) {
      (void)node.pump_until([] { return false; }, static_cast<int>(random() % 60));
      auto& victim = producers[random() % producers.size()];
      const auto what = random() % 3;
      if (what != 0) ::kill(victim.pid, SIGKILL), ++killed_sessions;
      if (what != 1) {
        node.kill9();
        ++killed_recorders;
        (void)::usleep(static_cast<useconds_t>(random() % 30'000));
      }
      // With what == 2 the keeper may know of the session's end before the new recorder starts, or after.
      if (what == 2 && random() % 2 == 0) (void)reap(victim, true);
      if (what != 1) node.start();
      if (victim.pid > 0 && what != 0) (void)reap(victim, true);
      if (victim.pid < 0) begin(victim);
    }
    shared->stop.store(true);
    for (auto& producer : producers) {
      // The recorder must be heard and hear while they end.
      int status = 0;
      REQUIRE(node.pump_until([&] { return ::waitpid(producer.pid, &status, WNOHANG) == producer.pid; }, 20'000));
      CHECK(WIFEXITED(status));
      CHECK(WEXITSTATUS(status) == 0);
      node.session_gone(*producer.session);
      ended.push_back(std::move(producer.session));
    }
    CHECK(node.pump_until([&] { return std::filesystem::is_empty(node.ring_dir); }, 20'000));
    CHECK(node.stop() == 0);

    const auto journal = read_journal(node.journal_dir);
    INFO((journal.wrong.empty() ? "" : journal.wrong.front()));
    CHECK(journal.wrong.empty());
    CHECK(journal.tail.empty());
    CHECK(journal.count_events("recording.ring_refused") == 0);
    std::uint64_t released = 0;
    std::uint64_t entries = 0;
    std::uint64_t complete = 0;
    for (const auto& [label, slot] : slots) {
      const std::uint64_t promised = shared->released[slot].load();
      if (promised == 0 && !journal.entries.contains(label)) continue;
      REQUIRE(journal.entries.contains(label));
      const auto session = std::find_if(ended.begin(), ended.end(), [&, name = label](const auto& known) { return known->id.view() == name; });
      REQUIRE(session != ended.end());
      const auto read = open_session(label, (*session)->key, journal.entries.at(label));
      CHECK(read.out.size() >= promised);
      CHECK(read.out.size() <= promised + seal::k_max_data);  // at most the piece that was being put
      bool is_right = true;
      for (std::size_t i = 0; i < read.out.size(); ++i) is_right = is_right && read.out[i] == byte_at(slot, i);
      CHECK(is_right);
      REQUIRE(journal.heads.contains(label));
      const auto why = journal.heads.at(label).back().why;
      CHECK((why == HeadWhy::end || why == HeadWhy::truncated));
      complete += why == HeadWhy::end ? 1U : 0U;
      released += promised;
      entries += journal.entries.at(label).size();
    }
    CHECK(complete >= k_producers);
    WARN(rounds << " rounds: " << killed_recorders << " recorders and " << killed_sessions << " sessions killed, " << slots.size()
                << " sessions, " << entries << " entries, " << released / 1'000'000 << " MB released, none lost");
  }
  if (has_tmpfs) std::filesystem::remove_all(tmpfs);
  ::munmap(shared, sizeof(Shared));
}
