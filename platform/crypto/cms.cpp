#include "platform/crypto/cms.h"

#include <openssl/cms.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <climits>

#include "platform/crypto/hash.h"
#include "platform/crypto/hex.h"
#include "platform/crypto/openssl_handles.h"

namespace sallyport::crypto {
namespace {

struct StackFree {
  void operator()(STACK_OF(X509) * stack) const noexcept { sk_X509_pop_free(stack, X509_free); }
};
using X509Stack = std::unique_ptr<STACK_OF(X509), StackFree>;

BioHandle bio_over(ByteView bytes) {
  return BioHandle(bytes.size() > INT_MAX ? nullptr : BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())));
}

ByteView content_of(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return size <= 0 ? ByteView() : std::as_bytes(std::span(data, static_cast<std::size_t>(size)));
}

X509Handle parse_certificate(ByteView der) {
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  return X509Handle(d2i_X509(nullptr, &at, der.size() > LONG_MAX ? 0 : static_cast<long>(der.size())));
}

tl::unexpected<Error> openssl_failed(Errc code, const char* doing) { return fail(code, std::string(doing) + ": " + take_openssl_error()); }

Result<Bytes> der_of(X509* certificate) {
  unsigned char* der = nullptr;
  const int size = i2d_X509(certificate, &der);
  if (size <= 0) return openssl_failed(Errc::internal, "encoding a certificate");
  Bytes bytes = copy_of(std::as_bytes(std::span(der, static_cast<std::size_t>(size))));
  OPENSSL_free(der);
  return bytes;
}

bool add_extension(X509* certificate, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value);
  const bool right = extension != nullptr && X509_add_ext(certificate, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  return right;
}

}  // namespace

Result<RecipientPair> make_recipient(std::string_view common_name, WallTime now, int years) {
  PkeyHandle key(EVP_EC_gen("P-256"));
  X509Handle certificate(X509_new());
  if (!key || !certificate) return openssl_failed(Errc::internal, "making a recipient key");
  const auto start = static_cast<time_t>(std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count());
  time_t base = start;
  X509_NAME* name = X509_get_subject_name(certificate.get());
  unsigned char serial[16];
  const Hash256 seed = sha256(std::string(common_name) + std::to_string(now.time_since_epoch().count()));
  std::copy_n(reinterpret_cast<const unsigned char*>(seed.data()), sizeof serial, serial);
  serial[0] &= 0x7f;
  BIGNUM* number = BN_bin2bn(serial, sizeof serial, nullptr);
  const bool numbered = number != nullptr && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate.get())) != nullptr;
  BN_free(number);
  if (!numbered || X509_set_version(certificate.get(), X509_VERSION_3) != 1 ||
      X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(common_name.data()),
                                 static_cast<int>(common_name.size()), -1, 0) != 1 ||
      X509_set_issuer_name(certificate.get(), name) != 1 ||
      X509_time_adj_ex(X509_getm_notBefore(certificate.get()), -1, 0, &base) == nullptr ||
      X509_time_adj_ex(X509_getm_notAfter(certificate.get()), 365 * years, 0, &base) == nullptr ||
      X509_set_pubkey(certificate.get(), key.get()) != 1 || !add_extension(certificate.get(), NID_basic_constraints, "critical,CA:FALSE") ||
      !add_extension(certificate.get(), NID_key_usage, "critical,keyAgreement") ||
      !add_extension(certificate.get(), NID_subject_key_identifier, "hash") || X509_sign(certificate.get(), key.get(), EVP_sha256()) <= 0)
    return openssl_failed(Errc::internal, "making a recipient certificate");

  BioHandle pem(BIO_new(BIO_s_secmem()));
  if (!pem || PEM_write_bio_PKCS8PrivateKey(pem.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1)
    return openssl_failed(Errc::internal, "writing a recipient key");
  auto der = der_of(certificate.get());
  if (!der) return tl::unexpected(der.error());
  return RecipientPair{Secret(content_of(pem.get())), std::move(*der)};
}

