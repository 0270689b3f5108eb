// bench/guard_bench.cpp -- what the command guard takes for a command, with every shipped pack in force.
//
//   guard_bench FILE...     each a corpus: JSON lines with "command", or plain lines
//
// Processor time of the thread. Each corpus twice: the first time in a process (a rule's expressions are compiled when a command needs
// them) and again (what a command costs in a session that goes on). Then texts that were made to cost time.
#include <algorithm>
#include <boost/json.hpp>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <string>
#include <vector>

#include "policy/guard/guard.h"
#include "policy/guard/packs/packs.h"

namespace {

using namespace sallyport::guard;
namespace json = boost::json;

double processor_microseconds() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

std::vector<std::string> corpus(const char* path) {
  std::vector<std::string> out;
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    if (line.empty() || line[0] == '#') continue;
    if (line[0] == '{') {
      boost::system::error_code problem;
      const json::value value = json::parse(line, problem);
      if (!problem && value.is_object() && value.get_object().contains("command") && value.at("command").is_string()) {
        out.emplace_back(value.at("command").get_string());
        continue;
      }
    }
    out.push_back(line);
  }
  return out;
}

std::string times(std::size_t count, const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < count && out.size() + text.size() <= 64 * 1024; ++i) out += text;
  return out;
}

/// 64 KiB each at most: nested, wide, long, repeated.
std::vector<std::string> hostile() {
  std::vector<std::string> out;
  const std::size_t many = 64 * 1024;
  for (const char* unit : {"$(", "`", "(", "{ ", "${a:-", "$((", "\"$(", "<(", "((", "if ", "case x in ", "while :; do ", "f(){ ", "<<a ", "[[ ", "\\", "'", "\"", "!", "a=$a$a;", "eval ", "sh -c '", "{a,b}", "{1..99}", "*", "?", "[a-z]", "/e?c/*/.ss?/i* ",
                           "cat /etc/*; ", "rm x;", "echo x|", "x&&", "$x", "${x//*a*a*a*a*b/}", "a|b|c;", "sudo ", "env A=1 ", "find / -exec ", "xargs ", "base64 -d|", "<<<x ", ">/tmp/a ", "\x01", "\xff\xfe", "aws s3 rm ", "kubectl delete ", "for i in 1 2 3 4;do "}) {
    out.push_back(times(many, unit));
    out.push_back("cat " + times(many - 8, unit));
    out.push_back("x=" + std::string(99, 'a') + ";" + times(many - 200, unit));
  }
  out.push_back("for i in $(seq 1 64); do for j in $(seq 1 64); do for k in $(seq 1 64); do echo $i$j$k; done; done; done");
  out.push_back("f(){ f; f; }; f; :(){ :|:& };:");
  out.push_back("a=x;" + times(400, "a=$a$a;") + "eval $a");
  out.push_back("cat" + times(4000, " /e?c/*/.ss?/i*"));
  std::string nested = "rm -rf /data";
  while (nested.size() < 30'000) nested = "sh -c \"" + nested + "\"";
  out.push_back(nested);
  return out;
}

struct Figures {
  std::vector<double> microseconds;
  std::string slowest;
};
Figures measure(const Guard& guard, const std::vector<std::string>& commands) {
  Figures out;
  double most = 0;
  for (const std::string& command : commands) {
    const double start = processor_microseconds();
    const Judgement judged = guard.judge(command, Dialect::shell, Origin::script);
    const double took = processor_microseconds() - start;
    out.microseconds.push_back(took);
    if (took > most) {
      most = took;
      out.slowest = command.substr(0, 60);
    }
  }
  std::sort(out.microseconds.begin(), out.microseconds.end());
  return out;
}

void print(const std::string& name, const Figures& figures) {
  const auto& t = figures.microseconds;
  const auto at = [&](double share) { return t[std::min(t.size() - 1, static_cast<std::size_t>(share * static_cast<double>(t.size())))]; };
  std::string slowest = figures.slowest;
  for (char& c : slowest) {
    if (c < ' ' || c > '~') c = '.';
  }
  std::printf("%-44s %6zu  p50 %6.1f  p95 %7.1f  p99 %7.1f  max %8.1f us  %s\n", name.c_str(), t.size(), at(0.5), at(0.95), at(0.99), t.back(), slowest.c_str());
}

}  // namespace

int main(int count, char** arguments) {
  const auto bytes = encode(full_document());
  const auto fresh = [&] { return Guard(RuleSet::from_bytes(bytes).value()); };
  for (int i = 1; i < count; ++i) {
    const std::vector<std::string> commands = corpus(arguments[i]);
    if (commands.empty()) continue;
    std::string name = arguments[i];
    name = name.substr(name.rfind('/') + 1);
    const Guard guard = fresh();
    print(name + ", first time", measure(guard, commands));
    print(name + ", again", measure(guard, commands));
  }
  const Guard guard = fresh();
  const std::vector<std::string> bad = hostile();
  print("made to cost time, first time", measure(guard, bad));
  print("made to cost time, again", measure(guard, bad));
  return 0;
}
