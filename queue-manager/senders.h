#ifndef POSTERN_QUEUE_SENDERS_H
#define POSTERN_QUEUE_SENDERS_H

#include "base/slice.h"
#include "mail/address.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Who has sent (SQLite, database.h): addresses, each with the last day on which it did.  What may be lost, for what is lost makes an answer
 * "unknown" and never "no".  Used by one thread only; every function blocks, none logs.
 *
 * Always: whoever has sent since a certain time, which is kept beside them, stands there.  "No" is said where that time is as long ago as an
 * address counts.  It is now for a new database, one that was broken, one that failed to write, and where sub-addresses are cut in another
 * way; and the end of a day all of whose addresses may have been forgotten, to make room (`max` of them stay) or because they count no more.
 */
struct senders;

#define SENDERS_MAX 1000000u
#define SENDERS_SEPARATORS_MAX 64u

struct senders_terms {
	char sub_address[SENDERS_SEPARATORS_MAX]; /* the setting */
	int64_t kept_s; /* how long an address counts, from the end of that day */
	int64_t now_s; /* wall clock */
};

enum senders_answer { SENDERS_YES, SENDERS_NO, SENDERS_UNKNOWN };

/* NULL: no memory.  `path` as in database.h. */
struct senders *senders_open(const char *path, uint64_t max);
void senders_close(struct senders **sp);
/* There will be none: it is closed, and its files are removed. */
void senders_remove(struct senders **sp, const char *path);

/* As it stands there: canonical, in lower case, without its sub-address.  False: it is no address, or null. */
bool senders_key(const char *sub_address, struct slice address, char out[MAIL_ADDRESS_MAX + 1]);
/* False: not kept; to be noted again. */
bool senders_note(struct senders *s, const char *key, const struct senders_terms *terms);
/* False: it could not be read; the answer is "unknown". */
bool senders_find(struct senders *s, const char *key, const struct senders_terms *terms, enum senders_answer *out);
/* What was noted since the last call is kept together.  False: nothing of it is. */
bool senders_end(struct senders *s);

/* Begun anew since the last call. */
bool senders_was_reset(struct senders *s);
/* Text of the last failure, or "". */
const char *senders_trouble(const struct senders *s);

#endif
