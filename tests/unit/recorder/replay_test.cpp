// Listing, walking, playing and exporting recordings.
#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "platform/crypto/base64.h"
#include "platform/model/json_text.h"
#include "recorder/replay/escape_parser.h"
#include "recorder/replay/kept_checkpoints.h"
#include "recorder/replay/playback.h"
#include "tests/unit/recorder/journal_maker.h"

using namespace sallyport;
using namespace sallyport::replay;
using namespace sallyport::test;

namespace {

using seal::SessionLog;
using seal::Stream;
using Put = SessionLog::Put;

/// A shell on a pty (channel 1) and an exec (channel 2), as the session process would write them.
struct Recorded {
  Recorded() {
    auto& session = made.begin(
        R"({"principal":"engineer","account":"deploy","target":"recs-1","source":"192.0.2.7","outer_session":""})");
    id = session.id;
    auto& log = *session.log;
    REQUIRE(log.append_event(R"({"event":"channel.started","channel":1,"kind":"shell","command":"","pty":true,"term":"xterm","columns":100,"rows":30})") == Put::stored);
    REQUIRE(log.append_data(1, Stream::out, bytes_of("$ ")) == Put::stored);
    made.clock.pass(1'000'000);
    REQUIRE(log.append_input_typed(1, 1, bytes_of("uptime\r")) == Put::stored);
    REQUIRE(log.append_data(1, Stream::out, bytes_of("uptime\r\n")) == Put::stored);
    REQUIRE(log.reveal_line(1, 1) == Put::stored);
    made.clock.pass(10'000'000);
    REQUIRE(log.append_data(1, Stream::out, bytes_of("gr\xc3")) == Put::stored);  // a character in two pieces
    REQUIRE(log.append_data(1, Stream::out, bytes_of("\xbc\xc3\x9f" "e \xff\r\nPassword: ")) == Put::stored);
    REQUIRE(log.append_input_typed(1, 2, bytes_of("s3cret\r")) == Put::stored);
    REQUIRE(log.drop_line(1, 2, 7) == Put::stored);
    REQUIRE(log.append_resize(1, 120, 40, 0, 0) == Put::stored);
    REQUIRE(log.append_input_typed(1, 3, bytes_of("unsettled")) == Put::stored);
    made.drain(session);
    made.clock.pass(2'500'000);
    REQUIRE(log.append_event(R"({"event":"channel.started","channel":2,"kind":"exec","command":"tar c /srv","pty":false})") == Put::stored);
    big = std::string(30'000, 'a') + "\n";
    REQUIRE(log.append_data(2, Stream::in, bytes_of("from stdin")) == Put::stored);
    REQUIRE(log.append_data(2, Stream::out, bytes_of(big)) == Put::stored);
    REQUIRE(log.append_data(2, Stream::err, bytes_of("tar: warning\n")) == Put::stored);
    REQUIRE(log.append_bulk_marker(2, Stream::out, big.size(), 1'000'000, crypto::sha256("bulk")) == Put::stored);
    REQUIRE(log.append_exit(2, 3, "") == Put::stored);
    made.end(session);
    made.checkpoint();
    key = session.key.clone();
    wrapped = session.wrapped;
    made.write(folder.path());
  }
  WalkOptions walk() const {
    WalkOptions options;
    options.journal = folder.path();
    options.session = id;
    options.key = key.clone();
    return options;
  }
  ExportOptions exporting() const {
    ExportOptions options;
    options.walk = walk();
    options.session = find_session(folder.path(), id.view(), {}).value();
    return options;
  }

  JournalMaker made;
  TemporaryFolder folder;
  SessionId id;
  Secret key;
  Bytes wrapped;
  std::string big;
};

std::string exported(const ExportOptions& options, Result<Played> (*how)(const ExportOptions&, const Sink&)) {
  std::string text;
  REQUIRE(how(options, [&](std::string_view bytes) {
    text += bytes;
    return true;
  }));
  return text;
}

}  // namespace

TEST_CASE("a list of sessions says who, where, when and what, without any key") {
  Recorded recorded;
  const auto session = find_session(recorded.folder.path(), recorded.id.view().substr(0, 20), {});
  REQUIRE(session);
  CHECK(session->principal == "engineer");
  CHECK(session->account == "deploy");
  CHECK(session->target == "recs-1");
  CHECK(session->state == "complete");
  CHECK(session->end_reason == "client closed");
  CHECK(session->wrapped_key == recorded.wrapped);
  CHECK(time_text(session->began_us) == "2027-01-15T08:00:00.000000Z");
  REQUIRE(session->channels.size() == 2);
  CHECK(session->channels[0].pty);
  CHECK(session->channels[0].kind == "shell");
  CHECK(session->channels[1].command == "tar c /srv");
  CHECK(session->channels[1].exit == "3");
  CHECK(usual_channel(*session) == 1U);
  CHECK(find_session(recorded.folder.path(), "01ZZZZ", {}).error().code == Errc::not_found);
  CHECK(find_session(recorded.folder.path(), "", {}).value().session == recorded.id);
}

TEST_CASE("a walk opens what may be read and marks what may not") {
  Recorded recorded;
  std::map<std::uint64_t, std::string> typed;
  std::string in, out;
  REQUIRE(walk_session(recorded.walk(), [&](const WalkedEntry& entry) {
    CHECK(entry.state != WalkedEntry::State::damaged);
    CHECK(entry.state != WalkedEntry::State::locked);
    if (entry.header.kind == seal::EntryKind::typed) {
      switch (entry.state) {
        case WalkedEntry::State::open: typed[entry.header.extra] = text_of(entry.body); break;
        case WalkedEntry::State::not_echoed: typed[entry.header.extra] = std::to_string(entry.dropped_bytes) + " bytes, not echoed"; break;
        default: typed[entry.header.extra] = "unsettled"; break;
      }
    }
    if (entry.header.kind == seal::EntryKind::data_in) in += text_of(entry.body);
    if (entry.header.kind == seal::EntryKind::data_out && entry.header.channel == 2) out += text_of(entry.body);
    return true;
  }));
  CHECK(typed[1] == "uptime\r");
  CHECK(typed[2] == "7 bytes, not echoed");
  CHECK(typed[3] == "unsettled");
  CHECK(in == "from stdin");
  CHECK(out == recorded.big);

  auto locked = recorded.walk();
  locked.key.reset();
  std::size_t shut = 0;
  REQUIRE(walk_session(locked, [&](const WalkedEntry& entry) {
    if (entry.state == WalkedEntry::State::locked) ++shut;
    else CHECK((entry.header.flags & seal::k_flag_sealed) == 0);
    return true;
  }));
  CHECK(shut > 10);

  auto wrong = recorded.walk();
  wrong.key = crypto::random_secret(crypto::system_random(), 32);
  std::size_t damaged = 0;
  REQUIRE(walk_session(wrong, [&](const WalkedEntry& entry) {
    if (entry.state == WalkedEntry::State::damaged) ++damaged;
    return true;
  }));
  CHECK(damaged > 8);
  wrong.key = Secret(std::string_view("short"));
  CHECK(walk_session(wrong, [](const WalkedEntry&) { return true; }).error().code == Errc::invalid);
  wrong.session = SessionId("nonsense");
  CHECK(walk_session(wrong, [](const WalkedEntry&) { return true; }).error().code == Errc::invalid);
}

TEST_CASE("playing keeps the pace, halves it at double speed, and cuts idle time") {
  Recorded recorded;
  std::chrono::microseconds slept{};
  std::string out, err;
  PlayOptions options;
  options.walk = recorded.walk();
  options.sleep = [&](std::chrono::microseconds pause) { slept += pause; };
  const auto play = [&] {
    slept = {};
    out.clear();
    err.clear();
    auto played = play_session(
        options, [&](std::string_view bytes) { return out += bytes, true; }, [&](std::string_view bytes) { return err += bytes, true; });
    REQUIRE(played);
    return *played;
  };
  CHECK(play().hashed_bytes == 1'000'000);
  CHECK(slept == std::chrono::microseconds(13'500'000));
  CHECK(out == "$ uptime\r\ngr\xc3\xbc\xc3\x9f" "e \xff\r\nPassword: " + recorded.big);
  CHECK(err.starts_with("tar: warning\n"));
  CHECK(err.find("1000000 bytes of output recorded by hash") != std::string::npos);
  options.speed = 2;
  play();
  CHECK(slept == std::chrono::microseconds(6'750'000));
  options.speed = 1;
  options.idle_limit = std::chrono::seconds(1);
  play();
  CHECK(slept == std::chrono::microseconds(3'000'000));
  options.channel = 2;
  play();
  CHECK(out == recorded.big);
}

TEST_CASE("a live session is followed until it ends") {
  JournalMaker made;
  TemporaryFolder folder;
  auto& session = made.begin("{}");
  REQUIRE(session.log->append_data(1, Stream::out, bytes_of("first ")) == Put::stored);
  made.drain(session);
  made.write(folder.path());
  std::thread recorder([&] {
    for (int i = 0; i < 3; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(80));
      REQUIRE(session.log->append_data(1, Stream::out, bytes_of("more ")) == Put::stored);
      made.drain(session);
      if (i == 2) made.end(session);
      // Grows in place, as a recorder's file does: the same bytes, then more.
      TemporaryFolder draft;
      made.write(draft.path());
      const auto name = "00000001.journal";
      std::ifstream in(draft.path() / name, std::ios::binary);
      const std::string all(std::istreambuf_iterator<char>(in), {});
      const auto have = std::filesystem::file_size(folder.path() / name);
      std::ofstream grown(folder.path() / name, std::ios::binary | std::ios::app);
      grown << all.substr(have, 20) << std::flush;  // in the middle of a frame
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      grown << all.substr(have + 20) << std::flush;
    }
  });
  PlayOptions options;
  options.walk.journal = folder.path();
  options.walk.session = session.id;
  options.walk.key = session.key.clone();
  options.walk.follow = true;
  std::string out;
  const auto played = play_session(options, [&](std::string_view bytes) { return out += bytes, true; }, [](std::string_view) { return true; });
  recorder.join();
  REQUIRE(played);
  CHECK(out == "first more more more ");
}

