#ifndef POSTERN_SUBMIT_HEADER_H
#define POSTERN_SUBMIT_HEADER_H

#include "base/buf.h"
#include "mail/address_list.h"

/*
 * The header section of a message that a program hands to sendmail.  Pure.  Lines end with LF or CRLF, as they came.
 */
#define SUBMIT_HEADER_MAX (1u << 20)

/* How much of `text`, the message's beginning, is header: up to the empty line, which is counted in `*end`, or to the first line
 * that is no field (the message has no empty line then).  An mbox "From " line at the top is no part (`*start`).  False: not
 * known before there is more text (`eof` says that there is none). */
struct submit_extent {
	size_t start, length; /* fields */
	size_t end; /* where the body begins */
};
bool submit_header_find(struct slice text, bool eof, struct submit_extent *out);

struct submit_header {
	bool take_recipients; /* -t */
	struct slice from; /* "user@host", for a missing From */
	struct slice full_name; /* -F; "" none */
	struct slice host; /* for a missing Message-ID */
	int64_t wall_s; /* for a missing Date */
	uint64_t random;
	address_list_fn *on_recipient; /* for -t */
	void *arg;
};

/* Writes the fields as they are to be sent to `out`, without the empty line after them: what is missing of From, Date and
 * Message-ID comes first; Return-Path goes, and with -t the Bcc fields do.  With -t the addresses of To, Cc and Bcc (of Resent-To
 * and so on where there are such: RFC 5322 §3.6.6) are given to on_recipient.  False with a sentence in `why`. */
bool submit_header_write(const struct submit_header *h, struct slice fields, struct buf *out, const char **why);

#endif
