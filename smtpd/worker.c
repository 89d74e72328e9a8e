#include "worker.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "conn.h"
#include "service/service.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define DRAIN_MARGIN_MS 1000u
#define LEAVE_FRESH_MS 2000u
#define LEAVE_TICK_MS 250u

/* ---- connections ---- */

void worker_init(struct worker *w, struct loop *loop, const struct ports *ports)
{
	w->loop = loop;
	w->ports = *ports;
	LIST_INIT(&w->conns);
}

bool worker_can_sign(const struct worker *w)
{
	return clock_mono_ms() >= w->keyd_silent_until_ms && w->ports.reaches(w->ports.arg, ROLE_KEYD);
}

uint64_t worker_drafts(const struct worker *w)
{
	const struct conn *c;
	uint64_t count = 0;

	LIST_FOREACH(c, &w->conns, peers)
		count += c->draft.state != DRAFT_NONE;
	return count;
}

static bool is_sound(const struct msg_SESSION_START *start, const struct generation *g)
{
	return start->role == LISTENER_LOCAL ||
	       (start->role < LISTENER_LOCAL && start->listener < g->conf->listener_count);
}

void worker_begin(struct worker *w, const struct msg_SESSION_START *start, int fd, struct generation *g)
{
	const struct msg_SESSION_END end = {start->session};

	if (is_sound(start, g)) {
		conn_begin(w, start, fd, g);
		return;
	}
	LOG(LEVEL_ERROR, "session-without-listener", KV_SESSION(start->session),
	    KV_NUM("listener", start->listener));
	close(fd);
	w->release(w, &g);
	(void)w->ports.tell(w->ports.arg, ROLE_GATE, IPC_SESSION_END, &end);
}

/* `fn` may free its connection. */
static void each(struct worker *w, void (*fn)(struct conn *c))
{
	struct conn *next;

	for (struct conn *c = LIST_FIRST(&w->conns); c != NULL; c = next) {
		next = LIST_NEXT(c, peers);
		fn(c);
	}
}

static void lose_login(struct conn *c)
{
	if (c->session.login[0] == '\0')
		return;
	c->login_lost = true;
	conn_run(c);
}

static void gate_is_gone(struct conn *c)
{
	conn_end(c, END_GATE_GONE);
}

void worker_lost(struct worker *w, enum role role)
{
	w->lost[role]++;
	if (role == ROLE_QUEUE || role == ROLE_POLICYD)
		each(w, lose_login);
	if (role == ROLE_GATE)
		each(w, gate_is_gone);
}

/* ---- draining ---- */

static void leave(struct conn *c)
{
	if (c->phase == CONN_HANDSHAKE) {
		conn_end(c, END_SHUTDOWN);
		return;
	}
	session_leave(&c->session);
	conn_run(c);
}

static void shut_down(struct conn *c)
{
	if (c->session.state != SESSION_COMMIT)
		conn_end(c, END_SHUTDOWN);
}

/* Somebody who has just come in gets his mail through, rather than 421 for a banner. */
static uint64_t leave_from(const struct conn *c)
{
	return c->began_ms + LEAVE_FRESH_MS;
}

static void leave_if_due(struct conn *c)
{
	uint64_t now = clock_mono_ms();

	if (c->leave_ms == 0)
		return;
	if (now >= c->leave_until_ms)
		shut_down(c);
	else if (now >= c->leave_ms && !c->session.leaving)
		leave(c);
}

static bool any_leaves(const struct worker *w)
{
	const struct conn *c;

	LIST_FOREACH(c, &w->conns, peers)
		if (c->leave_ms != 0)
			return true;
	return false;
}

static void on_leave_tick(void *arg)
{
	struct worker *w = arg;

	each(w, leave_if_due);
	if (any_leaves(w))
		timer_set(w->leave_tick, LEAVE_TICK_MS);
}

void worker_leave(struct worker *w, uint64_t generation, uint64_t deadline_ms)
{
	struct conn *c;

	if (w->leave_tick == NULL)
		w->leave_tick = timer_new(w->loop, on_leave_tick, w);
	LIST_FOREACH(c, &w->conns, peers)
		if (c->generation->number <= generation && c->leave_ms == 0) {
			c->leave_ms = leave_from(c);
			c->leave_until_ms = clock_mono_ms() + deadline_ms;
		}
	timer_set(w->leave_tick, 0);
}

static void on_deadline(void *arg)
{
	struct worker *w = arg;

	each(w, shut_down);
}

void worker_drain(struct worker *w, uint64_t deadline_ms)
{
	w->draining = true;
	w->deadline = timer_new(w->loop, on_deadline, w);
	timer_set(w->deadline, deadline_ms > DRAIN_MARGIN_MS ? deadline_ms - DRAIN_MARGIN_MS : 0);
	each(w, leave);
	if (w->count == 0 && w->on_empty != NULL)
		w->on_empty(w);
}
