// admin/api/oidc_login.h -- signing on by an OpenID provider, for browsers.
#pragma once

#include "admin/api/call.h"

namespace sallyport::admin {

/// Before anybody is known. The provider sends the browser to the callback, and the callback sends it to our own page, nowhere else.
void serve_oidc_login(const CallPtr& call);

}  // namespace sallyport::admin
