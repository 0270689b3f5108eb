/*
 * Self-test of the patched libssh: two sessions in one process, then (with "peers")
 * the real ssh and sshd.
 *
 *   P=$(script/bootstrap --print-prefix)
 *   gcc -O1 -g -Wall -Wextra -fsanitize=address,undefined -I$P/include \
 *       third_party/libssh/selftest/selftest.c -o /tmp/selftest $P/lib/libssh.a -lcrypto -lpthread
 *   /tmp/selftest            everything in memory
 *   /tmp/selftest quick      the same with few messages, for valgrind
 *   /tmp/selftest peers      against ssh(1) and sshd(8) (as root)
 *   /tmp/selftest bench      CPU of the handshakes, MiB/s (build it with -O2, no sanitizer)
 *
 * Internal: /tmp/selftest stdio <keys>: a server on stdin and stdout.
 */
#define _GNU_SOURCE
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>

#include <libssh/libssh.h>
#include <libssh/sallyport.h>
#include <libssh/server.h>

static int checks;

#define CHECK(cond)                                                            \
    do {                                                                       \
        checks++;                                                              \
        if (!(cond)) {                                                         \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #cond); \
            abort();                                                           \
        }                                                                      \
    } while (0)

/* ---- wire format ---------------------------------------------------------- */

struct bytes {
    unsigned char data[4096];
    size_t len;
};

static void put(struct bytes *b, const void *data, size_t len)
{
    CHECK(b->len + len <= sizeof(b->data));
    memcpy(b->data + b->len, data, len);
    b->len += len;
}

static void put_u32(struct bytes *b, uint32_t v)
{
    unsigned char x[4] = {v >> 24, v >> 16, v >> 8, v};
    put(b, x, 4);
}

static void put_u64(struct bytes *b, uint64_t v)
{
    put_u32(b, v >> 32);
    put_u32(b, (uint32_t)v);
}

static void put_string(struct bytes *b, const void *data, size_t len)
{
    put_u32(b, (uint32_t)len);
    put(b, data, len);
}

static void put_text(struct bytes *b, const char *text)
{
    put_string(b, text, strlen(text));
}

static void put_mpint(struct bytes *b, const BIGNUM *n)
{
    unsigned char x[1024] = {0};
    int len = BN_bn2bin(n, x + 1);
    int zero = len > 0 && (x[1] & 0x80) != 0;

    put_string(b, x + 1 - zero, (size_t)(len + zero));
}

static uint32_t u32(const void *p)
{
    const unsigned char *x = p;
    return (uint32_t)x[0] << 24 | (uint32_t)x[1] << 16 | (uint32_t)x[2] << 8 | x[3];
}

/* ---- keys: the private half never enters libssh --------------------------- */

struct key {
    EVP_PKEY *private;
    const char *type;
    struct bytes blob;
    ssh_key public;
};

static ssh_key import_blob(const struct bytes *blob, const char *type)
{
    char text[8192];
    ssh_key key = NULL;

    EVP_EncodeBlock((unsigned char *)text, blob->data, (int)blob->len);
    CHECK(ssh_pki_import_pubkey_base64(text, ssh_key_type_from_name(type), &key) == SSH_OK);
    return key;
}

static void fill_key(struct key *k)
{
    k->blob.len = 0;
    put_text(&k->blob, k->type);
    if (strcmp(k->type, "ssh-ed25519") == 0) {
        unsigned char raw[32];
        size_t len = sizeof(raw);
        CHECK(EVP_PKEY_get_raw_public_key(k->private, raw, &len) == 1);
        put_string(&k->blob, raw, len);
    } else if (strcmp(k->type, "sk-ssh-ed25519@openssh.com") == 0) {
        unsigned char raw[32];
        size_t len = sizeof(raw);
        CHECK(EVP_PKEY_get_raw_public_key(k->private, raw, &len) == 1);
        put_string(&k->blob, raw, len);
        put_text(&k->blob, "ssh:");
    } else if (strcmp(k->type, "ssh-rsa") == 0) {
        BIGNUM *e = NULL, *n = NULL;
        CHECK(EVP_PKEY_get_bn_param(k->private, OSSL_PKEY_PARAM_RSA_E, &e) == 1);
        CHECK(EVP_PKEY_get_bn_param(k->private, OSSL_PKEY_PARAM_RSA_N, &n) == 1);
        put_mpint(&k->blob, e);
        put_mpint(&k->blob, n);
        BN_free(e);
        BN_free(n);
    } else {
        unsigned char point[200];
        size_t len = 0;
        CHECK(EVP_PKEY_get_octet_string_param(
                  k->private, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, point, sizeof(point), &len) == 1);
        put_text(&k->blob, "nistp256");
        put_string(&k->blob, point, len);
    }
    k->public = import_blob(&k->blob, k->type);
}

static struct key make_key(const char *type)
{
    struct key k = {.type = type};

    if (strcmp(type, "ssh-ed25519") == 0 || strcmp(type, "sk-ssh-ed25519@openssh.com") == 0) {
        k.private = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    } else if (strcmp(type, "ssh-rsa") == 0) {
        k.private = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)3072);
    } else {
        k.private = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    }
    CHECK(k.private != NULL);
    fill_key(&k);
    return k;
}

static void free_key(struct key *k)
{
    EVP_PKEY_free(k->private);
    ssh_key_free(k->public);
}

static void sign(const struct key *k, const char *algorithm, const void *data, size_t len,
                 struct bytes *out)
{
    const EVP_MD *md = NULL;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned char raw[1024];
    size_t raw_len = sizeof(raw);

    if (strcmp(algorithm, "rsa-sha2-512") == 0) {
        md = EVP_sha512();
    } else if (strcmp(algorithm, "ssh-ed25519") != 0) {
        md = EVP_sha256();
    }
    CHECK(EVP_DigestSignInit(ctx, NULL, md, NULL, k->private) == 1);
    CHECK(EVP_DigestSign(ctx, raw, &raw_len, data, len) == 1);
    EVP_MD_CTX_free(ctx);
    out->len = 0;
    put_text(out, algorithm);
    if (strncmp(algorithm, "ecdsa-", 6) == 0) {
        const unsigned char *p = raw;
        ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &p, (long)raw_len);
        struct bytes rs = {.len = 0};
        put_mpint(&rs, ECDSA_SIG_get0_r(sig));
        put_mpint(&rs, ECDSA_SIG_get0_s(sig));
        ECDSA_SIG_free(sig);
        put_string(out, rs.data, rs.len);
    } else {
        put_string(out, raw, raw_len);
    }
}

/* What a security key signs: hash of the application, flags, counter, hash of the data. */
static void sign_sk(const struct key *k, uint8_t flags, uint32_t counter, const void *data, size_t len,
                    struct bytes *out)
{
    struct bytes inner = {.len = 0}, plain;
    unsigned char hash[32];

