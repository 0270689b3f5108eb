// platform/crypto/cms.h -- a session key wrapped to the people who may read the recording.
//
// CMS (RFC 5652) to X.509 recipients, content encrypted with AES-256-CBC: `openssl cms -decrypt -inform DER` opens it too.
// The wrapped key proves itself: every entry it opens is authenticated.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "platform/model/bytes.h"
#include "platform/model/clock.h"
#include "platform/model/result.h"
#include "platform/model/secret.h"

namespace sallyport::crypto {

/// A recipient: an EC P-256 key and its self-signed certificate.
struct RecipientPair {
  Secret private_key_pem;  ///< PKCS#8
  Bytes certificate_der;
};
[[nodiscard]] Result<RecipientPair> make_recipient(std::string_view common_name, WallTime now, int years = 20);

/// The people who may read recordings, their certificates read once: reading one costs more than wrapping a key to it.
class Recipients {
 public:
  /// `certificates` as DER, at least one.
  [[nodiscard]] static Result<Recipients> parse(std::span<const Bytes> certificates);
  Recipients(Recipients&&) noexcept;
  Recipients& operator=(Recipients&&) noexcept;
  ~Recipients();

  /// The result is DER.
  [[nodiscard]] Result<Bytes> wrap(ByteView key) const;

 private:
  struct Certificates;
  explicit Recipients(std::unique_ptr<Certificates> certificates);
  std::unique_ptr<Certificates> certificates_;
};

/// `certificates` as DER, at least one. The result is DER.
[[nodiscard]] Result<Bytes> wrap_to_recipients(ByteView key, std::span<const Bytes> certificates);
/// Errc::denied: the key is not among the recipients. Errc::corrupt: not CMS.
[[nodiscard]] Result<Secret> unwrap_with(ByteView wrapped, const Secret& private_key_pem, ByteView certificate_der);

[[nodiscard]] std::string certificate_pem(ByteView certificate_der);
[[nodiscard]] Result<Bytes> certificate_der_of(std::string_view pem);
/// The first 16 hexadecimal digits of the SHA-256 of the certificate: how records name a recipient.
[[nodiscard]] std::string recipient_id(ByteView certificate_der);

}  // namespace sallyport::crypto
