#ifndef POSTERN_RDATA_H
#define POSTERN_RDATA_H

#include "base/slice.h"

#include <netinet/in.h>

/*
 * The records of one answer, from DNS wire format (RFC 1035 §4).  The packet went through libunbound, which does not make its
 * content ours: each length, pointer and name is checked, and a packet that is not whole gives no records at all.
 */
#define RDATA_NAME_BYTES 256
#define RDATA_RECORDS_MAX 32u

enum rdata_type { RDATA_A = 1, RDATA_CNAME = 5, RDATA_PTR = 12, RDATA_MX = 15, RDATA_AAAA = 28, RDATA_DNSKEY = 48 };

struct rdata_record {
	uint16_t preference; /* MX */
	char name[RDATA_NAME_BYTES]; /* MX, PTR: lower case, without the last dot; "" is the root */
	struct in6_addr address; /* A (mapped), AAAA */
};

struct rdata {
	bool exists; /* false: the name does not (NXDOMAIN) */
	bool secure; /* validated by DNSSEC */
	size_t count; /* at most RDATA_RECORDS_MAX, more are left out; 0 with `exists`: there is no such record */
	struct rdata_record records[RDATA_RECORDS_MAX];
};

/* Reads the records of `type` that answer the packet's question, along its aliases (CNAME, at most 16).  Names that no host
 * can have are left out.  False: not an answer, a server's failure, or malformed; `secure` is the caller's to say. */
bool rdata_read(struct slice packet, enum rdata_type type, struct rdata *out);

#endif
