// Values that must not be stored, in whatever pieces they come.
#include "gateway/ssh/stream_mask.h"

#include <catch2/catch.hpp>
#include <map>
#include <random>

#include "platform/crypto/random.h"

using namespace sallyport;
using namespace sallyport::gateway;

namespace {

/// What could be read of a stream afterwards: data, pieces whose key was written, asterisks.
struct Store {
  std::string text;
  std::map<std::uint64_t, std::string> held;
  std::uint64_t written = 0;
  std::size_t notes = 0, dropped = 0;

  void take(StreamMask& mask) {
    using Kind = StreamMask::Step::Kind;
    for (; !mask.steps().empty(); mask.steps().pop_front()) {
      const auto& step = mask.steps().front();
      const std::string bytes(text_of(step.bytes));
      switch (step.kind) {
        case Kind::clear:
          REQUIRE(step.offset == written);
          written += bytes.size();
          text += bytes;
          break;
        case Kind::hold:
          REQUIRE(step.offset == written);
          written += bytes.size();
          held[step.offset] = bytes;
          break;
        case Kind::reveal:
          REQUIRE(held.contains(step.offset));
          text += held[step.offset];
          held.erase(step.offset);
          break;
        case Kind::drop:
        case Kind::instead:
          REQUIRE(held.contains(step.offset));
          REQUIRE(held[step.offset].size() == bytes.size());
          text += bytes;
          held.erase(step.offset);
          ++dropped;
          break;
        case Kind::note: ++notes; break;
      }
    }
  }
};

std::string run(const seal::MaskSet& set, const std::string& stream, const std::vector<std::size_t>& cuts, bool patterns = false, Store* seen = nullptr) {
  StreamMask mask;
  Store store;
  std::size_t begin = 0, sent = 0;
  for (std::size_t i = 0; i <= cuts.size(); ++i) {
    const std::size_t end = i < cuts.size() ? cuts[i] : stream.size();
    const auto part = bytes_of(std::string_view(stream).substr(begin, end - begin));
    if (mask.plan(set, part, patterns, sent)) {
      REQUIRE(mask.steps().empty());
      mask.keep(part);
    }
    sent += end - begin;
    store.take(mask);
    REQUIRE(store.written == end);  // every byte stands before it is released
    begin = end;
  }
  mask.finish();
  store.take(mask);
  REQUIRE(store.held.empty());
  REQUIRE(store.text.size() == stream.size());
  if (seen != nullptr) *seen = store;
  return store.text;
}

seal::MaskSet exact(std::string_view value) {
  std::vector<Secret> known;
  known.emplace_back(value);
  return seal::MaskSet(std::move(known), Secret(), {});
}

}  // namespace

TEST_CASE("the password of the login is masked wherever the stream is cut", "[gateway][mask]") {
  const auto set = exact("hunter2!x");
  const std::string stream = "password is hunter2!x, hunhunter2!x, hunter2! and hun";
  const std::string wanted = "password is *********, hun*********, hunter2! and hun";
  CHECK(run(set, stream, {}) == wanted);
  for (std::size_t a = 0; a <= stream.size(); ++a)
    for (std::size_t b = a; b <= stream.size(); b += 3) REQUIRE(run(set, stream, {a, b}) == wanted);
  std::vector<std::size_t> each;
  for (std::size_t i = 1; i < stream.size(); ++i) each.push_back(i);
  CHECK(run(set, stream, each) == wanted);
}

TEST_CASE("a thousand lent values are recognised by their hashes in any pieces, and nothing else is touched", "[gateway][mask]") {
  std::mt19937 random(4711);
  const Secret key = crypto::random_secret(crypto::system_random(), 32);
  const std::string letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#%+-_";
  std::vector<std::string> values;
  std::vector<seal::MaskValue> recognised;
  for (int i = 0; i < 1000; ++i) {
    std::string value;
    const std::size_t length = 8 + random() % 40;
    for (std::size_t k = 0; k < length; ++k) value += letters[random() % letters.size()];
    recognised.push_back(*seal::mask_value(key.reveal(), bytes_of(value)));
    values.push_back(std::move(value));
  }
  const seal::MaskSet set({}, key.clone(), recognised);
  std::string stream, clean;
  for (const std::string& value : values) {
    for (const std::string& before : {std::string("export DB_PASSWORD="), "$ mysql -p" + std::string(), std::string("[sudo] password: ")}) {
      stream += before + value + "\n";
      clean += before + std::string(value.size(), '*') + "\n";
    }
  }
  CHECK(run(set, stream, {}) == clean);
  for (int round = 0; round < 20; ++round) {
    std::vector<std::size_t> cuts;
    for (std::size_t at = 0; at < stream.size(); at += 1 + random() % (round < 10 ? 20 : 3000)) cuts.push_back(at);
    const std::string stored = run(set, stream, cuts);
    for (const std::string& value : values) REQUIRE(stored.find(value) == std::string::npos);
    // In pieces up to seven bytes at the beginning of a value may stand; everything else is as it was.
    std::size_t different = 0;
    for (std::size_t i = 0; i < stored.size(); ++i) different += stored[i] != clean[i] ? 1 : 0;
    CHECK(different <= 7 * values.size() * 3);
  }
}

