#include "tls/internal.h"

#include "base/mem.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>

/* A server's certificate: its chain, its names, and the key that is elsewhere; and what a client's certificate says. */

/* ---- reading a chain ---- */

static bool take_leaf(struct tls_certificate *c, X509 *leaf, uint64_t number, char *why)
{
	c->leaf = leaf;
	X509_up_ref(leaf);
	c->key = tls_key_new(leaf, number);
	if (c->key != NULL)
		return true;
	snprintf(why, TLS_WHY_BYTES, "the server's certificate has a key of a kind that is not supported; use RSA or EC");
	ERR_clear_error();
	return false;
}

static bool take_issuer(struct tls_certificate *c, X509 *x, char *why)
{
	if (sk_X509_num(c->chain) + 1 >= (int)TLS_CHAIN_CERTIFICATES_MAX) {
		snprintf(why, TLS_WHY_BYTES, "the certificate chain has more than %u certificates",
			 TLS_CHAIN_CERTIFICATES_MAX);
		return false;
	}
	if (sk_X509_push(c->chain, x) > 0) {
		X509_up_ref(x);
		return true;
	}
	snprintf(why, TLS_WHY_BYTES, "out of memory");
	return false;
}

static bool read_chain(struct tls_certificate *c, BIO *pem, uint64_t number, char *why)
{
	bool end, ok = true;
	X509 *x;

	while (ok && (x = tls_next_certificate(pem, &end)) != NULL) {
		ok = c->leaf == NULL ? take_leaf(c, x, number, why) : take_issuer(c, x, why);
		X509_free(x);
	}
	if (ok && !end) {
		tls_explain(why, TLS_WHY_BYTES, "a certificate of the chain cannot be read");
		ok = false;
	} else if (ok && c->leaf == NULL) {
		snprintf(why, TLS_WHY_BYTES, "there is no certificate in PEM form (-----BEGIN CERTIFICATE-----)");
		ok = false;
	}
	ERR_clear_error();
	return ok;
}

static bool read_pem(struct tls_certificate *c, struct slice chain_pem, uint64_t number, char *why)
{
	BIO *pem;
	bool ok;

	if (chain_pem.len > TLS_CHAIN_MAX) {
		snprintf(why, TLS_WHY_BYTES, "the certificate chain is larger than %u bytes", TLS_CHAIN_MAX);
		return false;
	}
	pem = BIO_new_mem_buf(chain_pem.at, (int)chain_pem.len);
	c->chain = sk_X509_new_null();
	ok = pem != NULL && c->chain != NULL;
	if (ok)
		ok = read_chain(c, pem, number, why);
	else
		snprintf(why, TLS_WHY_BYTES, "out of memory");
	BIO_free(pem);
	return ok;
}

struct tls_certificate *tls_certificate_new(struct slice chain_pem, uint64_t number, char why[TLS_WHY_BYTES])
{
	struct tls_certificate *c = mem_new(1, sizeof(*c));

	ERR_clear_error();
	why[0] = '\0';
	if (c == NULL) {
		snprintf(why, TLS_WHY_BYTES, "out of memory");
		return NULL;
	}
	c->holders = 1;
	if (!read_pem(c, chain_pem, number, why))
		tls_certificate_free(&c);
	return c;
}

struct tls_certificate *tls_certificate_hold(struct tls_certificate *c)
{
	c->holders++;
	return c;
}

void tls_certificate_free(struct tls_certificate **cp)
{
	struct tls_certificate *c = *cp;

	*cp = NULL;
	if (c == NULL || --c->holders > 0)
		return;
	X509_free(c->leaf);
	sk_X509_pop_free(c->chain, X509_free);
	EVP_PKEY_free(c->key);
	free(c);
}

/* ---- names ---- */

#define NAME_BYTES_MAX 253u

static bool is_name_char(char c)
{
	return ascii_is_alnum(c) || strchr("-._*@+=", c) != NULL;
}

