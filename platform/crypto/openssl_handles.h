// platform/crypto/openssl_handles.h -- OpenSSL's objects as unique_ptr, its error queue as text. For .cpp files.
#pragma once

#include <openssl/bio.h>
#include <openssl/cms.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>

namespace sallyport::crypto {

template <auto Free>
struct FreeWith {
  template <class T>
  void operator()(T* object) const noexcept {
    Free(object);
  }
};

using PkeyHandle = std::unique_ptr<EVP_PKEY, FreeWith<EVP_PKEY_free>>;
using PkeyContextHandle = std::unique_ptr<EVP_PKEY_CTX, FreeWith<EVP_PKEY_CTX_free>>;
using DigestContextHandle = std::unique_ptr<EVP_MD_CTX, FreeWith<EVP_MD_CTX_free>>;
using CipherContextHandle = std::unique_ptr<EVP_CIPHER_CTX, FreeWith<EVP_CIPHER_CTX_free>>;
using BioHandle = std::unique_ptr<BIO, FreeWith<BIO_free_all>>;
using X509Handle = std::unique_ptr<X509, FreeWith<X509_free>>;
using CmsHandle = std::unique_ptr<CMS_ContentInfo, FreeWith<CMS_ContentInfo_free>>;

/// Takes the first error of this thread's queue as text and empties the queue.
[[nodiscard]] std::string take_openssl_error();
/// For calls that cannot fail unless the library itself is broken or memory is gone: ends the process.
[[noreturn]] void openssl_is_broken(const char* doing);

}  // namespace sallyport::crypto
