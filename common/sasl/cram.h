#ifndef POSTERN_SASL_CRAM_H
#define POSTERN_SASL_CRAM_H

#include "base/buf.h"

/*
 * What CRAM-MD5 (RFC 2195) keeps of a password: the two states of MD5 behind the padded key of HMAC, in 64 hexadecimal digits.
 * Whoever reads it can log in by CRAM-MD5, and needs one MD5 to try a password: it is hardly better than the password itself.
 */
#define CRAM_KEYS 32u /* bytes */
#define CRAM_TEXT 64u

bool cram_keys_print(struct slice password, struct buf *out);

#endif
