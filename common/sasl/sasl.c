#include "sasl/private.h"

#include "base/mem.h"

static const struct sasl_mechanism *const mechanisms[MECHANISM_COUNT] = {
	[MECHANISM_PLAIN] = &sasl_plain,
	[MECHANISM_LOGIN] = &sasl_login,
	[MECHANISM_SCRAM_SHA_256] = &sasl_scram,
	[MECHANISM_SCRAM_SHA_256_PLUS] = &sasl_scram,
	[MECHANISM_CRAM_MD5] = &sasl_cram,
	[MECHANISM_EXTERNAL] = &sasl_external,
};

bool sasl_speaks(enum mechanism m)
{
	return m < MECHANISM_COUNT && mechanisms[m] != NULL;
}

enum sasl_want sasl_malformed(struct sasl *d, const char *why)
{
	d->why = why;
	return SASL_MALFORMED;
}

enum sasl_want sasl_challenge(struct sasl *d, struct slice challenge)
{
	buf_clear(&d->challenge);
	if (!buf_add_slice(&d->challenge, challenge))
		return sasl_malformed(d, "out of memory");
	return SASL_RESPONSE;
}

bool sasl_take_login(struct sasl *d, struct slice name)
{
	return name.len > 0 && mail_utf8_is_clean(name) && slice_copy(name, d->login, sizeof(d->login));
}

bool sasl_take_password(struct sasl *d, struct slice password)
{
	buf_free(&d->password);
	return password.len > 0 && slice_index(password, '\0') == SLICE_NONE && buf_add_slice(&d->password, password);
}

enum sasl_want sasl_begin(struct sasl *d, enum mechanism m, const struct sasl_channel *channel, bool has_initial,
			  struct slice initial)
{
	const struct sasl_mechanism *mechanism = mechanisms[m];
	enum sasl_want want;

	*d = (struct sasl){
		.mechanism = m,
		.channel = *channel,
		.password = buf_make_secret(SASL_PASSWORD_MAX),
		.challenge = buf_make(MECHANISM_MESSAGE_MAX),
		.scram = {.header = buf_make(1024), .nonce = buf_make(512), .binding = buf_make(64), .auth = buf_make(4096)},
	};
	if (has_initial && mechanism->server_first && !mechanism->takes_initial)
		return sasl_malformed(d, "in this mechanism the server speaks first");
	want = mechanism->begin == NULL ? sasl_challenge(d, slice_empty()) : mechanism->begin(d);
	return has_initial && want == SASL_RESPONSE ? mechanism->respond(d, initial) : want;
}

enum sasl_want sasl_respond(struct sasl *d, struct slice response)
{
	return mechanisms[d->mechanism]->respond(d, response);
}

enum sasl_verifier sasl_wants_verifier(const struct sasl *d)
{
	return mechanisms[d->mechanism]->verifier;
}

enum sasl_want sasl_verify(struct sasl *d, struct slice verifier, struct slice login, struct slice seed)
{
	return mechanisms[d->mechanism]->verify(d, verifier, login, seed);
}

const char *sasl_verifier_name(enum sasl_verifier kind)
{
	static const char *const verifiers[] = {
		[SASL_NO_VERIFIER] = "", [SASL_SCRAM_SHA_256] = "scram-sha-256", [SASL_CRAM_MD5] = "cram-md5"};

	return verifiers[kind];
}

void sasl_fake(struct slice seed, const char *what, struct slice login, unsigned char out[SASL_HMAC])
{
	struct buf text = buf_make(2 * SASL_LOGIN_MAX);

	(void)(buf_addf(&text, "%s ", what) && buf_add_slice(&text, login));
	sasl_hmac((const unsigned char *)seed.at, seed.len, buf_slice(&text), out);
	buf_free(&text);
}

void sasl_clear(struct sasl *d)
{
	buf_free(&d->scram.header);
	buf_free(&d->scram.nonce);
	buf_free(&d->scram.binding);
	buf_free(&d->scram.auth);
	mem_wipe(&d->scram.keys, sizeof(d->scram.keys));
	buf_free(&d->password);
	buf_free(&d->challenge);
}
