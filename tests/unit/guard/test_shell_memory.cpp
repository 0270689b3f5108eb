// What a shell keeps under names: keyed lists, letters that are folded, texts that it runs by itself.
#include <catch2/catch.hpp>

#include "policy/guard/guard.h"
#include "policy/guard/packs/packs.h"

using namespace sallyport;
using namespace sallyport::guard;

namespace {

Verdict verdict(const std::string& text) {
  static const auto k_set = *RuleSet::from_bytes(encode(full_document()));
  return Guard(k_set).judge(text, Dialect::shell, Origin::exec).verdict;
}

}  // namespace

TEST_CASE("keyed lists give what was put in", "[guard][names]") {
  CHECK(verdict("declare -A m=([k]=mkfs.ext4 [x]=ls); \"${m[k]}\" /dev/sda1") == Verdict::deny);
  CHECK(verdict("declare -A m=([k]=mkfs.ext4 [x]=ls); \"${m[x]}\" /dev") == Verdict::allow);
  CHECK(verdict("declare -A m; m[a]=rm; m[b]=-rf; m[a]=ls; ${m[a]} ${m[b]} /") == Verdict::allow);
  CHECK(verdict("declare -A m; m[a]=rm; m[b]='-rf /'; ${m[a]} ${m[b]}") == Verdict::deny);
  CHECK(verdict("declare -A m=([k]='rm -rf /'); eval \"${m[k]}\"") == Verdict::deny);
  CHECK(verdict("k=a; declare -A m=([a]=reboot); ${m[$k]}") == Verdict::deny);
  CHECK(verdict("declare -A m=([reboot]=1); for k in \"${!m[@]}\"; do $k; done") == Verdict::deny);
  CHECK(verdict("declare -a l=(ls 'rm -rf /'); eval \"${l[1]}\"") == Verdict::deny);
}

TEST_CASE("folded letters", "[guard][names]") {
  CHECK(verdict("declare -l x=REBOOT; $x") == Verdict::deny);
  CHECK(verdict("declare -l x; x=ReBoot; $x") == Verdict::deny);
  CHECK(verdict("typeset -u X=path; reboots=1; echo $X") == Verdict::allow);
}

TEST_CASE("texts that a shell runs by itself", "[guard][names]") {
  CHECK(verdict("PROMPT_COMMAND='mkfs.ext4 /dev/sda1' bash --norc -i <<< exit") == Verdict::deny);
  CHECK(verdict("PS4='$(reboot)'; set -x; :") == Verdict::deny);
  CHECK(verdict("BASH_ENV=<(echo reboot) bash -c :") == Verdict::deny);
  CHECK(verdict("command_not_found_handle() { reboot; }; statuz") == Verdict::deny);
  CHECK(verdict("shopt -s expand_aliases; BASH_ALIASES[zz]='reboot'\nzz") == Verdict::deny);
  CHECK(verdict("x='a[$(reboot)]'; ((x))") == Verdict::deny);
  CHECK(verdict("x='a[$(reboot)]'; for ((i=x; i<1; i++)); do :; done") == Verdict::deny);
  CHECK(verdict("PS1='\\u@\\h:\\w$ '") == Verdict::allow);
  CHECK(verdict("x=3; ((x++)); echo $x") == Verdict::allow);
}

TEST_CASE("a shell through a program that nobody opens one with", "[guard][names]") {
  const auto at_a_terminal = [](const std::string& text) {
    static const auto k_set = *RuleSet::from_bytes(encode(full_document()));
    return Guard(k_set).judge(text, Dialect::shell, Origin::line).verdict;
  };
  CHECK(at_a_terminal("taskset 1 /bin/sh") == Verdict::deny);
  CHECK(at_a_terminal("env /bin/sh") == Verdict::deny);
  CHECK(at_a_terminal("env bash") < Verdict::confirm);
  CHECK(at_a_terminal("bash") < Verdict::confirm);
  CHECK(at_a_terminal("ln -s /bin/busybox /tmp/rm; /tmp/rm -rf /srv") == Verdict::deny);
}
