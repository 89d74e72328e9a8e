#ifndef POSTERN_SASL_PRIVATE_H
#define POSTERN_SASL_PRIVATE_H

#include "mail/address.h"
#include "sasl/sasl.h"

/* What a mechanism is made of. */
struct sasl_mechanism {
	bool server_first; /* an initial response is then a mistake, unless takes_initial */
	bool takes_initial;
	enum sasl_want (*begin)(struct sasl *d); /* NULL: an empty challenge */
	enum sasl_want (*respond)(struct sasl *d, struct slice response);
	enum sasl_want (*verify)(struct sasl *d, struct slice verifier, struct slice login, struct slice seed);
	enum sasl_verifier verifier;
};

extern const struct sasl_mechanism sasl_plain, sasl_login, sasl_scram, sasl_cram, sasl_external;

#define SASL_HMAC 32u /* SHA-256 */
void sasl_hmac(const unsigned char *key, size_t key_len, struct slice text, unsigned char out[SASL_HMAC]);
/* 32 bytes that look like chance, and are the same each time for one login. */
void sasl_fake(struct slice seed, const char *what, struct slice login, unsigned char out[SASL_HMAC]);

enum sasl_want sasl_malformed(struct sasl *d, const char *why);
/* RESPONSE to that challenge. */
enum sasl_want sasl_challenge(struct sasl *d, struct slice challenge);
/* False: it can be no login. */
bool sasl_take_login(struct sasl *d, struct slice name);
bool sasl_take_password(struct sasl *d, struct slice password);

#endif
