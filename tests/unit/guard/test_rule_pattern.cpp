#include <re2/re2.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <string>
#include <vector>

#include "policy/guard/packs/packs.h"
#include "policy/guard/rule_pattern.h"
#include "policy/guard/small_pattern.h"
#include "policy/guard/wildcard.h"

namespace sallyport::guard {
namespace {

bool finds(std::string_view pattern, std::string_view text) { return RulePattern().matches(pattern, SearchedText(text), false); }

std::vector<std::string> sample_texts() {
  std::vector<std::string> texts;
  for (const char* name : {"dangerous", "benign", "later"}) {
    std::ifstream in(std::string(SALLYPORT_SOURCE_DIR) + "/tests/data/guard/" + name + ".txt");
    for (std::string line; std::getline(in, line);) {
      if (!line.empty() && line[0] != '#') texts.push_back(line);
    }
  }
  return texts;
}

}  // namespace

TEST_CASE("an expression is taken apart into branches and the words that each needs", "[guard][pattern]") {
  CHECK(branches_of("^a b|c(?:d|e)|[|]f") == std::vector<std::string>{"^a b", "c(?:d|e)", "[|]f"});
  CHECK(branches_of("(?i)drop|grant") == std::vector<std::string>{"(?i)drop", "(?i)grant"});
  CHECK(branches_of("a|(?i)b").size() == 1);  // flags in the middle hold for what follows
  CHECK(needed_words("^kubectl (?:\\S+ )*delete") == NeededWords{{"kubectl "}, {"delete"}});
  CHECK(needed_words("^(?:rm|shred) -\\w*r") == NeededWords{{"rm", "shred"}, {" -"}});
  CHECK(needed_words("ab?cd+e") == NeededWords{{"cd"}});
  CHECK(needed_words("^cqlsh .*(?i:drop|truncate)") == NeededWords{{"cqlsh "}});
  CHECK(branches_of("a(?i:b|c)|d").size() == 2);
  CHECK(needed_words("(?i)DROP +table") == NeededWords{{"drop "}, {"table"}});
  for (const char* unknown : {"x", "a{2}", "ab{x|yz}cd", "(?P<n>word)", "\\Qword\\E", "\\x41word", "word|", "(word", "(?:word)?", "(?:word|\\w)"}) CHECK(needed_words(unknown).empty());
}

TEST_CASE("an expression matches what it matched as a whole", "[guard][pattern]") {
  CHECK(finds("^a|b", "xb"));
  CHECK_FALSE(finds("^a|b", "xa"));
  CHECK(finds("(?i)drop table", "DROP TABLE x"));
  CHECK(finds("(?i)mask", "ma\xc5\xbf\xe2\x84\xaa"));  // the long s and the Kelvin sign are s and k without regard to capitals
  CHECK(RulePattern().matches("a(", SearchedText("zzz"), true));
  CHECK_FALSE(RulePattern().matches("a(", SearchedText("zzz"), false));

  const std::vector<std::string> texts = sample_texts();
  REQUIRE(texts.size() > 2000);
  std::vector<SearchedText> searched;
  for (const std::string& text : texts) searched.emplace_back(text);
  re2::RE2::Options options;
  options.set_dot_nl(true);
  options.set_never_capture(true);
  std::size_t compared = 0;
  std::size_t matched = 0;
  for (const Rule& rule : full_document().rules) {
    for (const std::string& pattern : {rule.pattern, rule.unless, rule.env_value}) {
      if (pattern.empty()) continue;
      const re2::RE2 whole(pattern, options);
      REQUIRE(whole.ok());
      const RulePattern apart;
      // Every eleventh text for each: other ones for the next expression.
      for (std::size_t i = compared % 11; i < texts.size(); i += 11) {
        const bool expected = re2::RE2::PartialMatch(texts[i], whole);
        matched += expected ? 1 : 0;
        if (apart.matches(pattern, searched[i], true) != expected) FAIL(pattern << " against " << texts[i]);
      }
      ++compared;
    }
  }
  CHECK(compared > 200);
  CHECK(matched > 100);
}

TEST_CASE("the small reader says what RE2 says, or nothing", "[guard][pattern]") {
  // Each part of the language, put together by chance.
  const std::vector<std::string> parts = {"a", "b", "ab", " ", "\\S+ ", "(?:\\S+ )*", "[ab]", "[^a]", "[a-c-]", "[\\w.]+", ".", ".*", "a?", "b+?", "(?:a|b|)", "(?:ab|a)*", "(?:a*)*", "(a|ba){2}", "c{1,3}", "(?:b|c){2,}",
                                          "\\b", "\\B", "^", "$", "\\d", "\\.", "(?i:Ab)", "(?:x|y|(?:a|^)b)", "\\s*", "-{0,2}", "|", "|b$"};
  std::uint32_t state = 12345;
  const auto chance = [&](std::size_t below) {
    state = state * 1664525U + 1013904223U;
    return static_cast<std::size_t>(state >> 8U) % below;
  };
  re2::RE2::Options options;
  options.set_dot_nl(true);
  options.set_never_capture(true);
  options.set_log_errors(false);
  std::size_t compared = 0;
  std::size_t matched = 0;
  for (int round = 0; round < 4000; ++round) {
    std::string pattern = round % 5 == 0 ? "(?i)" : "";
    for (std::size_t n = 1 + chance(6); n > 0; --n) pattern += parts[chance(parts.size())];
    const re2::RE2 whole(pattern, options);
    const auto small = SmallPattern::read(pattern);
    if (!small) continue;
    INFO(pattern);
    REQUIRE(whole.ok());
    for (int n = 0; n < 12; ++n) {
      std::string text;
      for (std::size_t letters = chance(12); letters > 0; --letters) text += "aabbc AB-.\nx1"[chance(13)];
      const auto found = small->found_in(text);
      REQUIRE(found.has_value());
      if (*found != re2::RE2::PartialMatch(text, whole)) FAIL(pattern << " against '" << text << "'");
      ++compared;
      matched += *found ? 1 : 0;
    }
  }
  CHECK(compared > 30000);
  CHECK(matched > 5000);
  CHECK(compared - matched > 5000);
  // What it leaves to RE2.
  for (const char* unknown : {"a(", "a)", "*a", "a**", "[z-a]", "[[:alpha:]]", "(?P<n>a)", "a{,3}", "a{2,06}", "a{00}", "a{2000}", "\\pL", "\\x41", "\\Qa\\E", "[a-b-c]", "\xc3\xa9"}) CHECK_FALSE(SmallPattern::read(unknown).has_value());
  const auto any = SmallPattern::read("a.b");
  REQUIRE(any.has_value());
  CHECK_FALSE(any->found_in("a\xc3\xa9" "b").has_value());
  CHECK(finds("a.b", "a\xc3\xa9" "b"));
  // Nothing takes long: a text and an expression that other matchers try in all combinations.
  const auto slow = SmallPattern::read("(?:a*)*(?:a|aa)+$");
  REQUIRE(slow.has_value());
  CHECK(slow->found_in(std::string(800, 'a') + "b") == false);
  CHECK_FALSE(slow->found_in(std::string(200'000, 'a')).has_value());
}

TEST_CASE("paths meet patterns by their components", "[guard][pattern]") {
  CHECK(path_may_match("/etc/**", "/etc"));
  CHECK(path_may_match("/etc/**", "/etc/x/y"));
  CHECK_FALSE(path_may_match("/etc/**", "/etcetera"));
  CHECK(path_may_match("/etc/shadow", "/e\x05"
                                      "c/sh\x04"));
  CHECK_FALSE(path_may_match("/etc/shadow", "/etc/shadow/x"));
  CHECK(path_may_match("**/id_rsa", "/home/a/.ssh/id_rsa"));
  CHECK(path_may_match("**/.ssh/id_*", "/home/a/.ssh/\x02"
                                       "d_rsa"));
  CHECK_FALSE(path_may_match("**/id_rsa", "/home/a/id_rsa.pub"));
  CHECK(path_may_match("/var/*/log", "/var/x/log"));
  CHECK_FALSE(path_may_match("/var/*/log", "/var/log"));
}

TEST_CASE("two patterns mean the same only where letters of both agree", "[guard][pattern]") {
  CHECK_FALSE(path_may_match("**/*.pth", "unix_\x04"));
  CHECK_FALSE(path_may_match("**/*_rsa", "part_\x04"));
  CHECK(path_may_match("**/*_rsa", "/home/a/keys/my_r\x04"));
  CHECK(path_may_match("/etc/shadow*", "/etc/s\x04"));
  // Something unknown in front of a suffix is no history, and a dot says nothing.
  CHECK_FALSE(path_may_match("**/.bash_history*", "/home/a/\x02.jpg"));
  CHECK_FALSE(path_may_match("**/*.pth", "app.yaml.\x02"));
  CHECK(path_may_match("**/.bash_history*", "/home/a/.b\x02"));
  CHECK(path_may_match("**/*.pth", "/usr/lib/python3/\x02.pt\x02"));
  // An exception is given to all that it might name.
  CHECK(PathPattern("**/*.pub", Meeting::loose).may_match(PathText("/home/a/part_\x04")));
  CHECK_FALSE(PathPattern("**/*.pub", Meeting::loose).may_match(PathText("/home/a/part_\x04.key")));
}

}  // namespace sallyport::guard
