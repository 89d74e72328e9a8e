#ifndef POSTERN_QUEUE_MESSAGE_H
#define POSTERN_QUEUE_MESSAGE_H

#include "queue.h"

/*
 * A message that is in memory: being loaded, tried, or about to be put away.
 *
 *   LOADING --read--> ROUTING --all known--> TRYING --nobody busy--> SETTLING --+--> gone: all closed, file removed
 *      '--not there--> gone      (a fresh one begins here)                       +--> gone: waiting, in the index
 *                                                                                '--> REPORTING --> SETTLING
 *
 * Always: it is in queue.messages exactly while it is in memory; `busy` counts its recipients that are routed, waiting in
 * the scheduler or running; its file is changed by one writer task at a time (same key, same thread).
 */
enum message_state { MESSAGE_LOADING, MESSAGE_ROUTING, MESSAGE_TRYING, MESSAGE_SETTLING, MESSAGE_REPORTING };

enum rcpt_step {
	STEP_IDLE, /* to be tried, or tried and waiting */
	STEP_BUSY,
	STEP_FAILED, /* decided, but the sender has not been told durably */
};

enum message_wish { WISH_NONE, WISH_HOLD, WISH_REMOVE, WISH_RELEASE, WISH_RETRY };

/* What was said about a recipient: of those that are done with, only where the sender is to hear of it. */
struct reply {
	enum outcome outcome;
	uint64_t code;
	char dsn[16];
	char text[400];
	char remote[128];
	uint64_t handover; /* enum job_handover */
	int64_t at_s; /* when it was said; 0: no attempt */
};

struct recipient {
	enum rcpt_step step;
	struct reply *reply; /* owned; NULL: nothing said */
	bool kept; /* its route is queue-only, and nobody has let it go: not tried in this round, and it does not expire */
};

struct message {
	uint64_t id;
	enum message_state state;
	enum message_wish wish;
	enum spool_folder folder;
	struct spool_loaded file; /* owned */
	struct recipient *rcpts; /* owned; file.mail.rcpt_count of them */
	LIST_HEAD(, batch) batches; /* owned */
	size_t busy;
	uint64_t tries; /* rounds of attempts that have ended */
	char last[400]; /* last reply, for people */
	char *destination; /* owned; of all that wait, where it is one; else NULL */
	int64_t again_s; /* 0, or: come back then, and do not count this round */
	bool deferred; /* in this round a destination has said "later": then the retry rule has the say, not again_s */
	bool counted; /* this round is in `tries` */
	bool dirty; /* slots in memory are ahead of the file: it is in queue.dirty */
	bool writing; /* a thread writes its slots */
	uint64_t write_again_ms; /* 0, or: writing has failed, and not to be tried before */
	void (*after_slots)(struct queue *q, struct message *m); /* once the file is as memory is; may be NULL */
	bool let_go; /* the operator has named it: what is queue-only is tried too */
	bool incoming, unknown; /* counted in the queue's numbers of that name */
	bool has_row, warned;
	bool report_late; /* in this round the report could not be made: not to be tried again before the next */
	struct message *next_dirty;
	int read_fd; /* owned; -1 */
};

/* One group of recipients for one destination: the scheduler's item, and a job while it runs. */
struct batch {
	struct sched_item item; /* first: a batch is found from its item */
	LIST_ENTRY(batch) peers; /* of the message */
	struct message *message;
	char *destination; /* owned: "transport nexthop" */
	uint64_t job; /* 0: does not run */
	struct link *link; /* borrowed; of the agent that has it */
	unsigned agent; /* its place in queue.relay_jobs */
	size_t *slots; /* owned */
	size_t count;
	size_t open; /* slots without a verdict yet */
	bool worked, site_failed; /* what the verdicts say about the destination */
	bool granted; /* authd was told */
	uint64_t heard_ms; /* the job's start, or its last verdict */
};

static inline char *message_slot(const struct message *m, size_t i)
{
	return m->file.tail.at + (m->file.mail.slots_offset - m->file.mail.body_offset - m->file.mail.body_length) + i;
}

/* A place in queue.messages, in MESSAGE_LOADING; NULL: no memory, or there is one of that id. */
struct message *message_begin(struct queue *q, uint64_t id);
void message_free(struct queue *q, struct message **mp);

/* The operator has let this recipient go: nothing is queue-only for it any more, nor for what a delivery makes of it. */
bool message_is_let_go(const struct queue *q, const struct message *m, size_t slot);
/* A message just committed: `destinations` and `queue_only` have one per recipient (borrowed).  Takes the buffers and the descriptor. */
void message_fresh(struct queue *q, struct message *m, struct spool_loaded *file, const struct slice *destinations, const bool *queue_only,
		   int read_fd);
/* Reads it from the spool and tries it; with a wish, does that instead.  `row` (may be NULL) is what the index knew.  Does nothing
 * about one that is in memory, or that has ended and only lies there because its file cannot be removed. */
void message_load(struct queue *q, uint64_t id, const struct index_row *row, enum message_wish wish);
/* An operator's word about a message in memory. */
void message_want(struct queue *q, struct message *m, enum message_wish wish);

/* deliver.c tells: this recipient's attempt has ended. */
/* Not the destination's trouble: an agent that failed, or ended. */
bool message_is_own_trouble(enum outcome outcome);
void message_verdict(struct queue *q, struct message *m, size_t slot, const struct reply *reply);
/* Its batch has ended; the batch is freed. */
void message_batch_ended(struct queue *q, struct batch *batch);
/* The route of this recipient is queue-only.  False: the message was let go, so that it is to be tried. */
bool message_keep(struct queue *q, struct message *m, size_t slot);
/* Come back soon, and do not count this round. */
void message_postpone(struct message *m, int64_t again_s);

int64_t message_age_s(const struct message *m);
/* Writes the slots that have changed (every 200 ms at most). */
void message_flush_slots(struct queue *q);
/* At the end: flushes all, waits. */
void message_finish_all(struct queue *q);

/* settle.c: nobody is busy any more, what now? */
void message_settle(struct queue *q, struct message *m);
/* Tries all that wait. */
void message_try(struct queue *q, struct message *m);
void message_note(struct message *m, const struct reply *reply);
void message_set_reply(struct message *m, size_t i, const struct reply *reply);
/* Slot and file state. */
void message_set_slot(struct queue *q, struct message *m, size_t i, enum spool_slot slot);
/* Slots to the file now, then `then(q, m)`.  A disk that does not take them is asked again, and the message stays in memory until
 * it has: what was delivered is not forgotten. */
void message_write_slots(struct queue *q, struct message *m, void (*then)(struct queue *q, struct message *m));

#endif
