#include "authd_slow.h"

#include "base/map.h"
#include "base/mem.h"

#include <sys/queue.h>

/* Always: an entry is in the map and in `by_age`, the one charged last at the end. */
struct entry {
	TAILQ_ENTRY(entry) peers;
	uint64_t score_ms; /* failures, each SLOW_FORGET_MS, as they were at `at_ms` */
	uint64_t at_ms;
	unsigned open; /* charged and not settled */
	unsigned earned; /* that many more of them are free */
	size_t key_len;
	char key[];
};

struct slow {
	struct slow_limits limits;
	struct map *keys; /* -> struct entry, owned */
	TAILQ_HEAD(ages, entry) by_age;
	size_t max;
};

struct slow *slow_new(const struct slow_limits *limits, size_t max_keys)
{
	struct slow *s = mem_new(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->limits = *limits;
	s->max = max_keys;
	TAILQ_INIT(&s->by_age);
	s->keys = map_new(max_keys);
	if (s->keys == NULL) {
		free(s);
		return NULL;
	}
	return s;
}

static void entry_free(struct slow *s, struct entry *e)
{
	map_take(s->keys, slice_make(e->key, e->key_len));
	TAILQ_REMOVE(&s->by_age, e, peers);
	free(e);
}

void slow_free(struct slow **sp)
{
	struct slow *s = *sp;

	if (s == NULL)
		return;
	*sp = NULL;
	while (!TAILQ_EMPTY(&s->by_age))
		entry_free(s, TAILQ_FIRST(&s->by_age));
	map_free(&s->keys);
	free(s);
}

size_t slow_count(const struct slow *s)
{
	return map_count(s->keys);
}

static void forget_some(struct entry *e, uint64_t now_ms)
{
	uint64_t passed = now_ms > e->at_ms ? now_ms - e->at_ms : 0;

	e->score_ms = e->score_ms > passed ? e->score_ms - passed : 0;
	e->at_ms = now_ms;
}

static struct entry *entry_new(struct slow *s, struct slice key, uint64_t now_ms)
{
	struct entry *e;

	if (map_count(s->keys) >= s->max)
		entry_free(s, TAILQ_FIRST(&s->by_age));
	e = malloc(sizeof(*e) + key.len);
	if (e == NULL)
		return NULL;
	e->score_ms = 0;
	e->at_ms = now_ms;
	e->open = 0;
	e->earned = 0;
	e->key_len = key.len;
	memcpy(e->key, key.at, key.len);
	if (!map_put(s->keys, key, e)) {
		free(e);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&s->by_age, e, peers);
	return e;
}

static uint64_t wait_of(const struct slow_limits *l, uint64_t score)
{
	uint64_t wait = l->first_ms;

	if (score <= l->free)
		return 0;
	for (uint64_t i = l->free + 1; i < score && wait < l->most_ms; i++)
		wait *= 2;
	return wait < l->most_ms ? wait : l->most_ms;
}

/* Without memory nothing is slowed down, but nothing is refused either: the hash itself still costs. */
bool slow_charge(struct slow *s, struct slice key, uint64_t now_ms, uint64_t *wait_ms)
{
	struct entry *e = map_find(s->keys, key);
	uint64_t score;
	unsigned free;

	*wait_ms = 0;
	if (e == NULL)
		e = entry_new(s, key, now_ms);
	if (e == NULL)
		return true;
	forget_some(e, now_ms);
	/* A part of a failure that is left counts as one. */
	score = (e->score_ms + SLOW_FORGET_MS - 1) / SLOW_FORGET_MS;
	free = s->limits.at_once + e->earned;
	score += e->open > free ? e->open - free : 0;
	if (s->limits.refuse_at > 0 && score >= s->limits.refuse_at)
		return false;
	*wait_ms = wait_of(&s->limits, score);
	e->open++;
	TAILQ_REMOVE(&s->by_age, e, peers);
	TAILQ_INSERT_TAIL(&s->by_age, e, peers);
	return true;
}

/* Of a key that was forgotten meanwhile a failure is its first. */
void slow_settle(struct slow *s, struct slice key, uint64_t now_ms, enum slow_outcome outcome)
{
	struct entry *e = map_find(s->keys, key);

	if (e == NULL && outcome == SLOW_FAILED)
		e = entry_new(s, key, now_ms);
	if (e == NULL)
		return;
	forget_some(e, now_ms);
	e->open -= e->open > 0;
	if (outcome == SLOW_FAILED) {
		e->score_ms += SLOW_FORGET_MS;
		e->earned /= 2;
	}
	if (outcome == SLOW_GOOD && e->earned < s->limits.at_once * SLOW_TRUST)
		e->earned++;
}