    EVP_Digest("ssh:", 4, hash, NULL, EVP_sha256(), NULL);
    put(&inner, hash, 32);
    put(&inner, &flags, 1);
    put_u32(&inner, counter);
    EVP_Digest(data, len, hash, NULL, EVP_sha256(), NULL);
    put(&inner, hash, 32);
    sign(k, "ssh-ed25519", inner.data, inner.len, &plain);
    out->len = 0;
    put_text(out, k->type);
    put(out, plain.data + 15, plain.len - 15); /* without the type */
    put(out, &flags, 1);
    put_u32(out, counter);
}

static struct bytes make_host_certificate(const struct key *host, const struct key *ca, int kind)
{
    struct bytes cert = {.len = 0}, principals = {.len = 0}, signature;
    unsigned char nonce[32] = {1, 2, 3};

    put_text(&principals, "gateway.test");
    put_text(&cert, "ssh-ed25519-cert-v01@openssh.com");
    put_string(&cert, nonce, sizeof(nonce));
    put(&cert, host->blob.data + 4 + 11, host->blob.len - 4 - 11); /* the key without its type */
    put_u64(&cert, 7);                                              /* serial */
    put_u32(&cert, (uint32_t)kind);                                 /* 2: host */
    put_text(&cert, "self-test");
    put_string(&cert, principals.data, principals.len);
    put_u64(&cert, 0);
    put_u64(&cert, UINT64_MAX);
    put_text(&cert, ""); /* critical options */
    put_text(&cert, ""); /* extensions */
    put_text(&cert, ""); /* reserved */
    put_string(&cert, ca->blob.data, ca->blob.len);
    sign(ca, "ssh-ed25519", cert.data, cert.len, &signature);
    put_string(&cert, signature.data, signature.len);
    return cert;
}

/* ---- the signer ----------------------------------------------------------- */

struct host {
    struct key keys[3];
    int key_count;
    struct bytes cert;
    int signatures;
    int refuse;
};

static int sign_exchange_hash(ssh_session s, const char *algorithm, const void *blob,
                              size_t blob_len, const void *hash, size_t hash_len,
                              unsigned char *out, size_t *out_len, void *user)
{
    struct host *h = user;
    struct bytes signature;

    CHECK(ssh_session_feed(s, "x", 1) == SSH_ERROR); /* no way back in from a callback */
    if (h->refuse) {
        return -1;
    }
    for (int i = 0; i < h->key_count; i++) {
        if (h->keys[i].blob.len == blob_len && memcmp(h->keys[i].blob.data, blob, blob_len) == 0) {
            sign(&h->keys[i], algorithm, hash, hash_len, &signature);
            CHECK(signature.len <= *out_len);
            memcpy(out, signature.data, signature.len);
            *out_len = signature.len;
            h->signatures++;
            return 0;
        }
    }
    return -1;
}

/* ---- two sessions in memory ----------------------------------------------- */

struct side {
    ssh_session session;
    double cpu; /* seconds spent in feed */
    /* raw payloads */
    unsigned received, sent;
    uint64_t received_bytes;
    unsigned seed_in, seed_out;
    int check;
    /* failures reported */
    int failures;
    char reason[64], method[64], user[64];
};

struct pair {
    struct side server, client;
    struct host host;
    size_t chunk; /* 0: all at once */
    unsigned random;
};

static double cpu_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static unsigned next_random(unsigned *state)
{
    return *state = *state * 1664525u + 1013904223u;
}

/* Moves what `from` has to say into `to`. */
static size_t move(struct pair *p, struct side *from, struct side *to)
{
    size_t len = 0, part;
    const void *out = ssh_session_output(from->session, &len);
    double start;

    if (len == 0) {
        return 0;
    }
    part = len;
    if (p->chunk != 0) {
        part = 1 + (next_random(&p->random) >> 8) % p->chunk;
        part = part < len ? part : len;
    }
    start = cpu_now();
    ssh_session_feed(to->session, out, part);
    to->cpu += cpu_now() - start;
    ssh_session_output_consumed(from->session, part);
    return part;
}

static void pump(struct pair *p)
{
    while (move(p, &p->client, &p->server) + move(p, &p->server, &p->client) > 0) {
    }
}

static void on_failure(ssh_session s, const char *user, const char *method, const char *reason,
                       void *data)
{
    struct side *side = data;
    (void)s;
    side->failures++;
    snprintf(side->user, sizeof(side->user), "%s", user);
    snprintf(side->method, sizeof(side->method), "%s", method);
    snprintf(side->reason, sizeof(side->reason), "%s", reason);
}

static void add_host(ssh_session s, struct host *h)
{
    for (int i = 0; i < h->key_count; i++) {
        CHECK(ssh_session_add_host_public_key(s, h->keys[i].public) == SSH_OK);
    }
    if (h->cert.len > 0) {
        CHECK(ssh_session_add_host_certificate(s, h->cert.data, h->cert.len) == SSH_OK);
    }
    CHECK(ssh_session_set_hostkey_signer(s, sign_exchange_hash, h) == SSH_OK);
}

static ssh_session new_server(struct host *h, struct side *side)
{
    ssh_session s = ssh_new();
    CHECK(s != NULL);
    CHECK(ssh_session_use_external_io(s) == SSH_OK);
    CHECK(ssh_session_server_init(s) == SSH_OK);
    CHECK(ssh_session_set_banner(s, "Sallyport") == SSH_OK);
    CHECK(ssh_session_set_banner(s, "Sally port") == SSH_ERROR);
    CHECK(ssh_session_set_auth_failure_callback(s, on_failure, side) == SSH_OK);
    add_host(s, h);
    ssh_set_auth_methods(s, SSH_AUTH_METHOD_PUBLICKEY | SSH_AUTH_METHOD_PASSWORD);
    return s;
}

static ssh_session new_client(const char *kex, const char *hostkeys, const char *cipher)
{
    ssh_session s = ssh_new();
    CHECK(s != NULL);
    CHECK(ssh_session_use_external_io(s) == SSH_OK);
    CHECK(ssh_options_set(s, SSH_OPTIONS_USER, "alice") == SSH_OK);
    CHECK(ssh_options_set(s, SSH_OPTIONS_KEY_EXCHANGE, kex) == SSH_OK);
    CHECK(ssh_options_set(s, SSH_OPTIONS_HOSTKEYS, hostkeys) == SSH_OK);
    CHECK(ssh_options_set(s, SSH_OPTIONS_CIPHERS_C_S, cipher) == SSH_OK);
    CHECK(ssh_options_set(s, SSH_OPTIONS_CIPHERS_S_C, cipher) == SSH_OK);
    CHECK(ssh_session_set_banner(s, "Sallyport") == SSH_OK);
    return s;
}

