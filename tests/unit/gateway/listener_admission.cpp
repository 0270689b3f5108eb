#include <catch2/catch.hpp>
#include <random>

#include "gateway/listener/admission.h"
#include "gateway/listener/endpoint.h"

using namespace sallyport;
using gateway::Admission;
using gateway::AdmissionLimits;
using gateway::Admitted;
using gateway::Moment;
using gateway::Ticket;

namespace {

IpAddress ip(const std::string& text) { return IpAddress::parse(text).value(); }
IpAddress numbered(unsigned number) {
  return ip("10." + std::to_string(number / 65536) + "." + std::to_string(number / 256 % 256) + "." +
            std::to_string(number % 256));
}

/// Fills with `count` connections of as many sources; tickets from 1.
void fill(Admission& admission, unsigned count) {
  for (unsigned i = 1; i <= count; ++i) admission.restore(i, numbered(i));
}

constexpr Moment k_now{1'000'000};

}  // namespace

TEST_CASE("below every limit all are admitted and nobody makes room", "[gateway][listener]") {
  Admission admission(AdmissionLimits{100, 50, 10});
  for (Ticket ticket = 1; ticket <= 49; ++ticket) {
    const Admitted admitted = admission.admit(ticket, numbered(static_cast<unsigned>(ticket)), k_now, 0);
    CHECK(admitted.answer == Admitted::Answer::yes);
    CHECK(!admitted.victim);
    CHECK(admitted.not_before == Moment{});
  }
  CHECK(admission.unproven() == 49);
}

TEST_CASE("the oldest of a full source goes first, and only of that source", "[gateway][listener]") {
  Admission admission(AdmissionLimits{1000, 500, 3});
  admission.restore(1, ip("192.0.2.1"));
  for (Ticket ticket = 2; ticket <= 4; ++ticket) CHECK(!admission.admit(ticket, ip("192.0.2.2"), k_now, 0).victim);
  CHECK(admission.admit(5, ip("192.0.2.2"), k_now, 0).victim == Ticket{2});
  CHECK(admission.unproven_of(ip("192.0.2.2")) == 3);
  admission.forget(3);  // proven
  CHECK(!admission.admit(6, ip("192.0.2.2"), k_now, 0).victim);
}

TEST_CASE("addresses of one IPv6 /64 are one source, IPv4 addresses are not", "[gateway][listener]") {
  CHECK(gateway::source_of(ip("2001:db8:1:2::1")) == gateway::source_of(ip("2001:db8:1:2:ffff::9")));
  CHECK(gateway::source_of(ip("2001:db8:1:2::1")) != gateway::source_of(ip("2001:db8:1:3::1")));
  CHECK(gateway::source_of(ip("192.0.2.1")) != gateway::source_of(ip("192.0.2.2")));
  CHECK(gateway::source_of(ip("::ffff:192.0.2.1")) == gateway::source_of(ip("192.0.2.1")));
}

