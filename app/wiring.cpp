#include "app/wiring.h"

#include <cstdlib>

#include "admin/api/api.h"
#include "platform/os/log.h"
#include "platform/os/wiped_memory.h"
#include "policy/authority/service.h"
#include "recorder/service.h"
#include "recorder/shipping/shipping_service.h"
#include "vault/service.h"

namespace sallyport::app {

int run_wired_service(const std::string& name, Fd control) {
  os::name_log_process(name);
  // Passwords on loan, typed ones and new secrets pass through these two.
  os::wipe_freed_memory(name == "vault" || name == "authority");
  if (name == "vault") {
    const char* credentials = std::getenv("CREDENTIALS_DIRECTORY");
    vault::VaultOptions options;
    options.credentials_directory = credentials != nullptr ? credentials : "";
    return vault::run_service(std::move(control), options);
  }
  if (name == "recorder") return recorder::run_service(std::move(control));
  if (name == "shipper") return recorder::run_shipping_service(std::move(control));
  if (name == "authority") {
    authority::AuthorityOptions options;
    options.make_front = admin::make_front;
    return authority::run_service(std::move(options), std::move(control));
  }
  static_cast<void>(control);
  os::log_line(os::LogEvent::service_gave_up, "there is no service `" + name + "`");
  return 2;
}

}  // namespace sallyport::app