/* Both key exchanges until done; 0, or -1 when one of them fails. */
static int handshake(struct pair *p)
{
    int s = SSH_AGAIN, c = SSH_AGAIN;
    double start;

    CHECK(ssh_session_feed(p->server.session, "x", 1) == SSH_ERROR); /* not started */
    for (int turn = 0; turn < 100000 && (s == SSH_AGAIN || c == SSH_AGAIN); turn++) {
        if (s == SSH_AGAIN) {
            start = cpu_now();
            s = ssh_handle_key_exchange(p->server.session);
            p->server.cpu += cpu_now() - start;
        }
        if (c == SSH_AGAIN) {
            start = cpu_now();
            c = ssh_connect(p->client.session);
            p->client.cpu += cpu_now() - start;
        }
        move(p, &p->client, &p->server);
        move(p, &p->server, &p->client);
    }
    pump(p);
    return s == SSH_OK && c == SSH_OK ? 0 : -1;
}

static void open_pair(struct pair *p, const char *kex, const char *hostkeys, const char *cipher)
{
    p->server.session = new_server(&p->host, &p->server);
    p->client.session = new_client(kex, hostkeys, cipher);
}

static void close_pair(struct pair *p)
{
    size_t len = 0;

    ssh_disconnect(p->client.session);
    ssh_session_output(p->client.session, &len);
    CHECK(len > 0); /* the DISCONNECT is there */
    CHECK(!ssh_is_connected(p->client.session));
    move(p, &p->client, &p->server);
    pump(p);
    CHECK(!ssh_is_connected(p->server.session));
    CHECK(strstr(ssh_get_error(p->server.session), "Bye Bye") != NULL);
    ssh_free(p->client.session);
    ssh_free(p->server.session);
}

static char last_algorithm[64];

/* Answers what waits at the server: services, then publickey of anybody. */
static int serve_auth(ssh_session s, int *probes, int *logins)
{
    ssh_message m;
    int done = 0;

    while ((m = ssh_message_get(s)) != NULL) {
        if (ssh_message_type(m) == SSH_REQUEST_SERVICE) {
            ssh_message_service_reply_success(m);
        } else if (ssh_message_type(m) == SSH_REQUEST_AUTH &&
                   ssh_message_subtype(m) == SSH_AUTH_METHOD_PUBLICKEY) {
            uint8_t flags;
            uint32_t counter;
            const char *algorithm = ssh_message_auth_pubkey_algorithm(m);
            CHECK(algorithm != NULL);
            if (strncmp(algorithm, "sk-", 3) == 0 &&
                ssh_message_auth_publickey_state(m) == SSH_PUBLICKEY_STATE_VALID) {
                CHECK(ssh_message_auth_sk_info(m, &flags, &counter) == SSH_OK);
                CHECK(flags == 5 && counter == 77);
            } else {
                CHECK(ssh_message_auth_sk_info(m, &flags, &counter) == SSH_ERROR);
            }
            snprintf(last_algorithm, sizeof(last_algorithm), "%s", algorithm);
            if (ssh_message_auth_publickey_state(m) == SSH_PUBLICKEY_STATE_NONE) {
                (*probes)++;
                ssh_message_auth_reply_pk_ok_simple(m);
            } else {
                CHECK(ssh_message_auth_publickey_state(m) == SSH_PUBLICKEY_STATE_VALID);
                (*logins)++;
                done = 1;
                ssh_message_auth_reply_success(m, 0);
            }
        } else {
            ssh_message_reply_default(m);
        }
        ssh_message_free(m);
    }
    return done;
}

static void login(struct pair *p)
{
    ssh_key key = NULL;
    int rc, probes = 0, logins = 0;

    CHECK(ssh_pki_generate(SSH_KEYTYPE_ED25519, 0, &key) == SSH_OK);
    do {
        rc = ssh_userauth_try_publickey(p->client.session, NULL, key);
        pump(p);
        serve_auth(p->server.session, &probes, &logins);
        pump(p);
    } while (rc == SSH_AUTH_AGAIN);
    CHECK(rc == SSH_AUTH_SUCCESS);
    do {
        rc = ssh_userauth_publickey(p->client.session, NULL, key);
        pump(p);
        serve_auth(p->server.session, &probes, &logins);
        pump(p);
    } while (rc == SSH_AUTH_AGAIN);
    if (rc != SSH_AUTH_SUCCESS) {
        fprintf(stderr, "login: %d, client: %s, server: %s, %s\n", rc,
                ssh_get_error(p->client.session), ssh_get_error(p->server.session), p->server.reason);
    }
    CHECK(rc == SSH_AUTH_SUCCESS);
    CHECK(probes == 1 && logins == 1);
    ssh_key_free(key);
}

static void test_handshake(struct host *host, const char *kex, const char *hostkey,
                           const char *cipher, size_t chunk)
{
    struct pair p = {.host = *host, .chunk = chunk, .random = 1};
    const void *id1, *id2, *ks;
    size_t len1, len2;
    int is_cert = strstr(hostkey, "-cert-") != NULL;

    open_pair(&p, kex, hostkey, cipher);
    CHECK(ssh_session_set_strict_kex_required(p.server.session, 1) == SSH_OK);
    CHECK(ssh_session_set_strict_kex_required(p.client.session, 1) == SSH_OK);
    if (handshake(&p) != 0) {
        fprintf(stderr, "server: %s\nclient: %s\n", ssh_get_error(p.server.session),
                ssh_get_error(p.client.session));
        CHECK(!"handshake");
    }
    CHECK(p.host.signatures == 1);
    for (int i = 0; i < 2; i++) {
        ssh_session s = i == 0 ? p.server.session : p.client.session;
        CHECK(strcmp(ssh_session_negotiated(s, 0), kex) == 0);
        CHECK(strcmp(ssh_session_negotiated(s, 1), hostkey) == 0);
        CHECK(strcmp(ssh_session_negotiated(s, 2), cipher) == 0);
        CHECK(strcmp(ssh_session_negotiated(s, 3), cipher) == 0);
        CHECK((*ssh_session_negotiated(s, 4) == 0) == (strstr(cipher, "-ctr") == NULL));
        CHECK(strcmp(ssh_session_negotiated(s, 6), "SSH-2.0-Sallyport") == 0);
        CHECK(strcmp(ssh_session_negotiated(s, 7), "strict") == 0);
        CHECK(!ssh_session_is_in_rekey(s));
        CHECK(ssh_is_connected(s));
    }
    CHECK(ssh_session_id(p.server.session, &id1, &len1) == SSH_OK);
    CHECK(ssh_session_id(p.client.session, &id2, &len2) == SSH_OK);
    CHECK(len1 == len2 && memcmp(id1, id2, len1) == 0);
    ks = ssh_session_host_key_blob(p.client.session, &len1);
    if (is_cert) {
        CHECK(len1 == host->cert.len && memcmp(ks, host->cert.data, len1) == 0);
    } else {
        int found = 0;
        for (int i = 0; i < host->key_count; i++) {
            found |= host->keys[i].blob.len == len1 && memcmp(ks, host->keys[i].blob.data, len1) == 0;
        }
        CHECK(found);
    }
    login(&p);
    CHECK(p.server.failures == 0);
    close_pair(&p);
    printf("handshake %s %s %s\n", kex, hostkey, cipher);
}

