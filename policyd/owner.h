#ifndef POSTERN_POLICYD_OWNER_H
#define POSTERN_POLICYD_OWNER_H

#include "facts.h"

/*
 * Whose an address is: what somebody who is logged in, or a user of this host, may send as.  Pure.
 *
 * An address is its owner's when it is the login itself; when mail for it comes to the owner (by aliases too: each of those whom a
 * shared address leads to, at its end or on the way, may use it); or when the table `delegations` gives it to him, by its key or that of its domain (`@domain`).
 * root is everybody on this host.
 */
#define OWNER_NO_UID UINT64_MAX

struct owner {
	struct slice login; /* attested; "" none */
	uint64_t uid; /* attested, of the submission socket; OWNER_NO_UID: none */
};

/* Whether there is anybody whose addresses could be looked at, and the configuration wants it. */
bool owner_is_bound(const struct conf *conf, uint64_t role, uint64_t listener, const struct owner *o);

/* `address`: canonical, or a local part alone, which is of this host.  Facts: of the session; its sender and recipient do not count. */
enum answer owner_has(const struct conf *conf, const struct facts *facts, const struct owner *o, struct slice address,
		      const struct lookups *lookups);

#endif