TEST_CASE("early drop begins at its mark, grows, and is certain at the limit", "[gateway][listener]") {
  std::mt19937_64 random(7);
  const auto victims_at = [&random](unsigned standing) {
    int victims = 0;
    for (int i = 0; i < 400; ++i) {
      Admission admission(AdmissionLimits{200, 100, 50});
      fill(admission, standing);
      if (admission.admit(10'000, ip("192.0.2.1"), k_now, random()).victim) ++victims;
    }
    return victims;
  };
  CHECK(victims_at(99) == 0);
  const int few = victims_at(125);
  const int many = victims_at(175);
  CHECK(few > 50);
  CHECK(few < 150);
  CHECK(many > 250);
  CHECK(many < 350);
  CHECK(victims_at(200) == 400);
}

TEST_CASE("whoever makes room is among the older half, never the newcomer", "[gateway][listener]") {
  std::mt19937_64 random(8);
  for (int i = 0; i < 300; ++i) {
    Admission admission(AdmissionLimits{200, 100, 50});
    fill(admission, 200);
    const Admitted admitted = admission.admit(10'000, ip("192.0.2.1"), k_now, random());
    REQUIRE(admitted.victim);
    CHECK(*admitted.victim <= 100);
    CHECK(admission.unproven() == 200);
  }
}

TEST_CASE("a source with a large share gives before the many small ones", "[gateway][listener]") {
  Admission admission(AdmissionLimits{200, 100, 150});
  fill(admission, 100);
  for (Ticket ticket = 201; ticket <= 300; ++ticket) admission.restore(ticket, ip("192.0.2.66"));
  CHECK(admission.admit(10'000, ip("192.0.2.1"), k_now, 12345).victim == Ticket{201});
}

TEST_CASE("the number of unproven connections never passes the limit", "[gateway][listener]") {
  std::mt19937_64 random(9);
  Admission admission(AdmissionLimits{64, 32, 8});
  for (Ticket ticket = 1; ticket < 5000; ++ticket) {
    admission.admit(ticket, numbered(static_cast<unsigned>(random() % 40)), k_now, random());
    REQUIRE(admission.unproven() <= 64);
    if (random() % 4 == 0) admission.forget(random() % ticket);
  }
}

TEST_CASE("a penalty holds its source back, up to ten seconds, and nobody else", "[gateway][listener]") {
  Admission admission;
  admission.penalise(ip("192.0.2.1"), k_now + Moment(3000), k_now);
  CHECK(admission.admit(1, ip("192.0.2.1"), k_now, 0).not_before == k_now + Moment(3000));
  CHECK(admission.admit(2, ip("192.0.2.2"), k_now, 0).not_before == Moment{});
  CHECK(admission.admit(3, ip("192.0.2.1"), k_now + Moment(3000), 0).not_before == Moment{});
  admission.penalise(ip("192.0.2.1"), k_now + Moment(20'000), k_now);
  CHECK(admission.admit(4, ip("192.0.2.1"), k_now, 0).answer == Admitted::Answer::refused);
  CHECK(admission.admit(5, ip("192.0.2.1"), k_now + Moment(12'000), 0).answer == Admitted::Answer::yes);
}

TEST_CASE("a shorter penalty does not replace a longer one", "[gateway][listener]") {
  Admission admission;
  admission.penalise(ip("192.0.2.1"), k_now + Moment(5000), k_now);
  admission.penalise(ip("192.0.2.1"), k_now + Moment(1000), k_now);
  CHECK(admission.has_penalty(ip("192.0.2.1"), k_now + Moment(4000)));
}

TEST_CASE("only so many connections of a penalised source are held", "[gateway][listener]") {
  Admission admission;
  admission.penalise(ip("192.0.2.1"), k_now + Moment(3000), k_now);
  for (Ticket ticket = 1; ticket <= 16; ++ticket)
    CHECK(admission.admit(ticket, ip("192.0.2.1"), k_now, 0).answer == Admitted::Answer::yes);
  CHECK(admission.admit(17, ip("192.0.2.1"), k_now, 0).answer == Admitted::Answer::refused);
}

TEST_CASE("crashes refuse their source for longer and longer, and are forgotten", "[gateway][listener]") {
  Admission admission;
  const IpAddress source = ip("192.0.2.1");
  Moment now = k_now;
  for (const int seconds : {5, 10, 20, 40, 80, 160, 300, 300}) {
    CHECK(admission.penalise_crash(source, now) == Moment(seconds * 1000));
    CHECK(admission.admit(1, source, now + Moment(seconds * 1000 - 1), 0).answer == Admitted::Answer::refused);
    now += Moment(seconds * 1000);
    CHECK(!admission.has_penalty(source, now));
  }
  CHECK(admission.penalise_crash(source, now + Moment(300'000)) == Moment(5000));
}

TEST_CASE("the table of penalties is bounded", "[gateway][listener]") {
  Admission admission;
  for (unsigned i = 0; i < 20'000; ++i) admission.penalise(numbered(i), k_now + Moment(1000 + i), k_now);
  CHECK(admission.penalties().size() <= 16'384);
  CHECK(admission.has_penalty(numbered(19'999), k_now));  // the ones that last longest stay
}
