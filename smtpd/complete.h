#ifndef POSTERN_SMTPD_COMPLETE_H
#define POSTERN_SMTPD_COMPLETE_H

#include "base/buf.h"

/*
 * The header of mail that our own users write (RFC 6409 §8): Date and Message-ID are added where they are missing, and the fields Bcc
 * and Resent-Bcc are taken out, which nobody but their author is to see.  Nothing else is touched, not a blank.  Pure.
 */
struct completion {
	const char *host; /* borrowed; of the Message-ID */
	int64_t wall_s;
	uint64_t session, transaction; /* which together are given once */
};

/* `header`: CRLF lines, with the empty one behind them if there is one.  False: `out` has no room, or no memory. */
bool complete_header(const struct completion *c, struct slice header, struct buf *out);

#endif
