#include "tls/test_certificate.h"

#include "tls/scheme.h"

#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

static void need(bool ok)
{
	if (!ok)
		abort();
}

static void add_extension(X509 *x, int nid, const char *value)
{
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	need(extension != NULL && X509_add_ext(x, extension, -1) == 1);
	X509_EXTENSION_free(extension);
}

static void take_bio(BIO *bio, struct buf *out)
{
	char *at = NULL;
	long len = BIO_get_mem_data(bio, &at);

	need(buf_add(out, at, (size_t)len));
	BIO_free(bio);
}

void test_certificate(EVP_PKEY *key, const char *name, long from_s, long until_s, struct buf *pem)
{
	char common[64];

	snprintf(common, sizeof(common), "%.*s", (int)strcspn(name, ","), name);
	test_certificate_named(key, common, name, from_s, until_s, pem);
}

void test_certificate_named(EVP_PKEY *key, const char *common, const char *names, long from_s, long until_s, struct buf *pem)
{
	X509 *x = X509_new();
	BIO *bio = BIO_new(BIO_s_mem());
	static char san[32768];

	snprintf(san, sizeof(san), "DNS:%s", names);
	need(X509_set_version(x, 2) == 1);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), from_s);
	X509_gmtime_adj(X509_getm_notAfter(x), until_s);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)common, -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	need(X509_set_pubkey(x, key) == 1);
	add_extension(x, NID_subject_alt_name, san);
	add_extension(x, NID_basic_constraints, "critical,CA:TRUE");
	need(X509_sign(x, key, EVP_sha256()) > 0);
	need(PEM_write_bio_X509(bio, x) == 1);
	take_bio(bio, pem);
	X509_free(x);
}

void test_key_pem(EVP_PKEY *key, struct buf *pem)
{
	BIO *bio = BIO_new(BIO_s_mem());

	need(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1);
	take_bio(bio, pem);
}

bool test_sign(EVP_PKEY *key, uint16_t number, struct slice tbs, struct buf *out)
{
	const struct tls_scheme *scheme = tls_scheme_find(number);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	EVP_PKEY_CTX *ctx;
	size_t len = 1024;
	char *room = buf_room(out, len);
	bool ok = scheme != NULL && room != NULL && EVP_DigestSignInit_ex(md, &ctx, scheme->digest, NULL, NULL, key, NULL) == 1;

	if (ok && scheme->is_pss)
		ok = EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
		     EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1;
	ok = ok && EVP_DigestSign(md, (unsigned char *)room, &len, (const unsigned char *)tbs.at, tbs.len) == 1;
	if (ok)
		buf_grew(out, len);
	EVP_MD_CTX_free(md);
	return ok;
}

struct tls_server *test_server(struct slice chain, const char *listener, bool tickets)
{
	char why[TLS_WHY_BYTES];
	struct tls_host host = {.certificate = tls_certificate_new(chain, 0, why)};
	const struct tls_server_config config = {.hosts = &host, .host_count = 1, .listener = listener, .tickets = tickets};
	struct tls_server *s = host.certificate == NULL ? NULL : tls_server_new(&config, why);

	tls_certificate_free(&host.certificate);
	return s;
}
