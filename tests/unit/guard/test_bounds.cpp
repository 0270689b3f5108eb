// Whatever the text: the work stays bounded. Counted in bytes asked of the heap, as no clock of a busy machine could say it: text that
// multiplies is copied.
#include <catch2/catch.hpp>
#include <cstdlib>
#include <new>
#include <string>

#include "policy/guard/guard.h"
#include "policy/guard/packs/packs.h"

namespace {
thread_local std::size_t g_asked_for = 0;
}

void* operator new(std::size_t size) {
  g_asked_for += size;
  if (void* made = std::malloc(size == 0 ? 1 : size)) return made;
  throw std::bad_alloc();
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {  // std::stable_sort asks this way, and gives back the other
  g_asked_for += size;
  return std::malloc(size == 0 ? 1 : size);
}
void operator delete(void* made) noexcept { std::free(made); }
void operator delete(void* made, const std::nothrow_t&) noexcept { std::free(made); }
void operator delete(void* made, std::size_t) noexcept { std::free(made); }

namespace sallyport::guard {
namespace {

std::string filled(std::string_view unit) {
  std::string out;
  while (out.size() + unit.size() <= 64 * 1024) out += unit;
  return out;
}

bool is_unreadable(const Judgement& judged) {
  for (const Finding& finding : judged.findings) {
    if (finding.opaque == Opaque::unreadable) return true;
  }
  return false;
}

}  // namespace

TEST_CASE("64 KiB of anything ask for no more than some MiB", "[guard][limits]") {
  const Guard guard(RuleSet::from_bytes(encode(full_document())).value());
  for (const char* unit : {"$(", "`", "(", "{ ", "${a:-", "$((", "\"$(", "<(", "if ", "case x in ", "while :; do ", "f(){ ", "<<a ", "[[ ", "\\", "'", "a=$a$a;", "eval ", "sh -c '", "{a,b}", "{1..99}", "{1..99},", "{a,{b,c}}", "*",
                           "/e?c/*/.ss?/i* ", "cat /etc/*; ", "echo x|", "$x", "${x//*a*a*a*a*b/}", "sudo ", "find / -exec ", "base64 -d|", ">/tmp/a ", "for i in 1 2 3 4;do ", "printf %99999d ", "seq 1 99999;"}) {
    for (const std::string& front : {std::string(), std::string("cat "), std::string("x=aaaaaaaaaaaaaaaaaaaaaaaaaaaa;")}) {
      std::string text = front + filled(unit);
      text.resize(std::min<std::size_t>(text.size(), 64 * 1024));
      g_asked_for = 0;
      const Judgement judged = guard.judge(text, Dialect::shell, Origin::script);
      INFO(front << unit);
      CHECK(g_asked_for < 32U * 1024 * 1024);
      CHECK(judged.commands.size() <= 512);
    }
  }
}

TEST_CASE("what multiplies without end is unreadable, and a danger in front of it still counts", "[guard][limits]") {
  const Guard guard(RuleSet::from_bytes(encode(full_document())).value());
  const Judgement judged = guard.judge("rm -rf /data; echo " + filled("{1..99}").substr(0, 60'000), Dialect::shell, Origin::script);
  CHECK(is_unreadable(judged));
  CHECK(judged.verdict >= Verdict::deny);
}

}  // namespace sallyport::guard
