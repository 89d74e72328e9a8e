#ifndef POSTERN_REPLY_H
#define POSTERN_REPLY_H

#include "base/slice.h"

/*
 * What an SMTP or LMTP server answers (RFC 5321 §4.2), read from a peer that may be hostile.
 *
 * Always: a reply is one code, 200 to 599, in 1 to REPLY_LINES_MAX lines that end with CRLF; NUL, a bare CR, a bare LF, another
 * code in a later line or a line beyond REPLY_LINE_MAX make it bad, and a bad parser stays bad.  What is kept of its text is
 * one line of printable ASCII.
 */
#define REPLY_LINE_MAX 2048u /* bytes with CRLF; RFC 5321 §4.5.3.1.5 allows 512 */
#define REPLY_LINES_MAX 128u
#define REPLY_TEXT_MAX 512u
#define REPLY_DSN_BYTES 12

struct reply {
	unsigned code; /* 0: there was none */
	char dsn[REPLY_DSN_BYTES]; /* RFC 3463, of the code's class; "" when it gave none */
	char text[REPLY_TEXT_MAX +
		  1]; /* its lines with a space between, without the enhanced code; cut at the maximum */
};

enum reply_want {
	REPLY_MORE, /* all was taken, the line goes on */
	REPLY_LINE, /* one line more, and not the last */
	REPLY_DONE, /* the last line: `reply` is whole, and the next call begins a new one */
	REPLY_BAD, /* `why` says how */
};

struct reply_parser {
	struct reply reply;
	struct slice line; /* text of the line just read, as it came; borrowed until the next call */
	const char *why;
	unsigned lines; /* of this reply so far */
	bool is_whole, is_bad;
	size_t held;
	char hold[REPLY_LINE_MAX];
};

void reply_start(struct reply_parser *p);
/* Takes at most one line off the front of `*in`. */
enum reply_want reply_step(struct reply_parser *p, struct slice *in);
/* Nothing of a further reply has been read. */
bool reply_is_between(const struct reply_parser *p);

static inline unsigned reply_class(const struct reply *r)
{
	return r->code / 100;
}

/* Appends `from` to the text in `out[size]` as printable ASCII (a tab is a space, anything else that is not printable a '?'),
 * cut where it is full. */
void reply_sanitise(struct slice from, char *out, size_t size);

#endif
