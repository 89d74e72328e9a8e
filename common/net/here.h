#ifndef POSTERN_NET_HERE_H
#define POSTERN_NET_HERE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * Which addresses are this host: what may not be connected to when mail is to leave (RFC 5321 §5.1, a loop), and what tells
 * that a mail exchanger is ourselves.  IPv4 stands mapped, ::ffff:192.0.2.1, as conf/net.h reads it.
 *
 * The interfaces are read once, before the cage: an address that the host gets later is not known here until a restart.
 */
#define HERE_ADDRESSES_MAX 256u

struct here {
	struct in6_addr own[HERE_ADDRESSES_MAX];
	size_t count;
	bool has_v6; /* an IPv6 address that reaches further than this link */
};

enum here_kind {
	HERE_ELSEWHERE, /* another host, as far as can be told */
	HERE_OWN, /* 127/8, ::1, 0/8, ::, or an address of one of our interfaces */
	HERE_NO_HOST, /* multicast, broadcast, reserved, link-local: mail is never sent there */
};

/* Reads the interfaces; false: errno, and only what is fixed is known. */
bool here_read(struct here *h);
/* Beyond the maximum it is not added. */
void here_add(struct here *h, const struct in6_addr *address);
enum here_kind here_kind(const struct here *h, const struct in6_addr *address);

#endif
