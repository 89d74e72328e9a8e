#ifndef POSTERN_SMTPD_GATE_COUNT_H
#define POSTERN_SMTPD_GATE_COUNT_H

#include "base/slice.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * How many sessions there are: in all, from one host and from one network (pure).
 * A host is an IPv4 address or an IPv6 /64, for a /64 is what one machine is given; a network is a /24 or a /48.  A local
 * submitter's host is the uid, and there is no network.
 */
struct gate_counts;

struct gate_limits {
	uint64_t all, host, net;
};

#define GATE_KEY_BYTES 9
struct gate_origin {
	char host[GATE_KEY_BYTES], net[GATE_KEY_BYTES];
	uint8_t host_len, net_len; /* net_len 0: no network */
};

/* `address` may be v4-mapped: then it is IPv4. */
struct gate_origin gate_origin_of_address(const struct in6_addr *address);
struct gate_origin gate_origin_of_uid(uint32_t uid);

/* "192.0.2.1", "2001:db8::1"; false: `out` is too small. */
bool gate_address_text(const struct in6_addr *address, char out[64]);

enum gate_verdict {
	GATE_ADMIT, /* and counted */
	GATE_TOO_MANY,
	GATE_TOO_MANY_OF_HOST,
	GATE_TOO_MANY_OF_NET,
	GATE_BUSY, /* no memory, nobody to serve it, or others do not keep up */
};

struct gate_counts *gate_counts_new(void); /* exits 75 without memory */
void gate_counts_free(struct gate_counts **cp);

enum gate_verdict gate_counts_enter(struct gate_counts *c, const struct gate_origin *from, const struct gate_limits *limits);
/* Once for each GATE_ADMIT. */
void gate_counts_leave(struct gate_counts *c, const struct gate_origin *from);
uint64_t gate_counts_all(const struct gate_counts *c);
/* How many hosts and networks are remembered now: none without sessions. */
uint64_t gate_counts_remembered(const struct gate_counts *c);

#endif
