#ifndef POSTERN_BASE_BASE64_H
#define POSTERN_BASE_BASE64_H

#include "base/buf.h"

/* RFC 4648 §4, strict: no spaces, no missing or misplaced padding, no stray bits.  False leaves `out` as it was. */
bool base64_decode(struct slice text, struct buf *out);
bool base64_encode(struct slice bytes, struct buf *out);

#endif