/* ---- an agent, for good and for bad signatures ---------------------------- */

struct agent {
    int fd;
    struct key key;
    int spoil;
    int hostbound; /* seen in what was signed */
};

static void read_all(int fd, void *to, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = read(fd, (char *)to + done, len - done);
        if (n <= 0) {
            pthread_exit(NULL);
        }
        done += (size_t)n;
    }
}

static void *run_agent(void *arg)
{
    struct agent *a = arg;
    unsigned char in[8192], head[4];

    for (;;) {
        struct bytes out = {.len = 0}, framed = {.len = 0};
        read_all(a->fd, head, 4);
        CHECK(u32(head) <= sizeof(in));
        read_all(a->fd, in, u32(head));
        if (in[0] == 11) {
            put(&out, "\x0c", 1);
            put_u32(&out, 1);
            put_string(&out, a->key.blob.data, a->key.blob.len);
            put_text(&out, "comment");
        } else {
            struct bytes signature;
            size_t blob_len = u32(in + 1), data_len = u32(in + 5 + blob_len);
            CHECK(in[0] == 13);
            if (a->key.type[1] == 'k') {
                sign_sk(&a->key, 5, 77, in + 9 + blob_len, data_len, &signature);
            } else {
                sign(&a->key, "ssh-ed25519", in + 9 + blob_len, data_len, &signature);
            }
            a->hostbound = memmem(in + 9 + blob_len, data_len, "publickey-hostbound-v00@openssh.com",
                                  35) != NULL;
            signature.data[signature.len - 1] ^= (unsigned char)a->spoil;
            put(&out, "\x0e", 1);
            put_string(&out, signature.data, signature.len);
        }
        put_string(&framed, out.data, out.len);
        CHECK(write(a->fd, framed.data, framed.len) == (ssize_t)framed.len);
    }
}

static void test_agent(struct host *host, const char *hostkey, const char *type, int spoil)
{
    struct pair p = {.host = *host};
    struct agent agent = {.spoil = spoil};
    pthread_t thread;
    int fds[2], rc, probes = 0, logins = 0;

    agent.key = make_key(type);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    agent.fd = fds[1];
    CHECK(pthread_create(&thread, NULL, run_agent, &agent) == 0);
    open_pair(&p, "curve25519-sha256", hostkey, "aes128-gcm@openssh.com");
    CHECK(handshake(&p) == 0);
    CHECK(ssh_set_agent_socket(p.client.session, fds[0]) == SSH_OK);
    do {
        rc = ssh_userauth_agent(p.client.session, NULL);
        pump(&p);
        serve_auth(p.server.session, &probes, &logins);
        pump(&p);
    } while (rc == SSH_AUTH_AGAIN);
    CHECK(agent.hostbound);
    if (spoil) {
        CHECK(rc == SSH_AUTH_DENIED && logins == 0);
        CHECK(p.server.failures == 1);
        CHECK(strcmp(p.server.reason, "wrong signature") == 0);
        CHECK(strcmp(p.server.user, "alice") == 0);
        CHECK(strcmp(p.server.method, "publickey-hostbound-v00@openssh.com") == 0);
    } else {
        CHECK(rc == SSH_AUTH_SUCCESS && logins == 1 && p.server.failures == 0);
    }
    close_pair(&p);
    close(fds[0]);
    pthread_join(thread, NULL);
    close(fds[1]);
    free_key(&agent.key);
    printf("agent, %s signature, %s, host %s\n", spoil ? "wrong" : "good", type, hostkey);
}

/* ---- refusals ------------------------------------------------------------- */

static void test_refusals(struct host *host)
{
    struct pair p = {.host = *host};
    ssh_session s;

    /* the signer says no */
    p.host.refuse = 1;
    open_pair(&p, "curve25519-sha256", "ssh-ed25519", "aes128-gcm@openssh.com");
    CHECK(handshake(&p) == -1);
    CHECK(strstr(ssh_get_error(p.server.session), "sign") != NULL);
    CHECK(!ssh_is_connected(p.server.session));
    ssh_session_feed_eof(p.client.session);
    CHECK(ssh_connect(p.client.session) == SSH_ERROR);
    ssh_free(p.server.session);
    ssh_free(p.client.session);

    /* nothing in common */
    p = (struct pair){.host = *host};
    open_pair(&p, "diffie-hellman-group-exchange-sha256", "ssh-ed25519", "aes128-gcm@openssh.com");
    CHECK(handshake(&p) == -1);
    CHECK(strstr(ssh_get_error(p.server.session), "no match") != NULL);
    ssh_free(p.server.session);
    ssh_free(p.client.session);

    /* a certificate of another key, and no key at all */
    s = ssh_new();
    CHECK(ssh_session_use_external_io(s) == SSH_OK && ssh_session_server_init(s) == SSH_OK);
    CHECK(ssh_session_add_host_certificate(s, host->cert.data, host->cert.len) == SSH_ERROR);
    CHECK(ssh_session_set_payload_handler(s, 50, 60, NULL, NULL) == SSH_ERROR);
    ssh_free(s);

    /* a client without a user, garbage, and end of file */
    s = ssh_new();
    CHECK(ssh_session_use_external_io(s) == SSH_OK);
    CHECK(ssh_connect(s) == SSH_ERROR && strstr(ssh_get_error(s), "SSH_OPTIONS_USER") != NULL);
    ssh_free(s);
    s = new_client("curve25519-sha256", "ssh-ed25519", "aes128-gcm@openssh.com");
    CHECK(ssh_connect(s) == SSH_AGAIN);
    CHECK(ssh_session_feed(s, "hello\r\nSSH-2.0-x\r\n", 18) == SSH_OK);
    CHECK(ssh_session_feed(s, "\xff\xff\xff\xff\xff\xff\xff\xff", 8) == SSH_ERROR);
    CHECK(ssh_connect(s) == SSH_ERROR);
    ssh_free(s);
    s = new_client("curve25519-sha256", "ssh-ed25519", "aes128-gcm@openssh.com");
    CHECK(ssh_connect(s) == SSH_AGAIN);
    ssh_session_feed_eof(s);
    CHECK(ssh_connect(s) == SSH_ERROR);
    CHECK(ssh_session_feed(s, "x", 1) == SSH_ERROR);
    ssh_free(s);

    /* Terrapin: a peer that says nothing of strict key exchange */
    s = new_client("curve25519-sha256", "ssh-ed25519", "chacha20-poly1305@openssh.com");
    CHECK(ssh_session_set_strict_kex_required(s, 1) == SSH_OK);
    CHECK(ssh_connect(s) == SSH_AGAIN);
    CHECK(ssh_session_feed(s, "SSH-2.0-old\r\n", 13) == SSH_OK);
    {
        struct bytes kex = {.len = 0}, packet = {.len = 0};
        static const char *lists[] = {"curve25519-sha256", "ssh-ed25519",
                                      "chacha20-poly1305@openssh.com",
                                      "chacha20-poly1305@openssh.com", "hmac-sha2-256",
                                      "hmac-sha2-256", "none", "none", "", ""};
        unsigned char pad[16] = {0};
        size_t padding;
        put(&kex, "\x14" "0123456789abcdef", 17);
        for (int i = 0; i < 10; i++) {
            put_text(&kex, lists[i]);
        }
        put(&kex, "\0\0\0\0\0", 5);
        padding = 8 - (kex.len + 5) % 8 + 4;
        padding = (kex.len + 5 + padding) % 8 == 0 ? padding : 8 - (kex.len + 5) % 8;
        padding = padding < 4 ? padding + 8 : padding;
        put_u32(&packet, (uint32_t)(kex.len + 1 + padding));
        pad[0] = (unsigned char)padding;
        put(&packet, pad, 1);
        pad[0] = 0;
        put(&packet, kex.data, kex.len);
        put(&packet, pad, padding);
        CHECK(ssh_session_feed(s, packet.data, packet.len) == SSH_ERROR);
        CHECK(strstr(ssh_get_error(s), "strict") != NULL);
    }
    ssh_free(s);
    printf("refusals\n");
}