TEST_CASE("an asciicast has the head, output in UTF-8 pieces, resizes and wanted input") {
  Recorded recorded;
  auto options = recorded.exporting();
  std::string cast = exported(options, export_asciicast);
  CHECK(cast.starts_with(R"({"version":2,"width":100,"height":30,"timestamp":1800000000,"title":"engineer as deploy on recs-1, )"));
  CHECK(cast.find("[11.000000,\"o\",\"gr\"]\n") != std::string::npos);
  CHECK(cast.find("\"o\",\"\xc3\xbc\xc3\x9f" "e \xef\xbf\xbd\\r\\nPassword: \"]") != std::string::npos);
  CHECK(cast.find("\"r\",\"120x40\"]") != std::string::npos);
  CHECK(cast.find("\"i\"") == std::string::npos);
  options.with_input = true;
  cast = exported(options, export_asciicast);
  CHECK(cast.find("[1.000000,\"i\",\"uptime\\r\"]\n") != std::string::npos);
  CHECK(cast.find("s3cret") == std::string::npos);
  options.channel = 2;
  cast = exported(options, export_asciicast);
  CHECK(cast.find("aaa\\r\\n\"]") != std::string::npos);  // no pty: line feeds get their returns
  CHECK(cast.find("\"m\",\"[1000000 bytes of output recorded by hash") != std::string::npos);

  // The stock player opens it.
  if (std::system("command -v asciinema >/dev/null 2>&1") == 0) {
    TemporaryFolder folder;
    options.channel = 1;
    options.with_input = false;
    std::ofstream(folder.path() / "x.cast") << exported(options, export_asciicast);
    // It wants a terminal of its own.
    const std::string base = folder.path().string();
    const std::string command = "LC_ALL=C.UTF-8 script -qec 'asciinema cat " + base + "/x.cast > " + base + "/out 2> " + base + "/err' /dev/null > /dev/null < /dev/null";
    const int status = std::system(command.c_str());
    std::ifstream out(folder.path() / "out", std::ios::binary), err(folder.path() / "err");
    const std::string shown(std::istreambuf_iterator<char>(out), {});
    INFO(std::string(std::istreambuf_iterator<char>(err), {}));
    CHECK(status == 0);
    CHECK(shown == "$ uptime\r\ngr\xc3\xbc\xc3\x9f" "e \xef\xbf\xbd\r\nPassword: ");
  } else {
    WARN("skipped: asciinema is not installed");
  }
}

TEST_CASE("a text transcript is what stood on the screen; JSON has every entry") {
  Recorded recorded;
  auto options = recorded.exporting();
  const std::string text = exported(options, export_text);
  CHECK(text.find("# engineer as deploy on recs-1 from 192.0.2.7\n") != std::string::npos);
  CHECK(text.find("$ uptime\ngr\xc3\xbc\xc3\x9f" "e \xef\xbf\xbd\nPassword:\n") != std::string::npos);
  const std::string lines = exported(options, export_json);
  std::size_t count = 0;
  for (std::size_t at = 0, end; (end = lines.find('\n', at)) != std::string::npos; at = end + 1, ++count) {
    const auto fields = JsonFields::parse(std::string_view(lines).substr(at, end - at));
    REQUIRE(fields);
    CHECK(fields->number("sequence") == static_cast<std::int64_t>(count + 1));
  }
  CHECK(count == options.session.entries);
  CHECK(lines.find("\"state\":\"not_echoed\",\"line_bytes\":7") != std::string::npos);
  CHECK(lines.find("\"state\":\"unsettled\"") != std::string::npos);
  CHECK(lines.find("\"base64\":\"" + crypto::to_base64(bytes_of("from stdin")) + "\"") != std::string::npos);
  CHECK(lines.find(crypto::to_base64(bytes_of("s3cret\r"))) == std::string::npos);
}

TEST_CASE("nothing that a target printed can drive the auditor's terminal") {
  const auto filtered = [](std::initializer_list<std::string_view> pieces) {
    TerminalFilter filter;
    std::string out;
    for (const auto piece : pieces) {
      std::string part;
      filter.feed(piece, part);
      out += part;
    }
    return out;
  };
  CHECK(filtered({"\x1b[1;31mred\x1b[0m \x1b[2J\x1b[10;5H\x1b[?1049h\x1b[?25l"}) == "\x1b[1;31mred\x1b[0m \x1b[2J\x1b[10;5H\x1b[?1049h\x1b[?25l");
  CHECK(filtered({"a\x1b]52;c;cm0gLXJm\x07" "b"}) == "ab");            // clipboard
  CHECK(filtered({"a\x1b]0;title\x1b\\b"}) == "ab");                   // title
  CHECK(filtered({"a\x1b[6n\x1b[c\x1b[>c\x1b[21t\x1b[?1000h\x1b[?2004h\x1b[5;1$p\x1bZ\x05" "b"}) == "ab");  // reports, mouse
  CHECK(filtered({"a\x1bP$q\"p\x1b\\b\x1b_payload\x1b\\c\x1bXsos\x1b\\d"}) == "abcd");
  CHECK(filtered({"a\x1b]52;c;", "cm0", "gLXJm\x07", "b"}) == "ab");   // in pieces
  CHECK(filtered({"a\xc2", "\x9b" "6n", "\x9b" "6n", "\xc3\xbc \xe2\x82\xac"}) == "a?6n?6n\xc3\xbc \xe2\x82\xac");  // CSI in disguise
  CHECK(filtered({"a\x1b]0;" + std::string(100'000, 'x') + "\x07" "b"}) == "ab");
  CHECK(filtered({"a\x1b]0;never closed \x1b[6n\x1b[0mb"}) == "a\x1b[0mb");
  TerminalFilter filter;
  std::string out;
  for (int seed = 0; seed < 20'000; ++seed) filter.feed(std::string(1, static_cast<char>(seed * 7919 % 256)), out);
  CHECK(out.find("\x1b]") == std::string::npos);
}

TEST_CASE("plain text keeps what the last of several writes left") {
  const auto plain = [](std::string_view bytes) {
    PlainText text;
    std::string out;
    text.feed(bytes, out);
    text.finish(out);
    return out;
  };
  CHECK(plain("abc\b\b\x1b[Kx\r\n") == "ax\n");
  CHECK(plain("10%\r20%\r100%\n") == "100%\n");
  CHECK(plain("\x1b[32mok\x1b[0m\tx") == "ok      x");
  CHECK(plain("ab\x1b[1Dc\x1b[2Cd") == "ac  d");
  CHECK(plain("\x1b[999999999Cx").size() <= 4096);
}

TEST_CASE("checkpoints are kept per log, only ever newer, and read from witness files and syslog") {
  TemporaryFolder folder;
  const KeptCheckpoints kept(folder.path());
  const auto key = crypto::Ed25519PrivateKey::generate(crypto::system_random());
  const auto make = [&](std::uint64_t size) {
    const std::string body = crypto::checkpoint_body({"gw-1/journal", size, crypto::sha256(std::to_string(size)), {}});
    return crypto::join_note(body, crypto::sign_note_line(body, "gw-1/journal", key));
  };
  const auto id = crypto::make_note_key("gw-1/journal", key.public_key()).id;
  CHECK_FALSE(kept.newest("gw-1/journal", id));
  for (const std::uint64_t size : {5U, 9U, 7U}) REQUIRE(kept.keep(crypto::parse_note(make(size)).value(), id));
  CHECK(text_of_note(kept.newest("gw-1/journal", id).value()) == make(9));
  CHECK_FALSE(kept.newest("gw-2/journal", id));

  std::ofstream(folder.path() / "witness") << make(1) << "\n" << make(2) << "\n" << make(3) << "\ngw-1/jour";
  auto notes = read_checkpoint_file(folder.path() / "witness");
  REQUIRE(notes);
  CHECK(notes->size() == 3);
  CHECK(text_of_note(notes->back()) == make(3));
  const auto line = crypto::parse_note(make(4)).value();
  std::string words = line.body;
  std::replace(words.begin(), words.end(), '\n', ' ');
  const std::string whole = make(4);
  std::ofstream(folder.path() / "syslog") << "Nov 22 16:00:01 gw sallyport[7]: checkpoint " << words << whole.substr(whole.rfind(' ') + 1);
  notes = read_checkpoint_file(folder.path() / "syslog");
  REQUIRE(notes);
  CHECK(crypto::verify_note(notes->back(), std::vector{crypto::make_note_key("gw-1/journal", key.public_key())}));
  std::ofstream(folder.path() / "junk") << "nothing here\n\n\xe2\x80\x94 x\n";
  CHECK(read_checkpoint_file(folder.path() / "junk").error().code == Errc::invalid);
  CHECK(read_checkpoint_file(folder.path() / "none").error().code == Errc::not_found);

  const auto note_key = crypto::make_note_key("gw-1/journal", key.public_key());
  CHECK_FALSE(kept.key_of(folder.path()));
  REQUIRE(kept.keep_key(folder.path(), note_key));
  CHECK(crypto::vkey_of(kept.key_of(folder.path()).value()) == crypto::vkey_of(note_key));
}

TEST_CASE("JSON text is read strictly and written safely") {
  const auto fields = JsonFields::parse(R"( {"a":"x\u00e9\ud83d\ude00\n","n":-12,"o":{"b":[1,{"c":"}"}]},"t":true,"z":null} )");
  REQUIRE(fields);
  CHECK(fields->get("a") == "x\xc3\xa9\xf0\x9f\x98\x80\n");
  CHECK(fields->number("n") == -12);
  CHECK(fields->get("o") == R"({"b":[1,{"c":"}"}]})");
  CHECK(fields->is_true("t"));
  CHECK_FALSE(fields->number("a"));
  for (const char* wrong : {"", "[]", "{", R"({"a"})", R"({"a":})", R"({"a":1,})", R"({"a":1}x)", R"({"a":"\x"})", R"({"a":tru})", "{\"a\":\"\n\"}"})
    CHECK_FALSE(JsonFields::parse(wrong));
  CHECK_FALSE(JsonFields::parse("{\"a\":" + std::string(100'000, '[') + std::string(100'000, ']') + "}"));
  CHECK(json_quote("a\"\\\n\x01\xff\xc3\xbc\xed\xa0\x80") == "\"a\\\"\\\\\\n\\u0001\xef\xbf\xbd\xc3\xbc\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
  // The C1 form of OSC and what turns a line around are as good as ESC to who wants to lie to a terminal or its reader.
  const std::string lie =
      "rm \xe2\x80\xae/srv\xe2\x81\xa9\xc2\x9d"
      "52\xc2\x9c\xf3\xa0\x81\x81";
  CHECK(json_quote(lie) == R"("rm \u202e/srv\u2069\u009d52\u009c\udb40\udc41")");
  CHECK(sallyport::printable(lie) ==
        "rm \xef\xbf\xbd/srv\xef\xbf\xbd\xef\xbf\xbd"
        "52\xef\xbf\xbd\xef\xbf\xbd");
  CHECK(json_without_steering("{\"a\":\"" + lie + "\"}") == R"({"a":"rm \u202e/srv\u2069\u009d52\u009c\udb40\udc41"})");
  CHECK(JsonFields::parse("{\"a\":" + json_quote(lie) + "}")->get("a") == lie);
  CHECK(sallyport::printable("\xd7\xa9\xe2\x80\x8d\xf0\x9f\x98\x80") == "\xd7\xa9\xe2\x80\x8d\xf0\x9f\x98\x80");
  CHECK(sallyport::printable("a\x1b[0m\xc2\x9b\n") == "a\xef\xbf\xbd[0m\xef\xbf\xbd\n");
}

// Not run by itself: SALLYPORT_CORPUS=tests/fuzz/corpus/journal_replay unit_recorder "[corpus]" writes seeds for the fuzz target.
TEST_CASE("seeds for the fuzz target of journals", "[.corpus]") {
  const char* folder = std::getenv("SALLYPORT_CORPUS");
  REQUIRE(folder != nullptr);
  std::filesystem::create_directories(folder);
  Recorded recorded;
  std::ifstream in(recorded.folder.path() / "00000001.journal", std::ios::binary);
  const std::string whole(std::istreambuf_iterator<char>(in), {});
  std::ofstream(std::filesystem::path(folder) / "whole", std::ios::binary) << '\xff' << whole;
  // The same frames, cut to what the target puts together by itself: payloads in steps of 8 bytes.
  std::string pieces(1, '\0');
  for (const auto& frame : recorded.made.frames) {
    const std::size_t steps = std::min<std::size_t>(frame.payload.size() / 8, 255);
    pieces += static_cast<char>(steps);
    pieces += static_cast<char>(frame.type);
    pieces += text_of(ByteView(frame.payload).first(steps * 8));
  }
  std::ofstream(std::filesystem::path(folder) / "frames", std::ios::binary) << pieces;
}
