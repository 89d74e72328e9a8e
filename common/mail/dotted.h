#ifndef POSTERN_MAIL_DOTTED_H
#define POSTERN_MAIL_DOTTED_H

#include "base/buf.h"

/*
 * The body of a message as DATA carries it (RFC 5321 §4.1.1.4, §4.5.2).
 *
 *   LINE_START --'.'--> DOT --CR--> DOT_CR --LF--> ENDED
 *      ^  |any            |other       |other
 *      |  v               v            v
 *      |  IN_LINE <------------------------
 *      |  |CR
 *      |  v
 *      '--CR   (any other byte after a CR: it was bare; a LF anywhere else: bare, and begins no line)
 *
 * Only CR LF '.' CR LF ends the data; the CRLF of the DATA command is the first of its line ends.
 * What is wrong is noted and reading goes on to the real end, so that no second reading of the
 * stream is possible.
 */
enum dotted_fault {
	DOTTED_BARE_CR = 1 << 0,
	DOTTED_BARE_LF = 1 << 1,
	DOTTED_NUL = 1 << 2,
	DOTTED_LONG_LINE = 1 << 3, /* beyond `line_max`, CRLF not counted; it is not split */
};

enum dotted_state {
	DOTTED_LINE_START,
	DOTTED_IN_LINE,
	DOTTED_CR,
	DOTTED_DOT,
	DOTTED_DOT_CR,
	DOTTED_ENDED
};

struct dotted_decoder {
	enum dotted_state state;
	unsigned faults;
	bool high; /* an octet above 127 was seen */
	size_t line_bytes;
	size_t line_max;
};

static inline struct dotted_decoder dotted_decoder_make(size_t line_max)
{
	return (struct dotted_decoder){DOTTED_LINE_START, 0, false, 0, line_max};
}

/* Returns how many bytes of `in` it used: all, or those up to the end of data, after which
 * dotted_is_ended.  The content (never longer than what was used, but for two bytes) is added to
 * `out`, or nowhere where that is NULL. */
size_t dotted_decode(struct dotted_decoder *d, struct slice in, struct buf *out);

static inline bool dotted_is_ended(const struct dotted_decoder *d)
{
	return d->state == DOTTED_ENDED;
}

/*
 * The other direction.  `body` has CRLF line ends; a bare CR or LF in it is passed on as it is and
 * noted in `bare`: who must not send such a thing asks before it ends the data.
 */
struct dotted_encoder {
	bool in_line; /* not at the start of one */
	bool after_cr;
	bool bare;
};

/* False: no memory, or `out` is at its ceiling; start over.  Adds at most twice the length. */
bool dotted_encode(struct dotted_encoder *e, struct slice body, struct buf *out);
/* The end of data, after a CRLF where the body ended without. */
bool dotted_encode_end(struct dotted_encoder *e, struct buf *out);

#endif