/* ---- raw payloads --------------------------------------------------------- */

static unsigned char pattern[70000];

static size_t payload_size(unsigned *seed)
{
    unsigned r = next_random(seed) >> 8;
    return r % 8 == 0 ? 1 + (r >> 4) % 32 : 1 + (r >> 4) % 32768;
}

static int on_payload(ssh_session s, uint8_t type, const void *payload, size_t len, void *user)
{
    struct side *side = user;

    (void)s;
    if (side->check) {
        size_t want = payload_size(&side->seed_in);
        CHECK(type == 94 && len == want);
        CHECK(memcmp(payload, pattern + side->received % 256, len) == 0);
    }
    side->received++;
    side->received_bytes += len;
    return SSH_PACKET_USED;
}

static void send_one(struct side *side)
{
    size_t len = payload_size(&side->seed_out);
    unsigned char type = 94;
    unsigned char *at = pattern + side->sent % 256;
    struct iovec parts[3] = {{&type, 1}, {at, len / 3}, {at + len / 3, len - len / 3}};

    CHECK(ssh_session_send_payload(side->session, parts, 3) == SSH_OK);
    side->sent++;
}

static void test_payloads(struct host *host, const char *kex, const char *cipher, int who_rekeys,
                          unsigned count, size_t chunk)
{
    struct pair p = {.host = *host, .chunk = chunk, .random = 5};
    uint64_t limit = 1 << 20;
    int rekeys, in_rekey = 0;
    unsigned turns = 0;

    open_pair(&p, kex, "ssh-ed25519", cipher);
    if (who_rekeys & 1) {
        CHECK(ssh_options_set(p.server.session, SSH_OPTIONS_REKEY_DATA, &limit) == SSH_OK);
    }
    if (who_rekeys & 2) {
        CHECK(ssh_options_set(p.client.session, SSH_OPTIONS_REKEY_DATA, &limit) == SSH_OK);
    }
    CHECK(handshake(&p) == 0);
    {
        struct iovec early = {"\x5e", 1};
        CHECK(ssh_session_send_payload(p.server.session, &early, 1) == SSH_ERROR);
    }
    p.server.check = p.client.check = 1;
    p.server.seed_out = p.client.seed_in = 11;
    p.server.seed_in = p.client.seed_out = 12;
    CHECK(ssh_session_set_payload_handler(p.server.session, 80, 100, on_payload, &p.server) == SSH_OK);
    CHECK(ssh_session_set_payload_handler(p.client.session, 80, 100, on_payload, &p.client) == SSH_OK);
    login(&p);
    while (p.server.received < count || p.client.received < count) {
        for (int i = 0; i < 1 + (int)(turns % 4); i++) {
            if (p.server.sent < count && ssh_session_queued_output(p.server.session) < 1 << 20) {
                send_one(&p.server);
            }
            if (p.client.sent < count && ssh_session_queued_output(p.client.session) < 1 << 20) {
                send_one(&p.client);
            }
        }
        move(&p, &p.client, &p.server);
        move(&p, &p.server, &p.client);
        in_rekey += ssh_session_is_in_rekey(p.server.session);
        if (turns % 64 == 0) {
            ssh_session_trim(p.server.session);
            ssh_session_trim(p.client.session);
        }
        CHECK(ssh_is_connected(p.server.session) && ssh_is_connected(p.client.session));
        CHECK(++turns < 100000000);
    }
    pump(&p);
    rekeys = p.host.signatures - 1;
    CHECK(p.server.received == count && p.client.received == count);
    CHECK((rekeys > 0) == (who_rekeys != 0));
    CHECK((in_rekey > 0) == (rekeys > 0));
    CHECK(!ssh_session_is_in_rekey(p.server.session) && !ssh_session_is_in_rekey(p.client.session));
    CHECK(ssh_session_queued_output(p.server.session) == 0);
    printf("%u payloads each way, %.1f MiB, %d rekeys (%s), %s %s, chunks %zu\n", count,
           (double)(p.server.received_bytes + p.client.received_bytes) / (1 << 20), rekeys,
           who_rekeys == 0   ? "nobody asks"
           : who_rekeys == 1 ? "server asks"
           : who_rekeys == 2 ? "client asks"
                             : "both ask",
           kex, cipher, chunk);
    close_pair(&p);
}

/* ---- a small server and client for real peers ----------------------------- */

static void send_message(ssh_session s, const struct bytes *b)
{
    struct iovec part = {(void *)(uintptr_t)b->data, b->len};
    CHECK(ssh_session_send_payload(s, &part, 1) == SSH_OK);
}

struct talk {
    ssh_session session;
    char text[256]; /* what the command said */
    size_t text_len;
    int closed;
};

