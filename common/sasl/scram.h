#ifndef POSTERN_SASL_SCRAM_H
#define POSTERN_SASL_SCRAM_H

#include "base/buf.h"

/*
 * What SCRAM-SHA-256 keeps of a password (RFC 5802 §3, RFC 7677): enough to check who knows it, not enough to log in anywhere.  As
 * text, in the form of RFC 5803:
 *
 *     SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY          (all but the number in base64)
 *
 * Whoever reads it may guess passwords at the cost of ITERATIONS hashes each.
 */
#define SCRAM_KEY 32u
#define SCRAM_SALT_MAX 64u
#define SCRAM_ITERATIONS 65536u /* of new ones; every client pays them at each login */
#define SCRAM_ITERATIONS_MIN 4096u /* RFC 7677 §4 */
#define SCRAM_ITERATIONS_MAX 10000000u
#define SCRAM_TEXT_MAX 256u

struct scram_keys {
	uint32_t iterations;
	unsigned char salt[SCRAM_SALT_MAX];
	size_t salt_len;
	unsigned char stored[SCRAM_KEY], server[SCRAM_KEY];
};

/* With a new salt; blocks for SCRAM_ITERATIONS hashes.  False: SASLprep (RFC 4013) forbids a character of it, or no memory. */
bool scram_keys_make(struct slice password, struct scram_keys *out);
bool scram_keys_print(const struct scram_keys *keys, struct buf *out);
/* False: no such text, or one whose numbers are out of bounds. */
bool scram_keys_parse(struct slice text, struct scram_keys *out);

#endif
