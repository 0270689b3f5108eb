// admin/api/api.h -- the admin API: HTTP/1.1 and JSON on run_dir/admin.sock.
//
// Who asks is what the kernel says (SO_PEERCRED): root and the gateway's own account may do everything; an account that is
// listed under `admin.operators` may do what the roles of the principal of the same name say under `admin:`. Every
// answer to somebody else is 403. The resources stand in docs/reference/admin-api.md.
#pragma once

#include <memory>

#include "policy/authority/service.h"

namespace sallyport::admin {

/// For AuthorityOptions::make_front. Null when the socket cannot be opened (it is said on stderr).
[[nodiscard]] std::unique_ptr<authority::Front> make_front(boost::asio::io_context& io, authority::Administration& administration,
                                                           const Settings& settings);

}  // namespace sallyport::admin
