#include "client_auth.h"

#include "base/base64.h"
#include "base/log.h"
#include "base/mem.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#define INITIAL_LINE_MAX 512u /* RFC 4954 §4: a longer initial response waits for the server's 334 */
#define HMAC_MD5_BYTES 16u

static EVP_MAC *hmac; /* fetched once, before the cage; shared */

struct mechanism {
	const char *name;
	/* What to answer at this step; `challenge` is decoded.  False: nothing answers that. */
	bool (*respond)(const struct auth_dialogue *d, struct slice challenge, struct buf *out);
	bool has_initial;
	bool reads_challenge; /* else what the server says is not looked at: some say it in clear text */
};

/* RFC 4616: authorization identity (none), NUL, user, NUL, secret. */
static bool respond_plain(const struct auth_dialogue *d, struct slice challenge, struct buf *out)
{
	(void)challenge;
	return d->step == 0 && buf_add_char(out, '\0') && buf_add_slice(out, buf_slice(&d->user)) &&
	       buf_add_char(out, '\0') && buf_add_slice(out, buf_slice(&d->secret));
}

/* The words of the two questions differ from server to server; their order does not. */
static bool respond_login(const struct auth_dialogue *d, struct slice challenge, struct buf *out)
{
	(void)challenge;
	return d->step < 2 && buf_add_slice(out, buf_slice(d->step == 0 ? &d->user : &d->secret));
}

static bool hmac_md5(struct slice key, struct slice text, unsigned char digest[HMAC_MD5_BYTES])
{
	char name[] = "MD5";
	const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
				     OSSL_PARAM_construct_end()};
	EVP_MAC_CTX *ctx = hmac == NULL ? NULL : EVP_MAC_CTX_new(hmac);
	size_t len = 0;
	bool made = ctx != NULL && EVP_MAC_init(ctx, (const unsigned char *)key.at, key.len, params) == 1 &&
		    EVP_MAC_update(ctx, (const unsigned char *)text.at, text.len) == 1 &&
		    EVP_MAC_final(ctx, digest, &len, HMAC_MD5_BYTES) == 1 && len == HMAC_MD5_BYTES;

	EVP_MAC_CTX_free(ctx);
	return made;
}

/* RFC 2195 §2: user, space, HMAC-MD5 of the challenge in lower case hex. */
static bool respond_cram_md5(const struct auth_dialogue *d, struct slice challenge, struct buf *out)
{
	unsigned char digest[HMAC_MD5_BYTES];

	if (d->step > 0 || challenge.len == 0 || !hmac_md5(buf_slice(&d->secret), challenge, digest))
		return false;
	buf_add_slice(out, buf_slice(&d->user));
	buf_add_char(out, ' ');
	for (size_t i = 0; i < sizeof(digest); i++)
		buf_addf(out, "%02x", digest[i]);
	mem_wipe(digest, sizeof(digest));
	return buf_ok(out);
}

static const struct mechanism mechanisms[AUTH_MECHANISM_COUNT] = {
	[AUTH_PLAIN] = {"PLAIN", respond_plain, true, false},
	[AUTH_LOGIN] = {"LOGIN", respond_login, false, false},
	[AUTH_CRAM_MD5] = {"CRAM-MD5", respond_cram_md5, false, true},
};

const char *auth_mechanism_name(enum auth_mechanism m)
{
	return m < AUTH_MECHANISM_COUNT ? mechanisms[m].name : "none";
}

unsigned auth_mechanisms(struct slice names)
{
	struct slice name;
	unsigned found = 0;

	while (slice_word(&names, &name))
		for (size_t i = 0; i < AUTH_MECHANISM_COUNT; i++)
			if (slice_eq_nocase(name, slice_of(mechanisms[i].name)))
				found |= 1u << i;
	return found;
}

enum auth_mechanism auth_pick(unsigned offered, bool secured)
{
	static const enum auth_mechanism in_tls[] = {AUTH_PLAIN, AUTH_LOGIN, AUTH_CRAM_MD5};
	static const enum auth_mechanism in_clear[] = {AUTH_CRAM_MD5, AUTH_PLAIN, AUTH_LOGIN};
	const enum auth_mechanism *order = secured ? in_tls : in_clear;

	for (size_t i = 0; i < ARRAY_LEN(in_tls); i++)
		if ((offered & 1u << order[i]) != 0)
			return order[i];
	return AUTH_MECHANISM_COUNT;
}

void auth_prepare(void)
{
	/* Never OpenSSL's configuration file: it could name engines and modules. */
	if (OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) != 1)
		log_fatal("starting OpenSSL", 0);
	if (hmac == NULL)
		hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	if (hmac == NULL)
		log_fatal("OpenSSL has no HMAC", 0);
}

void auth_end(struct auth_dialogue *d)
{
	buf_free(&d->user);
	buf_free(&d->secret);
	d->step = 0;
}

static bool add_response(struct auth_dialogue *d, struct slice challenge, struct buf *out)
{
	struct buf plain = buf_make_secret(3 * AUTH_TEXT_MAX);
	bool made = mechanisms[d->mechanism].respond(d, challenge, &plain) && base64_encode(buf_slice(&plain), out);

	buf_free(&plain);
	d->step++;
	return made;
}

/* The whole line, or a line without the initial response where that would make it too long. */
static bool add_first_line(struct auth_dialogue *d, struct buf *out)
{
	const struct mechanism *m = &mechanisms[d->mechanism];
	size_t raw = d->user.len + d->secret.len + 2;

	buf_addf(out, "AUTH %s", m->name);
	if (m->has_initial && 4 * (raw / 3 + 1) + strlen(m->name) + 8 <= INITIAL_LINE_MAX) {
		buf_add_char(out, ' ');
		if (!add_response(d, slice_empty(), out))
			return false;
	}
	return buf_add_text(out, "\r\n");
}

static bool carries(struct slice text)
{
	return text.len > 0 && text.len <= AUTH_TEXT_MAX && slice_index(text, '\0') == SLICE_NONE;
}

bool auth_begin(struct auth_dialogue *d, enum auth_mechanism m, struct slice user, struct slice secret,
		struct buf *out)
{
	*d = (struct auth_dialogue){m, 0, buf_make_secret(AUTH_TEXT_MAX), buf_make_secret(AUTH_TEXT_MAX)};
	return m < AUTH_MECHANISM_COUNT && carries(user) && carries(secret) && buf_add_slice(&d->user, user) &&
	       buf_add_slice(&d->secret, secret) && add_first_line(d, out);
}

bool auth_respond(struct auth_dialogue *d, struct slice challenge, struct buf *out)
{
	struct buf decoded = buf_make(AUTH_TEXT_MAX);
	bool made = (!mechanisms[d->mechanism].reads_challenge || base64_decode(challenge, &decoded)) &&
		    add_response(d, buf_slice(&decoded), out) && buf_add_text(out, "\r\n");

	buf_free(&decoded);
	return made;
}
