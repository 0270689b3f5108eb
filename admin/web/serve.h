// admin/web/serve.h -- answers for the page's own files.
#pragma once

#include <optional>

#include "platform/net/http.h"

namespace sallyport::admin::web {

/// The answer to a request that is not for the REST API: a file of the page, or its index for one of the page's own places
/// (they are addresses of views, /sessions/ID). Nothing when `path` begins with /v1/ or the method is neither GET nor HEAD.
/// Every answer carries the content security policy: nothing but our own origin, no inline script, no frame.
[[nodiscard]] std::optional<net::HttpResponse> serve(const net::HttpRequest& request);

}  // namespace sallyport::admin::web
