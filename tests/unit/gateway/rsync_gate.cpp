#include <catch2/catch.hpp>

#include "gateway/ssh/program.h"
#include "gateway/ssh/rsync_call.h"
#include "gateway/ssh/transfer_gate.h"
#include "tests/unit/gateway/gate_events.h"

using namespace sallyport;
using namespace sallyport::gateway;
using namespace sallyport::gateway::test;

namespace {

RsyncCall call_of(std::string_view command) { return parse_rsync_call(plain_words(command)); }

const FileRules k_srv = rules_for({{"/srv", true, true, true}});
const FileRules k_transfers = rules_for({{"/srv", true, true, false}});

bool taken(std::string_view command, const FileRules& rules) {
  GateEvents events;
  const bool is_taken = make_rsync_gate(command, rules, events.sink()) != nullptr;
  if (is_taken) CHECK(events.named("rsync.started").size() == 1);
  else CHECK(events.named("rsync.started").empty());
  return is_taken;
}

}  // namespace

TEST_CASE("what stock rsync sends to a server is understood", "[gateway][rsync]") {
  // Seen from rsync 3.2.7 and 3.5.0 for -a, -avz --delete --partial-dir, -aHAXS --link-dest, --info=progress2 -B, ...
  for (const std::string command : {
           "rsync --server -logDtpre.iLsfxCIvu . /srv/x/",
           "rsync --server --sender -vlogDtprze.iLsfxCIvu . /srv/x",
           "rsync --server -vvlogDtprze.iLsfxCIvu --delete-during --partial-dir .rsync-partial . /srv/x/",
           "rsync --server -lHogDtpAXrSe.iLsfxCIvu --numeric-ids --link-dest /srv/old . /srv/x/",
           "rsync --server -nlogDtprce.iLsfxCIvu --log-format=%i --bwlimit=100 --max-size=10000 --min-size=1 . /srv/x/",
           "rsync --server --sender -de.LsfxCIvu --list-only . /srv/x/",
           "rsync --server -re31.14iLsfxCIvu --inplace --append --existing --ignore-existing . /srv/x/",
           "rsync --server -tB1000 --checksum-seed=1 --compress-level=9 --compress-choice=zstd . /srv/x/",
           "rsync --server -rbe.iLsfxCIvu --backup-dir old --suffix=~ . /srv/x/"}) {
    const RsyncCall call = call_of(command);
    CAPTURE(command, call.unknown, call.forbidden);
    CHECK(call.is_server_call);
    CHECK(call.unknown.empty());
    CHECK(call.forbidden.empty());
    CHECK(call.paths.size() == 1);
    CHECK(taken(command, k_srv));
  }
  CHECK(call_of("rsync --server --sender -r . /a '/b c'").paths == std::vector<std::string>{"/a", "/b c"});
  CHECK(call_of("rsync --server --sender -r . /a").sender);
  CHECK(call_of("rsync --server -r --delete . /a").deletes);
  CHECK_FALSE(call_of("rsync -a /a /b").is_server_call);
}

TEST_CASE("rsync options that write, run or hide elsewhere are refused where file rules apply", "[gateway][rsync]") {
  for (const std::string option : {"--rsh=sh", "-esh", "'-esh -c id'", "--rsync-path=x", "-M--super", "--log-file=/srv/log", "--write-batch=/srv/b",
                                   "--read-batch=/srv/b", "--only-write-batch=X", "--copy-as=root", "--config=/srv/c", "--write-devices",
                                   "--copy-devices", "--files-from=/srv/list", "--files-from=-", "-s", "--secluded-args", "--unheard-of",
                                   "--unheard-of=1", "-Q", "--delete=yes", "--early-input=/srv/x", "--super", "--fake-super", "-B", "-@", "--temp-dir=/tmp", "-T/tmp", "-T /tmp",
                                   "--backup-dir=/tmp", "--backup-dir=../../tmp", "--link-dest=/etc", "--copy-dest=../etc/x", "-R", "--relative"}) {
    CAPTURE(option);
    CHECK_FALSE(taken("rsync --server -r " + option + " . /srv/x/", k_srv));
    CHECK_FALSE(taken("rsync --server -r . /srv/x/ " + option, k_srv));  // options are found behind paths too
  }
  CHECK_FALSE(taken("rsync --server --sender -r /srv/x", k_srv));  // the "." is missing
  CHECK_FALSE(taken("rsync --server --daemon .", k_srv));
}

