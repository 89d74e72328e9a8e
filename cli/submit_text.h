#ifndef POSTERN_SUBMIT_TEXT_H
#define POSTERN_SUBMIT_TEXT_H

#include "base/buf.h"

/*
 * What a program writes into sendmail, as SMTP carries it: LF and CRLF become CRLF, a dot at the start of a line is doubled
 * (RFC 5321 §4.5.2).  Streaming and pure.  A CR that stands alone is passed on; the server refuses it and says so.
 */
struct submit_text {
	bool dot_ends; /* without -i: a line that is one dot ends the message */
	bool ended; /* it did; nothing more is taken */
	bool line_start, after_cr, dot_waits;
};

struct submit_text submit_text_begin(bool dot_ends);
/* Appends to `out`, at most twice the input and three bytes.  False: `out` has no room. */
bool submit_text_add(struct submit_text *t, struct slice in, struct buf *out);
/* The end of the message: an open line is closed; then the final dot. */
bool submit_text_end(struct submit_text *t, struct buf *out);

#endif
