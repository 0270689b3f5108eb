// Which witnesses signed what, and how far the log is vouched for by as many as are wanted.
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "app/verbs/witness_count.h"
#include "platform/crypto/random.h"

using namespace sallyport;
using namespace sallyport::app;

namespace {

struct Signer {
  std::string name;
  crypto::Ed25519PrivateKey key = crypto::Ed25519PrivateKey::generate(crypto::system_random());
  [[nodiscard]] crypto::NoteKey note_key() const { return crypto::make_note_key(name, key.public_key()); }
  [[nodiscard]] std::string vkey() const { return crypto::vkey_of(note_key()); }
};

struct Log {
  Signer own{"gw-1/journal"};
  Signer north{"north"}, south{"south"}, east{"east"};

  /// A checkpoint of so many leaves, signed by the log and by these.
  [[nodiscard]] replay::OutsideCheckpoint checkpoint(std::uint64_t leaves, const std::vector<const Signer*>& witnesses, bool spoiled = false) const {
    crypto::Checkpoint checkpoint;
    checkpoint.origin = own.name;
    checkpoint.size = leaves;
    const std::string body = crypto::checkpoint_body(checkpoint);
    std::string lines = crypto::sign_note_line(body, own.name, own.key);
    for (const Signer* witness : witnesses) lines += crypto::sign_note_line(spoiled ? body + "x\n" : body, witness->name, witness->key);
    return {checkpoint, "file", crypto::parse_note(crypto::join_note(body, lines)).value()};
  }
  [[nodiscard]] Result<Witnessed> count(const std::vector<std::string>& keys, std::size_t wanted, const std::vector<replay::OutsideCheckpoint>& outside) const {
    return count_witnesses(keys, wanted, {own.note_key()}, outside);
  }
};

std::vector<std::string> kinds(const Witnessed& witnessed) {
  std::vector<std::string> found;
  for (const auto& finding : witnessed.findings) found.push_back(finding.kind);
  return found;
}

}  // namespace

TEST_CASE("leaves count as far as the wanted number of witnesses signed", "[witness]") {
  const Log log;
  const std::vector<std::string> all{log.north.vkey(), log.south.vkey(), log.east.vkey()};
  const std::vector<replay::OutsideCheckpoint> outside{log.checkpoint(10, {&log.north, &log.south, &log.east}), log.checkpoint(20, {&log.north, &log.south}), log.checkpoint(30, {&log.north})};
  const std::vector<std::pair<std::size_t, std::uint64_t>> reach{{1, 30}, {2, 20}, {3, 10}, {0, 10}};  // 0: all that were named
  for (const auto& [wanted, leaves] : reach) {
    const auto counted = log.count(all, wanted, outside);
    REQUIRE(counted);
    CHECK(counted->wanted == (wanted == 0 ? 3 : wanted));
    CHECK(counted->seen == 3);
    CHECK(counted->leaves == leaves);
    CHECK(counted->findings.empty());
  }
}

TEST_CASE("a witness that did not sign is missed, one that signed twice counts once", "[witness]") {
  const Log log;
  const auto counted = log.count({log.north.vkey(), log.south.vkey()}, 2, {log.checkpoint(10, {&log.north}), log.checkpoint(20, {&log.north, &log.east})});
  REQUIRE(counted);
  CHECK(counted->seen == 1);
  CHECK(counted->leaves == 0);
  CHECK(kinds(*counted) == std::vector<std::string>{"witnesses-missing"});
  CHECK(counted->findings.front().text == "1 of the 2 witnesses that are wanted signed a checkpoint of this log");
  // The same key given twice is one witness.
  CHECK_FALSE(log.count({log.north.vkey(), log.north.vkey()}, 2, {}));
}

TEST_CASE("a signature that is wrong is found and counts for nobody", "[witness]") {
  const Log log;
  const auto counted = log.count({log.north.vkey(), log.south.vkey()}, 1, {log.checkpoint(10, {&log.south}), log.checkpoint(20, {&log.north}, true)});
  REQUIRE(counted);
  CHECK(counted->seen == 1);
  CHECK(counted->leaves == 10);
  REQUIRE(kinds(*counted) == std::vector<std::string>{"witness-signature"});
  CHECK(counted->findings.front().leaf == 20);
  CHECK(counted->findings.front().text.find("north in file") != std::string::npos);
  // One of the same name with another key is nobody.
  const Signer other{"north"};
  CHECK(kinds(*log.count({log.north.vkey()}, 1, {log.checkpoint(20, {&other})})) == std::vector<std::string>{"witnesses-missing"});
}

TEST_CASE("what is no key of a witness is refused, and no witness is wanted when none is named", "[witness]") {
  const Log log;
  const auto none = log.count({}, 0, {log.checkpoint(10, {&log.north})});
  REQUIRE(none);
  CHECK(none->wanted == 0);
  CHECK(none->leaves == 0);
  CHECK(none->findings.empty());
  const auto refused = [&](const std::vector<std::string>& keys, std::size_t wanted) {
    const auto counted = log.count(keys, wanted, {});
    REQUIRE_FALSE(counted);
    CHECK(counted.error().code == Errc::invalid);
    return counted.error().detail;
  };
  CHECK(refused({"no key"}, 0) == "--witness-key no key is neither a file nor a key");
  CHECK(refused({log.own.vkey()}, 0) == "the log's own key gw-1/journal is no witness");
  CHECK(refused({log.north.vkey()}, 2) == "--witnesses 2 needs as many keys of witnesses, and 1 were given");

  // A checkpoint that somebody only vouches for has no signatures; keys may stand in a file.
  auto vouched = log.checkpoint(10, {&log.north});
  vouched.note.reset();
  const auto file = std::filesystem::temp_directory_path() / ("witness-keys-" + std::to_string(::getpid()));
  std::ofstream(file) << "# ours\n" << log.north.vkey() << "\n" << log.south.vkey() << "\n";
  const auto from_file = log.count({file.string()}, 1, {vouched, log.checkpoint(5, {&log.south})});
  std::filesystem::remove(file);
  REQUIRE(from_file);
  CHECK(from_file->seen == 1);
  CHECK(from_file->leaves == 5);
}
