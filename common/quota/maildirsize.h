#ifndef POSTERN_QUOTA_MAILDIRSIZE_H
#define POSTERN_QUOTA_MAILDIRSIZE_H

#include "quota/quota_limit.h"

/*
 * The text of a Maildir's file `maildirsize`, as Maildir++ has it (https://www.courier-mta.org/imap/README.maildirquota.html): the first line
 * is the limit, each other one a change, bytes and messages.  Whoever owns the mailbox may have written it.  Pure.
 */
#define MAILDIRSIZE_NAME "maildirsize"
#define MAILDIRSIZE_BYTES_MAX 5120u
#define MAILDIRSIZE_COUNT_MAX (INT64_MAX / 4) /* sums stop here, either side of 0 */

struct maildirsize {
	struct quota_limit limit; /* of any size */
	int64_t bytes, files; /* held; never negative */
	size_t changes; /* lines */
};

/* False: none, or it says that less than nothing is held. */
bool maildirsize_read(struct slice text, struct maildirsize *out);
/* Such a file of one change. */
void maildirsize_print(struct buf *out, const struct maildirsize *m);
/* Neither summand is beyond the bound, nor is the sum. */
int64_t maildirsize_add(int64_t a, int64_t b);

#endif
