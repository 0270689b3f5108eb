// admin/api/pages.h -- what is told without asking who wants to know: health, the contract and its page; and the metrics.
#pragma once

#include "admin/api/call.h"

namespace sallyport::admin {

/// True: `call` was for one of these and is answered. /metrics is not among them.
bool serve_page(const CallPtr& call);
/// GET /metrics; the caller is known.
void serve_metrics(const CallPtr& call);

/// openapi.yaml and the page made of it, as the build found them.
[[nodiscard]] std::string_view openapi_text();
[[nodiscard]] std::string_view openapi_page();

}  // namespace sallyport::admin
