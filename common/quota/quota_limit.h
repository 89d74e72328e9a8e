#ifndef POSTERN_QUOTA_LIMIT_H
#define POSTERN_QUOTA_LIMIT_H

#include "base/buf.h"

/* What a mailbox may hold.  Pure. */
struct quota_limit {
	uint64_t bytes, messages; /* 0: any */
};

#define QUOTA_BYTES_MIN (64u << 10) /* less, and no mail would fit */
#define QUOTA_MESSAGES_MAX 1000000000u

/*
 * The value of a table: "500M", "500M 10000" (and so many messages), "none", or as the file maildirsize has it: "524288000S,10000C", either alone.
 * False: none of these; `*out` is then left alone.
 */
bool quota_limit_read(struct slice text, struct quota_limit *out);
/* Shortest text that is read as the same. */
void quota_limit_print(struct buf *out, const struct quota_limit *limit);

static inline bool quota_limit_is_none(const struct quota_limit *limit)
{
	return limit->bytes == 0 && limit->messages == 0;
}

/* Whether more fits into `a` than into `b`, of either. */
static inline bool quota_limit_is_wider(const struct quota_limit *a, const struct quota_limit *b)
{
	return (b->bytes != 0 && (a->bytes == 0 || a->bytes > b->bytes)) ||
	       (b->messages != 0 && (a->messages == 0 || a->messages > b->messages));
}

#endif
