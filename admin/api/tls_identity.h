// admin/api/tls_identity.h -- the certificate and key with which the admin API shows who it is.
#pragma once

#include <string>

#include "platform/model/result.h"
#include "platform/model/settings.h"

namespace sallyport::admin {

struct TlsIdentity {
  std::string certificate_pem;
  std::string key_pem;
};

/// The files that the settings name, or STATE_DIR/admin_tls.pem, which is made (P-256, self-issued, 397 days, mode 0600) when it is not
/// there or nearly over. Errc::invalid: a file that cannot be read; only one of the two is named.
[[nodiscard]] Result<TlsIdentity> load_tls_identity(const Settings& settings);

}  // namespace sallyport::admin
