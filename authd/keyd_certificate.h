#ifndef POSTERN_AUTHD_KEYD_CERTIFICATE_H
#define POSTERN_AUTHD_KEYD_CERTIFICATE_H

#include "keyd_key.h"

/*
 * What keyd knows of a certificate whose key it holds: whether the key is its own, how long it is good, for which names.
 */
struct keyd_certificate;

#define KEYD_FINGERPRINT_BYTES 65

/* The first certificate of a chain in PEM, all of which must be readable.  NULL with a sentence in `why`. */
struct keyd_certificate *keyd_certificate_read(struct slice chain_pem, char why[KEYD_WHY_BYTES]);
void keyd_certificate_free(struct keyd_certificate **cp);

enum keyd_match {
	KEYD_MATCHES,
	KEYD_OUT_OF_DATE, /* the certificate is the key's, but expired or not yet valid */
	KEYD_NO_MATCH, /* another key's */
};
/* Whether it is this key's, and good at `now_s` (wall clock); else a sentence in `why`. */
enum keyd_match keyd_certificate_match(const struct keyd_certificate *c, const struct keyd_key *k, int64_t now_s,
				       char why[KEYD_WHY_BYTES]);

/* Seconds to its end (negative: it has ended), and from its beginning to its end. */
int64_t keyd_certificate_left_s(const struct keyd_certificate *c, int64_t now_s);
int64_t keyd_certificate_life_s(const struct keyd_certificate *c);
/* It should have been renewed by now: less than a quarter of its life is left, and less than 14 days. */
bool keyd_certificate_ends_soon(const struct keyd_certificate *c, int64_t now_s);

/* "mail.example.net", or "*.example.net": every host of that domain. */
bool keyd_certificate_is_for(const struct keyd_certificate *c, const char *name);
/* A name that `old` is for and `next` is not; NULL: there is none.  Borrowed from `old`. */
const char *keyd_certificate_lacks(const struct keyd_certificate *next, const struct keyd_certificate *old);

/* "2027-02-01", for people; "?" where it cannot be told. */
#define KEYD_DATE_BYTES 16
void keyd_certificate_end_date(const struct keyd_certificate *c, char out[KEYD_DATE_BYTES]);
/* SHA-256 in lower-case hexadecimal: tells certificates apart. */
const char *keyd_certificate_fingerprint(const struct keyd_certificate *c);

#endif
