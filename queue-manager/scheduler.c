#include "scheduler.h"

#include "base/map.h"
#include "base/mem.h"

#include <sys/queue.h>

/*
 *  A destination:   IDLE --add--> READY --next--> BUSY (window full) --done--> READY ... --nothing left--> IDLE
 *                   any --dead_after failures--> DEAD --time--> READY with a window of one
 *
 * It is in the ring of `ready` exactly while it has waiting items, room in its window, and is not dead; in `dead` while it
 * is dead and still has waiting items; in `idle` while it has neither waiting nor running items.
 */
#define DESTINATIONS_MAX 100000u
#define IDLE_MAX 2000u /* idle ones that are remembered for their window and their failures */

enum place { PLACE_NONE, PLACE_READY, PLACE_DEAD, PLACE_IDLE };

struct sched_dest {
	TAILQ_ENTRY(sched_dest) peers;
	TAILQ_ENTRY(sched_dest) stored_peers; /* while `stored` */
	enum place place;
	struct sched_item *first, *last;
	unsigned waiting, running, window;
	unsigned failures; /* in a row */
	unsigned deaths; /* in a row: doubles the time */
	bool steady; /* it has failed once: the window grows slowly */
	unsigned credit; /* successes since the window grew */
	bool stored;
	bool dead;
	uint64_t dead_until_ms;
	size_t key_len;
	char key[];
};

TAILQ_HEAD(dest_ring, sched_dest);

struct sched {
	struct sched_limits limits;
	struct map *dests; /* owns */
	struct dest_ring rings[PLACE_IDLE + 1];
	struct dest_ring stored; /* destinations with the note */
	size_t running, waiting, idle;
};

struct sched *sched_new(const struct sched_limits *limits)
{
	struct sched *s = mem_new(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->dests = map_new(DESTINATIONS_MAX);
	if (s->dests == NULL) {
		free(s);
		return NULL;
	}
	s->limits = *limits;
	for (size_t i = 0; i < ARRAY_LEN(s->rings); i++)
		TAILQ_INIT(&s->rings[i]);
	TAILQ_INIT(&s->stored);
	return s;
}

static bool free_dest(struct slice key, void *value, void *arg)
{
	(void)key;
	(void)arg;
	free(value);
	return true;
}

void sched_free(struct sched **sp)
{
	struct sched *s = *sp;

	if (s == NULL)
		return;
	*sp = NULL;
	map_each(s->dests, free_dest, NULL);
	map_free(&s->dests);
	free(s);
}

void sched_limit(struct sched *s, const struct sched_limits *limits)
{
	s->limits = *limits;
}

/* ---- where a destination stands ---- */

static enum place place_of(const struct sched_dest *d)
{
	if (d->dead && d->waiting > 0)
		return PLACE_DEAD;
	if (d->waiting == 0 && d->running == 0)
		return PLACE_IDLE;
	return d->waiting > 0 && d->running < d->window ? PLACE_READY : PLACE_NONE;
}

/* The only place where d->place is written. */
static void settle(struct sched *s, struct sched_dest *d)
{
	enum place place = place_of(d);

	if (place == d->place)
		return;
	if (d->place != PLACE_NONE)
		TAILQ_REMOVE(&s->rings[d->place], d, peers);
	if (place != PLACE_NONE)
		TAILQ_INSERT_TAIL(&s->rings[place], d, peers);
	s->idle -= d->place == PLACE_IDLE;
	s->idle += place == PLACE_IDLE;
	d->place = place;
}

static void forget(struct sched *s, struct sched_dest *d)
{
	TAILQ_REMOVE(&s->rings[PLACE_IDLE], d, peers);
	s->idle--;
	map_take(s->dests, slice_make(d->key, d->key_len));
	free(d);
}

/* The longest idle one goes when there are too many; one with work in the index stays. */
static void prune(struct sched *s)
{
	struct sched_dest *d = TAILQ_FIRST(&s->rings[PLACE_IDLE]);

	while (s->idle > IDLE_MAX && d != NULL) {
		struct sched_dest *next = TAILQ_NEXT(d, peers);

		if (!d->stored)
			forget(s, d);
		d = next;
	}
}

static struct sched_dest *dest_find(struct sched *s, struct slice key)
{
	return map_find(s->dests, key);
}

static struct sched_dest *dest_make(struct sched *s, struct slice key)
{
	struct sched_dest *d = dest_find(s, key);

	if (d != NULL)
		return d;
	d = mem_new(1, sizeof(*d) + key.len);
	if (d == NULL)
		return NULL;
	memcpy(d->key, key.at, key.len);
	d->key_len = key.len;
	d->window = s->limits.window_start;
	if (!map_put(s->dests, key, d)) {
		free(d);
		return NULL;
	}
	settle(s, d);
	prune(s);
	return d;
}

/* When its time is over a dead destination gets one probe; what it has failed so far stays counted. */
static bool is_dead(struct sched_dest *d, uint64_t now_ms)
{
	if (d->dead && now_ms >= d->dead_until_ms) {
		d->dead = false;
		d->window = 1;
	}
	return d->dead;
}

/* ---- items ---- */

static void enqueue(struct sched *s, struct sched_dest *d, struct sched_item *item)
{
	item->next = NULL;
	item->prev = d->last;
	item->dest = d;
	item->running = false;
	if (d->last != NULL)
		d->last->next = item;
	else
		d->first = item;
	d->last = item;
	d->waiting++;
	s->waiting++;
}

static void dequeue(struct sched *s, struct sched_item *item)
{
	struct sched_dest *d = item->dest;

	if (item->prev != NULL)
		item->prev->next = item->next;
	else
		d->first = item->next;
	if (item->next != NULL)
		item->next->prev = item->prev;
	else
		d->last = item->prev;
	item->next = item->prev = NULL;
	d->waiting--;
	s->waiting--;
}

static bool has_room(const struct sched *s, const struct sched_dest *d)
{
	if (d->waiting >= s->limits.waiting_max)
		return false;
	return s->waiting < s->limits.waiting_total || d->waiting < s->limits.waiting_low;
}

bool sched_has_room(struct sched *s, struct slice destination)
{
	struct sched_dest *d = dest_find(s, destination);

	return d == NULL || has_room(s, d);
}

enum sched_admit sched_add(struct sched *s, struct slice destination, struct sched_item *item, uint64_t now_ms)
{
	struct sched_dest *d = dest_make(s, destination);

