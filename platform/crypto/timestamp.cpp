#include "platform/crypto/timestamp.h"

#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs7.h>
#include <openssl/ts.h>
#include <openssl/x509.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <memory>

#include "platform/crypto/openssl_handles.h"

namespace sallyport::crypto {
namespace {

using Request = std::unique_ptr<TS_REQ, FreeWith<TS_REQ_free>>;
using Response = std::unique_ptr<TS_RESP, FreeWith<TS_RESP_free>>;
using Imprint = std::unique_ptr<TS_MSG_IMPRINT, FreeWith<TS_MSG_IMPRINT_free>>;
using Info = std::unique_ptr<TS_TST_INFO, FreeWith<TS_TST_INFO_free>>;
using Algorithm = std::unique_ptr<X509_ALGOR, FreeWith<X509_ALGOR_free>>;
using Integer = std::unique_ptr<ASN1_INTEGER, FreeWith<ASN1_INTEGER_free>>;
using Token = std::unique_ptr<PKCS7, FreeWith<PKCS7_free>>;
using Store = std::unique_ptr<X509_STORE, FreeWith<X509_STORE_free>>;
using Check = std::unique_ptr<TS_VERIFY_CTX, FreeWith<TS_VERIFY_CTX_free>>;

constexpr std::size_t k_most_token = 64 * 1024;

tl::unexpected<Error> broken(std::string_view what) {
  const std::string text = take_openssl_error();
  return fail(Errc::corrupt, std::string(what) + (text.empty() ? "" : ": " + text));
}

template <class Structure>
Bytes encoded(Structure* structure, int (*encode)(const Structure*, unsigned char**)) {
  unsigned char* bytes = nullptr;
  const int size = encode(structure, &bytes);
  if (size <= 0) return {};
  Bytes out(static_cast<std::size_t>(size));
  std::copy_n(reinterpret_cast<const std::byte*>(bytes), out.size(), out.begin());
  OPENSSL_free(bytes);
  return out;
}

Request make_request(const Hash256& hash) {
  Request request(TS_REQ_new());
  Imprint imprint(TS_MSG_IMPRINT_new());
  Algorithm algorithm(X509_ALGOR_new());
  std::array<unsigned char, 32> digest{};
  std::copy(hash.begin(), hash.end(), reinterpret_cast<std::byte*>(digest.data()));
  if (!request || !imprint || !algorithm || X509_ALGOR_set0(algorithm.get(), OBJ_nid2obj(NID_sha256), V_ASN1_NULL, nullptr) != 1 ||
      TS_MSG_IMPRINT_set_algo(imprint.get(), algorithm.get()) != 1 || TS_MSG_IMPRINT_set_msg(imprint.get(), digest.data(), static_cast<int>(digest.size())) != 1 ||
      TS_REQ_set_version(request.get(), 1) != 1 || TS_REQ_set_msg_imprint(request.get(), imprint.get()) != 1 || TS_REQ_set_cert_req(request.get(), 1) != 1)
    return nullptr;
  return request;
}

const unsigned char* raw(ByteView bytes) { return reinterpret_cast<const unsigned char*>(bytes.data()); }

}  // namespace

Result<Bytes> timestamp_request(const Hash256& hash, Random& random) {
  Request request = make_request(hash);
  Integer nonce(ASN1_INTEGER_new());
  std::array<std::byte, 8> bytes{};
  random.fill(bytes);
  std::uint64_t number = 0;
  for (const std::byte b : bytes) number = number << 8 | std::to_integer<std::uint64_t>(b);
  if (!request || !nonce || ASN1_INTEGER_set_uint64(nonce.get(), number | 1) != 1 || TS_REQ_set_nonce(request.get(), nonce.get()) != 1)
    return fail(Errc::internal, "a time stamp request could not be made");
  return encoded<TS_REQ>(request.get(), &i2d_TS_REQ);
}

Result<Bytes> timestamp_token(ByteView response, ByteView request) {
  if (response.size() > k_most_token) return fail(Errc::corrupt, "the time stamping authority's answer is too large");
  const unsigned char* at = raw(response);
  const Response answer(d2i_TS_RESP(nullptr, &at, static_cast<long>(response.size())));
  const unsigned char* from = raw(request);
  const Request asked(d2i_TS_REQ(nullptr, &from, static_cast<long>(request.size())));
  if (!answer || !asked) return broken("the time stamping authority's answer cannot be read");
  const long status = ASN1_INTEGER_get(TS_STATUS_INFO_get0_status(TS_RESP_get_status_info(answer.get())));
  PKCS7* const token = TS_RESP_get_token(answer.get());
  if ((status != 0 && status != 1) || token == nullptr) return fail(Errc::denied, "the time stamping authority refuses: status " + std::to_string(status));
  const Check check(TS_REQ_to_TS_VERIFY_CTX(asked.get(), nullptr));
  if (check) TS_VERIFY_CTX_set_flags(check.get(), TS_VFY_VERSION | TS_VFY_IMPRINT | TS_VFY_NONCE);  // whose signature it is, verify looks
  if (!check || TS_RESP_verify_response(check.get(), answer.get()) != 1) return broken("the time stamp is not of what was asked");
  return encoded<PKCS7>(token, &i2d_PKCS7);
}

Result<TimeStamp> verify_timestamp(ByteView bytes, const Hash256& hash, std::string_view ca_pem) {
  if (bytes.size() > k_most_token) return fail(Errc::corrupt, "the time stamp is too large");
  const unsigned char* at = raw(bytes);
  const Token token(d2i_PKCS7(nullptr, &at, static_cast<long>(bytes.size())));
  if (!token || PKCS7_type_is_signed(token.get()) == 0) return broken("the time stamp cannot be read");
  const Info info(PKCS7_to_TS_TST_INFO(token.get()));
  const ASN1_GENERALIZEDTIME* const when = info ? TS_TST_INFO_get_time(info.get()) : nullptr;
  std::tm parts{};
  if (when == nullptr || ASN1_TIME_to_tm(when, &parts) != 1) return broken("the time stamp has no time");
  TimeStamp stamp{static_cast<std::int64_t>(timegm(&parts))};
  Store store(X509_STORE_new());
  const BioHandle text(BIO_new_mem_buf(ca_pem.data(), static_cast<int>(ca_pem.size())));
  std::size_t known = 0;
  while (store && text) {
    const X509Handle certificate(PEM_read_bio_X509(text.get(), nullptr, nullptr, nullptr));
    if (!certificate) break;
    if (X509_STORE_add_cert(store.get(), certificate.get()) == 1) ++known;
  }
  ERR_clear_error();
  if (known == 0) return fail(Errc::invalid, "no certificate of a time stamping authority is given");
  // Whether its certificate was valid then, not now.
  X509_VERIFY_PARAM_set_time(X509_STORE_get0_param(store.get()), static_cast<time_t>(stamp.at_s));
  const Request request = make_request(hash);
  const Check check(request ? TS_REQ_to_TS_VERIFY_CTX(request.get(), nullptr) : nullptr);
  if (!check) return fail(Errc::internal, "a time stamp could not be checked");
  TS_VERIFY_CTX_set_flags(check.get(), TS_VFY_VERSION | TS_VFY_IMPRINT | TS_VFY_SIGNATURE);
  TS_VERIFY_CTX_set_store(check.get(), store.release());
  if (TS_RESP_verify_token(check.get(), token.get()) != 1) return broken("the time stamp is not right");
  return stamp;
}

}  // namespace sallyport::crypto
