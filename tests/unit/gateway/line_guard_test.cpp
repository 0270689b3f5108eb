#include "gateway/ssh/line_guard.h"

#include <catch2/catch.hpp>

#include "gateway/ssh/redacted.h"

using namespace sallyport;
using gateway::KeyView;
using gateway::LineGuard;

namespace {

constexpr std::int64_t k_ms = 1000;

/// A guard whose only rule is that a text with "rm -rf /data" in it is denied, and a target that is played by the test.
struct Lab {
  std::vector<LineGuard::Judged> judged;
  std::vector<std::string> texts, ran;
  guard::Verdict rule = guard::Verdict::deny;
  guard::Verdict opaque = guard::Verdict::alert;
  std::int64_t now = 1'000'000;
  std::string to_target, to_client;
  std::string ended;
  int probes = 0;
  LineGuard guard;

  Lab() : guard(hooks(), 80, 24) {}

  LineGuard::Hooks hooks() {
    LineGuard::Hooks out;
    out.judge = [this](std::string_view text, guard::Dialect) {
      texts.emplace_back(text);
      guard::Judgement judgement;
      std::string joined;
      for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\\' && i + 1 < text.size() && text[i + 1] == '\n') ++i;
        else joined.push_back(text[i]);
      }
      judgement.incomplete = text.ends_with('\\');
      guard::SimpleCommand command;
      command.argv = {std::string(text.substr(0, text.find(' ')))};
      judgement.commands.push_back(command);
      if (joined.find("rm -rf /data") == std::string::npos) return judgement;
      guard::Finding finding;
      finding.verdict = judgement.verdict = rule;
      finding.rule = "test/rm";
      finding.reason = "it removes data";
      judgement.findings.push_back(finding);
      return judgement;
    };
    out.ran = [this](std::string_view text, guard::Dialect) { ran.emplace_back(text); };
    out.opaque_verdict = [this](guard::Opaque) { return opaque; };
    out.judged = [this](const LineGuard::Judged& one) { judged.push_back(one); };
    return out;
  }

  void take(LineGuard::Actions& actions) {
    to_target += text_of(actions.to_target);
    to_client += actions.to_client;
    if (actions.probe) ++probes;
    if (actions.end) ended = actions.end->code;
    actions = {};
  }
  void types(std::string_view keys) {
    LineGuard::Actions actions;
    guard.typed(bytes_of(keys), now, actions);
    take(actions);
  }
  void shows(std::string_view output) {
    LineGuard::Actions actions;
    guard.shown(bytes_of(output), now, actions);
    take(actions);
  }
  /// Time passes; the target answers probes after `rtt`.
  void waits(std::int64_t ms, std::int64_t rtt_ms = 1) {
    LineGuard::Actions actions;
    const std::int64_t until = now + ms * k_ms;
    int answered = probes;
    std::int64_t answer_at = 0;
    while (now < until) {
      now += k_ms;
      guard.tick(now, actions);
      take(actions);
      if (probes > answered && answer_at == 0) answer_at = now + rtt_ms * k_ms;
      if (answer_at != 0 && now >= answer_at) {
        answered = probes;
        answer_at = 0;
        guard.probe_answered(now, actions);
        take(actions);
      }
    }
  }
  void prompt() {
    shows("$ ");
    waits(100);
  }
  /// As a shell in a terminal: every key is echoed.
  void echoes(std::string_view keys) {
    types(keys);
    shows(keys);
  }
};

}  // namespace

TEST_CASE("a line both views agree on goes on at once, without a question to the target", "[gateway][guard]") {
  Lab lab;
  lab.prompt();
  lab.echoes("ls -la");
  lab.types("\r");
  CHECK(lab.to_target == "ls -la\r");
  CHECK(lab.probes == 0);
  CHECK(lab.ran == std::vector<std::string>{"ls -la"});
}

