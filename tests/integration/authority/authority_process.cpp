// The authority and its admin API with the keeper's link at descriptor 3, as the keeper starts it.
#include "admin/api/api.h"
#include "policy/authority/service.h"

int main() {
  sallyport::authority::AuthorityOptions options;
  options.make_front = sallyport::admin::make_front;
  return sallyport::authority::run_service(std::move(options), sallyport::Fd(3));
}
