#ifndef POSTERN_MAILDIR_TEXT_H
#define POSTERN_MAILDIR_TEXT_H

#include "base/buf.h"

/*
 * What is written into a mailbox, made piece by piece.  Pure.
 */

/* CRLF becomes LF; a CR that stands alone stays.  `out` has room for in.len + 1 bytes; the length is returned.  Of a binary
 * message (RFC 3030) that is done to the header only: behind the empty line every octet stays. */
struct lf_writer {
	bool is_binary;
	bool cr_waits;
	bool in_line; /* of a binary one: something stands in this line */
	bool is_over; /* of a binary one: the header */
};
size_t lf_write(struct lf_writer *w, struct slice in, char *out);
/* After the last piece: 0 or 1 bytes. */
size_t lf_end(struct lf_writer *w, char *out);

/* The lines of the delivery itself: Return-Path (RFC 5321 §4.4); Delivered-To, Envelope-To and Delivery-Date where wanted; then `prepend` (CRLF lines as the
 * queue gave them) with LF.  No control byte of an address gets into a line.  False: no memory or beyond the ceiling. */
struct delivery_lines {
	struct slice sender; /* "" is the null sender */
	struct slice recipient;
	struct slice prepend;
	bool delivered_to;
	bool envelope_to;
	struct slice original; /* envelope_to: RCPT TO */
	int64_t delivered_s; /* delivery_date: seconds since 1970; 0: none */
};
bool delivery_lines_add(const struct delivery_lines *d, struct buf *out);

/* Quoting of an mbox, "mboxrd": a line of any number of `>` and "From " gets one `>` more, so that reading takes one off again.  In
 * pieces, of LF lines; `out` has room for twice as much. */
#define FROM_NOT SIZE_MAX
struct from_quoter {
	size_t matched; /* bytes of "From " that stand behind the `>`s of this line, and are held back; or FROM_NOT: no such line */
};
void from_quoter_begin(struct from_quoter *q);
size_t from_quote(struct from_quoter *q, struct slice in, char *out);
size_t from_quote_end(struct from_quoter *q, char *out);

/* Whether a header (lines with LF or CRLF) has that field, "Name: value": ASCII case and blanks around the value do not count. */
bool header_has(struct slice header, struct slice field);

/* Reads the header section (LF lines, in pieces) and finds out whether this message was delivered to `address` before: a
 * Delivered-To with just that address (RFC 9228 §2; ASCII case does not count). */
#define LOOP_LINE_MAX 600
struct loop_guard {
	struct slice address; /* borrowed */
	char line[LOOP_LINE_MAX];
	size_t len;
	bool line_too_long;
	bool in_header;
	bool found;
};
void loop_guard_begin(struct loop_guard *g, struct slice address);
/* False once nothing more needs to be shown. */
bool loop_guard_read(struct loop_guard *g, struct slice piece);

#endif
