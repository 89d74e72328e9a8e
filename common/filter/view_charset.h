#ifndef POSTERN_FILTER_VIEW_CHARSET_H
#define POSTERN_FILTER_VIEW_CHARSET_H

#include "base/buf.h"

/* What mail's usual charsets are in UTF-8, by tables of our own: iconv(3) opens files. */
struct view_charset;

/* By its name in MIME, or one of its usual other names; case does not count.  NULL: not one of ours. */
const struct view_charset *view_charset_find(struct slice name);
/* What stands for no character becomes U+FFFD, so the result is well-formed.  At most three times as long. */
bool view_charset_to_utf8(const struct view_charset *charset, struct slice octets, struct buf *out);

#endif
