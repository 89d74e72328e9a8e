#ifndef POSTERN_SMTPD_REWRITE_H
#define POSTERN_SMTPD_REWRITE_H

#include "base/buf.h"

/*
 * The addresses in a header that policyd may want written otherwise: found, asked about, and put in their places.  Pure.
 *
 * Always: nothing of the header changes but the addresses themselves, from their first octet to their last; a field that is no list of
 * addresses is left as it is; an address without a domain is asked about with our own, and stays bare where nothing is said of it.
 */
#define REWRITE_ADDRESSES_MAX 8000u
#define REWRITE_RECORDS_MAX 120000u /* as REWRITE_ASK carries them */

struct rewrite_spot {
	size_t at, length; /* in the header */
};

struct rewrite {
	uint32_t fields; /* 1 << enum rewrite_field: those that rules look at */
	const char *host; /* borrowed */
	struct buf records; /* owned: rewrite_address records, in the order of the spots */
	struct rewrite_spot *spots; /* owned */
	size_t count, cap;
	bool has_sender; /* the first record is the envelope's, and has no spot */
	bool failed; /* too many addresses */
	bool no_memory; /* it failed, and for want of that */
};

void rewrite_clear(struct rewrite *r);

/* Fills `records` and `spots`.  `sender`: of the envelope; "" is <>, which is never rewritten.  False: `failed`. */
bool rewrite_find(struct rewrite *r, struct slice sender, struct slice header);
static inline bool rewrite_has_any(const struct rewrite *r)
{
	return r->count > 0 || r->has_sender;
}
/* Adds the header with what `records` (of REWRITE_ANSWER) says; sender_out gets a new sender, or stays as it is.  False: that is no
 * answer to what was asked, or no room. */
bool rewrite_apply(const struct rewrite *r, struct slice header, struct slice records, struct buf *out, struct slice *sender_out);

#endif
