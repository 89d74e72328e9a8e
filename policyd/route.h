#ifndef POSTERN_POLICYD_ROUTE_H
#define POSTERN_POLICYD_ROUTE_H

#include "facts.h"
#include "ipc/flags.h"

struct cond;
struct rec_route_target;

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
 * A list with an owner (`owner-list` stands in the table of `list`, by its own name) sends to its members by its owner: from there on the
 * sender is owner-list at the list's domain.  Where `keeps_lists` says so it is a target itself, DIRECTIVE_LIST, for whoever makes the
 * message to its members; else they are looked at as if that were done.  The null sender stays null (RFC 5321 §4.5.5), and a list that
 * was expanded on the way to this message has no second message: its members are added under the sender that is.
 *
 * Where `enough` says so the walk ends early: what a long list's first members lead to is known by then, and each question about it is not
 * a walk over thousands.
 *
 * Always: an alias that leads back to one of its own ancestors is that address itself, and goes on behind the alias rule (its mailbox then,
 * not its owner's forward file; so does an address that was expanded on the way to this message, facts.ancestors); depth and
 * width have bounds.  `postmaster` exists at every domain: what would refuse it leads to the setting postmaster, and so does `root` where
 * the system's users have mailboxes.  A member of an
 * alias that exists nowhere is our mistake, not the sender's: it leads to the postmaster too, or defers the recipient.
 */
enum route_outcome {
	ROUTE_TARGETS, /* possibly none: discarded */
	ROUTE_REFUSED,
	ROUTE_DEFERRED, /* not known now, or our mistake */
	ROUTE_PENDING,
};

#define ROUTE_DEPTH_MAX 10u
#define ROUTE_WIDTH_MAX 10000u /* targets of one address */
#define ROUTE_PENDING_MAX 1000u /* addresses that wait for something when the walk ends with PENDING */
#define ROUTE_ITEMS_MAX (2u * ROUTE_WIDTH_MAX) /* addresses on the way to them */

struct route_result {
	enum route_outcome outcome;
	enum outcome oc;
	uint16_t code;
	char dsn[16];
	char text[513]; /* REFUSED: the reply; DEFERRED: for the client, where an alias says it; else "" */
	char rule[513]; /* REFUSED, DEFERRED: "file:line" of the rule, or "" */
	char cause[513]; /* DEFERRED: for the log */
	struct buf records; /* TARGETS: route_target records; owned: route_result_free */
	size_t count;
	bool is_cut; /* there are more than `enough` addresses, and the others were not looked at */
	bool leaves; /* one of them leaves this host, and only an attested right allows that */
};

/* What a run did, one after the other, for people (`postern route`).  Texts are borrowed for the call. */
enum route_note_kind {
	NOTE_ADDRESS, /* from here on it is about `address`; rule: of the alias that made it; text: how else it came */
	NOTE_TEST, /* test, value (or NULL) and its answer; the rule follows */
	NOTE_RULE, /* rule, and the answer of its condition; text: why it is unknown */
	NOTE_LOOKUP, /* rule; whether its table has (`answer`) the address; text: what stands there */
	NOTE_OWNER, /* rule; text: who sends to its members */
	NOTE_REWRITE, /* rule; it is `address` from here on */
	NOTE_TARGET, /* target */
	NOTE_REFUSED, /* rule or NULL; code, text: the reply */
	NOTE_DEFERRED, /* rule or NULL; text: the cause */
	NOTE_PENDING,
	NOTE_DISCARDED,
};

struct route_note {
	enum route_note_kind kind;
	size_t item, parent; /* numbers of addresses, from 0; parent SIZE_MAX: it was asked for */
	struct slice address, text;
	const struct rule *rule;
	const struct cond *test;
	const struct fact_value *value;
	enum answer answer;
	uint16_t code;
	const struct rec_route_target *target;
};

struct route_trace {
	void (*note)(void *arg, const struct route_note *note);
	void *arg;
};

struct route_question {
	const struct conf *conf;
	const struct facts *facts; /* of the session; the recipient is the address asked about */
	const struct lookups *lookups;
	bool final; /* the recipient was expanded before: transport and next hop only */
	bool keeps_lists;
	/* The recipient is such a list: only aliases (and `queue-only`) are asked about it, and its members are sent to by `owner`; a `hold`
	 * that is true of it does not count for them. */
	bool is_list;
	struct slice owner;
	bool any_sender; /* for people: nobody said who sends, and "" is not the null sender */
	size_t enough; /* so many addresses are looked at, and no more; 0: all of them */
	bool no_copies; /* whose the address is: rules `copy` are passed over */
	const struct route_trace *trace; /* NULL: nobody looks */
};

void route_run(const struct route_question *question, struct route_result *out);
/* Of records, the first that fit one answer: a whole number of them, at least one where there is any. */
struct slice route_page(struct slice records);
void route_result_free(struct route_result *r);

#endif