TEST_CASE("what only looks like a value is stored as it came", "[gateway][mask]") {
  const Secret key = crypto::random_secret(crypto::system_random(), 32);
  std::vector<seal::MaskValue> recognised{*seal::mask_value(key.reveal(), bytes_of("correct horse battery"))};
  const seal::MaskSet set({}, key.clone(), recognised);
  const std::string stream = "correct horse buttery and correct h";
  for (std::size_t cut = 0; cut < stream.size(); ++cut) CHECK(run(set, stream, {cut}) == stream);
  CHECK_FALSE(seal::mask_value(key.reveal(), bytes_of("short")));
  CHECK(set.masked("x correct horse battery y") == "x ********************* y");
  CHECK(set.is_in(bytes_of("correct horse battery")));
}

TEST_CASE("values hashed with two keys are masked side by side and say what they are", "[gateway][mask]") {
  const Secret lent_key = crypto::random_secret(crypto::system_random(), 32), own_key = crypto::random_secret(crypto::system_random(), 32);
  seal::MaskSet set({}, lent_key.clone(), {*seal::mask_value(lent_key.reveal(), bytes_of("correct horse battery"))});
  set.add(own_key.clone(), {*seal::mask_value(own_key.reveal(), bytes_of("hunter2!x"))}, seal::MaskSet::Span::Why::login_password);
  const std::string stream = "a hunter2!x b correct horse battery c hunter2!";
  CHECK(run(set, stream, {}) == "a ********* b ********************* c hunter2!");
  std::vector<seal::MaskSet::Span> found;
  CHECK(set.scan(bytes_of(stream), found) == stream.find("hunter2!", 3));
  REQUIRE(found.size() == 2);
  CHECK(found[0].why == seal::MaskSet::Span::Why::login_password);
  CHECK(found[1].why == seal::MaskSet::Span::Why::lent_value);
}

TEST_CASE("private key blocks and AWS secret keys are masked, their surroundings are not", "[gateway][mask]") {
  const seal::MaskSet none;
  const std::string begin = "-----BEGIN OPENSSH " "PRIVATE KEY-----\n", end = "-----END OPENSSH " "PRIVATE KEY-----\n";
  const std::string stream = "$ cat id\n" + begin + "b3BlbnNzaC1rZXk\nAAAA/+==\n" + end + "$ env\naws_secret_access_key = " + std::string(20, 'A') + std::string(20, '/') +
                             "\nAWS_SECRET_ACCESS_KEY is not set\n";
  const std::string wanted = "$ cat id\n" + begin + "***************\n********\n" + end + "$ env\naws_secret_access_key = " + std::string(40, '*') +
                             "\nAWS_SECRET_ACCESS_KEY is not set\n";
  Store seen;
  CHECK(run(none, stream, {}, true, &seen) == wanted);
  CHECK(seen.notes == 3);
  for (std::size_t cut = 1; cut < stream.size(); ++cut) REQUIRE(run(none, stream, {cut}, true) == wanted);
}

TEST_CASE("patterns are found in large pieces where they are found byte by byte", "[gateway][mask]") {
  std::mt19937 random(7);
  const std::vector<std::string> parts{"-----BEGIN RSA PRIVATE KEY-----\nMIIabc\n-----END RSA PRIVATE KEY-----", "aws_secret_access_key = wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEYab", "secretAccessKey",
                                       "key", "ke", "kekey", "PRIVATE KEY----", "-----", "keykeykey", "secret_access_k", ": "};
  const seal::MaskSet none;
  for (int round = 0; round < 300; ++round) {
    std::string stream;
    const int pieces = 1 + static_cast<int>(random() % 8);
    for (int i = 0; i < pieces; ++i) stream += std::string(random() % 150, static_cast<char>('a' + random() % 26)) + parts[random() % parts.size()];
    std::vector<std::size_t> each, few;
    for (std::size_t at = 1; at < stream.size(); ++at) {
      each.push_back(at);
      if (random() % 60 == 0) few.push_back(at);
    }
    const std::string slow = run(none, stream, each, true);
    INFO(stream);
    REQUIRE(run(none, stream, {}, true) == slow);
    REQUIRE(run(none, stream, few, true) == slow);
  }
}
