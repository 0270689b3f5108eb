#include "gateway/ssh/sftp_gate.h"

#include <catch2/catch.hpp>

#include "gateway/ssh/sftp_pending.h"
#include "gateway/ssh/sftp_wire.h"
#include "platform/crypto/ssh_wire.h"
#include "tests/unit/gateway/gate_events.h"

using namespace sallyport;
using namespace sallyport::gateway;
using namespace sallyport::gateway::test;
using crypto::SshReader;
using crypto::SshWriter;

namespace {

Bytes packet(std::uint8_t type, const std::function<void(SshWriter&)>& fill) {
  SshWriter body;
  body.u8(type);
  fill(body);
  SshWriter whole;
  whole.string(body);
  return whole.take();
}

Bytes init() { return packet(sftp::k_init, [](SshWriter& w) { w.u32(3); }); }
Bytes version(std::uint32_t number = 3, std::string_view extension = "posix-rename@openssh.com") {
  return packet(sftp::k_version, [&](SshWriter& w) {
    w.u32(number);
    if (!extension.empty()) w.string(extension).string("1");
  });
}
Bytes one_path(std::uint8_t type, std::uint32_t id, std::string_view path) {
  return packet(type, [&](SshWriter& w) { w.u32(id).string(path); });
}
Bytes two_paths(std::uint8_t type, std::uint32_t id, std::string_view first, std::string_view second) {
  return packet(type, [&](SshWriter& w) { w.u32(id).string(first).string(second); });
}
Bytes open(std::uint32_t id, std::string_view path, std::uint32_t flags) {
  return packet(sftp::k_open, [&](SshWriter& w) { w.u32(id).string(path).u32(flags).u32(0); });
}
Bytes handle(std::uint32_t id, std::string_view name) { return one_path(sftp::k_handle, id, name); }
Bytes close(std::uint32_t id, std::string_view name) { return one_path(sftp::k_close, id, name); }
Bytes read(std::uint32_t id, std::string_view name, std::uint64_t offset, std::uint32_t length) {
  return packet(sftp::k_read, [&](SshWriter& w) { w.u32(id).string(name).u64(offset).u32(length); });
}
Bytes write(std::uint32_t id, std::string_view name, std::uint64_t offset, std::string_view text) {
  return packet(sftp::k_write, [&](SshWriter& w) { w.u32(id).string(name).u64(offset).string(text); });
}
Bytes data(std::uint32_t id, std::string_view text) { return one_path(sftp::k_data, id, text); }
Bytes status(std::uint32_t id, std::uint32_t code) {
  return packet(sftp::k_status, [&](SshWriter& w) { w.u32(id).u32(code).string("text").string(""); });
}
Bytes extended(std::uint32_t id, std::string_view name) {
  return packet(sftp::k_extended, [&](SshWriter& w) { w.u32(id).string(name); });
}

struct Reply {
  std::uint32_t id = 0;
  std::uint32_t code = 0;
  std::string text;
};
std::vector<Reply> statuses(ByteView bytes) {
  std::vector<Reply> found;
  while (!bytes.empty()) {
    SshReader reader(bytes);
    SshReader body(reader.string());
    REQUIRE(reader.ok());
    bytes = reader.rest();
    if (body.u8() != sftp::k_status) continue;
    Reply reply;
    reply.id = body.u32();
    reply.code = body.u32();
    reply.text = body.text();
    found.push_back(reply);
  }
  return found;
}

struct Line {
  explicit Line(FileRules rules = {}) : gate(make_sftp_gate(std::move(rules), events.sink())) {
    REQUIRE(client(init()).sound);
    REQUIRE(target(version()).sound);
  }
  Passed client(const Bytes& bytes) { return client_sends(*gate, bytes); }
  Passed target(const Bytes& bytes) { return target_sends(*gate, bytes); }
  /// The request passes unchanged.
  void asks(const Bytes& bytes) {
    const Passed passed = client(bytes);
    REQUIRE(passed.sound);
    REQUIRE(passed.to_target == bytes);
    REQUIRE(passed.to_client.empty());
  }
  void answers(const Bytes& bytes) {
    const Passed passed = target(bytes);
    REQUIRE(passed.sound);
    REQUIRE(passed.to_client == bytes);
    REQUIRE(passed.to_target.empty());
  }
  Reply is_refused(const Bytes& bytes) {
    const Passed passed = client(bytes);
    REQUIRE(passed.sound);
    REQUIRE(passed.to_target.empty());
    const auto found = statuses(passed.to_client);
    REQUIRE(found.size() == 1);
    return found.front();
  }
  void opened(std::string_view path, std::uint32_t flags, std::string_view name = "h") {
    asks(open(1, path, flags));
    answers(handle(1, name));
  }
  void closed(std::string_view name = "h") {
    asks(close(2, name));
    answers(status(2, sftp::k_ok));
  }
  Told transferred() {
    const auto told = events.named("file.transferred");
    REQUIRE(told.size() == 1);
    return told.front();
  }

