#include "sasl/mechanism.h"

static const char *const names[MECHANISM_COUNT] = {
	[MECHANISM_PLAIN] = "PLAIN",
	[MECHANISM_LOGIN] = "LOGIN",
	[MECHANISM_SCRAM_SHA_256] = "SCRAM-SHA-256",
	[MECHANISM_SCRAM_SHA_256_PLUS] = "SCRAM-SHA-256-PLUS",
	[MECHANISM_CRAM_MD5] = "CRAM-MD5",
	[MECHANISM_XOAUTH2] = "XOAUTH2",
	[MECHANISM_OAUTHBEARER] = "OAUTHBEARER",
	[MECHANISM_EXTERNAL] = "EXTERNAL",
};

const char *mechanism_name(enum mechanism m)
{
	return m < MECHANISM_COUNT ? names[m] : "?";
}

enum mechanism mechanism_find(struct slice name)
{
	unsigned m = 0;

	while (m < MECHANISM_COUNT && !slice_eq_nocase(name, slice_of(names[m])))
		m++;
	return (enum mechanism)m;
}
