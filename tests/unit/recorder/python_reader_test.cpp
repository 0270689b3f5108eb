// docs/format/sallyport_reader.py reads what the C++ code wrote, from the format page alone.
#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>

#include "platform/crypto/base64.h"
#include "platform/crypto/hex.h"
#include "platform/model/json_text.h"
#include "tests/unit/recorder/journal_maker.h"

using namespace sallyport;
using namespace sallyport::test;

namespace {

struct Ran {
  int status = 0;
  std::string out, err;
};

std::string slurp(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

Ran run_reader(const std::string& arguments) {
  TemporaryFolder folder;
  const std::string base = folder.path().string();
  const std::string command = "python3 " SALLYPORT_SOURCE_DIR "/docs/format/sallyport_reader.py " + arguments + " >" + base + "/out 2>" + base + "/err";
  const int status = std::system(command.c_str());
  return {WEXITSTATUS(status), slurp(base + "/out"), slurp(base + "/err")};
}

}  // namespace

TEST_CASE("the Python reader verifies and decodes a journal, and finds what was changed") {
  if (std::system("python3 -c 'import ctypes.util, sys; sys.exit(not (ctypes.util.find_library(\"zstd\") and ctypes.util.find_library(\"crypto\")))'") != 0) {
    WARN("skipped: no python3 with libcrypto and libzstd");
    return;
  }
  const std::string source = slurp(SALLYPORT_SOURCE_DIR "/docs/format/sallyport_reader.py");
  CHECK(std::count(source.begin(), source.end(), '\n') <= 200);

  using Put = seal::SessionLog::Put;
  JournalMaker made;
  made.short_form = true;
  auto& session = made.begin(R"({"principal":"engineer","target":"recs-1"})");
  auto& log = *session.log;
  std::string text;
  for (int i = 0; i < 400; ++i) text += "recommendation " + std::to_string(i % 7) + "\r\n";
  REQUIRE(log.append_event(R"({"event":"channel.started","channel":1})") == Put::stored);
  REQUIRE(log.append_data(1, seal::Stream::out, bytes_of(text)) == Put::stored);  // compressed
  REQUIRE(log.append_input_typed(1, 1, bytes_of("ls\r")) == Put::stored);
  REQUIRE(log.append_input_typed(1, 2, bytes_of("secret\r")) == Put::stored);
  REQUIRE(log.reveal_line(1, 1) == Put::stored);
  REQUIRE(log.drop_line(1, 2, 7) == Put::stored);
  for (int i = 0; i < 3; ++i) {
    made.clock.pass(3'000'000);  // new segments
    REQUIRE(log.append_data(1, seal::Stream::err, bytes_of("x" + std::to_string(i))) == Put::stored);
  }
  made.drain(session);
  made.event("policy.applied", R"({"version":1})");
  made.checkpoint();
  made.end(session);
  made.event("session.ended", "{}", session.id.str());
  const std::string note = made.checkpoint();
  TemporaryFolder folder;
  made.write(folder.path() / "journal", 4);
  const std::string journal = (folder.path() / "journal").string();
  std::ofstream(folder.path() / "vkey") << crypto::vkey_of(made.note_key()) << "\n";
  std::ofstream(folder.path() / "witness") << note << "\n";
  std::ofstream(folder.path() / "key.pem") << made.recipient.private_key_pem.reveal_text();
  std::ofstream(folder.path() / "cert.pem") << crypto::certificate_pem(made.recipient.certificate_der);
  const std::string base = folder.path().string();
  const std::string trust = " --vkey " + base + "/vkey --checkpoint " + base + "/witness ";

  const Ran listed = run_reader(journal + trust);
  INFO(listed.err);
  CHECK(listed.status == 0);
  CHECK(listed.out.find(session.id.str() + " complete " + std::to_string(log.sequence()) + " entries engineer recs-1") != std::string::npos);
  CHECK(run_reader(journal).err.find("not checked: roll-back (no outside checkpoint)") != std::string::npos);

  const Ran decoded = run_reader(journal + trust + "--session " + session.id.str() + " --recipient-key " + base + "/key.pem --recipient-cert " + base + "/cert.pem");
  INFO(decoded.err);
  CHECK(decoded.status == 0);
  CHECK(std::count(decoded.out.begin(), decoded.out.end(), '\n') == static_cast<std::ptrdiff_t>(log.sequence()));
  CHECK(decoded.out.find(crypto::to_base64(bytes_of(text))) != std::string::npos);
  CHECK(decoded.out.find(crypto::to_base64(bytes_of("ls\r"))) != std::string::npos);
  CHECK(decoded.out.find(crypto::to_base64(bytes_of("x2"))) != std::string::npos);
  CHECK(decoded.out.find("not_echoed") != std::string::npos);
  CHECK(decoded.out.find(crypto::to_base64(bytes_of("secret\r"))) == std::string::npos);
  CHECK(run_reader(journal + " --session " + session.id.str() + " --key " + crypto::to_hex(session.key.reveal())).out == decoded.out);
  CHECK(run_reader(journal + " --session " + session.id.str() + " --key " + std::string(64, '0')).status == 8);

  // Changed inside, with every checksum put right; rolled back; signed by another key.
  auto frames = made.frames;
  for (auto& frame : frames)
    if (frame.type == 1) frame.payload.back() ^= std::byte{1};
  std::filesystem::remove_all(journal);
  write_journal(journal, frames, 4);
  CHECK(run_reader(journal + trust).status == 8);
  frames = made.frames;
  frames.resize(frames.size() - 4);
  std::filesystem::remove_all(journal);
  write_journal(journal, frames, 4);
  CHECK(run_reader(journal + trust).status == 8);
  CHECK(run_reader(journal + " --vkey " + base + "/vkey").status == 0);
  frames = made.frames;
  rebuild_log(frames, made.origin, crypto::Ed25519PrivateKey::generate(crypto::system_random()));
  std::filesystem::remove_all(journal);
  write_journal(journal, frames, 4);
  CHECK(run_reader(journal + " --vkey " + base + "/vkey").status == 8);

  // The clock was set in the middle of a session: the log says so, or it does not.
  JournalMaker moved;
  auto& watched = moved.begin("{}");
  moved.event("session.started", "{}");
  REQUIRE(watched.log->append_event("{}") == Put::stored);
  moved.clock.moved_us = -3'600'000'000;
  REQUIRE(watched.log->append_event("{}") == Put::stored);
  moved.drain(watched);
  std::filesystem::remove_all(journal);
  moved.write(journal, 4);
  const Ran silent = run_reader(journal);
  CHECK(silent.status == 8);
  CHECK(silent.err.find("session " + watched.id.str() + ": entry 3: its wall clock was moved, and the log does not say so") != std::string::npos);
  moved.event("clock.stepped", R"({"by_ms":-3600000})");
  std::filesystem::remove_all(journal);
  moved.write(journal, 4);
  CHECK(run_reader(journal).status == 0);
}