  GateEvents events;
  std::unique_ptr<StreamFilter> gate;
};

const FileRules k_srv = rules_for({{"/srv", true, true, true}});

}  // namespace

TEST_CASE("an SFTP download answered out of order still has the hash of the whole file", "[gateway][sftp]") {
  Line line;
  line.opened("/f", sftp::k_for_read);
  line.asks(read(10, "h", 0, 4));
  line.asks(read(11, "h", 4, 4));
  line.asks(read(12, "h", 8, 4));
  line.asks(read(13, "h", 12, 4));
  line.answers(data(12, "iiii"));
  line.answers(data(11, "eeee"));
  line.answers(status(13, sftp::k_eof));
  line.answers(data(10, "aaaa"));
  line.closed();
  CHECK(line.transferred().has(R"("complete":true)"));
  CHECK(line.transferred().has(sha256_hex("aaaaeeeeiiii")));
  CHECK(line.transferred().has(R"("direction":"down","size":12)"));
}

TEST_CASE("short answers to pipelined SFTP reads are filled in and counted once", "[gateway][sftp]") {
  Line line;
  line.opened("/f", sftp::k_for_read);
  line.asks(read(10, "h", 0, 4));
  line.asks(read(11, "h", 4, 4));
  line.answers(data(10, "ab"));
  line.answers(data(11, "efgh"));
  line.asks(read(12, "h", 2, 2));
  line.asks(read(13, "h", 8, 4));
  line.answers(data(12, "cd"));
  line.answers(status(13, sftp::k_eof));
  line.closed();
  CHECK(line.transferred().has(R"("complete":true)"));
  CHECK(line.transferred().has(sha256_hex("abcdefgh")));
}

