/* A security key in software for the tests: the provider interface that ssh and ssh-keygen load through
 * SecurityKeyProvider (interface version 10, PROTOCOL.u2f of OpenSSH 9.2). The key handle is the private key itself: of
 * use for tests only.
 *
 *   SK_TEST_PRESENT=0   nobody touches the key: the signature says so
 *   SK_TEST_VERIFIED=1  the key has also verified its user (PIN)
 */
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <openssl/params.h>
#include <openssl/param_build.h>
#include <openssl/sha.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { k_version = 0x000a0000, k_ecdsa = 0, k_ed25519 = 1, k_present = 1, k_verified = 4, k_failed = -1, k_unsupported = -2 };
enum { k_scalar = 32, k_point = 65, k_signed = 32 + 1 + 4 + 32 };

struct sk_enroll_response {
  uint8_t flags;
  uint8_t *public_key;
  size_t public_key_len;
  uint8_t *key_handle;
  size_t key_handle_len;
  uint8_t *signature;
  size_t signature_len;
  uint8_t *attestation_cert;
  size_t attestation_cert_len;
  uint8_t *authdata;
  size_t authdata_len;
};
struct sk_sign_response {
  uint8_t flags;
  uint32_t counter;
  uint8_t *sig_r;
  size_t sig_r_len;
  uint8_t *sig_s;
  size_t sig_s_len;
};
struct sk_option {
  char *name;
  char *value;
  uint8_t required;
};
struct sk_resident_key;

static int says(const char *name, const char *value) {
  const char *is = getenv(name);
  return is != NULL && strcmp(is, value) == 0;
}

static uint8_t *copy(const uint8_t *bytes, size_t size, size_t *size_out) {
  uint8_t *out = malloc(size);
  if (out != NULL) memcpy(out, bytes, size);
  *size_out = out == NULL ? 0 : size;
  return out;
}

uint32_t sk_api_version(void) { return k_version; }

static EVP_PKEY *p256_of(const uint8_t *scalar) {
  EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
  EC_POINT *point = EC_POINT_new(group);
  BIGNUM *secret = BN_bin2bn(scalar, k_scalar, NULL);
  uint8_t encoded[k_point];
  EVP_PKEY *key = NULL;
  EVP_PKEY_CTX *maker = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
  OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
  if (EC_POINT_mul(group, point, secret, NULL, NULL, NULL) == 1 &&
      EC_POINT_point2oct(group, point, POINT_CONVERSION_UNCOMPRESSED, encoded, sizeof encoded, NULL) == sizeof encoded) {
    OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0);
    OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, encoded, sizeof encoded);
    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_PRIV_KEY, secret);
    OSSL_PARAM *parameters = OSSL_PARAM_BLD_to_param(build);
    if (EVP_PKEY_fromdata_init(maker) == 1) EVP_PKEY_fromdata(maker, &key, EVP_PKEY_KEYPAIR, parameters);
    OSSL_PARAM_free(parameters);
  }
  OSSL_PARAM_BLD_free(build);
  EVP_PKEY_CTX_free(maker);
  BN_free(secret);
  EC_POINT_free(point);
  EC_GROUP_free(group);
  return key;
}

static int new_ed25519(struct sk_enroll_response *out) {
  uint8_t secret[k_scalar], shown[k_scalar];
  size_t secret_size = sizeof secret, shown_size = sizeof shown;
  EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
  const int good = key != NULL && EVP_PKEY_get_raw_private_key(key, secret, &secret_size) == 1 && EVP_PKEY_get_raw_public_key(key, shown, &shown_size) == 1;
  if (good) {
    out->key_handle = copy(secret, secret_size, &out->key_handle_len);
    out->public_key = copy(shown, shown_size, &out->public_key_len);
  }
  EVP_PKEY_free(key);
  return good ? 0 : k_failed;
}