/* One session channel; any request is granted; exec says its command back. */
static int serve_payload(ssh_session s, uint8_t type, const void *payload, size_t len, void *user)
{
    struct talk *t = user;
    const unsigned char *p = payload;
    struct bytes b = {.len = 0};

    if (type == 90) {
        const unsigned char *sender = p + 4 + u32(p);
        put(&b, "\x5b", 1);
        put(&b, sender, 4);
        put_u32(&b, 0);
        put_u32(&b, 1 << 20);
        put_u32(&b, 32768);
        send_message(s, &b);
    } else if (type == 98) {
        size_t name_len = u32(p + 4);
        int exec = name_len == 4 && memcmp(p + 8, "exec", 4) == 0;
        if (p[8 + name_len]) {
            put(&b, "\x63\0\0\0\0", 5);
            send_message(s, &b);
        }
        if (exec) {
            b.len = 0;
            put(&b, "\x5e\0\0\0\0", 5);
            put_string(&b, p + 8 + name_len + 5, u32(p + 8 + name_len + 1));
            send_message(s, &b);
            b.len = 0;
            put(&b, "\x62\0\0\0\0", 5);
            put_text(&b, "exit-status");
            put(&b, "\0\0\0\0\x05", 5);
            send_message(s, &b);
            b.len = 0;
            put(&b, "\x60\0\0\0\0", 5);
            send_message(s, &b);
            b.len = 0;
            put(&b, "\x61\0\0\0\0", 5);
            send_message(s, &b);
        }
    } else if (type == 97) {
        t->closed = 1;
    } else if (type == 80) {
        size_t name_len = u32(p);
        if (p[4 + name_len]) {
            put(&b, "\x52", 1);
            send_message(s, &b);
        }
    }
    (void)len;
    return SSH_PACKET_USED;
}

/* The same seen from the other end: opens, execs, collects. */
static int client_payload(ssh_session s, uint8_t type, const void *payload, size_t len, void *user)
{
    struct talk *t = user;
    const unsigned char *p = payload;
    struct bytes b = {.len = 0};

    if (type == 91) {
        put(&b, "\x62", 1);
        put(&b, p + 4, 4);
        put_text(&b, "exec");
        put(&b, "\1", 1);
        put_text(&b, "echo from sshd");
        send_message(s, &b);
    } else if (type == 94) {
        size_t n = u32(p + 4);
        n = n < sizeof(t->text) - t->text_len - 1 ? n : 0;
        memcpy(t->text + t->text_len, p + 8, n);
        t->text_len += n;
    } else if (type == 97) {
        t->closed = 1;
    }
    (void)len;
    return SSH_PACKET_USED;
}

/* Moves bytes between a session and descriptors until want() or the end. */
static int turn(ssh_session s, int in, int out)
{
    char data[65536];
    size_t len;
    const void *o = ssh_session_output(s, &len);
    struct pollfd p = {in, POLLIN, 0};
    ssize_t n;

    while (len > 0) {
        n = write(out, o, len);
        if (n <= 0) {
            return -1;
        }
        ssh_session_output_consumed(s, (size_t)n);
        o = ssh_session_output(s, &len);
    }
    if (poll(&p, 1, 10000) != 1) {
        return -1;
    }
    n = read(in, data, sizeof(data));
    if (n <= 0) {
        ssh_session_feed_eof(s);
        return -1;
    }
    return ssh_session_feed(s, data, (size_t)n) == SSH_OK ? 0 : -1;
}

static void flush_output(ssh_session s, int out)
{
    size_t len;
    const void *o = ssh_session_output(s, &len);
    if (len > 0 && write(out, o, len) == (ssize_t)len) {
        ssh_session_output_consumed(s, len);
    }
}

static struct host stdio_host(const char *path)
{
    struct host h = {.key_count = 1};
    struct key ca = {.type = "ssh-ed25519"};
    char name[512];
    FILE *f;

    snprintf(name, sizeof(name), "%s/host.pem", path);
    f = fopen(name, "r");
    CHECK(f != NULL);
    h.keys[0].private = PEM_read_PrivateKey(f, NULL, NULL, NULL);
    fclose(f);
    h.keys[0].type = "ssh-ed25519";
    fill_key(&h.keys[0]);
    snprintf(name, sizeof(name), "%s/ca.pem", path);
    f = fopen(name, "r");
    CHECK(f != NULL);
    ca.private = PEM_read_PrivateKey(f, NULL, NULL, NULL);
    fclose(f);
    fill_key(&ca);
    h.cert = make_host_certificate(&h.keys[0], &ca, 2);
    free_key(&ca);
    return h;
}

static int serve_stdio(const char *path)
{
    struct host host = stdio_host(path);
    struct side side = {0};
    struct talk talk = {0};
    uint64_t limit = 1 << 20;
    int rc, probes = 0, logins = 0;
    ssh_session s = new_server(&host, &side);

    signal(SIGHUP, SIG_IGN); /* ssh sends it to its ProxyCommand at the end */

    ssh_options_set(s, SSH_OPTIONS_REKEY_DATA, &limit);
    talk.session = s;
    ssh_session_set_payload_handler(s, 80, 100, serve_payload, &talk);
    while ((rc = ssh_handle_key_exchange(s)) == SSH_AGAIN && turn(s, 0, 1) == 0) {
    }
    while (rc == SSH_OK && !talk.closed) {
        serve_auth(s, &probes, &logins);
        if (turn(s, 0, 1) != 0) {
            break;
        }
    }
    flush_output(s, 1);
    {
        char name[512];
        FILE *f;
        snprintf(name, sizeof(name), "%s/server.log", path);
        f = fopen(name, "w");
        fprintf(f, "%s, %s, %s, %s, %d probes, %d logins, failures %d %s\n",
                ssh_session_negotiated(s, 0), ssh_session_negotiated(s, 1),
                ssh_session_negotiated(s, 6), last_algorithm, probes, logins, side.failures,
                side.reason);
        fclose(f);
    }
    ssh_free(s);
    free_key(&host.keys[0]);
    return 0;
}

static void write_pem(const char *path, const char *name, EVP_PKEY *key)
{
    char file[512];
    FILE *f;
    snprintf(file, sizeof(file), "%s/%s", path, name);
    f = fopen(file, "w");
    CHECK(f != NULL && PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1);
    fclose(f);
}

