// Each CASE_ is something that our types forbid. See check.cmake.
#include <fmt/format.h>

#include <iostream>
#include <string>

#include "platform/model/ids.h"
#include "platform/model/result.h"
#include "platform/model/secret.h"

using namespace sallyport;

[[maybe_unused]] static Result<void> may_fail() { return {}; }

int main() {
  const Secret secret(std::string_view("s"));
  const Secret other(std::string_view("s"));
  const SessionId session("a");
  const TargetId target("a");
  const bool same = secret.equals(other) && session.view() == target.view();
#ifdef CASE_SECRET_PRINTED
  std::cout << secret;
#endif
#ifdef CASE_SECRET_FORMATTED
  std::cout << fmt::format("{}", secret);
#endif
#ifdef CASE_SECRET_COPIED
  const Secret copy = secret;
#endif
#ifdef CASE_SECRET_COMPARED
  if (secret == other) return 2;
#endif
#ifdef CASE_SECRET_TO_STRING
  const std::string text = secret;
#endif
#ifdef CASE_IDS_COMPARED
  if (session == target) return 3;
#endif
#ifdef CASE_IDS_CONVERTED
  const SessionId wrong = target;
#endif
#ifdef CASE_RESULT_DROPPED
  may_fail();
#endif
  return same ? 0 : 1;
}
