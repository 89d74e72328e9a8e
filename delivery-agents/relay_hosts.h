#ifndef POSTERN_RELAY_HOSTS_H
#define POSTERN_RELAY_HOSTS_H

#include "base/buf.h"
#include "base/outcome.h"
#include "net/here.h"

/*
 * Which addresses are tried for one connection, in which order.  Pure.
 *
 * What always holds (RFC 5321 §5.1): where we are among the hosts, by name or by an address of ours, that host and all that are
 * not preferred to it are left out; loopback, unspecified and impossible addresses are left out; what remains is tried in the
 * order of preference, at most HOSTS_TRIED_MAX of it.
 */
#define HOSTS_TRIED_MAX 8u
#define HOSTS_NAME_BYTES 256

struct hosts_one {
	char name[HOSTS_NAME_BYTES]; /* "" where there is none */
	char address[64]; /* "": the transport has its own */
};

struct hosts {
	struct hosts_one list[HOSTS_TRIED_MAX];
	size_t count;
};

struct hosts_facts {
	const struct here *here;
	const char *hostname; /* ours */
	bool allow_local; /* none of the guards */
};

/* records: mx_host records in the order of preference.  OC_DONE with at least one; else a sentence in `*why`: ROUTE_LOOP, we are
 * the best host left; NO_SUCH_DOMAIN, no address that mail can be sent to; DNS_UNKNOWN, malformed. */
enum outcome hosts_read(struct slice records, const struct hosts_facts *facts, struct hosts *out, const char **why);

#endif
