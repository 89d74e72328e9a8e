#include "gate_session.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define SESSIONS_MAX 1100000u
#define COUNTER_BITS 24
#define CHANCE_BITS 22 /* a second's counter begins anywhere in its first quarter */

struct session {
	uint64_t number;
	struct link *worker; /* borrowed: the session ends before the link goes */
	struct gate_visit visit;
};

/* Who must know a session before its worker does.  `needed`: nothing can be accepted while it lags. */
static const struct witness {
	enum role role;
	bool needed;
} witnesses[] = {
	{ROLE_QUEUE, true},
	{ROLE_POLICYD, true},
	{ROLE_AUTHD, false},
	{ROLE_KEYD, false},
};
#define WITNESSES ARRAY_LEN(witnesses)

struct worker {
	struct link *link; /* borrowed */
	uint64_t sessions;
};

struct handing {
	struct session *session;
	int fd;
};

struct gate_sessions {
	struct map *by_number; /* -> struct session, owned */
	struct gate_counts *counts;
	struct link *witness[WITNESSES]; /* borrowed; NULL while away */
	bool seen[WITNESSES];
	struct worker workers[GATE_WORKERS_MAX];
	size_t worker_count;
	struct handing batch[GATE_BATCH];
	size_t batch_count;
	uint64_t last_number, started;
};

struct gate_sessions *gate_sessions_new(void)
{
	struct gate_sessions *g = mem_new(1, sizeof(*g));

	if (g != NULL)
		g->by_number = map_new(SESSIONS_MAX);
	if (g == NULL || g->by_number == NULL)
		log_fatal("sessions", ENOMEM);
	g->counts = gate_counts_new();
	return g;
}

static bool free_session(struct slice key, void *value, void *arg)
{
	(void)key;
	(void)arg;
	free(value);
	return true;
}

void gate_sessions_free(struct gate_sessions **gp)
{
	struct gate_sessions *g = *gp;

	if (g == NULL)
		return;
	*gp = NULL;
	for (size_t i = 0; i < g->batch_count; i++)
		close(g->batch[i].fd);
	map_each(g->by_number, free_session, NULL);
	map_free(&g->by_number);
	gate_counts_free(&g->counts);
	free(g);
}

uint64_t gate_session_mint(uint64_t last, int64_t wall_s, uint32_t chance)
{
	uint64_t fresh = (uint64_t)wall_s << COUNTER_BITS;

	if (last >= fresh)
		return last + 1;
	return fresh | (chance & ((1u << CHANCE_BITS) - 1));
}

static uint64_t mint(struct gate_sessions *g)
{
	uint32_t chance;

	mem_random(&chance, sizeof(chance));
	g->last_number = gate_session_mint(g->last_number, clock_wall_s(), chance);
	return g->last_number;
}

/* ---- the four ---- */

static void say_open(struct link *link, const struct session *s)
{
	const struct gate_visit *v = &s->visit;
	struct msg_SESSION_OPEN open = {
		.session = s->number,
		.worker = link_instance(s->worker),
		.generation = v->generation,
		.listener = v->listener,
		.role = v->role,
		.uid = v->uid,
		.client = slice_of(v->client),
	};

	if (!link_tell(link, IPC_SESSION_OPEN, &open, -1))
		link_break(link, "it does not read what it is told");
}

static void attest(struct gate_sessions *g, const struct session *s)
{
	for (size_t i = 0; i < WITNESSES; i++)
		if (g->witness[i] != NULL)
			say_open(g->witness[i], s);
}

static void say_closed(struct gate_sessions *g, uint64_t number)
{
	struct msg_SESSION_CLOSE closed = {number};

	for (size_t i = 0; i < WITNESSES; i++)
		if (g->witness[i] != NULL && !link_tell(g->witness[i], IPC_SESSION_CLOSE, &closed, -1))
			link_break(g->witness[i], "it does not read what it is told");
}

static bool say_open_again(struct slice key, void *value, void *arg)
{
	(void)key;
	say_open(arg, value);
	return true;
}

static size_t witness_index(enum role role)
{
	size_t i = 0;

	while (i < WITNESSES && witnesses[i].role != role)
		i++;
	return i;
}

/* True while one that is needed lags.  One that has stopped to read is given up: the master replaces it. */
static bool is_held_up(struct gate_sessions *g)
{
	bool held = false;

	for (size_t i = 0; i < WITNESSES; i++) {
		size_t behind = g->witness[i] == NULL ? 0 : link_queued_bytes(g->witness[i]);

		if (behind > GATE_LAG_DEAD_BYTES)
			link_break(g->witness[i], "it does not read what it is told");
		held = held || (witnesses[i].needed && behind > GATE_LAG_BYTES);
	}
	return held;
}

/* ---- workers ---- */

static struct worker *worker_find(struct gate_sessions *g, const struct link *link)
{
	for (size_t i = 0; i < g->worker_count; i++)
		if (g->workers[i].link == link)
			return &g->workers[i];
	return NULL;
}

static struct worker *least_loaded(struct gate_sessions *g)
{
	struct worker *best = NULL;

	for (size_t i = 0; i < g->worker_count; i++)
		if (!link_is_broken(g->workers[i].link) && (best == NULL || g->workers[i].sessions < best->sessions))
			best = &g->workers[i];
	return best;
}

