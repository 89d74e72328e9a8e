#include "base/log.h"
#include "base/mem.h"
#include "tls/tls.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the headers above first */
#include <cmocka.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>

/*
 * Which certificate may speak for the host that mail goes to: a handshake for each, between our client and OpenSSL's own server.
 * The certificate is trusted in every case; only its names differ.
 */
struct name {
	int type; /* GEN_DNS, GEN_IPADD, GEN_OTHERNAME, GEN_URI; -1: none */
	struct slice value;
};

#define DNS(text) {GEN_DNS, {text, sizeof(text) - 1}}

static const struct {
	const char *variant, *wanted;
	struct name name;
	const char *common_name;
	bool good;
} cases[] = {
	{"same", "good.example", DNS("good.example"), "x", true},
	{"letters", "GOOD.example", DNS("good.EXAMPLE"), "x", true},
	{"wildcard", "mx.good.example", DNS("*.good.example"), "x", true},
	{"a-label", "xn--bcher-kva.example", DNS("xn--bcher-kva.example"), "x", true},
	{"address", "192.0.2.1", {GEN_IPADD, {"\300\0\2\1", 4}}, "x", true},
	{"common-name-alone", "good.example", {-1, {"", 0}}, "good.example", true},
	{"nul", "good.example", DNS("good.example\0.evil"), "x", false},
	{"nul-at-end", "good.example", DNS("good.example\0"), "x", false},
	{"other", "good.example", DNS("evil.example"), "x", false},
	{"suffix", "good.example", DNS("notgood.example"), "x", false},
	{"parent", "mx.good.example", DNS("good.example"), "x", false},
	{"wildcard-two-labels", "a.mx.good.example", DNS("*.good.example"), "x", false},
	{"wildcard-itself", "good.example", DNS("*.good.example"), "x", false},
	{"wildcard-star", "good.example", DNS("*"), "x", false},
	{"wildcard-dot", "good.example", DNS("*."), "x", false},
	{"wildcard-partial", "ab.example.test", DNS("a*.example.test"), "x", false},
	{"wildcard-tail", "ba.example.test", DNS("*a.example.test"), "x", false},
	{"wildcard-inside", "a.b.example", DNS("a.*.example"), "x", false},
	{"wildcard-idn", "xn--bcher-kva.example", DNS("xn--*.example"), "x", false},
	{"u-label", "xn--bcher-kva.example", DNS("b\xc3\xbc" "cher.example"), "x", false},
	{"trailing-dot", "good.example", DNS("good.example."), "x", false},
	{"leading-dot", "mx.good.example", DNS(".good.example"), "x", false},
	{"common-name-beside", "good.example", DNS("evil.example"), "good.example", false},
	{"address-as-name", "192.0.2.1", DNS("192.0.2.1"), "x", false},
	{"name-as-address", "good.example", {GEN_IPADD, {"\300\0\2\1", 4}}, "x", false},
	{"uri", "good.example", {GEN_URI, {"good.example", 12}}, "x", false},
	{"other-name", "good.example", {GEN_OTHERNAME, {"good.example", 12}}, "x", false},
	{"empty", "good.example", DNS(""), "x", false},
};

static GENERAL_NAME *general_name(const struct name *n)
{
	GENERAL_NAME *made = GENERAL_NAME_new();
	ASN1_STRING *text = ASN1_STRING_type_new(n->type == GEN_IPADD ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING);

	ASN1_STRING_set(text, n->value.at, (int)n->value.len);
	if (n->type == GEN_OTHERNAME) {
		ASN1_TYPE *any = ASN1_TYPE_new();

		ASN1_TYPE_set(any, V_ASN1_IA5STRING, text);
		GENERAL_NAME_set0_othername(made, OBJ_txt2obj("1.3.6.1.5.5.7.8.7", 1), any);
	} else {
		GENERAL_NAME_set0_value(made, n->type, text);
	}
	return made;
}

static void add_name(X509 *x, const struct name *n)
{
	GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();

	sk_GENERAL_NAME_push(names, general_name(n));
	assert_int_equal(X509_add1_ext_i2d(x, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT), 1);
	GENERAL_NAMES_free(names);
}

static X509 *certificate(EVP_PKEY *key, const struct name *n, const char *common_name)
{
	X509 *x = X509_new();
	X509_NAME *subject = X509_get_subject_name(x);

	X509_set_version(x, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -1000);
	X509_gmtime_adj(X509_getm_notAfter(x), 100000);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)common_name, -1, -1, 0);
	X509_set_issuer_name(x, subject);
	X509_set_pubkey(x, key);
	if (n->type >= 0)
		add_name(x, n);
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	return x;
}

static void add_pem(X509 *x, struct buf *out)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *at;
	long len;

	assert_int_equal(PEM_write_bio_X509(bio, x), 1);
	len = BIO_get_mem_data(bio, &at);
	assert_true(buf_add(out, at, (size_t)len));
	BIO_free(bio);
}

/* What the server has to say moves to the client and back until one of them is through. */
static bool shake_hands(struct tls_conn *c, SSL *server)
{
	struct buf out = buf_make(1 << 18), plain = buf_make(1 << 16);
	char space[16384];
	enum tls_want want = TLS_WANT_READ;
	size_t taken = 0;

	for (unsigned i = 0; i < 20 && want == TLS_WANT_READ && !tls_is_open(c); i++) {
		int n = BIO_read(SSL_get_wbio(server), space, sizeof(space));

		want = tls_step(c, slice_make(space, n > 0 ? (size_t)n : 0), &out, &plain);
		BIO_write(SSL_get_rbio(server), out.at + taken, (int)(out.len - taken));
		taken = out.len;
		(void)SSL_do_handshake(server);
	}
	buf_free(&out);
	buf_free(&plain);
	return tls_is_open(c);
}

static bool is_taken(EVP_PKEY *key, const struct name *n, const char *common_name, const char *wanted)
{
	X509 *x = certificate(key, n, common_name);
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	struct buf pem = buf_make(1 << 16);
	char why[TLS_WHY_BYTES];
	struct tls_client *trusted;
	struct tls_conn *c;
	SSL *server;
	bool taken;

	add_pem(x, &pem);
	assert_int_equal(SSL_CTX_use_certificate(ctx, x), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(ctx, key), 1);
	server = SSL_new(ctx);
	SSL_set_bio(server, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	SSL_set_accept_state(server);
	trusted = tls_client_new(&(struct tls_client_config){.trust_pem = buf_slice(&pem), .verify = true}, why);
	assert_non_null(trusted);
	c = tls_conn_client(trusted, wanted, NULL);
	assert_non_null(c);
	taken = shake_hands(c, server) && tls_facts(c)->peer_verified;
	tls_conn_free(&c);
	tls_client_free(&trusted);
	SSL_free(server);
	SSL_CTX_free(ctx);
	X509_free(x);
	buf_free(&pem);
	return taken;
}

static void test_names(void **state)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	unsigned wrong = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		bool as_expected =
			is_taken(key, &cases[i].name, cases[i].common_name, cases[i].wanted) == cases[i].good;

		printf("ROW S04 %s %s\n", cases[i].variant, as_expected ? "pass" : "fail");
		wrong += !as_expected;
	}
	EVP_PKEY_free(key);
	assert_int_equal(wrong, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_names)};

	tls_prepare();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
