// bench/ring_bench.cpp -- what recording costs: entries into a ring, a recorder under 500 typing sessions, 1,000 idle
// ones, and bulk. Starts its own recorder process in a throw-away folder (rings on /dev/shm).
//
//   ring_bench [entries|typing|idle|bulk|events]...      default: all; SECONDS in RING_BENCH_SECONDS (5)
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "platform/control/link.h"
#include "platform/crypto/random.h"
#include "platform/crypto/ulid.h"
#include "platform/model/settings.h"
#include "platform/seal/session_log.h"
#include "recorder/service.h"

using namespace sallyport;
using seal::SessionLog;
using Clock_ = std::chrono::steady_clock;

namespace {

double seconds_since(Clock_::time_point start) { return std::chrono::duration<double>(Clock_::now() - start).count(); }

/// CPU seconds of another process.
double cpu_of(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string word;
  double ticks = 0;
  for (int i = 1; i <= 15 && file >> word; ++i)
    if (i >= 14) ticks += std::stod(word);
  return ticks / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

double own_cpu() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto in_seconds = [](const timeval& t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6; };
  return in_seconds(usage.ru_utime) + in_seconds(usage.ru_stime);
}

template <class T>
T must(Result<T> result) {
  if (result) return std::move(*result);
  std::fprintf(stderr, "ring_bench: %s\n", result.error().detail.c_str());
  std::exit(1);
}

struct Session {
  SessionId id;
  control::Link link;
  Fd service_end;
  seal::RingMapping mapping;
  std::unique_ptr<SessionLog> log;
  void bell() {
    if (!log->bell_needed()) return;
    ++bells;
    control::Envelope envelope;
    envelope.mutable_ring_bell();
    (void)link.send(envelope);
  }
  std::uint64_t bells = 0;
};

class Node {
 public:
  Node() {
    char state[] = "/tmp/ring-bench-XXXXXX";
    char rings[] = "/dev/shm/ring-bench-XXXXXX";
    state_ = ::mkdtemp(state);
    rings_ = ::mkdtemp(rings);
    auto pair = must(control::Link::make_pair());
    keeper_ = control::Link(std::move(pair.first));
    pid_ = ::fork();
    if (pid_ == 0) {
      for (int fd = 3; fd < 1024; ++fd)
        if (fd != pair.second.get()) ::close(fd);
      ::_exit(recorder::run_service(std::move(pair.second)));
    }
    pair.second.reset();
    Settings settings;
    settings.set("state_dir", state_);
    settings.set("ring_dir", rings_);
    settings.set("node", "bench");
    settings.set("syslog", "false");
    settings.set("min_free_bytes", "0");
    control::Envelope reload;
    reload.mutable_reload()->set_config_yaml(settings.render());
    send(reload, {});
  }
  ~Node() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    std::filesystem::remove_all(state_);
    std::filesystem::remove_all(rings_);
  }
  [[nodiscard]] pid_t pid() const { return pid_; }

  std::unique_ptr<Session> session(std::size_t ring_bytes = seal::k_ring_default_capacity) {
    auto session = std::make_unique<Session>();
    session->id = crypto::make_session_id(system_clock(), crypto::system_random());
    const Fd ring = must(seal::create_ring_file(rings_ + "/" + session->id.str() + ".ring", session->id, ring_bytes));
    session->mapping = must(seal::RingMapping::map(ring.get()));
    auto pair = must(control::Link::make_pair());
    session->link = control::Link(std::move(pair.first));
    session->service_end = std::move(pair.second);
    session->log = std::make_unique<SessionLog>(must(seal::RingProducer::adopt(session->mapping.span())), session->id,
                                                crypto::random_secret(crypto::system_random(), 32), system_clock());
    control::Envelope attach;
    attach.mutable_attach()->set_peer(control::PEER_SESSION);
    attach.mutable_attach()->set_session(session->id.str());
    send(attach, std::array{session->service_end.get(), ring.get()});
    (void)session->log->append_header("{}", {});
    session->bell();
    return session;
  }

  control::Link attach(control::Peer peer) {
    auto pair = must(control::Link::make_pair());
    control::Envelope envelope;
    envelope.mutable_attach()->set_peer(peer);
    send(envelope, std::array{pair.second.get()});
    return control::Link(std::move(pair.first));
  }

 private:
  void send(const control::Envelope& envelope, std::span<const int> descriptors) {
    while (!keeper_.send(envelope, descriptors)) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    while (true) {
      auto received = keeper_.receive();
      if (!received || !*received) break;
    }
  }
  std::string state_;
  std::string rings_;
  control::Link keeper_;
  pid_t pid_ = -1;
};

void drain_own(seal::RingConsumer& ring, Bytes& scratch) {
  for (scratch.clear(); ring.next(scratch) == seal::RingConsumer::Next::entry;) scratch.clear();
  ring.free_up_to(ring.position());
}

