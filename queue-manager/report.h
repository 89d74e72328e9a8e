#ifndef POSTERN_QUEUE_REPORT_H
#define POSTERN_QUEUE_REPORT_H

#include "base/buf.h"

/*
 * Delivery status notifications (RFC 3464 in RFC 6522): what the sender is told of a message: that it failed, or waits, or what
 * he asked to be told of (RFC 3461).  Pure.
 *
 * Always: CRLF, no line above 998 octets; every text that came from a peer is one escaped, bounded line; nothing names a path
 * of this host.  All is ASCII but for a message that is returned whole and is not: then the report says so in its header, and
 * needs 8BITMIME on its way (report_is_8bit).
 */
enum report_action { /* what is worse comes first: it is the subject */
	REPORT_FAILED,
	REPORT_DELAYED,
	REPORT_RELAYED, /* to a host that gives no word of delivery */
	REPORT_DELIVERED,
	REPORT_EXPANDED, /* an address that stood for several */
	REPORT_ACTIONS
};

struct report_rcpt {
	enum report_action action;
	struct slice address; /* final */
	struct slice original; /* as the sender wrote it */
	struct slice orcpt; /* "rfc822;..." or empty; as mail/dsn.h keeps it */
	struct slice dsn; /* "5.1.1" */
	uint64_t code; /* 550; 0: none */
	struct slice text; /* the remote's words, or ours */
	struct slice remote; /* name of the host that said it; empty: this one */
	int64_t attempt_s; /* the last; 0: not known, or none */
};

struct report {
	uint64_t id; /* of the report itself */
	uint64_t about; /* of the message it is about */
	struct slice hostname;
	struct slice sender; /* who is told */
	struct slice envid;
	int64_t now_s, arrived_s, expires_s; /* expires_s: for a delay */
	struct slice boundary; /* not in any of the texts: random */
	struct slice original; /* CRLF: its header section, cut where it is too long; or, `whole`, all of it */
	bool whole; /* only what report_may_be_whole allows */
	const struct report_rcpt *rcpts; /* at least one; what is told first comes first */
	size_t rcpt_count;
};

#define REPORT_HEADERS_MAX (32u << 10)
#define REPORT_RCPTS_MAX 1000u /* more are counted, not listed */
#define REPORT_BYTES_MAX (4u << 20)

bool report_add(struct buf *out, const struct report *report);
bool report_is_8bit(const struct report *report);
/* No line is too long to be returned in a report, and all lines are whole. */
bool report_may_be_whole(struct slice message);
/* The header section at the start of `body`, at most REPORT_HEADERS_MAX, whole lines. */
struct slice report_headers_of(struct slice body);

#endif
