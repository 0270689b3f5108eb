#include "gateway/ssh/program.h"

#include <catch2/catch.hpp>

using namespace sallyport::gateway;

namespace {

std::vector<std::string> words(std::initializer_list<std::string> list) { return list; }

Program exec(std::string_view command) { return classify_program("exec", command); }

}  // namespace

TEST_CASE("a command of plain words and quotes is split as a shell would", "[gateway][program]") {
  CHECK(plain_words("scp -t  /srv/x") == words({"scp", "-t", "/srv/x"}));
  CHECK(plain_words(R"(scp -t '/srv/a b' "c d" e\ f)") == words({"scp", "-t", "/srv/a b", "c d", "e f"}));
  CHECK(plain_words(R"(x "a\"b\\c\d" '$x' '' "")") == words({"x", R"(a"b\c\d)", "$x", "", ""}));
  CHECK(plain_words("rsync --log-format=%i") == words({"rsync", "--log-format=%i"}));
  CHECK(plain_words("'a'\"b\"c") == words({"abc"}));
}

TEST_CASE("anything a shell would act on is no plain command", "[gateway][program]") {
  for (const std::string command : {"a; b", "a | b", "a & b", "a && b", "a > b", "a < b", "a $(b)", "a `b`", "a $b", "a \"$b\"", "a \"`b`\"", "a\nb",
                                    "a (b)", "a {b,c}", "a *", "a ?", "a [b]", "a #b", "a !b", "X=1 a", "a b=c", "a 'b", "a \"b", "a \\", "a \\\nb",
                                    "a \"b\\\nc\"", "a\rb"}) {
    CAPTURE(command);
    CHECK(plain_words(command).empty());
  }
  CHECK(plain_words(std::string_view("a \0b", 4)).empty());
  CHECK(plain_words(std::string_view("a '\0'", 5)).empty());
  CHECK(plain_words(std::string_view("a \\\0", 4)).empty());
  CHECK(plain_words("").empty());
  CHECK(plain_words("   ").empty());
}

TEST_CASE("shells, subsystems and commands are named as the policy names them", "[gateway][program]") {
  CHECK(classify_program("shell", "").kind == "shell");
  CHECK(classify_program("subsystem", "sftp").kind == "sftp");
  CHECK(classify_program("subsystem", "netconf").kind == "subsystem");
  CHECK(exec("uptime").kind == "exec");
  CHECK(exec("").kind == "exec");
}

TEST_CASE("scp and rsync are known only when they are plainly that", "[gateway][program]") {
  const auto is = [](const Program& program, std::string_view kind, std::string_view direction) {
    return program.kind == kind && program.direction == direction;
  };
  CHECK(is(exec("scp -t /srv"), "scp", "up"));
  CHECK(is(exec("scp -r -p -f /srv"), "scp", "down"));
  CHECK(is(exec("scp -v -t -- -odd"), "scp", "up"));
  CHECK(is(exec("rsync --server -logDtpre.iLsfxCIvu . /srv/"), "rsync", "up"));
  CHECK(is(exec("rsync --server --sender -logDtpre.iLsfxCIvu . /srv/"), "rsync", "down"));
  for (const std::string command : {"scp", "scp -t", "scp /a /b", "scp -t -f /a", "scp -t /a; id", "/tmp/scp -t /a", "scp -t $HOME", "scp -t /a/*",
                                    "rsync -a /a /b", "rsync --daemon --server .", "rsync --server . /a | sh", "env scp -t /a", "scp --help -t x"}) {
    CAPTURE(command);
    CHECK(exec(command).kind == "exec");
  }
}
