#ifndef POSTERN_POLICYD_ROUTE_H
#define POSTERN_POLICYD_ROUTE_H

#include "facts.h"

/*
 * Where one recipient goes: a walk along the route rules, over aliases and rewrites, to its targets.  Pure: it looks up and never
 * acts; what is not known yet ends it with PENDING, and it is begun again when that arrived.
 *
 *   recipient --rules--> alias    each of its values is a recipient again, from the first rule
 *                        rewrite  the new address goes on at the next rule
 *                        hold     marks it, and goes on
 *                        deliver, relay    a target
 *                        discard  nothing
 *                        reject, or no rule    no: a refusal
 *
 * Always: an alias that leads back to one of its own ancestors is that address itself, and goes on behind the alias rule (its mailbox then,
 * not its owner's forward file; so does an address that was expanded on the way to this message, facts.ancestors); depth and
 * width have bounds.  `postmaster` exists at every domain: what would refuse it leads to the setting postmaster.  A member of an
 * alias that exists nowhere is our mistake, not the sender's: it leads to the postmaster too, or defers the recipient.
 */
enum route_outcome {
	ROUTE_TARGETS, /* possibly none: discarded */
	ROUTE_REFUSED,
	ROUTE_DEFERRED, /* not known now, or our mistake */
	ROUTE_PENDING,
};

#define ROUTE_DEPTH_MAX 10u
#define ROUTE_WIDTH_MAX 1000u
#define ROUTE_RECORDS_MAX 120000u

struct route_result {
	enum route_outcome outcome;
	enum outcome oc;
	uint16_t code;
	char dsn[16];
	char text[513]; /* REFUSED: the reply */
	char rule[513]; /* REFUSED, DEFERRED: "file:line" of the rule, or "" */
	char cause[513]; /* DEFERRED: for the log */
	struct buf records; /* TARGETS: route_target records; owned: route_result_free */
	size_t count;
	bool leaves; /* one of them leaves this host, and only an attested right allows that */
};

/* `final`: the recipient was expanded before; transport and next hop only. */
void route_run(const struct conf *conf, const struct facts *facts, bool final, const struct lookups *lookups,
	       struct route_result *out);
void route_result_free(struct route_result *r);

#endif
