#ifndef POSTERN_SASL_MECHANISM_H
#define POSTERN_SASL_MECHANISM_H

#include "base/slice.h"

/*
 * The SASL mechanisms (RFC 4422) that AUTH can name, and what a configuration may offer.  Their numbers travel in AUTH_START.
 */
enum mechanism {
	MECHANISM_PLAIN, /* RFC 4616 */
	MECHANISM_LOGIN, /* draft-murchison-sasl-login */
	MECHANISM_SCRAM_SHA_256, /* RFC 5802, RFC 7677 */
	MECHANISM_SCRAM_SHA_256_PLUS, /* the same, bound to the TLS channel; comes with it */
	MECHANISM_CRAM_MD5, /* RFC 2195 */
	MECHANISM_XOAUTH2, /* Google's; by Dovecot only */
	MECHANISM_OAUTHBEARER, /* RFC 7628; by Dovecot only */
	MECHANISM_EXTERNAL, /* RFC 4422 appendix A; comes with `external` */
	MECHANISM_COUNT
};

#define MECHANISM_BIT(m) (1u << (m))
#define MECHANISMS_DEFAULT (MECHANISM_BIT(MECHANISM_PLAIN) | MECHANISM_BIT(MECHANISM_LOGIN))

/* RFC 4954 §4: the longest line of a dialogue, and what it is decoded to. */
#define MECHANISM_LINE_MAX 12288u
#define MECHANISM_MESSAGE_MAX (MECHANISM_LINE_MAX / 4 * 3)

const char *mechanism_name(enum mechanism m); /* "SCRAM-SHA-256"; "?" out of range */
/* Case does not count; MECHANISM_COUNT: there is none of that name. */
enum mechanism mechanism_find(struct slice name);

#endif
