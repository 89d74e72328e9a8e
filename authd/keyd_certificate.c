#include "keyd_certificate.h"

#include "base/mem.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#define DAY_S 86400
#define SOON_S (14 * DAY_S)
#define NAMES_MAX 1000u
#define NAME_BYTES_MAX 253

struct keyd_certificate {
	X509 *leaf; /* owned */
	char **names; /* owned, each too */
	size_t name_count;
	int64_t from_s, until_s;
	char fingerprint[KEYD_FINGERPRINT_BYTES];
};

/* ---- reading ---- */

static X509 *next_certificate(BIO *pem, bool *end_out)
{
	X509 *x = PEM_read_bio_X509(pem, NULL, NULL, NULL);

	*end_out = x == NULL && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
	ERR_clear_error();
	return x;
}

static X509 *read_leaf(BIO *pem, char *why)
{
	X509 *leaf = NULL, *x;
	bool end;

	while ((x = next_certificate(pem, &end)) != NULL)
		if (leaf == NULL)
			leaf = x;
		else
			X509_free(x);
	if (leaf != NULL && end)
		return leaf;
	snprintf(why, KEYD_WHY_BYTES, "%s",
		 end ? "there is no certificate in PEM form (-----BEGIN CERTIFICATE-----)" :
		       "a certificate of the chain cannot be read");
	X509_free(leaf);
	return NULL;
}

static bool note_name(struct keyd_certificate *c, const ASN1_STRING *text)
{
	struct slice name = slice_make((const char *)ASN1_STRING_get0_data(text), (size_t)ASN1_STRING_length(text));
	void *more;

	if (name.len == 0 || name.len > NAME_BYTES_MAX || c->name_count == NAMES_MAX || memchr(name.at, 0, name.len) != NULL)
		return true; /* nobody asks for it */
	more = realloc(c->names, (c->name_count + 1) * sizeof(*c->names));
	if (more == NULL)
		return false;
	c->names = more;
	c->names[c->name_count] = slice_dup(name);
	if (c->names[c->name_count] == NULL)
		return false;
	c->name_count++;
	return true;
}

static bool note_names(struct keyd_certificate *c)
{
	GENERAL_NAMES *all = X509_get_ext_d2i(c->leaf, NID_subject_alt_name, NULL, NULL);
	bool ok = true;

	for (int i = 0; ok && i < sk_GENERAL_NAME_num(all); i++)
		if (sk_GENERAL_NAME_value(all, i)->type == GEN_DNS)
			ok = note_name(c, sk_GENERAL_NAME_value(all, i)->d.dNSName);
	GENERAL_NAMES_free(all);
	return ok;
}

static bool note_time(const ASN1_TIME *at, int64_t *out)
{
	ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
	int days = 0, seconds = 0;
	bool ok = epoch != NULL && ASN1_TIME_diff(&days, &seconds, epoch, at) == 1;

	*out = (int64_t)days * DAY_S + seconds;
	ASN1_TIME_free(epoch);
	return ok;
}

static bool note_fingerprint(struct keyd_certificate *c)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	if (X509_digest(c->leaf, EVP_sha256(), digest, &len) != 1 || len != 32)
		return false;
	for (unsigned i = 0; i < len; i++)
		snprintf(c->fingerprint + 2 * i, 3, "%02x", digest[i]);
	return true;
}

struct keyd_certificate *keyd_certificate_read(struct slice chain_pem, char why[KEYD_WHY_BYTES])
{
	BIO *pem = chain_pem.len > KEYD_CHAIN_FILE_MAX ? NULL : BIO_new_mem_buf(chain_pem.at, (int)chain_pem.len);
	struct keyd_certificate *c = mem_new(1, sizeof(*c));

	snprintf(why, KEYD_WHY_BYTES, "the certificate cannot be read");
	if (c != NULL && pem != NULL)
		c->leaf = read_leaf(pem, why);
	BIO_free(pem);
	if (c != NULL && c->leaf != NULL && note_names(c) && note_fingerprint(c) &&
	    note_time(X509_get0_notBefore(c->leaf), &c->from_s) && note_time(X509_get0_notAfter(c->leaf), &c->until_s))
		return c;
	ERR_clear_error();
	keyd_certificate_free(&c);
	return NULL;
}

void keyd_certificate_free(struct keyd_certificate **cp)
{
	struct keyd_certificate *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	for (size_t i = 0; i < c->name_count; i++)
		free(c->names[i]);
	free(c->names);
	X509_free(c->leaf);
	free(c);
}

/* ---- judging ---- */

enum keyd_match keyd_certificate_match(const struct keyd_certificate *c, const struct keyd_key *k, int64_t now_s,
				       char why[KEYD_WHY_BYTES])
{
	if (!keyd_key_is_of(k, c->leaf)) {
		snprintf(why, KEYD_WHY_BYTES, "the private key is not the certificate's; give both of the same issue");
		return KEYD_NO_MATCH;
	}
	if (now_s >= c->from_s && now_s < c->until_s)
		return KEYD_MATCHES;
	snprintf(why, KEYD_WHY_BYTES, "%s",
		 now_s < c->from_s ? "the certificate is not valid yet; is the clock right?" :
				     "the certificate has expired; renew it");
	return KEYD_OUT_OF_DATE;
}

int64_t keyd_certificate_left_s(const struct keyd_certificate *c, int64_t now_s)
{
	return c->until_s - now_s;
}

int64_t keyd_certificate_life_s(const struct keyd_certificate *c)
{
	return c->until_s - c->from_s;
}

bool keyd_certificate_ends_soon(const struct keyd_certificate *c, int64_t now_s)
{
	int64_t left_s = keyd_certificate_left_s(c, now_s);

	return left_s < SOON_S && left_s < keyd_certificate_life_s(c) / 4;
}

bool keyd_certificate_is_for(const struct keyd_certificate *c, const char *name)
{
	char host[300];
	int is_for;

	/* A wildcard is for a host that nobody has named alone. */
	snprintf(host, sizeof(host), "%s%s", name[0] == '*' ? "any-host-there" : "", name[0] == '*' ? name + 1 : name);
	is_for = X509_check_host(c->leaf, host, 0, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL);
	ERR_clear_error();
	return is_for == 1;
}

const char *keyd_certificate_lacks(const struct keyd_certificate *next, const struct keyd_certificate *old)
{
	for (size_t i = 0; i < old->name_count; i++)
		if (!keyd_certificate_is_for(next, old->names[i]))
			return old->names[i];
	return NULL;
}

void keyd_certificate_end_date(const struct keyd_certificate *c, char out[KEYD_DATE_BYTES])
{
	struct tm date;

	snprintf(out, KEYD_DATE_BYTES, "?");
	if (ASN1_TIME_to_tm(X509_get0_notAfter(c->leaf), &date) == 1)
		(void)strftime(out, KEYD_DATE_BYTES, "%Y-%m-%d", &date);
}

const char *keyd_certificate_fingerprint(const struct keyd_certificate *c)
{
	return c->fingerprint;
}