Bytes log_text(std::size_t size) {
  Bytes text;
  std::uint32_t state = 1;
  for (int line = 0; text.size() < size; ++line) {
    state = state * 1664525U + 1013904223U;
    const std::string one = "2026-03-01T12:" + std::to_string(line / 60 % 60) + ":" + std::to_string(line % 60) + "Z INFO recommender[" +
                            std::to_string(state % 9000) + "]: served user=" + std::to_string(state >> 8) + " items=20 took " +
                            std::to_string(state % 97) + "ms\n";
    for (const char c : one) text.push_back(static_cast<std::byte>(c));
  }
  text.resize(size);
  return text;
}

void bench_entries() {
  char folder[] = "/dev/shm/ring-bench-XXXXXX";
  const std::string path = ::mkdtemp(folder);
  std::printf("entries, sealed, hot (us each)\n");
  for (const std::size_t size : {1U, 64U, 256U, 4096U, 32768U}) {
    for (const char* kind : {"typed", "in", "out text", "out noise"}) {
      if (kind[0] == 't' && size > 64) continue;
      const SessionId id = crypto::make_session_id(system_clock(), crypto::system_random());
      const Fd file = must(seal::create_ring_file(path + "/" + id.str(), id, seal::k_ring_default_capacity));
      auto mapping = must(seal::RingMapping::map(file.get()));
      auto ring = must(seal::RingConsumer::adopt(mapping.span(), id, 0));
      SessionLog log(must(seal::RingProducer::adopt(mapping.span())), id, crypto::random_secret(crypto::system_random(), 32), system_clock());
      (void)log.append_header("{}", {});
      const Bytes noise = crypto::random_bytes(crypto::system_random(), size);
      const Bytes text = log_text(size);
      Bytes scratch;
      double spent = 0;
      constexpr int k_count = 20'000;
      for (int i = 0; i < k_count;) {
        drain_own(ring, scratch);
        const auto start = Clock_::now();
        for (; i < k_count; ++i) {
          SessionLog::Put put{};
          if (kind[0] == 't') put = log.append_input_typed(1, 1, noise);
          else if (kind[0] == 'i') put = log.append_data(1, seal::Stream::in, noise);
          else put = log.append_data(1, seal::Stream::out, kind[4] == 't' ? text : noise);
          if (put != SessionLog::Put::stored) break;
        }
        spent += seconds_since(start);
      }
      std::printf("  %6zu B  %-9s %8.2f\n", size, kind, spent / k_count * 1e6);
    }
  }
  std::filesystem::remove_all(path);
}

