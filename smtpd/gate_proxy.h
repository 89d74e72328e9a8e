#ifndef POSTERN_SMTPD_GATE_PROXY_H
#define POSTERN_SMTPD_GATE_PROXY_H

#include "base/slice.h"

#include <netinet/in.h>
#include <stdint.h>

/*
 * The PROXY protocol, versions 1 and 2 (haproxy's doc/proxy-protocol.txt), at the front of what a proxy sends (pure).
 *
 * Always: with PROXY_MORE every byte that was given belongs to the header, so that a reader who takes them has none of the
 * client's.  What can no longer become a header is told at once, however little of it came.
 */
#define PROXY_V1_MAX 107u /* with CRLF (§2.1) */
#define PROXY_V2_MAX 2048u /* a bound of ours: addresses, and TLVs, of which none is used */
#define PROXY_HEADER_MAX PROXY_V2_MAX

enum proxy_step {
	PROXY_MORE,
	PROXY_CLIENT, /* addresses of the client, and where it came to */
	PROXY_OWN, /* LOCAL: the proxy speaks for itself, as it does to see whether we live */
	PROXY_NAMELESS, /* for a client whose address is not an Internet one, or not said: UNKNOWN, UNSPEC, AF_UNIX */
	PROXY_BAD,
};

struct proxy_header {
	size_t len; /* what stands behind it is the client's */
	struct in6_addr client, local; /* CLIENT; IPv4 is mapped */
	uint16_t client_port, local_port;
	const char *why; /* BAD */
};

enum proxy_step proxy_parse(struct slice in, struct proxy_header *out);

#endif
