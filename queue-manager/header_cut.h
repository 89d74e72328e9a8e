#ifndef POSTERN_QUEUE_HEADER_CUT_H
#define POSTERN_QUEUE_HEADER_CUT_H

#include "base/buf.h"

/*
 * A message (CRLF or LF lines), piece by piece, without the fields that are named, a LF between names; ASCII case does not count.  A header of
 * any length is looked at to its end; what stands behind it is as it was.  Pure.
 */
struct header_cut {
	struct slice names;
	bool over; /* the header has ended */
	bool in_line; /* the line has been decided about, and goes on */
	bool cutting;
};

/*
 * What stays of `piece` goes to `out`.  Not `last`: a line that does not end in it and begins it not is left for the next piece, which must
 * begin with it: `used_out` says how many bytes were done with, more than none of a piece that is not empty.  False: no memory.
 */
bool header_cut(struct header_cut *h, struct slice piece, bool last, size_t *used_out, struct buf *out);

#endif
