#include "app/wiring.h"

#include <cstdio>

#if __has_include("vault/service.h")
#include "vault/service.h"
#endif
#if __has_include("recorder/service.h")
#include "recorder/service.h"
#endif

namespace sallyport::app {

int run_wired_service(const std::string& name, Fd control) {
#if __has_include("vault/service.h")
  if (name == "vault") return vault::run_service(std::move(control));
#endif
#if __has_include("recorder/service.h")
  if (name == "recorder") return recorder::run_service(std::move(control));
#endif
  static_cast<void>(control);
  std::fprintf(stderr, "sallyport: there is no service `%s`\n", name.c_str());
  return 2;
}

}  // namespace sallyport::app
