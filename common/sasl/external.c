#include "sasl/private.h"

/*
 * EXTERNAL (RFC 4422 appendix A): the client's certificate says who he is; all that he says himself is whom he wants to be, or nothing.
 * What he wants stands in `login` until it is known who he is.
 */

static enum sasl_want external_respond(struct sasl *d, struct slice authzid)
{
	if (authzid.len > 0 && !sasl_take_login(d, authzid))
		return sasl_malformed(d, "that is no EXTERNAL response");
	return SASL_IDENTITY;
}

const struct sasl_mechanism sasl_external = {.respond = external_respond};

enum sasl_want sasl_identified(struct sasl *d, struct slice login)
{
	bool wanted = d->login[0] == '\0' || slice_eq_nocase(slice_of(d->login), login);

	d->login[0] = '\0';
	return sasl_take_login(d, login) && wanted ? SASL_ACCEPTED : SASL_REFUSED;
}
