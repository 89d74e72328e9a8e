#include "keyd_key.h"

#include "base/log.h"
#include "base/mem.h"
#include "tls/scheme.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <unistd.h>

#define LOCKED_BYTES (256u << 10) /* OpenSSL's secure heap: locked, not dumped, guarded on both sides */
#define LOCKED_SMALLEST 64u
#define RSA_BITS_MIN 2048

struct keyd_key {
	EVP_PKEY *key; /* owned */
	struct keyd_kind kind;
};

void keyd_key_prepare(void)
{
	/* Before anything else of OpenSSL may ask for memory that matters. */
	int locked = CRYPTO_secure_malloc_initialized() ? 1 : CRYPTO_secure_malloc_init(LOCKED_BYTES, LOCKED_SMALLEST);

	if (locked == 0)
		log_fatal("locked memory for private keys", ENOMEM);
	if (locked == 2)
		LOG(LEVEL_WARN, "keys-not-locked",
		    KV_STR("why", "RLIMIT_MEMLOCK is too low: private keys may be swapped out"));
	if (OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) != 1)
		log_fatal("starting OpenSSL", 0);
}

/* ---- reading ---- */

/* Up to `max` bytes from the beginning of the file; -1: errno.  More than `max` is EFBIG. */
static ssize_t read_file(int fd, char *out, size_t max)
{
	size_t len = 0;

	for (;;) {
		ssize_t n = pread(fd, out + len, max + 1 - len, (off_t)len);

		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0 ? (ssize_t)len : -1;
		len += (size_t)n;
		if (len > max) {
			errno = EFBIG;
			return -1;
		}
	}
}

/* An encrypted key would need a password, and nobody is here to type one. */
static int no_password(char *out, int size, int writing, void *asked)
{
	(void)out;
	(void)size;
	(void)writing;
	*(bool *)asked = true;
	return -1;
}

static EVP_PKEY *parse(const char *pem, size_t len, char *why)
{
	BIO *bio = BIO_new_mem_buf(pem, (int)len);
	bool asked = false;
	EVP_PKEY *key = bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, no_password, &asked);

	if (key == NULL)
		snprintf(why, KEYD_WHY_BYTES, "%s",
			 asked ? "the private key is encrypted; store it without a password, readable by root only" :
				 "there is no private key in PEM form (-----BEGIN PRIVATE KEY-----)");
	BIO_free(bio);
	ERR_clear_error();
	return key;
}

static const char *group_of(EVP_PKEY *key)
{
	static const char *const groups[] = {"prime256v1", "secp384r1", "secp521r1"};
	char name[64] = "";

	(void)EVP_PKEY_get_group_name(key, name, sizeof(name), NULL);
	for (size_t i = 0; i < ARRAY_LEN(groups); i++)
		if (strcmp(groups[i], name) == 0)
			return groups[i];
	return NULL;
}

static bool find_kind(EVP_PKEY *key, struct keyd_kind *out, char *why)
{
	*out = (struct keyd_kind){.is_ec = EVP_PKEY_is_a(key, "EC")};
	if (out->is_ec)
		out->group = group_of(key);
	if (out->is_ec ? out->group != NULL : EVP_PKEY_is_a(key, "RSA") && EVP_PKEY_get_bits(key) >= RSA_BITS_MIN)
		return true;
	snprintf(why, KEYD_WHY_BYTES,
		 "a private key must be RSA of %d bits or more, or EC on P-256, P-384 or P-521", RSA_BITS_MIN);
	return false;
}

static struct keyd_key *key_from(const char *pem, size_t len, char *why)
{
	struct keyd_key *k = mem_new(1, sizeof(*k));

	if (k == NULL) {
		snprintf(why, KEYD_WHY_BYTES, "out of memory");
		return NULL;
	}
	k->key = parse(pem, len, why);
	if (k->key == NULL || !find_kind(k->key, &k->kind, why))
		keyd_key_free(&k);
	return k;
}

struct keyd_key *keyd_key_read(int fd, char why[KEYD_WHY_BYTES])
{
	char *space = OPENSSL_secure_malloc(KEYD_KEY_FILE_MAX + 1);
	struct keyd_key *k = NULL;
	ssize_t len;

	if (space == NULL) {
		snprintf(why, KEYD_WHY_BYTES, "out of locked memory");
		return NULL;
	}
	len = read_file(fd, space, KEYD_KEY_FILE_MAX);
	if (len >= 0)
		k = key_from(space, (size_t)len, why);
	else
		snprintf(why, KEYD_WHY_BYTES, "the private key cannot be read: %s", log_errno_text(errno).at);
	OPENSSL_secure_clear_free(space, KEYD_KEY_FILE_MAX + 1);
	return k;
}

void keyd_key_free(struct keyd_key **kp)
{
	struct keyd_key *k = *kp;

	if (k == NULL)
		return;
	*kp = NULL;
	EVP_PKEY_free(k->key);
	free(k);
}

const struct keyd_kind *keyd_key_kind(const struct keyd_key *k)
{
	return &k->kind;
}

const char *keyd_key_kind_name(const struct keyd_key *k)
{
	return k->kind.is_ec ? "ECDSA" : "RSA";
}

bool keyd_key_is_of(const struct keyd_key *k, struct x509_st *certificate)
{
	bool is = X509_check_private_key(certificate, k->key) == 1;

	ERR_clear_error();
	return is;
}

/* ---- signing ---- */

static bool set_scheme(EVP_MD_CTX *md, EVP_PKEY *key, const struct tls_scheme *scheme)
{
	EVP_PKEY_CTX *ctx = NULL;

	if (EVP_DigestSignInit_ex(md, &ctx, scheme->digest, NULL, NULL, key, NULL) != 1)
		return false;
	return !scheme->is_pss || (EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
				   EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1);
}

bool keyd_key_sign(struct keyd_key *k, uint64_t number, struct slice tbs, struct buf *signature_out)
{
	const struct tls_scheme *scheme = tls_scheme_find(number);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	size_t len = (size_t)EVP_PKEY_get_size(k->key);
	char *room = buf_room(signature_out, len);
	bool ok = md != NULL && room != NULL && scheme != NULL && set_scheme(md, k->key, scheme) &&
		  EVP_DigestSign(md, (unsigned char *)room, &len, (const unsigned char *)tbs.at, tbs.len) == 1;

	if (ok)
		buf_grew(signature_out, len);
	EVP_MD_CTX_free(md);
	ERR_clear_error();
	return ok;
}