	if (d == NULL)
		return SCHED_NO_MEMORY;
	if (is_dead(d, now_ms))
		return SCHED_DEAD;
	if (!has_room(s, d))
		return SCHED_FULL;
	enqueue(s, d, item);
	settle(s, d);
	return SCHED_WAITING;
}

void sched_remove(struct sched *s, struct sched_item *item)
{
	struct sched_dest *d = item->dest;

	if (d == NULL || item->running)
		return;
	dequeue(s, item);
	item->dest = NULL;
	settle(s, d);
}

struct sched_item *sched_next(struct sched *s)
{
	struct sched_dest *d = TAILQ_FIRST(&s->rings[PLACE_READY]);
	struct sched_item *item;

	if (d == NULL || s->running >= s->limits.jobs_max)
		return NULL;
	item = d->first;
	dequeue(s, item);
	item->running = true;
	d->running++;
	s->running++;
	settle(s, d);
	if (d->place == PLACE_READY) { /* its turn is over: to the end of the ring */
		TAILQ_REMOVE(&s->rings[PLACE_READY], d, peers);
		TAILQ_INSERT_TAIL(&s->rings[PLACE_READY], d, peers);
	}
	return item;
}

/* ---- the window ---- */

static void on_good(struct sched *s, struct sched_dest *d)
{
	d->failures = 0;
	d->deaths = 0;
	d->dead = false;
	d->credit++;
	if (d->window >= s->limits.window_max || (d->steady && d->credit < d->window))
		return;
	d->window++;
	d->credit = 0;
}

static void on_bad(struct sched *s, struct sched_dest *d, uint64_t now_ms)
{
	uint64_t wait_ms = s->limits.dead_first_ms;

	d->failures++;
	d->steady = true;
	d->credit = 0;
	d->window = d->window > 1 ? d->window / 2 : 1;
	if (d->dead || (d->failures < s->limits.dead_after && d->deaths == 0))
		return;
	for (unsigned i = 0; i < d->deaths && wait_ms < s->limits.dead_most_ms; i++)
		wait_ms *= 2;
	d->deaths++;
	d->dead = true;
	d->dead_until_ms = now_ms + (wait_ms < s->limits.dead_most_ms ? wait_ms : s->limits.dead_most_ms);
}

void sched_done(struct sched *s, struct sched_item *item, enum sched_result result, uint64_t now_ms)
{
	struct sched_dest *d = item->dest;

	item->dest = NULL;
	item->running = false;
	d->running--;
	s->running--;
	if (result == SCHED_GOOD)
		on_good(s, d);
	if (result == SCHED_BAD)
		on_bad(s, d, now_ms);
	settle(s, d);
	prune(s);
}

struct sched_item *sched_take_dead(struct sched *s)
{
	struct sched_dest *d = TAILQ_FIRST(&s->rings[PLACE_DEAD]);
	struct sched_item *item;

	if (d == NULL)
		return NULL;
	item = d->first;
	sched_remove(s, item);
	return item;
}

bool sched_is_dead(struct sched *s, struct slice destination, uint64_t now_ms)
{
	struct sched_dest *d = dest_find(s, destination);

	return d != NULL && is_dead(d, now_ms);
}

static bool revive(struct slice key, void *value, void *arg)
{
	struct sched_dest *d = value;

	(void)key;
	d->dead = false;
	d->deaths = d->failures = 0;
	settle(arg, d);
	return true;
}

void sched_revive(struct sched *s)
{
	map_each(s->dests, revive, s);
}

/* ---- what is in the index only ---- */

void sched_note_stored(struct sched *s, struct slice destination)
{
	struct sched_dest *d = dest_make(s, destination);

	if (d == NULL || d->stored)
		return;
	d->stored = true;
	TAILQ_INSERT_TAIL(&s->stored, d, stored_peers);
}

bool sched_refill(struct sched *s, struct slice *destination_out)
{
	struct sched_dest *d;

	TAILQ_FOREACH(d, &s->stored, stored_peers)
		if (d->waiting <= s->limits.refill_at && has_room(s, d))
			break;
	if (d == NULL)
		return false;
	TAILQ_REMOVE(&s->stored, d, stored_peers);
	d->stored = false;
	*destination_out = slice_make(d->key, d->key_len);
	return true;
}

size_t sched_running(const struct sched *s)
{
	return s->running;
}

size_t sched_waiting(const struct sched *s)
{
	return s->waiting;
}

size_t sched_destinations(const struct sched *s)
{
	return map_count(s->dests);
}