static int run(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int run(const char *format, ...)
{
    char command[4096];
    va_list args;
    int status;

    va_start(args, format);
    vsnprintf(command, sizeof(command), format, args);
    va_end(args);
    status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_ssh_client(const char *self, const char *dir)
{
    struct key host = make_key("ssh-ed25519"), ca = make_key("ssh-ed25519");
    char text[512], known[512];
    FILE *f;

    write_pem(dir, "host.pem", host.private);
    write_pem(dir, "ca.pem", ca.private);
    CHECK(run("ssh-keygen -q -t ed25519 -N '' -f %s/user", dir) == 0);
    EVP_EncodeBlock((unsigned char *)text, ca.blob.data, (int)ca.blob.len);
    snprintf(known, sizeof(known), "%s/known_hosts", dir);
    f = fopen(known, "w");
    fprintf(f, "@cert-authority gateway.test ssh-ed25519 %s\n", text);
    fclose(f);
    for (int i = 0; i < 3; i++) {
        static const char *kex[] = {"curve25519-sha256", "sntrup761x25519-sha512@openssh.com",
                                    "ecdh-sha2-nistp256"};
        CHECK(run("ssh -F none -o IdentitiesOnly=yes -i %s/user -o UserKnownHostsFile=%s "
                  "-o GlobalKnownHostsFile=/dev/null -o StrictHostKeyChecking=yes -o BatchMode=yes "
                  "-o KexAlgorithms=%s -o 'ProxyCommand=%s stdio %s' root@gateway.test 'said by ssh %d' "
                  ">%s/out; test $? = 5 && test \"$(cat %s/out)\" = 'said by ssh %d'",
                  dir, known, kex[i], self, dir, i, dir, dir, i) == 0);
    }
    /* users with certificates */
    for (int i = 0; i < 3; i++) {
        static const char *type[] = {"ed25519", "rsa", "ecdsa"};
        static const char *algorithm[] = {"ssh-ed25519-cert-v01@openssh.com",
                                          "rsa-sha2-512-cert-v01@openssh.com",
                                          "ecdsa-sha2-nistp256-cert-v01@openssh.com"};
        CHECK(run("cd %s && rm -f u u.pub server.log && ssh-keygen -q -t %s -N '' -f u && "
                  "ssh-keygen -q -s user -I id -n root u.pub && "
                  "ssh -F none -o IdentitiesOnly=yes -o CertificateFile=u-cert.pub -i u -o UserKnownHostsFile=%s "
                  "-o GlobalKnownHostsFile=/dev/null -o StrictHostKeyChecking=yes -o BatchMode=yes "
                  "-o 'ProxyCommand=%s stdio %s' root@gateway.test hello >out; "
                  "test $? = 5 && test \"$(cat out)\" = hello && "
                  "for i in $(seq 50); do test -s server.log && break; sleep 0.1; done; "
                  "grep -q ', %s, 1 probes, 1 logins, failures 0' server.log",
                  dir, type[i], known, self, dir, algorithm[i]) == 0);
    }
    /* the same host under a name the certificate does not have */
    CHECK(run("ssh -F none -i %s/user -o UserKnownHostsFile=%s -o GlobalKnownHostsFile=/dev/null "
              "-o StrictHostKeyChecking=yes -o BatchMode=yes -o 'ProxyCommand=%s stdio %s' "
              "root@other.test x 2>%s/err; grep -q 'Host key verification failed' %s/err",
              dir, known, self, dir, dir, dir) == 0);
    free_key(&host);
    free_key(&ca);
    printf("real ssh with a host certificate\n");
}

static void test_sshd(const char *dir, const char *kex, const char *hostkeys, int hostbound)
{
    struct talk talk = {0};
    ssh_key key = NULL;
    ssh_session s;
    const void *ks;
    size_t len;
    int fds[2], rc;
    char config[512], log[512];
    FILE *f;
    pid_t child;
    struct bytes b = {.len = 0};

    snprintf(config, sizeof(config), "%s/sshd_config", dir);
    snprintf(log, sizeof(log), "%s/sshd.log", dir);
    f = fopen(config, "w");
    fprintf(f, "HostKey %s/hostkey\nHostCertificate %s/hostkey-cert.pub\nAuthorizedKeysFile %s/user.pub\n"
               "StrictModes no\nUsePAM no\nPermitRootLogin yes\nLogLevel DEBUG3\nPidFile none\n",
            dir, dir, dir);
    fclose(f);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    child = fork();
    if (child == 0) {
        dup2(fds[1], 0);
        dup2(fds[1], 1);
        close(fds[0]);
        close(fds[1]);
        execl("/usr/sbin/sshd", "/usr/sbin/sshd", "-i", "-f", config, "-E", log, (char *)NULL);
        _exit(127);
    }
    close(fds[1]);
    s = new_client(kex, hostkeys, "aes128-gcm@openssh.com");
    CHECK(ssh_options_set(s, SSH_OPTIONS_USER, "root") == SSH_OK);
    talk.session = s;
    ssh_session_set_payload_handler(s, 80, 100, client_payload, &talk);
    while ((rc = ssh_connect(s)) == SSH_AGAIN && turn(s, fds[0], fds[0]) == 0) {
    }
    if (rc != SSH_OK) {
        fprintf(stderr, "sshd: %s\n", ssh_get_error(s));
    }
    CHECK(rc == SSH_OK);
    CHECK(strcmp(ssh_session_negotiated(s, 1), hostkeys) == 0);
    ks = ssh_session_host_key_blob(s, &len);
    CHECK(len > 50 && memcmp((const char *)ks + 4, hostkeys, strlen(hostkeys)) == 0);
    snprintf(config, sizeof(config), "%s/user", dir);
    CHECK(ssh_pki_import_privkey_file(config, NULL, NULL, NULL, &key) == SSH_OK);
    while ((rc = ssh_userauth_publickey(s, NULL, key)) == SSH_AUTH_AGAIN &&
           turn(s, fds[0], fds[0]) == 0) {
    }
    CHECK(rc == SSH_AUTH_SUCCESS);
    put(&b, "\x5a", 1);
    put_text(&b, "session");
    put_u32(&b, 3);
    put_u32(&b, 1 << 20);
    put_u32(&b, 32768);
    send_message(s, &b);
    while (!talk.closed && turn(s, fds[0], fds[0]) == 0) {
    }
    CHECK(strcmp(talk.text, "from sshd\n") == 0);
    ssh_disconnect(s);
    flush_output(s, fds[0]);
    close(fds[0]);
    ssh_free(s);
    ssh_key_free(key);
    waitpid(child, NULL, 0);
    CHECK(run("grep -q 'publickey-hostbound-v00@openssh.com' %s", log) == (hostbound ? 0 : 1));
    CHECK(run("grep -q 'Bye Bye' %s", log) == 0);
    unlink(log);
    printf("real sshd, %s %s\n", kex, hostkeys);
}

static void test_peers(const char *self)
{
    char dir[] = "/tmp/sallyport-selftest-XXXXXX";

    CHECK(mkdtemp(dir) != NULL);
    test_ssh_client(self, dir);
    CHECK(run("cd %s && ssh-keygen -q -t ed25519 -N '' -f hostkey && ssh-keygen -q -t ed25519 -N '' -f ca && "
              "ssh-keygen -q -s ca -I host -h -n gateway.test hostkey.pub && mkdir -p /run/sshd",
              dir) == 0);
    test_sshd(dir, "curve25519-sha256", "ssh-ed25519", 1);
    test_sshd(dir, "curve25519-sha256", "ssh-ed25519-cert-v01@openssh.com", 1);
    test_sshd(dir, "sntrup761x25519-sha512@openssh.com", "ssh-ed25519-cert-v01@openssh.com", 1);
    run("rm -rf %s", dir);
}

/* ---- bench ---------------------------------------------------------------- */

static void bench_handshake(struct host *host, const char *kex, const char *hostkey)
{
    struct pair p = {.host = *host};
    double server = 0, client = 0;
    int rounds = 20;

    for (int i = 0; i < rounds + 2; i++) {
        if (i == 2) {
            server = client = 0; /* warm */
        }
        p.server.cpu = p.client.cpu = 0;
        open_pair(&p, kex, hostkey, "aes128-gcm@openssh.com");
        CHECK(handshake(&p) == 0);
        server += p.server.cpu;
        client += p.client.cpu;
        ssh_free(p.server.session);
        ssh_free(p.client.session);
    }
    printf("%-36s %-12s server %6.2f ms  client %6.2f ms\n", kex, hostkey, server / rounds * 1e3,
           client / rounds * 1e3);
}

static void bench_bulk(struct host *host, const char *cipher, size_t size)
{
    struct pair p = {.host = *host};
    struct timespec a, b;
    unsigned char type = 94;
    struct iovec parts[2] = {{&type, 1}, {pattern, size}};
    uint64_t total = (uint64_t)(size > 1000 ? 32768 : 1000000) * size;
    double seconds;

    open_pair(&p, "curve25519-sha256", "ssh-ed25519", cipher);
    CHECK(handshake(&p) == 0);
    ssh_session_set_payload_handler(p.server.session, 80, 100, on_payload, &p.server);
    login(&p);
    clock_gettime(CLOCK_MONOTONIC, &a);
    while (p.server.received_bytes < total) {
        for (int i = 0; i < 4; i++) {
            CHECK(ssh_session_send_payload(p.client.session, parts, 2) == SSH_OK);
        }
        move(&p, &p.client, &p.server);
        move(&p, &p.server, &p.client); /* a rekey */
    }
    clock_gettime(CLOCK_MONOTONIC, &b);
    seconds = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
    printf("%-32s %6zu bytes: %8.1f MiB/s, %6.2f us a packet (both sessions)\n", cipher, size,
           (double)p.server.received_bytes / (1 << 20) / seconds,
           seconds * 1e6 / (double)p.server.received);
    ssh_free(p.server.session);
    ssh_free(p.client.session);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    unsigned count = strcmp(what, "quick") == 0 ? 150 : 10000;
    struct host host = {.key_count = 3};
    struct key ca;

    ssh_init();
    if (argc == 3 && strcmp(what, "stdio") == 0) {
        return serve_stdio(argv[2]);
    }
    CHECK(RAND_bytes(pattern, sizeof(pattern)) == 1);
    host.keys[0] = make_key("ssh-ed25519");
    host.keys[1] = make_key("ssh-rsa");
    host.keys[2] = make_key("ecdsa-sha2-nistp256");
    ca = make_key("ssh-ed25519");
    host.cert = make_host_certificate(&host.keys[0], &ca, 2);

    if (strcmp(what, "bulk") == 0) { /* bulk [size]: for a profiler */
        for (int i = 0; i < 5; i++) {
            bench_bulk(&host, "aes128-gcm@openssh.com", argc > 2 ? (size_t)atoi(argv[2]) : 32768);
        }
    } else if (strcmp(what, "bench") == 0) {
        static const char *kex[] = {"curve25519-sha256", "ecdh-sha2-nistp256", "mlkem768x25519-sha256",
                                    "sntrup761x25519-sha512@openssh.com"};
        for (size_t i = 0; i < sizeof(kex) / sizeof(kex[0]); i++) {
            bench_handshake(&host, kex[i], "ssh-ed25519");
        }
        bench_handshake(&host, "curve25519-sha256", "rsa-sha2-512");
        bench_bulk(&host, "aes128-gcm@openssh.com", 32768);
        bench_bulk(&host, "aes256-gcm@openssh.com", 32768);
        bench_bulk(&host, "chacha20-poly1305@openssh.com", 32768);
        bench_bulk(&host, "aes128-ctr", 32768);
        bench_bulk(&host, "aes128-gcm@openssh.com", 64);
    } else if (strcmp(what, "peers") == 0) {
        char self[4096];
        CHECK(realpath(argv[0], self) != NULL);
        test_peers(self);
    } else {
        static const char *kex[] = {"curve25519-sha256", "mlkem768x25519-sha256",
                                    "sntrup761x25519-sha512@openssh.com"};
        static const char *hostkey[] = {"ssh-ed25519", "rsa-sha2-512", "rsa-sha2-256",
                                        "ecdsa-sha2-nistp256", "ssh-ed25519-cert-v01@openssh.com"};
        static const char *cipher[] = {"aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com",
                                       "aes256-ctr"};
        for (int i = 0; i < 3; i++) {
            for (int j = 0; j < 5; j++) {
                test_handshake(&host, kex[i], hostkey[j], cipher[(i + j) % 3], j % 2 ? 7 : 0);
            }
        }
        test_agent(&host, "ssh-ed25519", "ssh-ed25519", 0);
        test_agent(&host, "ssh-ed25519-cert-v01@openssh.com", "ssh-ed25519", 0);
        test_agent(&host, "ssh-ed25519", "ssh-ed25519", 1);
        test_agent(&host, "ssh-ed25519", "sk-ssh-ed25519@openssh.com", 0);
        test_agent(&host, "ssh-ed25519", "sk-ssh-ed25519@openssh.com", 1);
        test_refusals(&host);
        test_payloads(&host, "curve25519-sha256", "aes128-gcm@openssh.com", 1, count, 0);
        test_payloads(&host, "curve25519-sha256", "aes128-gcm@openssh.com", 2, count, 50000);
        test_payloads(&host, "mlkem768x25519-sha256", "chacha20-poly1305@openssh.com", 3, count, 20000);
        test_payloads(&host, "curve25519-sha256", "aes256-ctr", 3, count < 1000 ? count : count / 4, 3000);
        test_payloads(&host, "curve25519-sha256", "aes128-gcm@openssh.com", 0, 100, 17);
    }
    for (int i = 0; i < host.key_count; i++) {
        free_key(&host.keys[i]);
    }
    free_key(&ca);
    ssh_finalize();
    printf("%d checks passed\n", checks);
    return 0;
}
