#ifndef POSTERN_QUEUE_REPORT_H
#define POSTERN_QUEUE_REPORT_H

#include "base/buf.h"

/*
 * Delivery status notifications (RFC 3464 in RFC 6522): what the sender is told when a message failed, or waits.  Pure.
 *
 * Always: pure ASCII, CRLF, no line above 998 octets; every text that came from a peer is one escaped, bounded line; of
 * the original only its header section goes back; nothing names a path of this host.
 */
enum report_kind { REPORT_FAILED, REPORT_DELAYED };

struct report_rcpt {
	struct slice address; /* final */
	struct slice original; /* as the sender wrote it */
	struct slice orcpt; /* "rfc822;..." or empty */
	struct slice dsn; /* "5.1.1" */
	uint64_t code; /* 550; 0: none */
	struct slice text; /* the remote's words, or ours */
	struct slice remote; /* name of the host that said it; empty: this one */
};

struct report {
	enum report_kind kind;
	uint64_t id; /* of the report itself */
	uint64_t about; /* of the message it is about */
	struct slice hostname;
	struct slice sender; /* who is told */
	struct slice envid;
	int64_t now_s, arrived_s, expires_s; /* expires_s: for a delay */
	struct slice boundary; /* not in any of the texts: random */
	struct slice headers; /* header section of the original, CRLF; cut where it is too long */
	const struct report_rcpt *rcpts;
	size_t rcpt_count;
};

#define REPORT_HEADERS_MAX (32u << 10)
#define REPORT_RCPTS_MAX 1000u /* more are counted, not listed */
#define REPORT_BYTES_MAX (4u << 20)

bool report_add(struct buf *out, const struct report *report);
/* The header section at the start of `body`, at most REPORT_HEADERS_MAX, whole lines. */
struct slice report_headers_of(struct slice body);

#endif
