#include "sasl/private.h"

/* PLAIN (RFC 4616) and LOGIN (draft-murchison-sasl-login): the password itself is told. */

/* authzid NUL authcid NUL passwd: three fields and no more. */
static enum sasl_want plain_respond(struct sasl *d, struct slice message)
{
	size_t first = slice_index(message, '\0'), second;
	struct slice rest = slice_from(message, first == SLICE_NONE ? message.len : first + 1), authzid, name;

	second = slice_index(rest, '\0');
	authzid = slice_sub(message, 0, first);
	name = slice_sub(rest, 0, second);
	if (first == SLICE_NONE || second == SLICE_NONE || !sasl_take_login(d, name) ||
	    !sasl_take_password(d, slice_from(rest, second + 1)))
		return sasl_malformed(d, "that is no PLAIN response");
	if (authzid.len > 0 && !slice_eq(authzid, name))
		return SASL_REFUSED;
	return SASL_PASSWORD;
}

const struct sasl_mechanism sasl_plain = {.respond = plain_respond};

/* The draft's words; some clients wait for exactly these. */
#define PROMPT_NAME "Username:"
#define PROMPT_PASSWORD "Password:"

enum { LOGIN_NAME, LOGIN_PASSWORD };

static enum sasl_want login_begin(struct sasl *d)
{
	d->step = LOGIN_NAME;
	return sasl_challenge(d, slice_of(PROMPT_NAME));
}

static enum sasl_want login_respond(struct sasl *d, struct slice response)
{
	if (d->step == LOGIN_NAME) {
		d->step = LOGIN_PASSWORD;
		if (!sasl_take_login(d, response))
			return sasl_malformed(d, "that is no login");
		return sasl_challenge(d, slice_of(PROMPT_PASSWORD));
	}
	return sasl_take_password(d, response) ? SASL_PASSWORD : sasl_malformed(d, "that is no password");
}

const struct sasl_mechanism sasl_login = {
	.server_first = true,
	.takes_initial = true, /* not in the draft, but in the clients */
	.begin = login_begin,
	.respond = login_respond,
};