void bench_typing(double seconds, std::size_t count, int pace_ms) {
  Node node;
  std::vector<std::unique_ptr<Session>> sessions;
  for (std::size_t i = 0; i < count; ++i) sessions.push_back(node.session());
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  const Bytes echo = log_text(12);
  const double recorder_before = cpu_of(node.pid());
  const double own_before = own_cpu();
  std::uint64_t bells_before = 0;
  for (const auto& session : sessions) bells_before += session->bells;
  std::uint64_t keys = 0;
  std::uint64_t held = 0;
  const auto start = Clock_::now();
  std::size_t next = 0;
  while (seconds_since(start) < seconds) {
    // Spread over the pace, as people are.
    const auto due = static_cast<std::size_t>(seconds_since(start) * 1000.0 / pace_ms * static_cast<double>(count));
    for (; next < due; ++next) {
      Session& session = *sessions[next % count];
      const std::uint64_t line = next / count / 30 + 1;
      if (session.log->append_input_typed(1, line, ByteView(echo).first(1)) != SessionLog::Put::stored) ++held;
      if (session.log->append_data(1, seal::Stream::out, echo) != SessionLog::Put::stored) ++held;
      if (next / count % 30 == 29) (void)session.log->reveal_line(1, line);
      session.bell();
      ++keys;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  const double took = seconds_since(start);
  std::uint64_t bells = 0;
  for (const auto& session : sessions) bells += session->bells;
  std::printf("%zu sessions typing, a key each %d ms: recorder %.1f %% of a core, producers %.1f %% (%.0f keys/s, %llu bells, %llu held)\n", count,
              pace_ms, (cpu_of(node.pid()) - recorder_before) / took * 100, (own_cpu() - own_before) / took * 100,
              static_cast<double>(keys) / took, static_cast<unsigned long long>(bells - bells_before), static_cast<unsigned long long>(held));
}

void bench_idle(double seconds, std::size_t count) {
  Node node;
  std::vector<std::unique_ptr<Session>> sessions;
  for (std::size_t i = 0; i < count; ++i) sessions.push_back(node.session(seal::k_ring_min_capacity));
  std::this_thread::sleep_for(std::chrono::seconds(3));
  const double before = cpu_of(node.pid());
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  std::ifstream file("/proc/" + std::to_string(node.pid()) + "/smaps_rollup");
  std::string line;
  std::string pss;
  while (std::getline(file, line))
    if (line.starts_with("Pss:")) pss = line;
  std::printf("%zu sessions idle: recorder %.3f %% of a core; %s\n", count, (cpu_of(node.pid()) - before) / seconds * 100, pss.c_str());
}

void bench_bulk(double seconds, bool text, std::size_t ring_bytes) {
  Node node;
  auto session = node.session(ring_bytes);
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  const Bytes bytes = text ? log_text(seal::k_max_data * 16) : crypto::random_bytes(crypto::system_random(), seal::k_max_data * 16);
  const double recorder_before = cpu_of(node.pid());
  const double own_before = own_cpu();
  std::uint64_t moved = 0;
  std::uint64_t holds = 0;
  const auto start = Clock_::now();
  while (seconds_since(start) < seconds && moved < (std::uint64_t{4} << 30)) {
    const auto put = session->log->append_data(1, seal::Stream::out, ByteView(bytes).subspan(moved % bytes.size(), seal::k_max_data));
    session->bell();
    if (put == SessionLog::Put::stored) {
      moved += seal::k_max_data;
      continue;
    }
    ++holds;
    pollfd waiting{session->link.native(), POLLIN, 0};
    ::poll(&waiting, 1, 1000);
    while (true) {
      auto received = session->link.receive();
      if (!received || !*received) break;
    }
  }
  const double took = seconds_since(start);
  const double gib = static_cast<double>(moved) / (1024.0 * 1024 * 1024);
  std::printf("bulk %s, ring %zu KiB: %.0f MiB/s, recorder %.2f s/GiB, producer %.2f s/GiB, %llu holds, %llu bells\n", text ? "log text" : "noise",
              ring_bytes / 1024, gib * 1024 / took, (cpu_of(node.pid()) - recorder_before) / gib, (own_cpu() - own_before) / gib,
              static_cast<unsigned long long>(holds), static_cast<unsigned long long>(session->bells));
}

void bench_events(double seconds, bool durable, int in_flight) {
  Node node;
  control::Link authority = node.attach(control::PEER_AUTHORITY);
  std::vector<double> latencies;
  std::vector<Clock_::time_point> asked(static_cast<std::size_t>(in_flight));
  const auto ask = [&](std::size_t slot) {
    control::Envelope envelope;
    envelope.set_call(slot + 1);
    envelope.mutable_append_event()->set_name("channel.decided");
    envelope.mutable_append_event()->set_json(R"({"principal":"engineer","target":"recs-1","account":"deploy","decision":"allow"})");
    envelope.mutable_append_event()->set_durable(durable);
    asked[slot] = Clock_::now();
    (void)authority.send(envelope);
  };
  const auto start = Clock_::now();
  for (std::size_t slot = 0; slot < asked.size(); ++slot) ask(slot);
  while (seconds_since(start) < seconds) {
    pollfd waiting{authority.native(), POLLIN, 0};
    ::poll(&waiting, 1, 100);
    for (;;) {
      auto received = authority.receive();
      if (!received || !*received) break;
      if (!(*received)->envelope.has_event_appended()) continue;
      const std::size_t slot = (*received)->envelope.call() - 1;
      latencies.push_back(seconds_since(asked[slot]));
      ask(slot);
    }
  }
  std::sort(latencies.begin(), latencies.end());
  if (latencies.empty()) return;
  std::printf("events %s, %d in flight: %.0f/s, p50 %.2f ms, p99 %.2f ms\n", durable ? "durable" : "written", in_flight,
              static_cast<double>(latencies.size()) / seconds, latencies[latencies.size() / 2] * 1e3, latencies[latencies.size() * 99 / 100] * 1e3);
}

}  // namespace

int main(int argc, char** argv) {
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  const char* wanted_seconds = std::getenv("RING_BENCH_SECONDS");
  const double seconds = wanted_seconds != nullptr ? std::atof(wanted_seconds) : 5;
  std::vector<std::string> wanted(argv + 1, argv + argc);
  const auto runs = [&](const char* name) { return wanted.empty() || std::find(wanted.begin(), wanted.end(), name) != wanted.end(); };
  if (runs("entries")) bench_entries();
  if (runs("typing")) {
    bench_typing(seconds, 500, 200);
    bench_typing(seconds, 500, 20);
  }
  if (runs("idle")) bench_idle(seconds, 1000);
  if (runs("bulk")) {
    bench_bulk(seconds, false, seal::k_ring_default_capacity);
    bench_bulk(seconds, true, seal::k_ring_default_capacity);
    bench_bulk(seconds, false, 1024 * 1024);
  }
  if (runs("events")) {
    bench_events(seconds, false, 1);
    bench_events(seconds, true, 1);
    bench_events(seconds, true, 32);
  }
  return 0;
}
