#ifndef POSTERN_QUEUE_SUBMIT_H
#define POSTERN_QUEUE_SUBMIT_H

#include "pool.h"
#include "queue.h"

/*
 * A message on its way into the spool: from a session's draft, or a report of our own.
 *
 *   routes asked --all answered--> judged --some may be taken--> written --durable--> active
 *                                    '--none, or not known now--> done with that outcome
 *
 * Always: recipients that differ in the case of letters alone are asked for as one; nothing is written before every route is known; nobody is told DONE before it is durable; a recipient whose
 * route leaves this host is taken only with a right that the gate or authd attested, or where it is a relay domain.
 */
struct asked_rcpt {
	struct slice address, orcpt;
	uint64_t notify;
	bool refused, leads_on; /* out: by its route, to somebody; both: of several addresses that it leads to */
};

struct submission {
	struct queue *q;
	struct pool pool; /* owned: all texts */
	struct spool_mail mail; /* sender, helo...; id; recipients once judged */
	struct generation *generation; /* held */
	struct asked_rcpt *asked; /* owned */
	size_t asked_count, asked_cap;
	struct buf body; /* owned; in memory, unless `in_file` */
	struct buf head; /* owned; what stands at the start of the draft's file */
	bool in_file;
	bool own; /* a report: made here, may leave */
	bool made_here; /* of another message, or by a user's filter: no Received of its own */
	bool may_leave; /* attested */
	bool let_go; /* as what it was made of: nothing is queue-only for it */
	bool is_list; /* the one that is asked for is a list: its members, to whom mail.sender is its owner */
	struct slice list_sender; /* who sent to it */
	bool withholds_client; /* Received says nothing of it */
	struct slice uninvited; /* header lines the worker wants before the body */
	/* what came of it */
	enum outcome outcome;
	uint64_t code;
	char dsn[16], text[512], rule[512];
	bool discarded; /* DONE, and by rule there is no message */
	void (*done)(struct submission *sub, void *arg);
	void *arg;
	/* while it goes on: submit.c's */
	struct target *targets;
	size_t target_count, target_cap, refused;
	size_t counted; /* its part of the queue's `routing_bytes` */
};

void submission_init(struct submission *sub, struct queue *q);
/* Frees what it owns, not the struct. */
void submission_clear(struct submission *sub);
/* One whose destination is known: nothing is asked about it. */
bool submission_add_ready(struct submission *sub, const struct spool_rcpt *rcpt, struct slice destination);
bool submission_add_rcpt(struct submission *sub, const struct asked_rcpt *rcpt);
/* Begins; `done` is called exactly once, later or (a failure) from inside, with `outcome` and its words set.  A file
 * draft is gone after any but DONE. */
void submission_commit(struct submission *sub);
/* First failure wins. */
void submission_fail(struct submission *sub, enum outcome outcome, const char *text);

#endif
