#ifndef POSTERN_CONF_TABLE_KEYS_H
#define POSTERN_CONF_TABLE_KEYS_H

#include "conf/conf.h"
#include "mail/address.h"

/*
 * The keys a table is asked for, in this order; the first that stands there decides.  Pure.
 *
 *   alias TABLE     local@domain, local, @domain, *
 *                   (of user+tag@domain: that, user@domain, user+tag, user, @domain, *)
 *   FACT in TABLE   of a table with lines: the value, @domain where it is an address, *
 *                   of any other: the value
 *
 * A pattern is held against the whole value, in either use.  All keys are in lower case, domains in A-labels, and a local part that
 * stands alone has no quotes.
 */
#define TABLE_KEYS_MAX 6u

struct table_keys {
	struct slice at[TABLE_KEYS_MAX]; /* borrowed: of what was asked, or of `whole` and `base` */
	size_t count;
	size_t own; /* of an alias: so many of them, the first, name this address alone */
	struct mail_address whole, base; /* in lower case */
};

/* `base` is the same address without its sub-address, "" where it has none.  False: `address` is none.  `*out` must not be moved. */
bool table_keys_alias(enum conf_table_kind kind, struct slice address, struct slice base, struct table_keys *out);
/* `value` (borrowed) is in lower case. */
void table_keys_in(enum conf_table_kind kind, struct slice value, struct table_keys *out);

#endif