/* Everything about a session but its place in the table. */
static void close_session(struct gate_sessions *g, struct session *s)
{
	struct worker *w = worker_find(g, s->worker);

	if (w != NULL)
		w->sessions--;
	say_closed(g, s->number);
	gate_counts_leave(g->counts, &s->visit.origin);
	free(s);
}

struct lost {
	struct gate_sessions *g;
	const struct link *worker;
};

static bool close_if_lost(struct slice key, void *value, void *arg)
{
	struct lost *lost = arg;
	struct session *s = value;

	(void)key;
	if (s->worker != lost->worker)
		return true;
	map_take_u64(lost->g->by_number, s->number);
	close_session(lost->g, s);
	return true;
}

static void worker_down(struct gate_sessions *g, struct link *link)
{
	struct lost lost = {g, link};
	struct worker *w = worker_find(g, link);

	if (w == NULL)
		return;
	*w = g->workers[--g->worker_count];
	map_each(g->by_number, close_if_lost, &lost);
}

static void worker_up(struct gate_sessions *g, struct link *link)
{
	if (g->worker_count == GATE_WORKERS_MAX) {
		LOG(LEVEL_ERROR, "too-many-workers", KV_NUM("instance", link_instance(link)));
		return;
	}
	g->workers[g->worker_count++] = (struct worker){link, 0};
}

void gate_sessions_link_up(struct gate_sessions *g, struct link *link)
{
	size_t i = witness_index(link_peer(link));

	if (link_peer(link) == ROLE_SMTPD) {
		worker_up(g, link);
		return;
	}
	if (i == WITNESSES)
		return;
	g->witness[i] = link;
	g->seen[i] = true;
	map_each(g->by_number, say_open_again, link);
}

void gate_sessions_link_down(struct gate_sessions *g, struct link *link)
{
	size_t i = witness_index(link_peer(link));

	if (link_peer(link) == ROLE_SMTPD)
		worker_down(g, link);
	else if (i < WITNESSES && g->witness[i] == link)
		g->witness[i] = NULL;
}

bool gate_sessions_can_serve(const struct gate_sessions *g)
{
	for (size_t i = 0; i < WITNESSES; i++)
		if (!g->seen[i])
			return false;
	return g->worker_count > 0;
}

/* ---- beginning and ending ---- */

static struct session *session_new(struct gate_sessions *g, const struct gate_visit *visit, const struct worker *w)
{
	struct session *s = mem_new(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->number = mint(g);
	s->worker = w->link;
	s->visit = *visit;
	if (map_put_u64(g->by_number, s->number, s))
		return s;
	free(s);
	return NULL;
}

enum gate_verdict gate_sessions_admit(struct gate_sessions *g, const struct gate_visit *visit,
				      const struct gate_limits *limits, int fd)
{
	struct worker *w = gate_sessions_can_serve(g) && !is_held_up(g) ? least_loaded(g) : NULL;
	enum gate_verdict verdict = w == NULL ? GATE_BUSY : gate_counts_enter(g->counts, &visit->origin, limits);
	struct session *s;

	if (verdict != GATE_ADMIT)
		return verdict;
	s = session_new(g, visit, w);
	if (s == NULL) {
		gate_counts_leave(g->counts, &visit->origin);
		return GATE_BUSY;
	}
	w->sessions++;
	attest(g, s);
	g->batch[g->batch_count++] = (struct handing){s, fd};
	if (g->batch_count == GATE_BATCH)
		gate_sessions_hand_over(g);
	return GATE_ADMIT;
}

static bool say_start(const struct session *s, int fd)
{
	const struct gate_visit *v = &s->visit;
	struct msg_SESSION_START start = {
		.session = s->number,
		.generation = v->generation,
		.listener = v->listener,
		.role = v->role,
		.uid = v->uid,
		.client = slice_of(v->client),
		.client_port = v->client_port,
		.local = slice_of(v->local),
		.local_port = v->local_port,
		.early = v->early,
	};

	return link_tell(s->worker, IPC_SESSION_START, &start, fd);
}

void gate_sessions_hand_over(struct gate_sessions *g)
{
	for (size_t i = 0; i < WITNESSES; i++)
		if (g->batch_count > 0 && g->witness[i] != NULL)
			(void)link_flush(g->witness[i]);
	for (size_t i = 0; i < g->batch_count; i++) {
		struct session *s = g->batch[i].session;

		if (say_start(s, g->batch[i].fd)) {
			g->started++;
		} else {
			map_take_u64(g->by_number, s->number);
			close_session(g, s);
		}
	}
	g->batch_count = 0;
}

bool gate_sessions_end(struct gate_sessions *g, uint64_t number, const struct link *worker)
{
	struct session *s = map_find_u64(g->by_number, number);

	if (s == NULL)
		return true;
	if (s->worker != worker)
		return false;
	map_take_u64(g->by_number, number);
	close_session(g, s);
	return true;
}

uint64_t gate_sessions_count(const struct gate_sessions *g)
{
	return map_count(g->by_number);
}

uint64_t gate_sessions_started(const struct gate_sessions *g)
{
	return g->started;
}
