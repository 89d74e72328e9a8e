#ifndef POSTERN_MAIL_DOTTED_H
#define POSTERN_MAIL_DOTTED_H

#include "base/buf.h"

/*
 * The body of a message as it is sent: by DATA (RFC 5321 §4.1.1.4, §4.5.2), or by BDAT (RFC 3030), where no dot means anything
 * and whoever counts the octets says where it ends (dotted_end).
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
 *
 * By chunks the same table without its dots: lines are judged alike, so that a text means one thing by either way.  A binary
 * body (BODY=BINARYMIME) has a header of such lines, and behind the empty line octets, which are never judged (RAW).
 */
enum dotted_form { DOTTED_DATA, DOTTED_CHUNKS, DOTTED_BINARY };

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
	DOTTED_RAW, /* in a binary body, behind the header */
	DOTTED_ENDED
};

struct dotted_decoder {
	enum dotted_state state;
	enum dotted_form form; /* set before the first octet */
	unsigned faults;
	bool high; /* an octet above 127 was seen */
	size_t line_bytes;
	size_t line_max;
};

static inline struct dotted_decoder dotted_decoder_make(size_t line_max)
{
	return (struct dotted_decoder){.state = DOTTED_LINE_START, .form = DOTTED_DATA, .line_max = line_max};
}

/* Returns how many bytes of `in` it used: all, or those up to the end of data, after which
 * dotted_is_ended.  The content (never longer than what was used, but for two bytes) is added to
 * `out`, or nowhere where that is NULL. */
size_t dotted_decode(struct dotted_decoder *d, struct slice in, struct buf *out);

/* The last chunk is over: a line that was not ended gets its CRLF.  Adds at most two bytes. */
void dotted_end(struct dotted_decoder *d, struct buf *out);

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
