// Any bytes as a command line, an exec request, a line at a prompt and as a rule set: no crash, a bounded answer, and a text that only
// grows by a further command keeps its verdict at least.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>

#include "policy/guard/guard.h"
#include "policy/guard/packs/packs.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sallyport::guard;
  static const auto k_rules = *RuleSet::from_bytes(encode(full_document()));
  const std::string_view text(reinterpret_cast<const char*>(data), size);

  const Guard fresh(k_rules);
  const Judgement line = fresh.judge(text, Dialect::shell, Origin::line);
  if (line.commands.size() > 600) std::abort();
  for (std::size_t i = 1; i < line.findings.size(); ++i) {
    if (line.findings[i - 1].verdict < line.findings[i].verdict) std::abort();
  }
  // Nothing in front of it takes a plain danger away.
  if (size < 4096 && !line.incomplete) {
    const Judgement longer = fresh.judge(std::string(text) + "\nrm -rf /etc\n", Dialect::shell, Origin::script);
    if (!longer.incomplete && longer.verdict < Verdict::confirm) {
      // Only when the shell itself would not run it as this: an alias or a function of that name, or an end of the shell.
      bool renamed = false;
      for (const std::string_view word : {"rm", "alias", "exit", "exec", "return", "hash", "function", "break", "continue", "cd", "eval", "IFS", "<<"}) renamed = renamed || text.find(word) != std::string_view::npos;
      if (!renamed && text.find_first_of("#\\'\"`$({<") == std::string_view::npos) std::abort();
    }
  }
  (void)fresh.judge(text, Dialect::shell, Origin::exec);
  for (const Dialect dialect : {Dialect::psql, Dialect::redis, Dialect::python}) (void)fresh.judge(text, dialect);

  Guard shell(k_rules);
  shell.ran(text);
  shell.file_written(text.substr(0, 64), "", text);
  (void)shell.judge("x; $x; ./x; sh x");
  (void)RuleSet::from_bytes(std::as_bytes(std::span(data, size)));
  return 0;
}
