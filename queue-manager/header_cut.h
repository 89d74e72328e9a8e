#ifndef POSTERN_QUEUE_HEADER_CUT_H
#define POSTERN_QUEUE_HEADER_CUT_H

#include "base/buf.h"

/* The start of a message (CRLF or LF lines) without the fields that are named, a LF between names; ASCII case does not count.  Where the
 * header does not end in it, the field that is cut off at its end stays.  What stands behind the header is as it was.  Pure.
 * False: no memory. */
bool header_cut(struct slice start, struct slice names, struct buf *out);

#endif
