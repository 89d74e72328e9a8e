#include "sasl/private.h"

#include "mail/address.h"

static const struct sasl_mechanism *const mechanisms[MECHANISM_COUNT] = {
	[MECHANISM_PLAIN] = &sasl_plain,
	[MECHANISM_LOGIN] = &sasl_login,
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

enum sasl_want sasl_begin(struct sasl *d, enum mechanism m, bool has_initial, struct slice initial)
{
	const struct sasl_mechanism *mechanism = mechanisms[m];
	enum sasl_want want;

	*d = (struct sasl){
		.mechanism = m,
		.password = buf_make_secret(SASL_PASSWORD_MAX),
		.challenge = buf_make(MECHANISM_MESSAGE_MAX),
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

void sasl_clear(struct sasl *d)
{
	buf_free(&d->password);
	buf_free(&d->challenge);
}