struct Recipients::Certificates {
  X509Stack stack;
};

Recipients::Recipients(std::unique_ptr<Certificates> certificates) : certificates_(std::move(certificates)) {}
Recipients::Recipients(Recipients&&) noexcept = default;
Recipients& Recipients::operator=(Recipients&&) noexcept = default;
Recipients::~Recipients() = default;

Result<Recipients> Recipients::parse(std::span<const Bytes> certificates) {
  if (certificates.empty()) return fail(Errc::invalid, "no recipient to wrap a key to");
  auto parsed = std::make_unique<Certificates>();
  parsed->stack.reset(sk_X509_new_null());
  if (!parsed->stack) return openssl_failed(Errc::internal, "wrapping a key");
  for (const Bytes& der : certificates) {
    X509Handle certificate = parse_certificate(der);
    if (!certificate) return openssl_failed(Errc::invalid, "reading a recipient's certificate");
    if (sk_X509_push(parsed->stack.get(), certificate.get()) == 0) return openssl_failed(Errc::internal, "wrapping a key");
    static_cast<void>(certificate.release());
  }
  return Recipients(std::move(parsed));
}

Result<Bytes> Recipients::wrap(ByteView key) const {
  const BioHandle plain = bio_over(key);
  const CmsHandle cms(plain ? CMS_encrypt(certificates_->stack.get(), plain.get(), EVP_aes_256_cbc(), CMS_BINARY) : nullptr);
  const BioHandle out(BIO_new(BIO_s_mem()));
  if (!cms || !out || i2d_CMS_bio(out.get(), cms.get()) != 1) return openssl_failed(Errc::invalid, "wrapping a key");
  return copy_of(content_of(out.get()));
}

Result<Bytes> wrap_to_recipients(ByteView key, std::span<const Bytes> certificates) {
  const auto recipients = Recipients::parse(certificates);
  if (!recipients) return tl::unexpected(recipients.error());
  return recipients->wrap(key);
}

Result<Secret> unwrap_with(ByteView wrapped, const Secret& private_key_pem, ByteView certificate_der) {
  const BioHandle key_bio = bio_over(private_key_pem.reveal());
  const PkeyHandle key(key_bio ? PEM_read_bio_PrivateKey(key_bio.get(), nullptr, nullptr, nullptr) : nullptr);
  if (!key) return openssl_failed(Errc::invalid, "reading the recipient's key");
  const X509Handle certificate = parse_certificate(certificate_der);
  if (!certificate) return openssl_failed(Errc::invalid, "reading the recipient's certificate");
  const BioHandle in = bio_over(wrapped);
  const CmsHandle cms(in ? d2i_CMS_bio(in.get(), nullptr) : nullptr);
  if (!cms) return openssl_failed(Errc::corrupt, "reading the wrapped key");
  const BioHandle plain(BIO_new(BIO_s_secmem()));
  if (!plain || CMS_decrypt(cms.get(), key.get(), certificate.get(), nullptr, plain.get(), CMS_BINARY) != 1)
    return openssl_failed(Errc::denied, "unwrapping the key");
  return Secret(content_of(plain.get()));
}

std::string certificate_pem(ByteView certificate_der) {
  const X509Handle certificate = parse_certificate(certificate_der);
  const BioHandle out(BIO_new(BIO_s_mem()));
  if (!certificate || !out || PEM_write_bio_X509(out.get(), certificate.get()) != 1) {
    ERR_clear_error();
    return {};
  }
  return std::string(text_of(content_of(out.get())));
}

Result<Bytes> certificate_der_of(std::string_view pem) {
  const BioHandle in = bio_over(bytes_of(pem));
  const X509Handle certificate(in ? PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr) : nullptr);
  if (!certificate) return openssl_failed(Errc::invalid, "reading a certificate");
  return der_of(certificate.get());
}

std::string recipient_id(ByteView certificate_der) { return to_hex(ByteView(sha256(certificate_der)).first(8)); }

}  // namespace sallyport::crypto
