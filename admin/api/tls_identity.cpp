#include "admin/api/tls_identity.h"

#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>
#include <sstream>

#include "platform/crypto/openssl_handles.h"
#include "platform/os/fd.h"

namespace sallyport::admin {
namespace {

using crypto::BioHandle, crypto::PkeyHandle, crypto::X509Handle;
using ExtensionHandle = std::unique_ptr<X509_EXTENSION, crypto::FreeWith<X509_EXTENSION_free>>;

constexpr long k_valid_seconds = 397L * 24 * 3600;
constexpr long k_renew_seconds = 14L * 24 * 3600;

Result<std::string> read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  if (!in) return fail(Errc::invalid, path + " cannot be read");
  return text.str();
}

std::string text_of(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<std::size_t>(size)};
}

bool add_extension(X509* certificate, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  const ExtensionHandle extension(X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str()));
  return extension && X509_add_ext(certificate, extension.get(), -1) == 1;
}

Result<TlsIdentity> make_identity(const std::string& name) {
  const PkeyHandle key(EVP_EC_gen("P-256"));
  const X509Handle certificate(X509_new());
  if (!key || !certificate) return fail(Errc::internal, "no TLS key could be made");
  unsigned char serial[16];
  if (RAND_bytes(serial, sizeof serial) != 1) return fail(Errc::internal, "no random serial number");
  serial[0] &= 0x7f;
  BIGNUM* number = BN_bin2bn(serial, sizeof serial, nullptr);
  BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate.get()));
  BN_free(number);
  X509_set_version(certificate.get(), X509_VERSION_3);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), k_valid_seconds);
  X509_set_pubkey(certificate.get(), key.get());
  X509_NAME* subject = X509_get_subject_name(certificate.get());
  const std::string common = "Sallyport " + (name.empty() ? std::string("gateway") : name);
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(common.c_str()), -1, -1, 0);
  X509_set_issuer_name(certificate.get(), subject);
  std::string names = "DNS:localhost,IP:127.0.0.1,IP:::1";
  if (!name.empty() && name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") == std::string::npos) names += ",DNS:" + name;
  if (!add_extension(certificate.get(), NID_subject_alt_name, names) || !add_extension(certificate.get(), NID_basic_constraints, "critical,CA:FALSE") ||
      !add_extension(certificate.get(), NID_key_usage, "critical,digitalSignature") || !add_extension(certificate.get(), NID_ext_key_usage, "serverAuth") ||
      X509_sign(certificate.get(), key.get(), EVP_sha256()) == 0)
    return fail(Errc::internal, "the TLS certificate could not be made");
  const BioHandle certificate_text(BIO_new(BIO_s_mem()));
  const BioHandle key_text(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509(certificate_text.get(), certificate.get()) != 1 ||
      PEM_write_bio_PrivateKey(key_text.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1)
    return fail(Errc::internal, "the TLS certificate could not be written");
  return TlsIdentity{text_of(certificate_text.get()), text_of(key_text.get())};
}

bool is_nearly_over(const std::string& pem) {
  const BioHandle bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  const X509Handle certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  if (!certificate) return true;
  std::time_t soon = std::time(nullptr) + k_renew_seconds;
  return X509_cmp_time(X509_get0_notAfter(certificate.get()), &soon) <= 0;
}

}  // namespace

Result<TlsIdentity> load_tls_identity(const Settings& settings) {
  const std::string certificate = settings.text("admin_tls_certificate");
  const std::string key = settings.text("admin_tls_key");
  if (certificate.empty() != key.empty()) return fail(Errc::invalid, "admin.tls_certificate and admin.tls_key belong together; one is missing");
  if (!certificate.empty()) {
    auto first = read_file(certificate);
    if (!first) return tl::unexpected(first.error());
    auto second = read_file(key);
    if (!second) return tl::unexpected(second.error());
    return TlsIdentity{std::move(*first), std::move(*second)};
  }
  const std::string path = settings.text("state_dir", ".") + "/admin_tls.pem";
  if (auto there = read_file(path); there && !is_nearly_over(*there)) return TlsIdentity{*there, *there};
  auto made = make_identity(settings.text("node"));
  if (!made) return made;
  const std::string fresh = path + ".new";
  ::unlink(fresh.c_str());
  const Fd file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  const std::string text = made->certificate_pem + made->key_pem;
  if (!file || ::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) || ::fsync(file.get()) != 0 || ::rename(fresh.c_str(), path.c_str()) != 0)
    return fail(Errc::unavailable, path + ": " + std::strerror(errno));
  return made;
}

}  // namespace sallyport::admin
