// admin/oidc/oidc_desk.h -- the OpenID provider, asked by helper processes (`sallyport oidc-desk`): no byte that it sends is read here.
//
// Two helpers, each with one request at a time, started when first needed and anew when one was lost. What waits too long for its turn
// is refused as unavailable.
#pragma once

#include <boost/asio/io_context.hpp>
#include <memory>

#include "admin/oidc/oidc_options.h"
#include "policy/authority/authority.h"
#include "policy/authority/identity_provider.h"

namespace sallyport::admin {

[[nodiscard]] std::unique_ptr<authority::IdentityProvider> make_oidc_desk(boost::asio::io_context& io, OidcOptions options);

/// The helper's side; gives the exit status.
int run_oidc_desk();

}  // namespace sallyport::admin