TEST_CASE("rsync paths are judged by direction, deleting by the right to change", "[gateway][rsync]") {
  CHECK(taken("rsync --server -r . /srv/x/", k_transfers));
  CHECK_FALSE(taken("rsync --server -r --delete . /srv/x/", k_transfers));
  CHECK_FALSE(taken("rsync --server --sender -r --remove-source-files . /srv/x/", k_transfers));
  CHECK_FALSE(taken("rsync --server -r . /etc/", k_transfers));
  CHECK_FALSE(taken("rsync --server -r . /srv/../etc/", k_transfers));
  CHECK_FALSE(taken("rsync --server -r . relative/", k_transfers));
  CHECK_FALSE(taken("rsync --server -r . '~/x'", k_transfers));
  CHECK_FALSE(taken("rsync --server --sender -r . /srv/x /etc/shadow", k_transfers));
  CHECK_FALSE(taken("rsync --server --sender -r . /", k_transfers));
  CHECK_FALSE(taken("rsync --server -r . /srv/x/", rules_for({{"/srv", false, true, true}})));
  CHECK_FALSE(taken("rsync --server --sender -r . /srv/x/", rules_for({{"/srv", true, false, true}})));
  // A rule inside of the tree says no.
  CHECK_FALSE(taken("rsync --server --sender -r . /srv", rules_for({{"/srv/closed", false, false, false}, {"/srv", true, true, true}})));
  CHECK(taken("rsync --server --sender -r . relative", rules_for({{"", true, true, true}})));
}

TEST_CASE("without file rules unknown rsync options pass and are told, a daemon never", "[gateway][rsync]") {
  GateEvents events;
  CHECK(make_rsync_gate("rsync --server -r --unheard-of . /x", {}, events.sink()));
  CHECK(events.named("rsync.started").at(0).has(R"("unknown_option":"--unheard-of")"));
  CHECK_FALSE(taken("rsync --server --daemon .", {}));
  CHECK_FALSE(taken("rsync --server -r --log-file=/x --daemon . /x", {}));
  CHECK_FALSE(taken("rsync --server -r . /x; id", {}));
  FileRules limited;
  limited.max_file_bytes = 1000;
  CHECK_FALSE(taken("rsync --server -r . /x", limited));
}

TEST_CASE("an rsync upload under file rules cannot leave links or devices that lead elsewhere", "[gateway][rsync]") {
  GateEvents events;
  const auto command = [&](std::string_view text, const FileRules& rules) { return make_rsync_gate(text, rules, events.sink())->replaced_command(); };
  const std::string call = "rsync --server -logDtpre.iLsfxCIvu . '/srv/a'\\''b'";
  CHECK(command(call, k_srv) == "rsync --server --safe-links --no-super '-logDtpre.iLsfxCIvu' '.' '/srv/a'\\''b'");
  CHECK(plain_words(command(call, k_srv)).back() == "/srv/a'b");
  CHECK(command(call, {}).empty());
  CHECK(command(call, rules_for({{"", true, true, true}})).empty());
  CHECK(command("rsync --server -tpre.iLsfxCIvu . /srv/x", k_srv).empty());
  CHECK(command("rsync --server --sender -logDtpre.iLsfxCIvu . /srv/x", k_srv).empty());
}

TEST_CASE("an rsync call is told with what passed in each direction", "[gateway][rsync]") {
  GateEvents events;
  const auto gate = make_rsync_gate("rsync --server -r . /srv/x/", k_srv, events.sink());
  REQUIRE(gate);
  CHECK(text_of(client_sends(*gate, bytes_of("hello ")).to_target) == "hello ");
  CHECK(text_of(client_sends(*gate, bytes_of("there")).to_target) == "there");
  CHECK(text_of(target_sends(*gate, bytes_of("yes")).to_client) == "yes");
  SECTION("to its end") {
    gate->finish();
    const Told told = events.named("rsync.finished").at(0);
    CHECK(told.has(R"("from_client_bytes":11,"from_client_sha256":")" + sha256_hex("hello there")));
    CHECK(told.has(R"("from_target_bytes":3,"from_target_sha256":")" + sha256_hex("yes")));
  }
  SECTION("until the rules change") {
    gate->replace_rules(k_transfers);
    CHECK(client_sends(*gate, bytes_of("more")).sound);
    gate->replace_rules(rules_for({{"/other", true, true, true}}));
    CHECK_FALSE(client_sends(*gate, bytes_of("more")).sound);
    CHECK(gate->error().find("SP-6006") != std::string_view::npos);
  }
}
