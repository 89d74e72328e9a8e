#ifndef POSTERN_QUEUE_SCHEDULER_H
#define POSTERN_QUEUE_SCHEDULER_H

#include "base/slice.h"

/*
 * Who may be tried now.  Pure: time is handed in, and nothing is started here.
 *
 * An item is a message's recipients for one destination (transport and next hop).  Each destination has a window: how many
 * of its items may run at once.  It grows with each success, is halved by a failure of the destination itself, and after
 * several of those in a row the destination is dead for a while, longer each time; then one item is its probe.
 * Destinations take turns, so none can keep another waiting; `jobs_max` bounds all of them together.
 *
 * Always: running <= window for each destination; the sum of running <= jobs_max; a dead destination has nothing waiting
 * once sched_take_dead has been called until it returned NULL.
 */
struct sched;
struct sched_dest;

struct sched_item {
	struct sched_item *next, *prev; /* scheduler's, while waiting */
	struct sched_dest *dest; /* borrowed; NULL: not in the scheduler */
	bool running;
};

struct sched_limits {
	unsigned jobs_max;
	unsigned window_start, window_max;
	unsigned waiting_max; /* items of one destination kept in memory */
	unsigned waiting_total; /* of all; beyond it each destination may still have waiting_low */
	unsigned waiting_low;
	unsigned refill_at; /* with no more than these waiting a destination gets what the index has of it */
	unsigned dead_after; /* failures in a row */
	uint64_t dead_first_ms, dead_most_ms;
};

struct sched *sched_new(const struct sched_limits *limits); /* NULL: no memory */
void sched_free(struct sched **sp);
/* New limits hold from now on. */
void sched_limit(struct sched *s, const struct sched_limits *limits);

enum sched_admit {
	SCHED_WAITING, /* it will come out of sched_next or sched_take_dead */
	SCHED_FULL, /* too many of this destination in memory: keep it in the index; see sched_refill */
	SCHED_DEAD, /* do not try now */
	SCHED_NO_MEMORY,
};
enum sched_admit sched_add(struct sched *s, struct slice destination, struct sched_item *item, uint64_t now_ms);
/* Takes a waiting item out again (its message was removed or held). */
void sched_remove(struct sched *s, struct sched_item *item);

/* The next item to be started, which then counts as running; NULL: none may start now. */
struct sched_item *sched_next(struct sched *s);

enum sched_result {
	SCHED_GOOD, /* the destination works (whatever it said about the recipients) */
	SCHED_BAD, /* it could not be reached, or did not work */
	SCHED_NEITHER, /* our own side failed */
};
void sched_done(struct sched *s, struct sched_item *item, enum sched_result result, uint64_t now_ms);
/* An item that waits for a destination that has died since; it is no longer in the scheduler.  NULL: no more. */
struct sched_item *sched_take_dead(struct sched *s);

/* Whether one more item would be kept. */
bool sched_has_room(struct sched *s, struct slice destination);
/* The operator says: try all again now. */
void sched_revive(struct sched *s);
bool sched_is_dead(struct sched *s, struct slice destination, uint64_t now_ms);
/* More items of this destination are in the index, due now. */
void sched_note_stored(struct sched *s, struct slice destination);
/* A destination that has such items, and room for them: its note is taken away.  `destination_out` is borrowed until the
 * next call.  False: none. */
bool sched_refill(struct sched *s, struct slice *destination_out);

size_t sched_running(const struct sched *s);
size_t sched_waiting(const struct sched *s);
size_t sched_destinations(const struct sched *s);

#endif
