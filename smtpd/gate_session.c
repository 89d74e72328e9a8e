#include "gate_session.h"

#include "gate_witness.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "conf/net.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define SESSIONS_MAX 1100000u
#define COUNTER_BITS 24
#define CHANCE_BITS 22 /* a second's counter begins anywhere in its first quarter */

struct session {
	struct gate_sessions *gate;
	uint64_t number;
	struct link *worker; /* shared: borrowed, the session ends before the link goes.  private: owned. */
	bool is_private;
	bool is_guest; /* told to leave before an upgrade */
	struct gate_visit visit;
};

struct worker {
	struct link *link; /* borrowed */
	uint64_t sessions;
	uint64_t served; /* in all */
	uint64_t came; /* counted: the newest parent serves */
	bool is_parent; /* forks private workers */
	bool retired;
};

struct handing {
	struct session *session;
	int fd;
};

struct gate_sessions {
	struct map *by_number; /* -> struct session, owned */
	struct gate_counts *counts;
	struct gate_witnesses witnesses;
	struct worker workers[GATE_WORKERS_MAX];
	size_t worker_count;
	struct handing batch[GATE_BATCH];
	size_t batch_count;
	size_t guests; /* of is_guest */
	uint64_t last_number, started, workers_came;
	bool parent_seen, told_no_parent;
	struct loop *loop;
	struct gate_sessions_config config;
};

struct gate_sessions *gate_sessions_new(struct loop *loop, const struct gate_sessions_config *config)
{
	struct gate_sessions *g = mem_new(1, sizeof(*g));

	if (g != NULL)
		g->by_number = map_new(SESSIONS_MAX);
	if (g == NULL || g->by_number == NULL)
		log_fatal("sessions", ENOMEM);
	g->loop = loop;
	g->config = *config;
	g->counts = gate_counts_new();
	return g;
}