/* In lower case; false: no name that could be looked for. */
static bool name_of(const ASN1_STRING *text, char out[NAME_BYTES_MAX + 1], struct slice *name_out)
{
	struct slice s = slice_make((const char *)ASN1_STRING_get0_data(text), (size_t)ASN1_STRING_length(text));

	if (s.len == 0 || s.len > NAME_BYTES_MAX)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (s.at[i] == '\0' || !is_name_char(s.at[i]))
			return false;
		out[i] = ascii_lower(s.at[i]);
	}
	out[s.len] = '\0';
	*name_out = slice_make(out, s.len);
	return true;
}

/* Those of one kind in the subjectAltName; `*any_out`: it has some. */
static bool each_alternative(X509 *x, int kind, tls_name_fn *fn, void *arg, bool *any_out)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	char space[NAME_BYTES_MAX + 1];
	struct slice name;
	bool go = true;

	*any_out = false;
	for (int i = 0; go && i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *one = sk_GENERAL_NAME_value(names, i);

		if (one->type != kind)
			continue;
		*any_out = true;
		if (name_of(one->d.ia5, space, &name))
			go = fn(name, arg);
	}
	GENERAL_NAMES_free(names);
	ERR_clear_error();
	return go;
}

static bool common_name(X509 *x, tls_name_fn *fn, void *arg)
{
	const X509_NAME *subject = X509_get_subject_name(x);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	char space[NAME_BYTES_MAX + 1];
	struct slice name;

	if (at < 0 || !name_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)), space, &name))
		return true;
	return fn(name, arg);
}

bool tls_certificate_each_name(X509 *leaf, tls_name_fn *fn, void *arg)
{
	bool any, go = each_alternative(leaf, GEN_DNS, fn, arg, &any);

	return any ? go : common_name(leaf, fn, arg);
}

/* ---- what a client showed ---- */

static bool note_name(struct slice name, void *arg)
{
	struct tls_peer *p = arg;
	size_t used = strlen(p->names), space = used > 0 ? 1 : 0;

	if (used + space + name.len >= sizeof(p->names))
		return true;
	if (space > 0)
		p->names[used++] = ' ';
	memcpy(p->names + used, name.at, name.len);
	return true;
}

static bool note_fingerprint(struct tls_peer *p, X509 *x)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	EVP_MD *sha256 = EVP_MD_fetch(tls_library(), "SHA256", NULL);
	unsigned len = 0;
	bool ok = sha256 != NULL && X509_digest(x, sha256, digest, &len) == 1 && len == 32;

	EVP_MD_free(sha256);
	for (unsigned i = 0; ok && i < len; i++)
		snprintf(p->fingerprint + 2 * i, 3, "%02x", digest[i]);
	return ok;
}

static void note_subject(struct tls_peer *p, X509 *x)
{
	BIO *out = BIO_new(BIO_s_mem());
	int n = 0;

	/* RFC 2253 with everything but ASCII escaped. */
	if (out != NULL && X509_NAME_print_ex(out, X509_get_subject_name(x), 0, XN_FLAG_RFC2253) >= 0)
		n = BIO_read(out, p->subject, sizeof(p->subject) - 1);
	for (int i = 0; i < n; i++)
		if (p->subject[i] < ' ' || p->subject[i] >= 0x7f)
			p->subject[i] = '?';
	p->subject[n > 0 ? n : 0] = '\0';
	BIO_free(out);
}

struct tls_peer *tls_peer_new(X509 *x, bool verified)
{
	struct tls_peer *p = x == NULL ? NULL : mem_new(1, sizeof(*p));
	bool any;

	if (p == NULL)
		return NULL;
	p->verified = verified;
	if (!note_fingerprint(p, x)) {
		free(p);
		return NULL;
	}
	note_subject(p, x);
	(void)each_alternative(x, GEN_DNS, note_name, p, &any);
	(void)each_alternative(x, GEN_EMAIL, note_name, p, &any);
	ERR_clear_error();
	return p;
}
