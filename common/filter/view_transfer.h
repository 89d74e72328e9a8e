#ifndef POSTERN_FILTER_VIEW_TRANSFER_H
#define POSTERN_FILTER_VIEW_TRANSFER_H

#include "base/buf.h"

/*
 * The encodings of RFC 2045 §6.7 and §6.8, and of RFC 2047 §4, read as leniently as mail is written: what is no part of the encoding
 * is left out (base64) or stands for itself (quoted-printable).  Never longer than what it was made from.  False: no memory.
 */
bool view_base64(struct slice text, struct buf *out);
bool view_quoted_printable(struct slice text, struct buf *out);
/* The Q encoding of an encoded word: `_` is a blank. */
bool view_q(struct slice text, struct buf *out);

#endif
