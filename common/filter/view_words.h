#ifndef POSTERN_FILTER_VIEW_WORDS_H
#define POSTERN_FILTER_VIEW_WORDS_H

#include "base/buf.h"

/* One line (RFC 5322 §2.2.3), blanks at both ends cut off; a line end and the blanks behind it are one blank, whichever they were: what
 * was folded where a blank stood is what it was before. */
bool view_unfold(struct slice raw, struct buf *out);

/* Octets of the comment (§3.2.2) at the front of `s`, which begins with its parenthesis; of one without an end: all. */
size_t view_comment_length(struct slice s);

/*
 * Encoded words (RFC 2047) as UTF-8; the blanks between two of them are left out (§6.2), and a character may lie across them.  A word of
 * a charset we have no table for, or that is none, stays as written.  Controls that come out of a word are U+FFFD: no decoded text has
 * a CR, LF or NUL that its source did not have.  At most VIEW_WORDS_GROWTH times as long.
 */
#define VIEW_WORDS_GROWTH 3u
bool view_decode_words(struct slice text, struct buf *out);
/* One such word for each stretch that needs it; what is ASCII without controls, and no encoded word, stays.  For fields we write. */
bool view_encode_words(struct slice text, struct buf *out);

#endif
