#ifndef POSTERN_POLICYD_EXPLAIN_H
#define POSTERN_POLICYD_EXPLAIN_H

#include "mail/address.h"
#include "route.h"
#include "tables.h"

/*
 * What becomes of an address, and why: the steps of its route as rows for the operator (`postern route`).  Pure.
 *
 *   kind       of a row, and what it has beside `number`, the address it is about (from 0, in the order they were asked)
 *   address    parent, address, by: what it came from: a rule, or the setting postmaster
 *   rule       rule, statement, matches (yes, no, unknown, pending), because: each test with what it found
 *   lookup     rule, table, found; where; value: what stands there, at most EXPLAIN_VALUE_MAX bytes of it; why it is unknown
 *   owner      rule, sender: who sends to the members of the list
 *   rewrite    rule, address
 *   target     rule, recipient, transport, nexthop, user, user-by (the table that names it, or why nobody does), directive, argument, held, queue-only, leaves
 *   refused    rule, code, text          deferred    rule, text          discarded    rule          pending
 *   result     of all: outcome (accepted, refused, deferred), code, dsn, text, rule, targets, relay; not-shown: how many addresses of a
 *              long list have no rows, for only the first EXPLAIN_ITEMS_MAX have
 */
#define EXPLAIN_VALUE_MAX 2000u
#define EXPLAIN_PAGE_MAX 60000u
#define EXPLAIN_ITEMS_MAX 100u

struct explain {
	const struct conf *conf;
	const struct lookups *lookups; /* borrowed, while it runs */
	bool pending; /* as whom something is done is not known yet */
	struct tables *tables; /* borrowed; they tell where an answer stood, and why there is none */
	struct tables_detail detail;
	size_t skip; /* rows that an earlier page had */
	size_t seen, hidden; /* rows; addresses without any */
	bool full; /* there are more than fit: the next page begins at `next` */
	size_t next;
	struct buf rows; /* control_row records; owned: explain_free */
	struct buf because; /* of the rule in hand; owned */
};

/* What an operator says of a session.  Not to be copied: the facts point into it. */
struct explain_question {
	struct mail_address recipient, sender;
	char login[256], client[65], local[65];
	char header[1024]; /* mail/header_names.h */
	struct facts facts;
	bool sender_said;
	bool may_relay; /* a login, a trusted client, or the local socket */
};
/* Reads control_field records: address, from, as, client, listener (its name, its ADDRESS:PORT, or mx, submission, local), size,
 * header (the name of a field that is there; any number of them).
 * False: one of them cannot be, `why` says which. */
bool explain_read(const struct conf *conf, struct slice control_field_records, struct explain_question *out, struct buf *why);

/* Rows of the page that begins at `skip`; what is not known yet makes it ROUTE_PENDING, and there are no rows. */
struct explain explain_begin(const struct conf *conf, struct tables *tables /* may be NULL */, size_t skip);
enum route_outcome explain_run(struct explain *e, const struct explain_question *q, const struct lookups *lookups);
void explain_free(struct explain *e);

#endif
