// A build without the page: SALLYPORT_WEB=OFF.
#include "admin/web/assets.h"

namespace sallyport::admin::web {

std::span<const Asset> assets() { return {}; }

}  // namespace sallyport::admin::web
