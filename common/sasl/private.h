#ifndef POSTERN_SASL_PRIVATE_H
#define POSTERN_SASL_PRIVATE_H

#include "sasl/sasl.h"

/* What a mechanism is made of. */
struct sasl_mechanism {
	bool server_first; /* an initial response is then a mistake, unless takes_initial */
	bool takes_initial;
	enum sasl_want (*begin)(struct sasl *d); /* NULL: an empty challenge */
	enum sasl_want (*respond)(struct sasl *d, struct slice response);
};

extern const struct sasl_mechanism sasl_plain, sasl_login;

enum sasl_want sasl_malformed(struct sasl *d, const char *why);
/* RESPONSE to that challenge. */
enum sasl_want sasl_challenge(struct sasl *d, struct slice challenge);
/* False: it can be no login. */
bool sasl_take_login(struct sasl *d, struct slice name);
bool sasl_take_password(struct sasl *d, struct slice password);

#endif
