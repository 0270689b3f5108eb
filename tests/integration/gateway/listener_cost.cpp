// What a connection costs before any SSH: prints the figures of docs/explanation/processes.md. Hidden; run it on a
// quiet machine, as root (it reads smaps of processes that are not dumpable): integration_gateway "[cost]"
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdio>
#include <fstream>
#include <string>

#include "fake_keeper.h"

using namespace sallyport::tests;
using Steady = std::chrono::steady_clock;

namespace {

/// User and system time of a process in milliseconds.
double cpu_ms(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string word;
  double ticks = 0;
  for (int i = 1; i <= 15 && file >> word; ++i)
    if (i >= 14) ticks += std::stod(word);
  return ticks * 1000 / static_cast<double>(sysconf(_SC_CLK_TCK));
}

double rollup_kib(pid_t pid, const std::string& field) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/smaps_rollup");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(field + ":")) return std::stod(line.substr(field.size() + 1));
  return 0;
}

double middle(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values.empty() ? 0 : values[values.size() / 2];
}

void connections_one_by_one(FakeKeeper& keeper) {
  constexpr int k_count = 500;
  std::vector<double> times;
  double children_us = 0;
  const double before = cpu_ms(keeper.pid());
  for (int i = 0; i < k_count; ++i) {
    const auto start = Steady::now();
    Client client = keeper.connect();
    const auto said = hello(client);
    times.push_back(std::chrono::duration<double, std::micro>(Steady::now() - start).count());
    if (!said) continue;
    client.send("exit 0\n");
    if (const auto exited = keeper.exited(said->session)) children_us += static_cast<double>(exited->cpu_us());
  }
  const double parent = cpu_ms(keeper.pid()) - before;
  std::sort(times.begin(), times.end());
  std::printf("connect to first byte: p50 %.0f us, p95 %.0f us\n", times[k_count / 2], times[k_count * 95 / 100]);
  std::printf("CPU per 100 connections: listener %.1f ms, session processes %.1f ms\n", parent * 100 / k_count,
              children_us / 1000 * 100 / k_count);
}

void standing_sessions(FakeKeeper& keeper, int count) {
  std::vector<Client> clients;
  std::vector<pid_t> pids;
  for (int i = 0; i < count; ++i) {
    clients.push_back(keeper.connect("127.0.5." + std::to_string(1 + i % 200)));
    const auto said = hello(clients.back());
    if (!said) continue;
    if (const auto started = keeper.started(said->session)) pids.push_back(started->pid());
  }
  std::vector<double> pss;
  std::vector<double> dirty;
  for (const pid_t pid : pids) {
    pss.push_back(rollup_kib(pid, "Pss"));
    dirty.push_back(rollup_kib(pid, "Private_Dirty"));
  }
  std::printf(
      "%zu sessions right after the fork: PSS %.0f KiB, private %.0f KiB each (medians); listener PSS %.0f KiB, RSS "
      "%.0f KiB\n",
      pids.size(), middle(pss), middle(dirty), rollup_kib(keeper.pid(), "Pss"), rollup_kib(keeper.pid(), "Rss"));
}

}  // namespace

TEST_CASE("cost of a connection", "[.][cost]") {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  for (const bool warm : {false, true}) {
    FakeKeeper keeper(FakeKeeper::Options{
        {}, warm ? std::vector<std::string>{"--warm"} : std::vector<std::string>{}, true, true, false});
    std::printf("warm-up: %s\n", warm ? "yes" : "no");
    connections_one_by_one(keeper);
    for (const int count : {1, 40, 200}) standing_sessions(keeper, count);
  }
}