static int new_ecdsa(struct sk_enroll_response *out) {
  uint8_t secret[k_scalar], shown[k_point];
  size_t shown_size = 0;
  BIGNUM *scalar = NULL;
  EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
  int good = key != NULL && EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_PRIV_KEY, &scalar) == 1 && BN_bn2binpad(scalar, secret, sizeof secret) == k_scalar;
  EVP_PKEY *whole = good ? p256_of(secret) : NULL;
  good = whole != NULL && EVP_PKEY_get_octet_string_param(whole, OSSL_PKEY_PARAM_PUB_KEY, shown, sizeof shown, &shown_size) == 1;
  if (good) {
    out->key_handle = copy(secret, sizeof secret, &out->key_handle_len);
    out->public_key = copy(shown, shown_size, &out->public_key_len);
  }
  EVP_PKEY_free(whole);
  BN_clear_free(scalar);
  EVP_PKEY_free(key);
  return good ? 0 : k_failed;
}

int sk_enroll(uint32_t algorithm, const uint8_t *challenge, size_t challenge_size, const char *application, uint8_t flags, const char *pin,
              struct sk_option **options, struct sk_enroll_response **response) {
  (void)challenge, (void)challenge_size, (void)application, (void)pin, (void)options;
  struct sk_enroll_response *out = calloc(1, sizeof *out);
  if (out == NULL) return k_failed;
  out->flags = flags;
  const int status = algorithm == k_ed25519 ? new_ed25519(out) : algorithm == k_ecdsa ? new_ecdsa(out) : k_unsupported;
  if (status != 0) {
    free(out);
    return status;
  }
  static const uint8_t none[1] = {0};
  out->signature = copy(none, 1, &out->signature_len);
  *response = out;
  return 0;
}

static int sign_with(EVP_PKEY *key, const char *digest, const uint8_t *data, size_t size, uint8_t *signature, size_t *signature_size) {
  EVP_MD_CTX *context = EVP_MD_CTX_new();
  const int good = key != NULL && EVP_DigestSignInit_ex(context, NULL, digest, NULL, NULL, key, NULL) == 1 &&
                   EVP_DigestSign(context, signature, signature_size, data, size) == 1;
  EVP_MD_CTX_free(context);
  return good;
}

int sk_sign(uint32_t algorithm, const uint8_t *data, size_t data_size, const char *application, const uint8_t *handle, size_t handle_size, uint8_t flags,
            const char *pin, struct sk_option **options, struct sk_sign_response **response) {
  (void)flags, (void)pin, (void)options;
  if (handle_size != k_scalar) return k_failed;
  struct sk_sign_response *out = calloc(1, sizeof *out);
  if (out == NULL) return k_failed;
  out->flags = (uint8_t)((says("SK_TEST_PRESENT", "0") ? 0 : k_present) | (says("SK_TEST_VERIFIED", "1") ? k_verified : 0));
  out->counter = 0x01020304;
  uint8_t message[k_signed];
  SHA256((const uint8_t *)application, strlen(application), message);
  message[32] = out->flags;
  for (int i = 0; i < 4; ++i) message[33 + i] = (uint8_t)(out->counter >> (24 - 8 * i));
  SHA256(data, data_size, message + 37);
  uint8_t signature[128];
  size_t size = sizeof signature;
  int good = 0;
  if (algorithm == k_ed25519) {
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, handle, handle_size);
    good = sign_with(key, NULL, message, sizeof message, signature, &size);
    if (good) out->sig_r = copy(signature, size, &out->sig_r_len);
    EVP_PKEY_free(key);
  } else if (algorithm == k_ecdsa) {
    EVP_PKEY *key = p256_of(handle);
    good = sign_with(key, "SHA256", message, sizeof message, signature, &size);
    const uint8_t *at = signature;
    ECDSA_SIG *parts = good ? d2i_ECDSA_SIG(NULL, &at, (long)size) : NULL;
    if (parts != NULL) {
      uint8_t number[k_scalar];
      BN_bn2binpad(ECDSA_SIG_get0_r(parts), number, k_scalar);
      out->sig_r = copy(number, k_scalar, &out->sig_r_len);
      BN_bn2binpad(ECDSA_SIG_get0_s(parts), number, k_scalar);
      out->sig_s = copy(number, k_scalar, &out->sig_s_len);
    }
    good = parts != NULL;
    ECDSA_SIG_free(parts);
    EVP_PKEY_free(key);
  }
  if (!good) {
    free(out);
    return k_failed;
  }
  *response = out;
  return 0;
}

int sk_load_resident_keys(const char *pin, struct sk_option **options, struct sk_resident_key ***keys, size_t *count) {
  (void)pin, (void)options;
  *keys = NULL;
  *count = 0;
  return 0;
}