TEST_CASE("the key is held until the echo of every key came, whatever the delay", "[gateway][guard]") {
  Lab lab;
  lab.prompt();
  lab.types("ls -la\r");
  CHECK(lab.to_target == "ls -la");
  lab.waits(400, 10'000);
  CHECK(lab.to_target == "ls -la");
  lab.shows("ls -");
  CHECK(lab.to_target == "ls -la");
  lab.shows("la");
  CHECK(lab.to_target == "ls -la\r");
}

TEST_CASE("keys behind Ctrl-C wait until the program has answered it, as a line editor would lose them", "[gateway][guard]") {
  Lab lab;
  lab.prompt();
  lab.echoes("ls");
  lab.types("\x03xrm -rf /data\r");
  CHECK(lab.to_target == "ls\x03");
  lab.shows("^C");
  lab.waits(40);
  CHECK(lab.to_target == "ls\x03");
  lab.shows("\r\n$ ");
  CHECK(lab.to_target == "ls\x03");
  lab.waits(100);
  CHECK(lab.to_target == "ls\x03xrm -rf /data");
  Lab again;
  again.prompt();
  // Another Ctrl-C is not held.
  again.types("\x03");
  again.types("\x03");
  CHECK(again.to_target == "\x03\x03");
  // A signal that the client asked for is one as well.
  Lab signalled;
  signalled.prompt();
  signalled.guard.signalled(signalled.now);
  signalled.types("xrm -rf /data\r");
  CHECK(signalled.to_target.empty());
  signalled.shows("\r\n$ ");
  signalled.waits(100);
  CHECK(signalled.to_target == "xrm -rf /data");
  // Nothing is said at all: they go on in the end.
  again.types("date");
  again.waits(900);
  CHECK(again.to_target ==
        "\x03\x03"
        "date");
}

TEST_CASE("a denied line never reaches the shell and is cleared", "[gateway][guard]") {
  Lab lab;
  lab.prompt();
  lab.echoes("rm -rf /data");
  lab.types("\r");
  lab.waits(30);
  CHECK(lab.to_target == "rm -rf /data\x03");
  CHECK(lab.to_client.find("SP-9100") != std::string::npos);
  lab.shows("^C\r\n$ ");
  lab.waits(200);
  REQUIRE(lab.judged.size() == 1);
  CHECK(lab.judged[0].text == "rm -rf /data");
  CHECK_FALSE(lab.judged[0].went_on);
  lab.echoes("date");
  lab.types("\r");
  CHECK(lab.to_target.ends_with("date\r"));
}

TEST_CASE("a shell that does not let go of a denied line loses the session", "[gateway][guard]") {
  Lab lab;
  lab.prompt();
  lab.echoes("rm -rf /data");
  lab.types("\r");
  // It paints the line anew whatever is sent.
  for (int i = 0; i < 4; ++i) {
    lab.shows("\r\n$ rm -rf /data");
    lab.waits(300);
  }
  CHECK(lab.ended == "SP-9104");
  CHECK(lab.to_target.find('\r') == std::string::npos);
}

TEST_CASE("a recalled line is read from the screen", "[gateway][guard]") {
  Lab lab;
  lab.prompt();
  lab.types("\x1b[A\r");
  lab.shows("rm -rf /data");
  lab.waits(300, 50);
  CHECK(lab.to_target.starts_with("\x1b[A\x03"));
  CHECK(lab.to_target.find('\r') == std::string::npos);
  CHECK(lab.judged.size() == 1);
}

TEST_CASE("editing in the middle, keys in pieces", "[gateway][guard]") {
  Lab lab;
  lab.prompt();
  lab.echoes("rm -rf /dat");
  lab.types("\x1b");
  lab.types("[");
  lab.types("Da\x05");
  lab.shows("\b \b");  // whatever the shell paints
  lab.types("\r");
  lab.waits(300);
  CHECK(lab.to_target.find('\r') == lab.to_target.size() - 1);
  CHECK(lab.texts.front() == "rm -rf /daat");
}

TEST_CASE("every line of a paste is judged, what follows a denied one is dropped", "[gateway][guard]") {
  Lab lab;
  lab.prompt();
  SECTION("plain") {
    lab.types("date\rrm -rf /data\rid\r");
    lab.shows("date");
    lab.shows("\r\nSun\r\n$ ");
    lab.shows("rm -rf /data");
    lab.waits(300);
  }
  SECTION("bracketed, though the shell never asked for it") {
    lab.types("\x1b[200~date\rrm -rf /data\rid\r\x1b[201~\r");
    lab.waits(300);
  }
  CHECK(lab.to_client.find("SP-9100") != std::string::npos);
  CHECK(lab.to_target.find("id") == std::string::npos);
  CHECK(lab.to_target.find("data\r") == std::string::npos);
}

TEST_CASE("a block is judged as a whole when the shell asks for more", "[gateway][guard]") {
  Lab lab;
  lab.prompt();
  lab.echoes("rm -rf \\");
  lab.types("\r");
  lab.shows("\r\n> ");
  lab.waits(100);
  lab.echoes("/data");
  lab.types("\r");
  lab.waits(30);
  CHECK(lab.to_target == "rm -rf \\\r/data\x03");
}

TEST_CASE("unechoed lines: judged at a shell's prompt, secret at a question", "[gateway][guard]") {
  Lab lab;
  lab.prompt();
  SECTION("stty -echo") {
    lab.echoes("stty -echo");
    lab.types("\r");
    lab.shows("\r\n$ ");
    lab.waits(100);
    lab.types("rm -rf /data\r");
    lab.waits(300);
    CHECK(lab.to_client.find("SP-9100") != std::string::npos);
    REQUIRE(lab.judged.size() == 1);
    CHECK(lab.judged[0].text.empty());
    CHECK(lab.judged[0].secret);
  }
  SECTION("a password that looks like a command") {
    lab.echoes("sudo id");
    lab.types("\r");
    lab.shows("\r\n[sudo] password for deploy: ");
    lab.waits(100);
    lab.types("rm -rf /data\r");
    lab.waits(300);
    CHECK(lab.judged.empty());
    CHECK(lab.to_target.ends_with("rm -rf /data\r"));
    CHECK(std::find(lab.texts.begin(), lab.texts.end(), "rm -rf /data") == lab.texts.end());
  }
}

TEST_CASE("what a program prints does not switch the guard off", "[gateway][guard]") {
  Lab lab;
  lab.prompt();
  lab.echoes("sh tricks");
  lab.types("\r");
  SECTION("an alternate screen") { lab.shows("\r\n\x1b[?1049h\x1b[2;1H$ "); }
  SECTION("marks of a shell integration") { lab.shows("\r\n\x1b]133;C\x07\x1b]133;D;0\x07$ \x1b]133;B\x07\x1b]133;C\x07"); }
  SECTION("another prompt") { lab.shows("\r\nPassword for nothing > "); }
  SECTION("bracketed paste") { lab.shows("\r\n\x1b[?2004h$ "); }
  SECTION("colours that hide") { lab.shows("\r\n\x1b[8m$ "); }
  lab.waits(100);
  lab.echoes("rm -rf /data");
  lab.types("\r");
  lab.waits(300);
  CHECK(lab.to_target.find("data\r") == std::string::npos);
  CHECK(lab.to_client.find("SP-9100") != std::string::npos);
}

TEST_CASE("a line put together behind the guard's back is read whole", "[gateway][guard]") {
  Lab lab;
  lab.prompt();
  lab.echoes("ls");
  lab.types("\r");
  lab.shows("\r\nfile\r\n$ ");
  lab.waits(100);
  SECTION("Ctrl-V made Enter a character") {
    lab.types("rm -rf \x16");
    lab.types("\r");
    lab.shows("rm -rf ^M");
    lab.waits(300);
    lab.echoes("/data");
    lab.types("\r");
    lab.waits(300);
    bool whole = false;
    for (const std::string& text : lab.texts) whole = whole || text.find("/data") == text.size() - 5 && text.starts_with("rm -rf ^M");
    CHECK(whole);
  }
  SECTION("a program paints a harmless line over a recalled one") {
    lab.opaque = guard::Verdict::deny;
    lab.types("\x1b[A");
    lab.shows("rm -rf /data");
    lab.waits(2000);
    lab.shows("\r$ ls          \x1b[11D");
    lab.waits(1000);
    lab.types("\r");
    lab.waits(300);
    CHECK(lab.to_target.find('\r', 4) == std::string::npos);
  }
}

TEST_CASE("an editor's text passes, its shell commands are judged", "[gateway][guard]") {
  Lab lab;
  lab.prompt();
  lab.echoes("vim notes");
  lab.types("\r");
  lab.shows("\r\n\x1b[?1049h\x1b[H~\r\n~");
  lab.waits(100);
  lab.types("irm -rf /data\r");
  CHECK(lab.to_target.ends_with("irm -rf /data\r"));
  lab.types("\x1b");
  lab.shows("\x1b[24;1H:!rm -rf /data");
  lab.types(":!rm -rf /data\r");
  lab.waits(300);
  CHECK(lab.to_client.find("SP-9100") != std::string::npos);
}

TEST_CASE("a reason lets a line go on, nothing is lost or leaked", "[gateway][guard]") {
  Lab lab;
  lab.rule = guard::Verdict::confirm;
  lab.prompt();
  lab.echoes("rm -rf /data");
  lab.types("\r");
  CHECK(lab.to_client.find("SP-9101") != std::string::npos);
  SECTION("given, with keys typed ahead behind it") {
    lab.types("ticket 4711\rda");
    CHECK(lab.to_target == "rm -rf /data\rda");
    REQUIRE(lab.judged.size() == 1);
    CHECK(lab.judged[0].person_reason == "ticket 4711");
    CHECK(lab.judged[0].went_on);
  }
  SECTION("refused") {
    lab.types("\x03");
    lab.waits(30);
    CHECK(lab.to_target == "rm -rf /data\x03");
    CHECK_FALSE(lab.judged.at(0).went_on);
  }
  SECTION("nobody answers") {
    lab.waits(121'000);
    lab.waits(30);
    CHECK(lab.to_target.starts_with("rm -rf /data\x03"));
    CHECK(lab.to_target.find('\r') == std::string::npos);
  }
}

TEST_CASE("kill ends the session", "[gateway][guard]") {
  Lab lab;
  lab.rule = guard::Verdict::kill;
  lab.prompt();
  lab.echoes("rm -rf /data");
  lab.types("\r");
  CHECK(lab.ended == "SP-9108");
  CHECK(lab.to_target == "rm -rf /data");
}

TEST_CASE("the key view follows what line editors have in common and doubts the rest", "[gateway][guard]") {
  const auto after = [](std::string_view keys) {
    KeyView view;
    std::string rest(keys);
    while (!rest.empty()) {
      const auto step = view.peek(rest);
      view.take(rest.substr(0, step.length), false);
      rest.erase(0, step.length);
    }
    return view;
  };
  CHECK(after("ls -l").text() == "ls -l");
  CHECK(after("lx\x7fs").text() == "ls");
  CHECK(after("bc\x01" "a").text() == "abc");
  CHECK(after("a b c\x17" "d").text() == "a b d");
  CHECK(after("ac\x1b[Db").text() == "abc");
  CHECK(after("\xc3\xa9t\xc3\xa9").text() == "\xc3\xa9t\xc3\xa9");
  CHECK(after("\x1b]11;rgb:0/0/0\x07ls").text() == "ls");
  CHECK(after("ls\t").is_sure() == false);
  CHECK(after("\x1b[A").is_sure() == false);
  CHECK(after("\x12").is_sure() == false);
  CHECK(after("a\x16").is_sure() == false);
  CHECK(after(std::string(20'000, 'a')).is_sure() == false);
}

TEST_CASE("a login at another host is seen on the screen", "[gateway][guard]") {
  Lab lab;
  lab.prompt();
  lab.echoes("./hop");
  lab.types("\r");
  SECTION("a host key question") {
    lab.shows("\r\nThe authenticity of host 'rm -rf /data (10.0.0.9)' can't be established.\r\n"
              "ED25519 key fingerprint is SHA256:x.\r\nAre you sure you want to continue connecting (yes/no/[fingerprint])? ");
    CHECK(lab.texts.back() == "ssh 'rm'");
  }
  SECTION("a password prompt") {
    lab.shows("\r\nroot@10.0.0.9's password: ");
    CHECK(lab.texts.back() == "ssh 'root@10.0.0.9'");
  }
  SECTION("banners, however they are cut") {
    for (const auto& [shown, judged] : {std::pair{"\r\nSSH-2.0-OpenSSH_9.2p1\r\n", "ssh 'unknown'"}, std::pair{"\r\nWarning: Permanently added '[10.0.0.9]:22' (ED25519) to the list of known hosts.\r\n", "ssh '[10.0.0.9]:22'"},
                                        std::pair{"\r\nTrying 10.0.0.9...\r\nConnected to 10.0.0.9.\r\nEscape character is '^]'.\r\n", "ssh '10.0.0.9'"}}) {
      for (const std::size_t piece : {1, 7, 200}) {
        lab.texts.clear();
        const std::string all(shown);
        for (std::size_t at = 0; at < all.size(); at += piece) lab.shows(all.substr(at, piece));
        REQUIRE(lab.texts.size() == 1);
        CHECK(lab.texts.back() == judged);
      }
    }
  }
  SECTION("the greeting behind a login ends the session when it is denied") {
    lab.shows("\r\nLast login: Mon Nov 23 07:00:00 2026 from rm -rf /data\r\n");
    CHECK(lab.ended.empty());  // the address ends at a blank: "rm"
    CHECK(lab.texts.back() == "ssh 'rm'");
  }
  SECTION("signs inside of other text, and in what shows files") {
    const std::size_t before = lab.texts.size();
    lab.shows("\r\n# SSH-2.0-x\r\nsee: Last login: x from y\r\n$ ");
    lab.waits(100);
    CHECK(lab.texts.size() == before);
    lab.echoes("cat notes");
    lab.types("\r");
    const std::size_t then = lab.texts.size();
    lab.shows("\r\nSSH-2.0-x\r\nLast login: Mon from 10.0.0.9\r\n$ ");
    CHECK(lab.texts.size() == then);
  }
  SECTION("text about one is none") {
    const std::size_t before = lab.texts.size();
    lab.shows("\r\nhe typed root@10.0.0.9's password: and left\r\n$ ");
    CHECK(lab.texts.size() == before);
  }
}

TEST_CASE("a block at another program's prompt does not make that prompt the shell's", "[gateway][guard]") {
  std::vector<guard::Dialect> dialects;
  LineGuard::Hooks hooks;
  hooks.judge = [&](std::string_view text, guard::Dialect dialect) {
    dialects.push_back(dialect);
    guard::Judgement judgement;
    judgement.incomplete = text.ends_with(':');
    if (text == "python3") judgement.enters = guard::Dialect::python;
    return judgement;
  };
  hooks.ran = [](std::string_view, guard::Dialect) {};
  hooks.opaque_verdict = [](guard::Opaque) { return guard::Verdict::alert; };
  LineGuard guard(std::move(hooks), 80, 24);
  LineGuard::Actions actions;
  std::int64_t now = 1'000'000;
  const auto shows = [&](std::string_view output) {
    guard.shown(bytes_of(output), now, actions);
    now += 100 * k_ms;
    guard.tick(now, actions);
  };
  const auto line = [&](std::string_view text) {
    for (const char& key : text) {
      guard.typed(bytes_of(std::string_view(&key, 1)), now, actions);
      shows(std::string_view(&key, 1));
    }
    guard.typed(bytes_of("\r"), now, actions);
  };
  shows("$ ");
  line("python3");
  shows("\r\n>>> ");
  line("for n in x:");
  shows("\r\n... ");
  line(" print(n)");
  shows("\r\n... ");
  line("");
  shows("\r\n>>> ");
  line("import shutil");
  REQUIRE(dialects.size() >= 4);
  CHECK(dialects.front() == guard::Dialect::shell);
  CHECK(dialects.back() == guard::Dialect::python);
}

TEST_CASE("the greeting of su and sudo is no hop, a login behind them is", "[gateway][guard]") {
  Lab lab;
  lab.prompt();
  lab.echoes("sudo su - postgres");
  lab.types("\r");
  const std::size_t before = lab.texts.size();
  lab.shows("\r\nLast login: Mon Nov 23 07:00:00 UTC 2026 from 192.0.2.10 on pts/3\r\n");
  CHECK(lab.texts.size() == before);
  lab.shows("Last login: Mon Nov 23 07:00:00 2026 from rm -rf\r\n");
  REQUIRE(lab.texts.size() == before + 1);
  CHECK(lab.texts.back() == "ssh 'rm'");
}

TEST_CASE("a program that prints the greeting of su is seen", "[gateway][guard]") {
  Lab lab;
  lab.prompt();
  lab.echoes("./hop");
  lab.types("\r");
  lab.shows("\r\nLast login: Mon Nov 23 07:00:00 UTC 2026 from rm on pts/3\r\n");
  CHECK(lab.texts.back() == "ssh 'rm'");
}

TEST_CASE("a login at the target itself is no hop", "[gateway][guard]") {
  Lab lab;
  lab.shows("Linux target 6.1\r\nLast login: Mon Nov 23 07:00:00 2026 from 192.0.2.10\r\n");
  lab.prompt();
  CHECK(lab.texts.empty());
}

TEST_CASE("passwords and tokens do not reach the log with a judged line", "[gateway][guard]") {
  using gateway::redacted;
  CHECK(redacted("mysql -uroot -phunter2 db") == "mysql -uroot -p*** db");
  CHECK(redacted("curl --token=abc123 https://me:pw@host/x") == "curl --token=*** https://me:***@host/x");
  CHECK(redacted("export DB_PASSWORD='a b c'; ls") == "export DB_PASSWORD='***'; ls");
  CHECK(redacted("curl -H 'Authorization: Bearer eyJx'") == "curl -H 'Authorization: Bearer ***'");
  CHECK(redacted("app --password geheim -v") == "app --password *** -v");
  CHECK(redacted("cat /etc/passwd") == "cat /etc/passwd");
  CHECK(redacted("rm -rf /data") == "rm -rf /data");
}

TEST_CASE("nothing that could run is hidden from who shall agree to it", "[gateway][guard]") {
  using gateway::shown_to_approver;
  CHECK(shown_to_approver("mysql -uroot -phunter2 db") == "mysql -uroot -p*** db");
  CHECK(shown_to_approver("curl --token=abc123 https://me:pw@host/x") == "curl --token=*** https://me:***@host/x");
  const std::string padded = "true " + std::string(5000, 'a') + "; rm -rf /srv";
  for (const std::string& command :
       {std::string("password=\"$(rm -rf /srv)\" ls"), std::string("echo password='; rm -rf /srv; x='"), std::string("password=rm; $password -rf /srv"),
        std::string("token= rm -rf /srv"), std::string("env -u -password rm -rf /srv"), std::string("bash -c 'x=\"password=\"; rm -rf /srv; y=\"\"'"),
        std::string("secret=`rm -rf /srv`"), std::string("tar --token=/srv/data"), std::string("a://b:;reboot@c"), padded})
    CHECK(shown_to_approver(command) == command);
}