TEST_CASE("an SFTP download is complete only up to a known end and when nothing was read twice", "[gateway][sftp]") {
  Line line;
  SECTION("no end of file was seen") {
    line.opened("/f", sftp::k_for_read);
    line.asks(read(10, "h", 0, 4));
    line.answers(data(10, "abcd"));
    line.closed();
    CHECK(line.transferred().has(R"("complete":false)"));
    CHECK(line.transferred().has(R"("ranges":[{"offset":0,"length":4,"sha256":")" + sha256_hex("abcd")));
  }
  SECTION("the size was known from STAT") {
    line.asks(one_path(sftp::k_stat, 5, "/f"));
    line.answers(packet(sftp::k_attrs, [](SshWriter& w) { w.u32(5).u32(sftp::k_attr_size).u64(4); }));
    line.opened("/f", sftp::k_for_read);
    line.asks(read(10, "h", 0, 4));
    line.answers(data(10, "abcd"));
    line.closed();
    CHECK(line.transferred().has(R"("complete":true)"));
  }
  SECTION("a part was read twice") {
    line.opened("/f", sftp::k_for_read);
    for (const std::uint32_t id : {10u, 11u}) {
      line.asks(read(id, "h", 0, 4));
      line.answers(data(id, "abcd"));
    }
    line.asks(read(12, "h", 4, 4));
    line.answers(status(12, sftp::k_eof));
    line.closed();
    CHECK(line.transferred().has(R"("complete":false)"));
    CHECK(line.transferred().has(R"("size":8)"));
  }
}

TEST_CASE("an SFTP upload is complete when all of it was written once and the target took it", "[gateway][sftp]") {
  Line line;
  const std::uint32_t flags = sftp::k_for_write | sftp::k_creat | sftp::k_trunc;
  SECTION("written in order") {
    line.opened("/f", flags);
    line.asks(write(10, "h", 0, "abcd"));
    line.asks(write(11, "h", 4, "ef"));
    line.answers(status(10, sftp::k_ok));
    line.answers(status(11, sftp::k_ok));
    line.closed();
    CHECK(line.transferred().has(R"("complete":true)"));
    CHECK(line.transferred().has(sha256_hex("abcdef")));
  }
  SECTION("one write failed") {
    line.opened("/f", flags);
    line.asks(write(10, "h", 0, "abcd"));
    line.answers(status(10, sftp::k_failure));
    line.closed();
    CHECK(line.transferred().has(R"("complete":false)"));
    CHECK(line.transferred().has(R"("result":"failure")"));
  }
  SECTION("what was there before was neither cut nor replaced") {
    line.opened("/f", sftp::k_for_write | sftp::k_creat);
    line.asks(write(10, "h", 0, "abcd"));
    line.answers(status(10, sftp::k_ok));
    line.closed();
    CHECK(line.transferred().has(R"("complete":false)"));
  }
  SECTION("cut to its length afterwards") {
    line.opened("/f", sftp::k_for_write | sftp::k_creat);
    line.asks(write(10, "h", 0, "abcd"));
    line.answers(status(10, sftp::k_ok));
    line.asks(packet(sftp::k_fsetstat, [](SshWriter& w) { w.u32(11).string("h").u32(sftp::k_attr_size).u64(4); }));
    line.answers(status(11, sftp::k_ok));
    line.closed();
    CHECK(line.transferred().has(R"("complete":true)"));
  }
  SECTION("the channel ended before the close") {
    line.opened("/f", flags);
    line.asks(write(10, "h", 0, "abcd"));
    line.gate->finish();
    CHECK(line.transferred().has(R"("complete":false)"));
    CHECK(line.transferred().has(R"("result":"channel_ended")"));
  }
}

TEST_CASE("scattered SFTP writes give at most 64 ranges and say that there were more", "[gateway][sftp]") {
  Line line;
  line.opened("/f", sftp::k_for_write | sftp::k_trunc);
  for (std::uint32_t i = 0; i < 70; ++i) {
    line.asks(write(100 + i, "h", 10 + i * 10, "xy"));
    line.answers(status(100 + i, sftp::k_ok));
  }
  line.closed();
  CHECK(line.transferred().has(R"("ranges_truncated":true)"));
  CHECK(line.transferred().has(R"("size":140)"));
  CHECK_FALSE(line.transferred().has(R"(,"sha256":"","ranges")"));
}

TEST_CASE("SFTP requests without a right are answered by the gate and never reach the target", "[gateway][sftp]") {
  Line line(k_srv);
  const auto refused = [&](const Bytes& request) {
    const Reply reply = line.is_refused(request);
    CHECK(reply.id == 7);
    CHECK(reply.code == sftp::k_permission_denied);
    CHECK(reply.text.find("SP-600") != std::string::npos);
    CHECK(line.events.all.back().name == "file.refused");
    CHECK(line.events.all.back().has(R"("decision":"deny")"));
  };
  refused(open(7, "/etc/passwd", sftp::k_for_read));
  refused(open(7, "/srv/../etc/passwd", sftp::k_for_read));
  refused(open(7, "/srvx", sftp::k_for_write));
  refused(one_path(sftp::k_opendir, 7, "/etc"));
  refused(one_path(sftp::k_stat, 7, "/etc/passwd"));
  refused(one_path(sftp::k_remove, 7, "/etc/passwd"));
  refused(one_path(sftp::k_rmdir, 7, "/"));
  refused(two_paths(sftp::k_rename, 7, "/etc/passwd", "/srv/x"));
  refused(two_paths(sftp::k_rename, 7, "/srv/x", "/etc/cron.d/x"));
  refused(two_paths(sftp::k_symlink, 7, "/etc/passwd", "/srv/x"));
  refused(two_paths(sftp::k_symlink, 7, "../etc/passwd", "/srv/x"));
  refused(two_paths(sftp::k_symlink, 7, "/srv/x", "/etc/x"));
  refused(packet(sftp::k_extended, [](SshWriter& w) { w.u32(7).string("hardlink@openssh.com").string("/etc/passwd").string("/srv/x"); }));
  refused(packet(sftp::k_extended, [](SshWriter& w) { w.u32(7).string("posix-rename@openssh.com").string("/srv/x").string("/etc/x"); }));
  refused(packet(sftp::k_extended, [](SshWriter& w) { w.u32(7).string("lsetstat@openssh.com").string("/etc/x").u32(0); }));
  refused(packet(sftp::k_extended, [](SshWriter& w) { w.u32(7).string("expand-path@openssh.com").string("~root/x"); }));
  refused(packet(sftp::k_open, [](SshWriter& w) { w.u32(7).string(std::string_view("/srv/x\0y", 8)).u32(1).u32(0); }));
  line.asks(one_path(sftp::k_lstat, 7, "/"));  // the way to a permitted place may be looked at
}

TEST_CASE("an SFTP open for nothing in particular counts as reading", "[gateway][sftp]") {
  Line line(rules_for({{"/in", true, false, false}}));
  CHECK(line.is_refused(open(7, "/in/x", 0)).code == sftp::k_permission_denied);
  CHECK(line.is_refused(open(7, "/in/x", sftp::k_append)).code == sftp::k_permission_denied);
  CHECK(line.is_refused(open(7, "/in/x", sftp::k_for_write | sftp::k_for_read)).code == sftp::k_permission_denied);
  line.asks(open(7, "/in/x", sftp::k_for_write | sftp::k_append));
}

TEST_CASE("moves and links open no way to what could not be read in its old place", "[gateway][sftp]") {
  Line line(rules_for({{"/srv/keep", false, false, false}, {"/data", false, false, true}, {"/srv", true, true, true}}));
  CHECK(line.is_refused(two_paths(sftp::k_rename, 7, "/data/x", "/srv/x")).code == sftp::k_permission_denied);
  CHECK(line.is_refused(two_paths(sftp::k_symlink, 7, "/data/x", "/srv/x")).code == sftp::k_permission_denied);
  // A rule below the tree says no: neither the tree nor a link to it may give it another name.
  CHECK(line.is_refused(two_paths(sftp::k_rename, 7, "/srv", "/srv2")).code == sftp::k_permission_denied);
  CHECK(line.is_refused(two_paths(sftp::k_symlink, 7, "/srv", "/srv/loop")).code == sftp::k_permission_denied);
  line.asks(two_paths(sftp::k_rename, 7, "/srv/a", "/srv/b"));
}

TEST_CASE("a refusal waits until the DATA packet that is passing has ended", "[gateway][sftp]") {
  Line line(k_srv);
  line.opened("/srv/f", sftp::k_for_read);
  line.asks(read(10, "h", 0, 6));
  const Bytes whole = data(10, "abcdef");
  const Bytes first(whole.begin(), whole.end() - 3);
  const Bytes rest(whole.end() - 3, whole.end());
  CHECK(line.target(first).to_client == first);
  CHECK(line.client(open(11, "/etc/x", sftp::k_for_read)).to_client.empty());
  const Passed passed = line.target(rest);
  REQUIRE(passed.to_client.size() > 3);
  CHECK(Bytes(passed.to_client.begin(), passed.to_client.begin() + 3) == rest);
  const auto found = statuses(std::span(passed.to_client).subspan(3));
  REQUIRE(found.size() == 1);
  CHECK(found[0].id == 11);
}

TEST_CASE("a handle that the target did not give out is refused, guessed ones included", "[gateway][sftp]") {
  Line line;
  CHECK(line.is_refused(write(7, "0", 0, "text")).code == sftp::k_failure);
  CHECK(line.is_refused(read(7, "0", 0, 4)).code == sftp::k_failure);
  line.asks(open(8, "/f", sftp::k_for_write));
  CHECK(line.is_refused(write(7, "h", 0, "text")).code == sftp::k_failure);  // the answer to OPEN is not here yet
  line.answers(handle(8, "h"));
  line.asks(close(9, "h"));
  CHECK(line.is_refused(write(7, "h", 0, "text")).code == sftp::k_failure);  // being closed
}

TEST_CASE("a relative SFTP path makes the gate ask for the home directory first", "[gateway][sftp]") {
  Line line(rules_for({{"/home/deploy", false, true, false}}));
  const Bytes request = open(7, "notes", sftp::k_for_read);
  Passed passed = line.client(request);
  REQUIRE(passed.sound);
  SshReader reader(passed.to_target);
  SshReader asked(reader.string());
  REQUIRE(asked.u8() == sftp::k_realpath);
  const std::uint32_t id = asked.u32();
  CHECK(asked.text() == ".");
  CHECK(line.client(one_path(sftp::k_stat, 8, "/etc/x")).to_client.empty());  // waits behind it
  const auto answer = packet(sftp::k_name, [&](SshWriter& w) { w.u32(id).u32(1).string("/home/deploy").string("").u32(0); });
  passed = line.target(answer);
  REQUIRE(passed.sound);
  CHECK(passed.to_target == request);
  const auto found = statuses(passed.to_client);
  REQUIRE(found.size() == 1);
  CHECK(found[0].id == 8);
  line.answers(handle(7, "h"));
  CHECK(line.events.named("file.opened").at(0).has(R"("path":"/home/deploy/notes")"));
}

TEST_CASE("new rules stop reads and writes of files that are open", "[gateway][sftp]") {
  Line line(k_srv);
  line.opened("/srv/f", sftp::k_for_read | sftp::k_for_write);
  line.asks(read(10, "h", 0, 4));
  line.gate->replace_rules(rules_for({{"/other", true, true, true}}));
  // The answer that was on its way does not reach the client either.
  const auto found = statuses(line.target(data(10, "abcd")).to_client);
  REQUIRE(found.size() == 1);
  CHECK(found[0].code == sftp::k_permission_denied);
  CHECK(found[0].text.find("SP-6006") != std::string::npos);
  CHECK(line.is_refused(read(11, "h", 0, 4)).code == sftp::k_permission_denied);
  CHECK(line.is_refused(write(12, "h", 0, "abcd")).code == sftp::k_permission_denied);
  line.closed();
  for (const Told& told : line.events.named("file.transferred")) CHECK(told.has(R"("result":"SP-6006")"));
}

TEST_CASE("the size limit of a file is kept for every byte", "[gateway][sftp]") {
  FileRules rules;
  rules.max_file_bytes = 6;
  Line line(rules);
  line.opened("/f", sftp::k_for_read | sftp::k_for_write);
  line.asks(write(10, "h", 0, "abcdef"));
  CHECK(line.is_refused(write(11, "h", 6, "g")).text.find("SP-6008") != std::string::npos);
  CHECK(line.is_refused(write(12, "h", UINT64_MAX, "g")).code == sftp::k_failure);
  line.asks(read(13, "h", 0, 100));
  const auto found = statuses(line.target(data(13, "abcdefg")).to_client);
  REQUIRE(found.size() == 1);
  CHECK(found[0].id == 13);
}

TEST_CASE("unknown SFTP requests are refused where file rules apply and told elsewhere", "[gateway][sftp]") {
  Line ruled(k_srv);
  CHECK(ruled.is_refused(extended(7, "md5-hash@example.org")).code == sftp::k_op_unsupported);
  CHECK(ruled.is_refused(one_path(99, 7, "/srv/x")).code == sftp::k_op_unsupported);
  Line free;
  free.asks(extended(7, "md5-hash@example.org"));
  free.answers(packet(sftp::k_extended_reply, [](SshWriter& w) { w.u32(7); }));
  CHECK(free.events.named("file.unknown_request").at(0).has("md5-hash"));
  free.asks(extended(8, "limits@openssh.com"));
}

TEST_CASE("the SFTP version is held at 3 and agreed on once", "[gateway][sftp]") {
  GateEvents events;
  const auto gate = make_sftp_gate({}, events.sink());
  SECTION("a client that can do more") {
    const Passed passed = client_sends(*gate, packet(sftp::k_init, [](SshWriter& w) { w.u32(6); }));
    CHECK(passed.to_target == init());
    CHECK_FALSE(target_sends(*gate, version(6)).sound);
  }
  SECTION("a request before it") { CHECK_FALSE(client_sends(*gate, open(1, "/f", 1)).sound); }
  SECTION("a write before it") { CHECK_FALSE(client_sends(*gate, write(1, "h", 0, "x")).sound); }
  SECTION("an answer before it") { CHECK_FALSE(target_sends(*gate, version()).sound); }
  SECTION("a second one") {
    CHECK(client_sends(*gate, init()).sound);
    CHECK_FALSE(client_sends(*gate, init()).sound);
    CHECK_FALSE(gate->error().empty());
    CHECK_FALSE(client_sends(*gate, init()).sound);  // and it stays broken
  }
}

TEST_CASE("SFTP that breaks its protocol ends the channel", "[gateway][sftp]") {
  Line line;
  SECTION("an answer to no request") { CHECK_FALSE(line.target(status(1, 0)).sound); }
  SECTION("an id that is in use") {
    line.asks(one_path(sftp::k_stat, 1, "/f"));
    CHECK_FALSE(line.client(one_path(sftp::k_stat, 1, "/g")).sound);
  }
  SECTION("more contents than were asked for") {
    line.opened("/f", sftp::k_for_read);
    line.asks(read(3, "h", 0, 2));
    CHECK_FALSE(line.target(data(3, "abc")).sound);
  }
  SECTION("contents for another request") {
    line.asks(one_path(sftp::k_stat, 1, "/f"));
    CHECK_FALSE(line.target(data(1, "abc")).sound);
  }
  SECTION("a handle that is in use") {
    line.opened("/f", sftp::k_for_read);
    line.asks(open(3, "/g", sftp::k_for_read));
    CHECK_FALSE(line.target(handle(3, "h")).sound);
  }
  SECTION("a handle for a STAT") {
    line.asks(one_path(sftp::k_stat, 1, "/f"));
    CHECK_FALSE(line.target(handle(1, "h")).sound);
  }
  SECTION("a packet that is too long") {
    SshWriter huge;
    huge.u32(sftp::k_longest_packet + 1).u8(sftp::k_stat);
    CHECK_FALSE(line.client(huge.take()).sound);
  }
  SECTION("a packet of no length") { CHECK_FALSE(line.client(Bytes(8)).sound); }
  SECTION("a WRITE that lies about its contents") {
    line.opened("/f", sftp::k_for_write);
    Bytes lying = write(3, "h", 0, "abcd");
    lying.push_back(std::byte{1});
    lying[3] = static_cast<std::byte>(std::to_integer<int>(lying[3]) + 1);
    CHECK_FALSE(line.client(lying).sound);
  }
  SECTION("too many requests without an answer") {
    for (std::uint32_t id = 0; id < sftp::k_most_pending; ++id) line.asks(one_path(sftp::k_stat, id * 77, "/f"));
    CHECK_FALSE(line.client(one_path(sftp::k_stat, 1, "/f")).sound);
  }
  SECTION("a truncated request") {
    CHECK_FALSE(line.client(packet(sftp::k_open, [](SshWriter& w) { w.u32(1).u32(100).u8('x'); })).sound);
  }
}

TEST_CASE("SFTP packets cut anywhere are understood as if they came whole", "[gateway][sftp]") {
  for (std::size_t step = 1; step < 40; ++step) {
    Line line;
    line.opened("/f", sftp::k_for_write | sftp::k_trunc);
    Bytes stream;
    for (const Bytes& part : {write(10, "h", 0, "abcdefghijkl"), one_path(sftp::k_stat, 11, "/f"), write(12, "h", 12, ""), close(13, "h")})
      stream.insert(stream.end(), part.begin(), part.end());
    Bytes came;
    for (std::size_t at = 0; at < stream.size(); at += step) {
      const Passed passed = client_sends(*line.gate, std::span(stream).subspan(at, std::min(step, stream.size() - at)));
      REQUIRE(passed.sound);
      came.insert(came.end(), passed.to_target.begin(), passed.to_target.end());
    }
    CHECK(came == stream);
    for (const std::uint32_t id : {10u, 11u, 12u, 13u}) line.answers(status(id, sftp::k_ok));
    CHECK(line.transferred().has(sha256_hex("abcdefghijkl")));
  }
}

TEST_CASE("requests in flight are found by id whatever the ids are", "[gateway][sftp]") {
  sftp::PendingTable table;
  std::vector<std::uint32_t> ids;
  for (std::uint32_t i = 0; i < 2000; ++i) ids.push_back(i * 2654435769u ^ (i << 20));
  for (const std::uint32_t id : ids) {
    sftp::Pending pending;
    pending.id = id;
    pending.type = sftp::k_read;
    pending.offset = id;
    table.put(std::move(pending));
  }
  CHECK(table.size() == ids.size());
  for (std::size_t i = 0; i < ids.size(); i += 2) CHECK(table.take(ids[i]).offset == ids[i]);
  for (std::size_t i = 0; i < ids.size(); ++i) CHECK((table.find(ids[i]) != nullptr) == (i % 2 == 1));
  CHECK(table.take_all().size() == ids.size() / 2);
  CHECK(table.size() == 0);
}
