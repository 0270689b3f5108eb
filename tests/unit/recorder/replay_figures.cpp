// Figures, not run by default: search over 10,000 sessions; a two-hour session for bench/replay to seek in.
//
//   unit_recorder "[search-figures]"
//   REPLAY_BENCH_DIR=DIR unit_recorder "[make-recording]"      DIR/journal, DIR/key.pem, DIR/cert.der, DIR/checkpoint.vkey
#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <random>

#include "platform/crypto/random.h"
#include "recorder/search/search_index.h"
#include "tests/unit/recorder/journal_maker.h"

using namespace sallyport;

namespace {

double ms_since(std::chrono::steady_clock::time_point start) { return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count(); }

/// Text like a shell session's: common words often, rare ones seldom.
std::string line_of(std::mt19937& random) {
  static constexpr std::array<const char*, 24> k_common{"the", "to", "in", "error", "info", "root", "usr", "bin", "etc", "var", "log", "service", "started", "failed",
                                                         "connection", "ok", "ls", "cat", "total", "drwxr", "deploy", "nginx", "systemd", "warning"};
  std::string line;
  const unsigned words = 4 + random() % 8;
  for (unsigned i = 0; i < words; ++i) {
    if (i > 0) line += ' ';
    if (random() % 4 != 0) line += k_common[random() % k_common.size()];
    else line += "w" + std::to_string(random() % 50'000);
  }
  return line;
}

}  // namespace

TEST_CASE("search over 10,000 sessions", "[.][search-figures]") {
  const std::size_t sessions = std::getenv("REPLAY_BENCH_SESSIONS") != nullptr ? std::strtoull(std::getenv("REPLAY_BENCH_SESSIONS"), nullptr, 10) : 10'000;
  const test::TemporaryFolder folder;
  const std::string file = (folder.path() / "search.sqlite").string();
  const Secret key = crypto::random_secret(crypto::system_random(), 32);
  std::mt19937 random(7);
  // SEARCH_BENCH_POSTGRES=postgresql://USER@HOST/DATABASE, SEARCH_BENCH_PASSWORD and SEARCH_BENCH_CA (files): the same in PostgreSQL.
  Settings settings;
  for (const auto& [name, variable] : {std::pair{"search_database", "SEARCH_BENCH_POSTGRES"}, std::pair{"search_password_file", "SEARCH_BENCH_PASSWORD"}, std::pair{"search_ca_file", "SEARCH_BENCH_CA"}})
    if (std::getenv(variable) != nullptr) settings.set(name, std::getenv(variable));
  const auto place = search::search_place(settings, file);
  REQUIRE(place);
  if (place->server) REQUIRE(search::SearchIndex::drop(*place));
  auto index = search::SearchIndex::open(*place, key);
  REQUIRE(index);
  const auto began = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i < sessions; ++i) {
    std::vector<search::IndexedLine> lines;
    for (int k = 0; k < 60; ++k) lines.push_back({1, static_cast<std::int64_t>(i) * 1000 + k, k, static_cast<std::uint64_t>(k), k % 10 == 0, std::nullopt, line_of(random)});
    char label[32];
    std::snprintf(label, sizeof label, "01S%023zu", i);
    REQUIRE(index->put({SessionId(label), i % 3 == 0 ? "engineer" : "auditor", "deploy", "recs-" + std::to_string(i % 50), static_cast<std::int64_t>(i) * 1000,
                        static_cast<std::int64_t>(i) * 1000 + 999, 0, 60}, lines));
  }
  std::printf("indexed %zu sessions of 60 lines in %.1f s, %.1f MiB\n", sessions, ms_since(began) / 1000, place->server ? 0.0 : static_cast<double>(std::filesystem::file_size(file)) / (1 << 20));
  std::vector<double> took;
  std::size_t hits = 0;
  for (int i = 0; i < 400; ++i) {
    search::Query query;
    switch (i % 5) {
      case 0: query.text = "w" + std::to_string(random() % 50'000); break;                      // one rare word
      case 1: query.text = "connection failed"; query.target = "recs-" + std::to_string(random() % 50); break;  // a phrase of common words at one target
      case 2: query.text = "service started w" + std::to_string(random() % 50'000); break;      // a phrase with a rare word
      case 3: query.text = "nginx"; query.principal = "engineer"; break;                         // one common word
      default: query.text = "deploy systemd warning"; break;                                    // a phrase of common words everywhere
    }
    const auto start = std::chrono::steady_clock::now();
    const auto found = index->find(query);
    took.push_back(ms_since(start));
    REQUIRE(found);
    hits += found->size();
  }
  std::sort(took.begin(), took.end());
  std::printf("400 questions: p50 %.1f ms, p95 %.1f ms, most %.1f ms, %zu hits\n", took[took.size() / 2], took[took.size() * 95 / 100], took.back(), hits);
  CHECK(took[took.size() * 95 / 100] < 300);
}

TEST_CASE("a two-hour session is written", "[.][make-recording]") {
  const char* where = std::getenv("REPLAY_BENCH_DIR");
  REQUIRE(where != nullptr);
  test::JournalMaker made;
  auto& session = made.begin(R"({"principal":"engineer","account":"deploy","target":"recs-1","source":"192.0.2.7"})", 4 << 20);
  REQUIRE(session.log->append_event(R"({"event":"channel.started","channel":1,"kind":"shell","command":"","pty":true,"term":"xterm-256color","columns":120,"rows":40})") ==
          seal::SessionLog::Put::stored);
  std::mt19937 random(11);
  std::uint64_t bytes = 0;
  for (int tick = 0; tick < 7200 * 4; ++tick) {
    std::string out;
    if (tick % 40 == 0) {  // a screen drawn anew
      out = "\x1b[2J\x1b[H";
      for (int row = 1; row <= 38; ++row) out += "\x1b[" + std::to_string(row) + ";1H\x1b[3" + std::to_string(row % 8) + "m" + line_of(random).substr(0, 110);
    } else {
      out = "\x1b[39;1H\x1b[0m" + std::to_string(tick / 4) + " s " + line_of(random) + "\r\n";
    }
    bytes += out.size();
    REQUIRE(session.log->append_data(1, seal::Stream::out, bytes_of(out)) == seal::SessionLog::Put::stored);
    made.clock.pass(250'000);
    if (tick % 20 == 19) made.drain(session);
    if (tick % 240 == 239) made.checkpoint();
  }
  made.end(session);
  made.checkpoint();
  std::filesystem::create_directories(where);
  made.write(std::filesystem::path(where) / "journal", 2000);
  std::ofstream(std::filesystem::path(where) / "key.pem") << made.recipient.private_key_pem.reveal_text();
  std::ofstream(std::filesystem::path(where) / "cert.der", std::ios::binary) << text_of(made.recipient.certificate_der);
  std::ofstream(std::filesystem::path(where) / "checkpoint.vkey") << crypto::vkey_of(made.note_key()) << "\n";
  std::printf("%s: %.1f MiB of output\n", session.id.str().c_str(), static_cast<double>(bytes) / (1 << 20));
}
