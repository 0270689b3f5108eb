// Addresses, networks, hours, paths, destinations, command templates, throttle.
#include <date/tz.h>

#include "policy/access/fields.h"
#include "policy/fleet/address_rules.h"
#include "policy/identity/password.h"
#include "policy/identity/throttle.h"
#include "tests/unit/policy/policy_fixture.h"

namespace sallyport::policy::test {
namespace {

IpAddress ip(const char* text) {
  const auto address = IpAddress::parse(text);
  REQUIRE(address);
  return *address;
}

WallTime utc(const char* text) {
  const auto moment = parse_moment(text);
  INFO(text);
  REQUIRE(moment);
  return *moment;
}

}  // namespace

TEST_CASE("addresses have one spelling", "[platform][ip]") {
  for (const char* wrong : {"", "127.1", "010.0.0.1", "0x7f000001", "2130706433", "1.2.3.4 ", "1.2.3.256", "1.2.3", "::g", "fe80::1%eth0", "[::1]", "1.2.3.4:80"}) {
    INFO(wrong);
    CHECK_FALSE(IpAddress::parse(wrong));
  }
  CHECK(ip("::ffff:10.1.2.3") == ip("10.1.2.3"));
  CHECK(ip("2001:DB8:0:0::1").str() == "2001:db8::1");
  CHECK(ip("0.0.0.0").is_unspecified());
  CHECK(ip("0.1.2.3").is_unspecified());
  CHECK(ip("127.255.0.1").is_loopback());
  CHECK(ip("::1").is_loopback());
  CHECK(ip("::ffff:127.0.0.1").is_loopback());
  CHECK(ip("169.254.169.254").is_link_local());
  CHECK(ip("fe80::1").is_link_local());
  CHECK(ip("febf::1").is_link_local());
  CHECK_FALSE(ip("fec0::1").is_link_local());
  CHECK(ip("224.0.0.1").is_multicast());
  CHECK(ip("255.255.255.255").is_multicast());
  CHECK(ip("ff02::1").is_multicast());
}

TEST_CASE("networks contain what their prefix says", "[platform][ip]") {
  for (const char* wrong : {"10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "10.0.0.0/08", "10.0.0.0/8x", "2001:db8::1/32", "::/129", "/8", "::ffff:10.0.0.0/8"}) {
    INFO(wrong);
    CHECK_FALSE(Network::parse(wrong));
  }
  struct Case {
    const char* network;
    const char* address;
    bool inside;
  };
  for (const Case& c : {Case{"10.0.0.0/8", "10.255.0.1", true}, Case{"10.0.0.0/8", "11.0.0.0", false}, Case{"0.0.0.0/0", "8.8.8.8", true}, Case{"0.0.0.0/0", "2001:db8::1", false},
                        Case{"::/0", "8.8.8.8", false}, Case{"::/0", "2001:db8::1", true}, Case{"192.0.2.128/25", "192.0.2.127", false}, Case{"192.0.2.128/25", "192.0.2.200", true},
                        Case{"192.0.2.7", "192.0.2.7", true}, Case{"192.0.2.7", "192.0.2.8", false}, Case{"2001:db8::/33", "2001:db8:7fff::1", true},
                        Case{"2001:db8::/33", "2001:db8:8000::1", false}, Case{"::ffff:10.0.0.0/104", "10.1.1.1", true}}) {
    INFO(c.network << " " << c.address);
    CHECK(Network::parse(c.network)->contains(ip(c.address)) == c.inside);
  }
}

TEST_CASE("only a named exception opens loopback, link-local and our own listeners", "[policy][fleet]") {
  Target target;
  Target loopback;
  loopback.allow_loopback = true;
  Target link_local;
  link_local.allow_link_local = true;
  Target gateway;
  gateway.allow_gateway = gateway.allow_loopback = true;
  const std::vector<Listener> listeners{{ip("0.0.0.0"), 2222}, {ip("192.0.2.50"), 443}};
  const std::vector<IpAddress> own{ip("192.0.2.50"), ip("2001:db8::50")};
  const auto allowed = [&](const Target& t, const char* address, std::uint16_t port) { return judge_address(t, ip(address), port, listeners, own).allowed; };
  CHECK(allowed(target, "192.0.2.1", 22));
  CHECK_FALSE(allowed(target, "127.0.0.1", 22));
  CHECK_FALSE(allowed(target, "::1", 22));
  CHECK_FALSE(allowed(target, "::ffff:127.0.0.1", 22));
  CHECK_FALSE(allowed(target, "169.254.169.254", 80));
  CHECK_FALSE(allowed(target, "fe80::1", 22));
  CHECK(allowed(loopback, "127.0.0.1", 22));
  CHECK_FALSE(allowed(loopback, "127.0.0.1", 2222));
  CHECK_FALSE(allowed(loopback, "169.254.1.1", 22));
  CHECK(allowed(link_local, "169.254.1.1", 22));
  CHECK(allowed(gateway, "127.0.0.1", 2222));
  CHECK_FALSE(allowed(target, "192.0.2.50", 2222));
  CHECK_FALSE(allowed(target, "192.0.2.50", 443));
  CHECK(allowed(target, "192.0.2.50", 22));
  CHECK_FALSE(allowed(target, "2001:db8::50", 2222));
  for (const Target* any : {&target, &loopback, &link_local, &gateway}) {
    CHECK_FALSE(allowed(*any, "0.0.0.0", 22));
    CHECK_FALSE(allowed(*any, "::", 22));
    CHECK_FALSE(allowed(*any, "224.0.0.1", 22));
    CHECK_FALSE(allowed(*any, "255.255.255.255", 22));
    CHECK_FALSE(allowed(*any, "192.0.2.1", 0));
  }
  for (const char* standing_for_loopback :
       {"::127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b:1::127.0.0.1", "2002:7f00:1::1", "2001:0:1:2:3:4:80ff:fffe"})
    CHECK_FALSE(allowed(target, standing_for_loopback, 22));
  for (const char* metadata : {"169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::", "fd00:ec2::254", "fd20:ce::254", "100.100.100.200",
                               "64:ff9b::100.100.100.200", "168.63.129.16"}) {
    CHECK_FALSE(allowed(target, metadata, 80));
    CHECK(allowed(link_local, metadata, 80));
  }
  for (const char* elsewhere : {"64:ff9b::10.0.0.1", "2002:a00:1::1", "fd00:ec2::253", "100.100.100.201", "2001:db8::7f00:1", "2001:0:1:2:3:4:f5ff:fffe"})
    CHECK(allowed(target, elsewhere, 22));
  CHECK(std::string(judge_address(target, ip("127.0.0.1"), 22, listeners, own).code) == "SP-3005");
}

TEST_CASE("hours follow the zone's own clock, across both changes of the clock", "[policy][hours]") {
  Hours office;
  office.days = {true, true, true, true, true, false, false};
  office.from = 8h;
  office.to = 18h;
  office.zone_name = "Europe/Berlin";
  office.zone = date::locate_zone("Europe/Berlin");
  struct Case {
    const char* moment;
    bool inside;
  };
  // 2026: summer time from March 29 to October 25.
  for (const Case& c : {Case{"2026-03-27T06:59:59Z", false}, Case{"2026-03-27T07:00:00Z", true}, Case{"2026-03-30T05:59:59Z", false}, Case{"2026-03-30T06:00:00Z", true},
                        Case{"2026-03-30T15:59:59Z", true}, Case{"2026-03-30T16:00:00Z", false}, Case{"2026-10-23T06:00:00Z", true}, Case{"2026-10-26T06:00:00Z", false},
                        Case{"2026-10-26T07:00:00Z", true}, Case{"2026-10-24T10:00:00Z", false}, Case{"2026-10-25T10:00:00Z", false}}) {
    INFO(c.moment);
    CHECK(office.covers(utc(c.moment)) == c.inside);
  }

  SECTION("over midnight, the night belongs to the day it begins on") {
    Hours night = office;
    night.days = {false, false, false, false, true, false, false};  // Friday
    night.from = 22h;
    night.to = 6h;
    CHECK_FALSE(night.covers(utc("2026-11-19T22:00:00Z")));  // Thursday 23:00
    CHECK(night.covers(utc("2026-11-20T21:00:00Z")));        // Friday 22:00
    CHECK(night.covers(utc("2026-11-21T04:59:59Z")));        // Saturday 05:59
    CHECK_FALSE(night.covers(utc("2026-11-21T05:00:00Z")));
    CHECK_FALSE(night.covers(utc("2026-11-21T21:30:00Z")));  // Saturday night
  }
  SECTION("the hour that does not exist and the hour that comes twice") {
    Hours small = office;
    small.days.fill(true);
    small.from = 2h;
    small.to = 3h;
    CHECK_FALSE(small.covers(utc("2026-03-29T00:59:59Z")));  // 01:59:59, then 03:00:00
    CHECK_FALSE(small.covers(utc("2026-03-29T01:00:00Z")));
    CHECK(small.covers(utc("2026-10-25T00:30:00Z")));  // 02:30 summer time
    CHECK(small.covers(utc("2026-10-25T01:30:00Z")));  // 02:30 again
    CHECK_FALSE(small.covers(utc("2026-10-25T02:00:00Z")));
  }
  SECTION("zones east and west of the date line of the day") {
    Hours monday = office;
    monday.days = {true, false, false, false, false, false, false};
    monday.from = 0h;
    monday.to = 24h;
    monday.zone = date::locate_zone("Pacific/Auckland");
    CHECK(monday.covers(utc("2026-11-15T11:00:00Z")));  // Monday 00:00 there
    CHECK_FALSE(monday.covers(utc("2026-11-16T11:00:00Z")));
    monday.zone = date::locate_zone("America/Los_Angeles");
    CHECK_FALSE(monday.covers(utc("2026-11-16T07:59:59Z")));
    CHECK(monday.covers(utc("2026-11-17T07:59:59Z")));
  }
}

TEST_CASE("moments and durations are read strictly", "[policy][yaml]") {
  CHECK(utc("2027-01-01T00:00:00Z") == utc("2027-01-01"));
  CHECK(utc("2027-01-01T02:00:00+02:00") == utc("2027-01-01"));
  CHECK(utc("2026-12-31T19:00:00-05:00") == utc("2027-01-01"));
  CHECK(utc("2027-01-01T00:00:00.5Z") - utc("2027-01-01") == 500ms);
  for (const char* wrong : {"", "2027-02-29", "2027-13-01", "2027-01-01T24:00:00Z", "2027-01-01T00:00:00", "2027-1-1", "tomorrow", "2027-01-01T00:00Z", "2027-01-01T00:00:00.Z", "2027-01-01x"}) {
    INFO(wrong);
    CHECK_FALSE(parse_moment(wrong));
  }
  CHECK(parse_duration("90s") == 90s);
  CHECK(parse_duration("1h30m") == 90min);
  CHECK(parse_duration("2d") == 48h);
  for (const char* wrong : {"", "0s", "15", "m", "30m1h", "1h1h", "-5m", "1.5h", "4000000000d", "99999999999s", "1 h"}) {
    INFO(wrong);
    CHECK_FALSE(parse_duration(wrong));
  }
  CHECK(parse_time_of_day("24:00") == 24h);
  for (const char* wrong : {"8:00", "24:01", "12:60", "0800", "12:0"}) CHECK_FALSE(parse_time_of_day(wrong));
}

TEST_CASE("paths are normalised by text alone", "[policy][files]") {
  struct Case {
    std::string path;
    std::string home;
    std::string expected;
  };
  for (const Case& c : {Case{"/srv/a", "", "/srv/a"}, Case{"/srv//a/", "", "/srv/a"}, Case{"/srv/./a/../b", "", "/srv/b"}, Case{"/../../etc/passwd", "", "/etc/passwd"}, Case{"/", "", "/"},
                        Case{"a/b", "/home/x", "/home/x/a/b"}, Case{"../y", "/home/x", "/home/y"}, Case{"", "/home/x", "/home/x"}, Case{"a", "", ""}, Case{"a", "home", ""},
                        Case{std::string("/srv\0/etc", 9), "", ""}, Case{"/srv/..a/...", "", "/srv/..a/..."}}) {
    INFO(c.path);
    CHECK(normalise_path(c.path, c.home) == c.expected);
  }
  CHECK(path_is_under("/srv/a", "/srv"));
  CHECK(path_is_under("/srv", "/srv"));
  CHECK(path_is_under("/srv", ""));
  CHECK_FALSE(path_is_under("/srvx", "/srv"));
  CHECK_FALSE(path_is_under("", ""));
  CHECK_FALSE(path_is_under("srv", ""));
}

TEST_CASE("file rules add up over roles, longest prefix first, and a deny takes whatever lies below", "[policy][files]") {
  const auto snapshot = policy_with(
      "[{channels: [sftp, scp, rsync], targets: all, accounts: [deploy], files: [{path: /srv, allow: [up, down, change]}, {path: /srv/keys, allow: []}]},"
      " {channels: [sftp], targets: all, accounts: [deploy], directions: [down], files: [{path: /var/log, allow: [up, down, change]}]}]",
      "[{files: [{path: /srv/prod, deny: [up, change]}]}]");
  const Decision sftp = decide(*snapshot, {}, ask(ChannelKind::sftp));
  REQUIRE(sftp.allowed());
  REQUIRE(sftp.obligations.file_rules_apply);
  struct Case {
    const char* path;
    bool up, down, change;
  };
  for (const Case& c : {Case{"/srv/a", true, true, true}, Case{"/srv", true, true, true}, Case{"/srv/keys/k", false, false, false}, Case{"/srv/prod/x", false, true, false},
                        Case{"/srv/production", true, true, true}, Case{"/var/log/x", false, true, false}, Case{"/etc/passwd", false, false, false}, Case{"/", false, false, false},
                        Case{"relative", false, false, false}}) {
    INFO(c.path);
    CHECK(file_allowed(sftp.obligations.file_rules, c.path, FileOperation::up) == c.up);
    CHECK(file_allowed(sftp.obligations.file_rules, c.path, FileOperation::down) == c.down);
    CHECK(file_allowed(sftp.obligations.file_rules, c.path, FileOperation::change) == c.change);
  }
  AccessRequest scp = ask(ChannelKind::scp);
  scp.up = true;
  CHECK_FALSE(file_allowed(decide(*snapshot, {}, scp).obligations.file_rules, "/var/log/x", FileOperation::down));
  CHECK_FALSE(decide(*snapshot, {}, ask(ChannelKind::connect)).obligations.file_rules_apply);
}

TEST_CASE("directions restrict file channels and nothing else", "[policy][files]") {
  const auto snapshot = policy_with("[{channels: [sftp, scp, exec], targets: all, accounts: [deploy], directions: [down]}]");
  AccessRequest scp = ask(ChannelKind::scp);
  scp.up = true;
  CHECK(code_of(*snapshot, scp) == "SP-2010");
  scp.up = false;
  scp.down = true;
  CHECK(code_of(*snapshot, scp) == "allow");
  CHECK(code_of(*snapshot, ask(ChannelKind::exec)) == "allow");
  const Decision sftp = decide(*snapshot, {}, ask(ChannelKind::sftp));
  CHECK(sftp.obligations.file_rules_apply);
  CHECK_FALSE(file_allowed(sftp.obligations.file_rules, "/srv/a", FileOperation::up));
  CHECK_FALSE(file_allowed(sftp.obligations.file_rules, "/srv/a", FileOperation::change));
  CHECK(file_allowed(sftp.obligations.file_rules, "/srv/a", FileOperation::down));

  const auto denied = policy_with("[{channels: [sftp, scp, shell], targets: all, accounts: [deploy]}]", "[{directions: [up]}]");
  scp.up = true;
  scp.down = false;
  CHECK(code_of(*denied, scp) == "SP-2002");
  CHECK(code_of(*denied, ask(ChannelKind::shell)) == "allow");
  CHECK_FALSE(file_allowed(decide(*denied, {}, ask(ChannelKind::sftp)).obligations.file_rules, "/srv/a", FileOperation::up));
  CHECK(file_allowed(decide(*denied, {}, ask(ChannelKind::sftp)).obligations.file_rules, "/srv/a", FileOperation::down));

  const auto nothing_left = policy_with("[{channels: [scp], targets: all, accounts: [deploy], files: [{path: /srv, allow: [up]}]}]", "[{files: [{path: /, deny: [up]}]}]");
  CHECK(code_of(*nothing_left, scp) == "SP-6001");
}

TEST_CASE("destinations and their odd spellings", "[policy][tunnels]") {
  for (const char* wrong : {"", "localhost", ":80", "localhost:", "localhost:0", "localhost:65536", "localhost:90-80", "localhost:http", "10.0.0.1/8:80", "::1:80", "[::1:80", "a b:80", "*.10.0.0.1:80",
                            "unix:run/x", "unix:/run/../x", "unix:", "local host:1", "0x7f.1:80", "1.2.3:80"}) {
    INFO(wrong);
    CHECK_FALSE(TunnelPattern::parse(wrong));
  }
  const auto matches = [](const char* pattern, const char* host, std::uint16_t port) {
    INFO(pattern);
    const auto parsed = TunnelPattern::parse(pattern);
    REQUIRE(parsed);
    return parsed->matches(host, port);
  };
  CHECK(matches("[2001:db8::1]:443", "2001:DB8:0::1", 443));
  CHECK(matches("[2001:db8::1]:443", "[2001:db8::1]", 443));
  CHECK(matches("[2001:db8::/32]:443", "2001:db8:5::9", 443));
  CHECK_FALSE(matches("[2001:db8::/32]:443", "2001:db9::1", 443));
  CHECK(matches("*:443", "anything.example", 443));
  CHECK_FALSE(matches("*:443", "0177.0.0.1", 443));
  CHECK_FALSE(matches("*:443", "127.1", 443));
  CHECK_FALSE(matches("*:443", std::string("a\0b", 3).c_str(), 444));
  CHECK(matches("127.0.0.1:*", "::ffff:127.0.0.1", 9));
  CHECK_FALSE(matches("127.0.0.1:*", "localhost", 9));
  CHECK(TunnelPattern::parse("h:22")->is_hop());
  CHECK_FALSE(TunnelPattern::parse("h:*")->is_hop());
  CHECK_FALSE(TunnelPattern::parse("h:20-30")->is_hop());
  CHECK(TunnelPattern::parse("unix:/run/app/*")->matches_socket("/run/app/a"));
  CHECK_FALSE(TunnelPattern::parse("unix:/run/app/*")->matches_socket("/run/application"));
  CHECK_FALSE(TunnelPattern::parse("unix:/run/app/*")->matches_socket("/run/app"));
  CHECK_FALSE(TunnelPattern::parse("*:*")->matches_socket("/run/app"));
}

TEST_CASE("command templates match whole commands", "[policy][commands]") {
  for (const char* wrong : {"", "a {", "a {}", "a {X}", "a {x:}", "a {x:|b}", "{x}{y}", "a{x}b", "a\nb"}) {
    INFO(wrong);
    CHECK_FALSE(CommandTemplate::parse(wrong));
  }
  const auto matches = [](const char* text, const std::string& command) {
    INFO(text);
    const auto parsed = CommandTemplate::parse(text);
    REQUIRE(parsed);
    return parsed->matches(command);
  };
  CHECK(matches("scp -t /srv/{file}", "scp -t /srv/a/b.tar"));
  CHECK_FALSE(matches("scp -t /srv/{file}", "scp -t /srv/a b"));
  CHECK_FALSE(matches("scp -t /srv/{file}", "scp -t /srv/a/../../etc"));
  CHECK_FALSE(matches("scp -t /srv/{file}", "scp -t /srv/"));
  CHECK(matches("do {a:x|xy} now", "do xy now"));
  CHECK_FALSE(matches("do {a:x|xy} now", "do xz now"));
  CHECK(matches("echo {{x}", "echo {x}"));
  CHECK_FALSE(matches("run {a}", "run " + std::string(257, 'a')));
  CHECK_FALSE(matches("run {a}", "run a;b"));
  CHECK_FALSE(matches("run {a}", "run a\n"));
}

TEST_CASE("password hashes of other kinds or costs are refused", "[policy][password]") {
  const std::string good = *make_password_hash(Secret(std::string_view("secret")), "0123456789abcdef");
  CHECK(check_password_hash(good));
  CHECK(verify_password(good, Secret(std::string_view("secret"))));
  CHECK_FALSE(verify_password(good, Secret(std::string_view("Secret"))));
  CHECK_FALSE(verify_password(make_dummy_password_hash(""), Secret(std::string_view(""))));
  CHECK(check_password_hash(make_dummy_password_hash("")));
  for (const char* wrong : {"", "secret", "$2b$10$abcdefghijklmnopqrstuv", "$argon2i$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
                            "$argon2id$v=19$m=64,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "$argon2id$v=19$m=99999999,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$AAAAAAAAAAAAAAAAAAAAAAAAAA",
                            "$argon2id$v=19$m=19456,t=2,p=1$short$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg"}) {
    INFO(wrong);
    CHECK_FALSE(check_password_hash(wrong));
    CHECK_FALSE(verify_password(wrong, Secret(std::string_view("secret"))));
  }
  CHECK_FALSE(make_password_hash(Secret(std::string_view("")), "0123456789abcdef"));
  CHECK_FALSE(make_password_hash(Secret(std::string(1025, 'x')), "0123456789abcdef"));
  CHECK_FALSE(make_password_hash(Secret(std::string_view("x")), "short"));
}

TEST_CASE("guessing slows the guesser down and locks nobody out", "[policy][throttle]") {
  Throttle throttle;
  const IpAddress home = ip("192.0.2.1");
  const IpAddress attacker = ip("198.51.100.1");
  BootTime now = 1h;
  throttle.succeeded(home, "engineer", now);

  SECTION("a source pays for its own failures, more each time, up to a limit") {
    for (int i = 0; i < 3; ++i) throttle.failed(attacker, "engineer", true, now);
    CHECK(throttle.penalty(attacker, now) == 0ms);
    throttle.failed(attacker, "engineer", true, now);
    CHECK(throttle.penalty(attacker, now) == 500ms);
    throttle.failed(attacker, "engineer", true, now);
    CHECK(throttle.penalty(attacker, now) == 1s);
    for (int i = 0; i < 50; ++i) throttle.failed(attacker, "engineer", true, now);
    CHECK(throttle.penalty(attacker, now) == 10s);
    CHECK(throttle.penalty(home, now) == 0ms);
    CHECK(throttle.penalty(attacker, now + 16min) == 0ms);
  }
  SECTION("the rightful owner gets in from a known source while thousands guess") {
    for (int i = 0; i < 5000; ++i) {
      const IpAddress one_of_many = ip(("198.51." + std::to_string(i / 250) + "." + std::to_string(i % 250 + 1)).c_str());
      (void)throttle.ask_guessable(one_of_many, "engineer", now);
      throttle.failed(one_of_many, "engineer", true, now);
    }
    const auto owner = throttle.ask_guessable(home, "engineer", now);
    CHECK(owner.evaluate);
    CHECK(owner.delay == 0ms);
    // From a strange source one guess per pause is looked at; keys always are.
    now += 11s;
    CHECK(throttle.ask_guessable(ip("203.0.113.1"), "engineer", now).evaluate);
    CHECK_FALSE(throttle.ask_guessable(ip("203.0.113.2"), "engineer", now).evaluate);
    CHECK(throttle.ask_guessable(ip("203.0.113.2"), "engineer", now + 10s).evaluate);
    CHECK(throttle.ask_key(ip("203.0.113.2"), now).evaluate);
    CHECK(throttle.ask_guessable(ip("203.0.113.2"), "someone", now).evaluate);
  }
  SECTION("an IPv6 /64 is one source") {
    for (int i = 0; i < 4; ++i) throttle.failed(ip(("2001:db8::" + std::to_string(i + 1)).c_str()), "engineer", true, now);
    CHECK(throttle.penalty(ip("2001:db8::ffff"), now) == 500ms);
    CHECK(throttle.penalty(ip("2001:db8:0:1::1"), now) == 0ms);
  }
  SECTION("a success clears the source, and a source stays known for a while only") {
    for (int i = 0; i < 9; ++i) throttle.failed(home, "engineer", true, now);
    CHECK(throttle.penalty(home, now) > 0ms);
    throttle.succeeded(home, "engineer", now);
    CHECK(throttle.penalty(home, now) == 0ms);
    CHECK(throttle.is_known(home, "engineer", now + 24h * 90));
    CHECK_FALSE(throttle.is_known(home, "engineer", now + 24h * 91));
    CHECK_FALSE(throttle.is_known(home, "other", now));
  }
  SECTION("the tables are bounded") {
    Throttle::Limits limits;
    limits.entries = 10;
    Throttle small(limits);
    for (int i = 0; i < 100; ++i) small.failed(attacker, "name" + std::to_string(i), true, now);
    for (int i = 0; i < 4; ++i) small.failed(home, "x", true, now);
    CHECK(small.penalty(home, now) > 0ms);
  }
}

}  // namespace sallyport::policy::test
