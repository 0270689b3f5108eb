// A slice of a long session: what proves it stays small however long the session was.
#include <catch2/catch.hpp>
#include <cstdio>
#include <cstdlib>

#include "recorder/replay/bundle.h"
#include "tests/unit/recorder/journal_maker.h"

using namespace sallyport;
using namespace sallyport::replay;
using namespace sallyport::test;

// Eight hours of typing and output. SALLYPORT_SLICE_ENTRIES: how many entries; a million is 35 in each second.
TEST_CASE("a slice of an eight-hour session is proven by less than 4 KiB", "[recorder][bundle]") {
  const char* const given = std::getenv("SALLYPORT_SLICE_ENTRIES");
  const std::uint64_t entries = given != nullptr ? std::strtoull(given, nullptr, 10) : 60'000;
  const std::int64_t eight_hours_us = 8LL * 3600 * 1'000'000;
  JournalMaker made;
  made.short_form = true;
  auto& session = made.begin(R"({"principal":"engineer","target":"recs-1"})", 4 << 20);
  const std::int64_t step = eight_hours_us / static_cast<std::int64_t>(entries);
  std::int64_t minute = 0;
  for (std::uint64_t i = 0; i < entries; ++i) {
    REQUIRE(session.log->append_data(0, seal::Stream::out, bytes_of("x")) == seal::SessionLog::Put::stored);
    made.clock.pass(step);
    if (i % 50 == 49) made.drain(session);
    if (made.clock.now_us / 60'000'000 == minute) continue;
    minute = made.clock.now_us / 60'000'000;
    made.drain(session);
    if (minute % 60 == 0) made.hand_over();
    else made.checkpoint();
  }
  made.end(session);
  made.checkpoint();
  TemporaryFolder folder;
  made.write(folder.path());

  std::uint64_t largest = 0;
  // The beginning, the very middle, a slice that begins and ends at odd places, the end; each some minutes long.
  for (const std::int64_t begin_s : {0, 4 * 3600 - 150, 5 * 3600 + 1234, 8 * 3600 - 301}) {
    BundleOptions options;
    options.journal = folder.path();
    options.session = session.id;
    options.key = session.key.clone();
    options.from = std::chrono::seconds(begin_s);
    options.to = options.from + std::chrono::seconds(299);
    std::string text;
    REQUIRE(write_bundle(options, [&](std::string_view piece) {
      text += piece;
      return true;
    }));
    const auto report = verify_bundle(text, {made.root_key()});
    REQUIRE(report);
    for (const std::string& finding : report->findings) UNSCOPED_INFO(finding);
    CHECK(report->findings.empty());
    CHECK(report->entries > entries / 200);
    CHECK(report->opened > 0);
    CHECK(report->proof_bytes < 4096);
    largest = std::max(largest, report->proof_bytes);
  }
  if (given != nullptr) std::printf("%llu entries in 8 hours: the largest proof has %llu bytes\n", static_cast<unsigned long long>(entries), static_cast<unsigned long long>(largest));
}
