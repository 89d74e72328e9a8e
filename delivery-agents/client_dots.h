#ifndef POSTERN_CLIENT_DOTS_H
#define POSTERN_CLIENT_DOTS_H

#include "base/buf.h"

/* A message body as it goes over the wire (RFC 5321 §4.5.2): a line that begins with a dot gets one more, and the end is a dot
 * on a line of its own.  Pieces may be cut anywhere.  No byte of a body ends it: not even where the peer takes a lone LF for
 * the end of a line. */
enum dots_at { DOTS_LINE_START, DOTS_AFTER_LF, DOTS_IN_LINE, DOTS_AFTER_CR };

bool dots_add(enum dots_at *at, struct slice piece, struct buf *out);
/* A body whose last line has no CRLF gets one, or the dot would not stand alone. */
bool dots_end(enum dots_at *at, struct buf *out);

#endif
