#ifndef POSTERN_CLI_IMPORT_HOP_H
#define POSTERN_CLI_IMPORT_HOP_H

#include "base/buf.h"

/* Where a line of transport(5) or a relayhost leads.  Pure. */
enum hop_kind { HOP_SMTP, HOP_MX, HOP_LMTP, HOP_LMTP_SOCKET, HOP_REJECT, HOP_DISCARD };

#define HOP_TEXT_MAX 500u

struct hop {
	enum hop_kind kind;
	char where[HOP_TEXT_MAX + 1]; /* host; a path; the text of a refusal */
	uint16_t port;
	char dsn[12]; /* of a refusal; "" */
};

/* "[host]:port" of relayhost.  NULL, or what is wrong. */
const char *hop_read_host(struct slice text, uint16_t port_default, struct hop *out);
/* "transport:nexthop" of transport(5). */
const char *hop_read(struct slice text, struct hop *out);
/* The arguments of `transport { ... }`, or "" where there is none. */
void hop_print(const struct hop *h, const char *login, struct buf *out);

#endif
