#include "attested/attested.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"

#include <errno.h>

/* After the gate's link came up it tells all its sessions again; what a worker says meanwhile is no lie. */
#define GRACE_MS 2000

/* Sessions that have ended: what their worker said before it was heard that they had is no lie. */
#define ENDED_MAX 16384u

struct ended {
	uint64_t session, worker;
};

struct attested {
	struct service *service;
	struct map *sessions; /* number -> struct attested_session, owned */
	size_t own_size;
	void (*on_end)(struct attested_session *session); /* or NULL */
	struct map *ended; /* number -> struct ended, borrowed from the ring */
	struct ended *ring; /* owned; ENDED_MAX of them; session 0: none yet */
	size_t ring_next;
	uint64_t newest; /* of this gate, which counts upwards */
	uint64_t gate_up_ms;
	struct timer *sweep;
	uint64_t now_ms; /* of the sweep under way */
};

static void on_sweep(void *arg);

struct attested *attested_new(struct service *s, size_t own_size)
{
	struct attested *a = mem_new(1, sizeof(*a));

	if (a == NULL)
		log_fatal("sessions", ENOMEM);
	a->service = s;
	a->own_size = own_size;
	a->gate_up_ms = clock_mono_ms();
	a->sessions = map_new(ATTESTED_SESSIONS_MAX);
	a->ended = map_new(ENDED_MAX);
	a->ring = mem_new(ENDED_MAX, sizeof(*a->ring));
	if (a->sessions == NULL || a->ended == NULL || a->ring == NULL)
		log_fatal("sessions", ENOMEM);
	a->sweep = timer_new(service_loop(s), on_sweep, a);
	return a;
}

size_t attested_count(const struct attested *a)
{
	return map_count(a->sessions);
}

void attested_on_end(struct attested *a, void (*fn)(struct attested_session *session))
{
	a->on_end = fn;
}

static void session_free(struct attested *a, struct attested_session *s)
{
	generation_release(a->service, &s->generation);
	if (s->own != NULL)
		mem_wipe(s->own, a->own_size);
	free(s->own);
	free(s);
}

static void remember_end(struct attested *a, const struct attested_session *s)
{
	struct ended *e = &a->ring[a->ring_next];

	if (e->session != 0)
		map_take_u64(a->ended, e->session);
	*e = (struct ended){s->number, s->worker};
	if (!map_put_u64(a->ended, s->number, e))
		e->session = 0;
	a->ring_next = (a->ring_next + 1) % ENDED_MAX;
}

static bool has_ended(const struct attested *a, uint64_t session, uint64_t worker)
{
	const struct ended *e = map_find_u64(a->ended, session);

	return e != NULL && e->worker == worker;
}

static void session_drop(struct attested *a, uint64_t number)
{
	struct attested_session *s = map_take_u64(a->sessions, number);

	if (s == NULL)
		return;
	remember_end(a, s);
	if (a->on_end != NULL)
		a->on_end(s);
	session_free(a, s);
}

static struct attested_session *session_new(struct attested *a, const struct msg_SESSION_OPEN *open)
{
	struct attested_session *s = mem_new(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->own = mem_new(1, a->own_size);
	if (s->own == NULL || !slice_copy(open->client, s->client, sizeof(s->client)) ||
	    !slice_copy(open->local, s->local, sizeof(s->local))) {
		free(s->own);
		free(s);
		return NULL;
	}
	s->number = open->session;
	s->worker = open->worker;
	s->role = open->role;
	s->uid = open->uid;
	s->local_port = open->local_port;
	s->generation = generation_of_session(a->service, open, &s->listener);
	return s;
}

void attested_open(struct attested *a, struct link *gate, struct ipc_message *m)
{
	const struct msg_SESSION_OPEN *open = &m->body.SESSION_OPEN;
	struct attested_session *s = map_find_u64(a->sessions, open->session);

	if (open->session > a->newest)
		a->newest = open->session;
	if (s != NULL && s->worker == open->worker) {
		s->orphan_until_ms = 0;
		return;
	}
	if (s != NULL) {
		link_break(gate, "a session was given to two workers");
		return;
	}
	s = session_new(a, open);
	if (s == NULL || !map_put_u64(a->sessions, open->session, s)) {
		LOG(LEVEL_ERROR, "session-not-noted", KV_SESSION(open->session));
		if (s != NULL)
			session_free(a, s);
	}
}

void attested_close(struct attested *a, struct ipc_message *m)
{
	session_drop(a, m->body.SESSION_CLOSE.session);
}

void attested_gate_up(struct attested *a)
{
	a->gate_up_ms = clock_mono_ms();
	a->newest = 0;
}

static uint64_t session_timeout_ms(const struct attested *a)
{
	return service_conf(a->service)->set.session_timeout_ms;
}

static bool make_orphan(struct slice key, void *value, void *arg)
{
	struct attested_session *s = value;
	struct attested *a = arg;

	(void)key;
	if (s->orphan_until_ms == 0)
		s->orphan_until_ms = a->now_ms + session_timeout_ms(a);
	return true;
}

void attested_gate_down(struct attested *a)
{
	a->now_ms = clock_mono_ms();
	map_each(a->sessions, make_orphan, a);
	timer_set(a->sweep, session_timeout_ms(a) + 1);
}

static bool drop_orphan(struct slice key, void *value, void *arg)
{
	struct attested_session *s = value;
	struct attested *a = arg;

	(void)key;
	if (s->orphan_until_ms != 0 && a->now_ms >= s->orphan_until_ms)
		session_drop(a, s->number);
	return true;
}

static void on_sweep(void *arg)
{
	struct attested *a = arg;

	a->now_ms = clock_mono_ms();
	map_each(a->sessions, drop_orphan, a);
}

struct attested_session *attested_find(struct attested *a, uint64_t number)
{
	return map_find_u64(a->sessions, number);
}

/* No such session here, and yet its worker may be honest: the gate is away, has just come and tells all again, has not got round to
 * this one (its word waits where we cannot hear it), or has already ended it. */
static bool may_be_honest(const struct attested *a, const struct link *worker, uint64_t number)
{
	return service_link(a->service, ROLE_GATE, SERVICE_ANY) == NULL || clock_mono_ms() < a->gate_up_ms + GRACE_MS ||
	       number > a->newest || has_ended(a, number, link_instance(worker));
}

enum attested_answer attested_check(struct attested *a, struct link *worker, uint64_t number, struct attested_session **out)
{
	struct link *gate = service_link(a->service, ROLE_GATE, SERVICE_ANY);
	struct attested_session *s = attested_find(a, number);

	if (s == NULL && gate != NULL) {
		link_drain(gate);
		s = attested_find(a, number);
	}
	*out = s;
	if (s != NULL && s->worker == link_instance(worker))
		return ATTESTED_YES;
	*out = NULL;
	if (s == NULL && may_be_honest(a, worker, number))
		return ATTESTED_NOT_YET;
	LOG(LEVEL_WARN, "session-not-given", KV_SESSION(number), KV_NUM("worker", link_instance(worker)));
	link_break(worker, "it spoke of a session that was not given to it");
	return ATTESTED_NO;
}
