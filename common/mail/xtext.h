#ifndef POSTERN_MAIL_XTEXT_H
#define POSTERN_MAIL_XTEXT_H

#include "base/buf.h"

/*
 * xtext (RFC 3461 §4): how a value stands in a parameter of MAIL or RCPT.  Octets from "!" to "~" but "+" and "=" stand for
 * themselves; any other, NUL and line ends too, is "+" and two upper-case hexadecimal digits.  Strict, both ways.  What may be
 * in a decoded value is its reader's matter.
 */

/* Appends.  False: it is none, or does not fit; then a part of it may stand in `out`. */
bool xtext_decode(struct slice text, struct buf *out);
/* Appends the one shortest form. */
bool xtext_encode(struct slice bytes, struct buf *out);

#endif
