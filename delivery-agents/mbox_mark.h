#ifndef POSTERN_MBOX_MARK_H
#define POSTERN_MBOX_MARK_H

#include "base/buf.h"

/*
 * What stands in a lock file of ours: that it is one, and from when on a message is written, where it begins, where it will end, and its
 * first line.  So who comes after one who died in the middle knows what may be cut off.  Pure.
 *
 *	postern
 *	1000 2345
 *	From you@elsewhere.test Sat Nov 28 18:00:00 2026
 */
#define MBOX_MARK_BYTES 2048u
struct mbox_mark {
	uint64_t before, after; /* the file's length; 0, 0: nothing was begun */
	struct slice head; /* borrowed from the text; what the message begins with, or a part of it */
};

#define MBOX_MARK_OURS "postern\n"
/* What comes behind MBOX_MARK_OURS. */
void mbox_mark_print(struct buf *out, const struct mbox_mark *m);
/* False: another program's lock. */
bool mbox_mark_read(struct slice text, struct mbox_mark *out);

/* Whether a message of another's may begin in what stands behind our first line, be it in the middle of a line: ours may have ended there, and
 * not all who append look what was before.  In pieces. */
struct mbox_search {
	size_t matched; /* bytes of "From " */
};
bool mbox_search_finds(struct mbox_search *s, struct slice piece);

#endif
