#include <re2/re2.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <string>
#include <vector>

#include "policy/guard/packs/packs.h"
#include "policy/guard/rule_pattern.h"
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

}  // namespace sallyport::guard
