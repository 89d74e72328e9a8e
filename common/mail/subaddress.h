#ifndef POSTERN_MAIL_SUBADDRESS_H
#define POSTERN_MAIL_SUBADDRESS_H

#include "mail/address.h"

/*
 * The sub-address of a canonical address, "tag" in user+tag@example.org (RFC 5233): what stands behind the first of the separators,
 * which is not its first character.  A local part that needs quotes has none.  Pure.
 */
struct subaddress {
	struct slice user, detail; /* borrowed; user: the local part without separator and tag; detail: "" where there is no tag */
	bool is_there;
};

/* `separators`: each of its characters is one; "": there are no sub-addresses. */
struct subaddress subaddress_cut(struct slice separators, struct slice address);
/* The address without it; "" where it has none. */
struct slice subaddress_base(struct slice separators, struct slice address, char space[MAIL_ADDRESS_MAX + 1]);

#endif