static bool free_session(struct slice key, void *value, void *arg)
{
	struct session *s = value;

	(void)key;
	(void)arg;
	if (s->is_private)
		link_free(&s->worker);
	free(s);
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

/* ---- attestation ---- */

static struct msg_SESSION_OPEN open_of(const struct session *s)
{
	const struct gate_visit *v = &s->visit;

	return (struct msg_SESSION_OPEN){
		.session = s->number,
		.worker = link_instance(s->worker),
		.generation = v->generation,
		.listener = v->listener,
		.name = slice_of(v->listener_name),
		.role = v->role,
		.uid = v->uid,
		.client = slice_of(v->client),
		.local = slice_of(v->local),
		.local_port = v->local_port,
	};
}

static void attest(struct gate_sessions *g, const struct session *s)
{
	const struct msg_SESSION_OPEN open = open_of(s);

	gate_witnesses_tell_open(&g->witnesses, &open);
}

/* A private worker has no link to the new one, and so nothing to say there. */
static bool attest_again(struct slice key, void *value, void *arg)
{
	const struct session *s = value;
	const struct msg_SESSION_OPEN open = open_of(s);

	(void)key;
	if (!s->is_private)
		gate_witness_tell_open(arg, &open);
	return true;
}

/* ---- workers ---- */

static struct worker *worker_find(struct gate_sessions *g, const struct link *link)
{
	for (size_t i = 0; i < g->worker_count; i++)
		if (g->workers[i].link == link)
			return &g->workers[i];
	return NULL;
}

static bool serves(const struct worker *w, bool parent)
{
	return w->is_parent == parent && !w->retired && !link_is_broken(w->link);
}

static bool has_room(const struct gate_sessions *g, const struct worker *w)
{
	return g->config.worker_max == 0 || w->sessions < g->config.worker_max;
}

static struct worker *least_loaded(struct gate_sessions *g)
{
	struct worker *best = NULL;

	for (size_t i = 0; i < g->worker_count; i++)
		if (serves(&g->workers[i], false) && has_room(g, &g->workers[i]) && (best == NULL || g->workers[i].sessions < best->sessions))
			best = &g->workers[i];
	return best;
}

static const struct worker *newest_parent(const struct gate_sessions *g)
{
	const struct worker *best = NULL;

	for (size_t i = 0; i < g->worker_count; i++)
		if (serves(&g->workers[i], true) && (best == NULL || g->workers[i].came > best->came))
			best = &g->workers[i];
	return best;
}

/* Everything about a session but its place in the table. */
static void close_session(struct gate_sessions *g, struct session *s)
{
	struct worker *w = worker_find(g, s->worker);

	if (w != NULL)
		w->sessions--;
	g->guests -= s->is_guest;
	gate_witnesses_tell_closed(&g->witnesses, s->number);
	gate_counts_leave(g->counts, &s->visit.origin);
	if (s->is_private)
		link_free(&s->worker);
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
	/* What a parent has forked lives on. */
	*w = g->workers[--g->worker_count];
	map_each(g->by_number, close_if_lost, &lost);
}

static void worker_up(struct gate_sessions *g, struct link *link)
{
	bool is_parent = link_instance(link) >= GATE_PARENT_FIRST;

	if (g->worker_count == GATE_WORKERS_MAX) {
		LOG(LEVEL_ERROR, "too-many-workers", KV_NUM("instance", link_instance(link)));
		return;
	}
	g->parent_seen = g->parent_seen || is_parent;
	g->workers[g->worker_count++] = (struct worker){.link = link, .came = ++g->workers_came, .is_parent = is_parent};
}

void gate_sessions_link_up(struct gate_sessions *g, struct link *link)
{
	if (link_peer(link) == ROLE_SMTPD)
		worker_up(g, link);
	else if (gate_witnesses_up(&g->witnesses, link))
		map_each(g->by_number, attest_again, link);
}

void gate_sessions_link_down(struct gate_sessions *g, struct link *link)
{
	if (link_peer(link) == ROLE_SMTPD)
		worker_down(g, link);
	else
		gate_witnesses_down(&g->witnesses, link);
}

bool gate_sessions_can_serve(const struct gate_sessions *g)
{
	return gate_witnesses_all_seen(&g->witnesses) && g->worker_count > 0;
}

/* ---- private workers ---- */

static void end_session(struct gate_sessions *g, struct session *s)
{
	map_take_u64(g->by_number, s->number);
	close_session(g, s);
	g->config.on_ended(g->config.arg);
}

static void on_private_message(struct link *link, struct ipc_message *m, void *arg)
{
	struct session *s = arg;

	if (m->type == IPC_SESSION_END && m->body.SESSION_END.session == s->number)
		end_session(s->gate, s);
	else if (m->type != IPC_CLIENT_ASK || !gate_sessions_claim(s->gate, m, link))
		link_break(link, "not its own session's end");
}

static void on_private_broken(struct link *link, const char *broke_rules, void *arg)
{
	struct session *s = arg;

	(void)link;
	if (broke_rules != NULL)
		LOG(LEVEL_ERROR, "private-worker-broke-rules", KV_SESSION(s->number), KV_STR("why", broke_rules));
	end_session(s->gate, s);
}

/* Where there has never been a parent, this suite runs without one; one that is only away is waited for, lest who can crash it
 * be served in a shared process. */
static bool wants_parent(struct gate_sessions *g, const struct gate_visit *visit)
{
	if (!visit->isolated)
		return false;
	if (!g->parent_seen && !g->told_no_parent) {
		g->told_no_parent = true;
		LOG_PLAIN(LEVEL_WARN, "isolation-connection-not-available");
	}
	return g->parent_seen;
}

static bool make_private_link(struct gate_sessions *g, struct session *s, int *child_end_out)
{
	const struct link_config config = {ROLE_GATE, ROLE_SMTPD, s->number, on_private_message, on_private_broken, s};
	int pair[2];

	if (!link_pair(pair))
		return false;
	s->worker = link_new(g->loop, pair[0], &config);
	if (s->worker == NULL) {
		close(pair[1]);
		return false;
	}
	*child_end_out = pair[1];
	return true;
}

/* ---- beginning and ending ---- */

static bool say_start(const struct session *s, struct link *to, int fd)
{
	const struct gate_visit *v = &s->visit;
	const struct msg_SESSION_START start = {
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
		.proxy = slice_of(v->proxy),
		.may_xclient = v->may_xclient,
	};

	return link_tell(to, IPC_SESSION_START, &start, fd);
}

static struct session *session_new(struct gate_sessions *g, const struct gate_visit *visit)
{
	struct session *s = mem_new(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->gate = g;
	s->number = mint(g);
	s->visit = *visit;
	s->is_private = wants_parent(g, visit);
	if (map_put_u64(g->by_number, s->number, s))
		return s;
	free(s);
	return NULL;
}

static void drop_session(struct gate_sessions *g, struct session *s)
{
	map_take_u64(g->by_number, s->number);
	close_session(g, s);
}

/* All of one session to the parent at once, its links first: it forks on SESSION_START. */
static bool start_private(struct gate_sessions *g, struct session *s, int fd)
{
	const struct msg_LINK_ATTACH attach = {ROLE_GATE, s->number, s->visit.generation};
	const struct worker *newest = newest_parent(g);
	struct link *parent = newest == NULL ? NULL : newest->link;
	int child_end;

	if (parent == NULL || !make_private_link(g, s, &child_end))
		return false;
	if (!gate_witnesses_introduce(&g->witnesses, parent, s->number, s->visit.generation)) {
		close(child_end);
		return false;
	}
	attest(g, s);
	gate_witnesses_flush(&g->witnesses);
	if (!link_tell(parent, IPC_LINK_ATTACH, &attach, child_end))
		return false;
	/* Told or not, the descriptor is taken: a session that could not begin ends like one whose worker died. */
	if (say_start(s, parent, fd))
		g->started++;
	else
		link_break(s->worker, NULL);
	return true;
}

/* What several callers of one turn have in common is said in one packet: gate_sessions_hand_over sends it. */
static bool start_shared(struct gate_sessions *g, struct session *s, int fd)
{
	struct worker *w = least_loaded(g);

	if (w == NULL)
		return false;
	s->worker = w->link;
	w->sessions++;
	g->config.on_served(link_instance(w->link), ++w->served, g->config.arg);
	attest(g, s);
	g->batch[g->batch_count++] = (struct handing){s, fd};
	if (g->batch_count == GATE_BATCH)
		gate_sessions_hand_over(g);
	return true;
}

enum gate_verdict gate_sessions_admit(struct gate_sessions *g, const struct gate_visit *visit,
				      const struct gate_limits *limits, int fd)
{
	enum gate_verdict verdict = gate_sessions_can_serve(g) && !gate_witnesses_lag(&g->witnesses) ?
					    gate_counts_enter(g->counts, &visit->origin, limits) :
					    GATE_BUSY;
	struct session *s;

	if (verdict != GATE_ADMIT)
		return verdict;
	s = session_new(g, visit);
	if (s == NULL) {
		gate_counts_leave(g->counts, &visit->origin);
		return GATE_BUSY;
	}
	if (s->is_private ? start_private(g, s, fd) : start_shared(g, s, fd))
		return GATE_ADMIT;
	drop_session(g, s);
	return GATE_BUSY;
}

enum gate_verdict gate_sessions_count_in(struct gate_sessions *g, const struct gate_origin *from, const struct gate_limits *limits)
{
	return gate_counts_enter(g->counts, from, limits);
}

void gate_sessions_uncount(struct gate_sessions *g, const struct gate_origin *from)
{
	gate_counts_leave(g->counts, from);
}

void gate_sessions_hand_over(struct gate_sessions *g)
{
	if (g->batch_count > 0)
		gate_witnesses_flush(&g->witnesses);
	for (size_t i = 0; i < g->batch_count; i++) {
		struct session *s = g->batch[i].session;

		if (say_start(s, s->worker, g->batch[i].fd))
			g->started++;
		else
			drop_session(g, s);
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
	end_session(g, s);
	return true;
}

/* ---- XCLIENT ---- */

/* False: too many of that one; all is as it was. */
static enum gate_verdict count_as(struct gate_sessions *g, struct session *s, const struct gate_origin *now,
				  const struct gate_limits *limits)
{
	static const struct gate_limits any = {UINT64_MAX, UINT64_MAX, UINT64_MAX};
	enum gate_verdict verdict;

	gate_counts_leave(g->counts, &s->visit.origin);
	verdict = gate_counts_enter(g->counts, now, limits);
	if (verdict == GATE_ADMIT)
		s->visit.origin = *now;
	else
		MUST(gate_counts_enter(g->counts, &s->visit.origin, &any) == GATE_ADMIT); /* its place was free a moment ago */
	return verdict;
}

/* A number of its own, so that nobody takes what the worker says of the new client for words about the old. */
static bool renumber(struct gate_sessions *g, struct session *s)
{
	uint64_t was = s->number, now = mint(g);

	if (!map_put_u64(g->by_number, now, s))
		return false;
	map_take_u64(g->by_number, was);
	gate_witnesses_tell_closed(&g->witnesses, was);
	s->number = now;
	return true;
}

static bool set_claimed(struct gate_visit *v, const struct msg_CLIENT_ASK *ask)
{
	struct in6_addr client, local;

	if (!net_address(ask->client, &client) || !gate_address_text(&client, v->client))
		return false;
	if (ask->local.len > 0 && (!net_address(ask->local, &local) || !gate_address_text(&local, v->local)))
		return false;
	v->origin = gate_origin_of_address(&client);
	v->client_port = ask->client_port;
	if (ask->local.len > 0)
		v->local_port = ask->local_port;
	return v->client_port <= UINT16_MAX && v->local_port <= UINT16_MAX;
}

static enum outcome claim(struct gate_sessions *g, struct session *s, const struct msg_CLIENT_ASK *ask)
{
	struct gate_visit claimed = s->visit;
	struct gate_limits limits;
	enum outcome outcome;

	if (!set_claimed(&claimed, ask))
		return OC_BAD_INPUT;
	outcome = g->config.may_claim(&s->visit, claimed.client, &limits, g->config.arg);
	if (outcome != OC_DONE)
		return outcome;
	if (count_as(g, s, &claimed.origin, &limits) != GATE_ADMIT || !renumber(g, s))
		return OC_BUSY;
	s->visit = claimed;
	attest(g, s);
	gate_witnesses_flush(&g->witnesses);
	return OC_DONE;
}

bool gate_sessions_claim(struct gate_sessions *g, const struct ipc_message *m, struct link *worker)
{
	const struct msg_CLIENT_ASK *ask = &m->body.CLIENT_ASK;
	struct session *s = map_find_u64(g->by_number, ask->session);
	struct msg_CLIENT answer = {.session = ask->session};

	if (s == NULL || s->worker != worker || !s->visit.may_xclient || m->request == 0)
		return false;
	answer.outcome = claim(g, s, ask);
	answer.session = s->number;
	answer.client = slice_of(s->visit.client);
	answer.client_port = s->visit.client_port;
	link_answer(worker, m->request, IPC_CLIENT, &answer, -1);
	return true;
}

/* ---- leaving ---- */

void gate_sessions_retire(struct gate_sessions *g, struct link *link, uint64_t request)
{
	struct worker *w = worker_find(g, link);

	gate_sessions_hand_over(g); /* what is on its way to it */
	if (w != NULL)
		w->retired = true;
	link_answer(link, request, IPC_WORKER_RETIRED, &(struct msg_WORKER_RETIRED){0}, -1);
}

static bool tell_private(struct slice key, void *value, void *arg)
{
	const struct session *s = value;

	(void)key;
	if (s->is_private)
		(void)link_tell(s->worker, IPC_SESSIONS_LEAVE, arg, -1);
	return true;
}

void gate_sessions_leave(struct gate_sessions *g, uint64_t generation, uint64_t deadline_ms)
{
	struct msg_SESSIONS_LEAVE leave = {generation, deadline_ms};

	gate_sessions_hand_over(g);
	for (size_t i = 0; i < g->worker_count; i++)
		(void)link_tell(g->workers[i].link, IPC_SESSIONS_LEAVE, &leave, -1);
	map_each(g->by_number, tell_private, &leave);
}

static bool make_guest(struct slice key, void *value, void *arg)
{
	struct gate_sessions *g = arg;
	struct session *s = value;

	(void)key;
	g->guests += !s->is_guest;
	s->is_guest = true;
	return true;
}

void gate_sessions_leave_now(struct gate_sessions *g, uint64_t deadline_ms)
{
	map_each(g->by_number, make_guest, g);
	gate_sessions_leave(g, UINT64_MAX, deadline_ms);
}

size_t gate_sessions_guests(const struct gate_sessions *g)
{
	return g->guests;
}

struct census {
	struct gate_generation *at;
	size_t count;
};

/* In its place by number; where there is no room the oldest two are one. */
static void census_add(struct census *c, uint64_t number)
{
	size_t i = 0;

	while (i < c->count && c->at[i].number > number)
		i++;
	if (i < c->count && c->at[i].number == number) {
		c->at[i].sessions++;
		return;
	}
	if (c->count == GATE_GENERATIONS_SEEN) {
		if (i == c->count) {
			c->at[i - 1].sessions++;
			return;
		}
		c->at[c->count - 2].sessions += c->at[c->count - 1].sessions;
		c->count--;
		i = i < c->count ? i : c->count - 1;
	}
	memmove(&c->at[i + 1], &c->at[i], (c->count - i) * sizeof(c->at[0]));
	c->at[i] = (struct gate_generation){number, 1};
	c->count++;
}

static bool count_generation(struct slice key, void *value, void *arg)
{
	const struct session *s = value;

	(void)key;
	census_add(arg, s->visit.generation);
	return true;
}

size_t gate_sessions_generations(const struct gate_sessions *g, struct gate_generation out[GATE_GENERATIONS_SEEN])
{
	struct census census = {out, 0};

	map_each(g->by_number, count_generation, &census);
	return census.count;
}

static bool count_private(struct slice key, void *value, void *arg)
{
	const struct session *s = value;
	uint64_t *count = arg;

	(void)key;
	*count += s->is_private;
	return true;
}

uint64_t gate_sessions_private(const struct gate_sessions *g)
{
	uint64_t count = 0;

	map_each(g->by_number, count_private, &count);
	return count;
}

uint64_t gate_sessions_count(const struct gate_sessions *g)
{
	return map_count(g->by_number);
}

uint64_t gate_sessions_started(const struct gate_sessions *g)
{
	return g->started;
}
