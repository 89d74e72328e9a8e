#include "worker.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "conn.h"
#include "service/service.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define DRAIN_MARGIN_MS 1000u
#define LEAVE_FRESH_MS 2000u
#define LEAVE_TICK_MS 250u

/* ---- what a generation needs ---- */

struct tls_server *smtpd_generation_tls(const struct generation *g, uint64_t listener)
{
	const struct smtpd_generation *state = g->state;

	return state != NULL && listener < state->count ? state->tls[listener] : NULL;
}

/* The descriptor may be shared with others: never by its own offset. */
static bool read_chain(int fd, struct buf *out)
{
	for (;;) {
		char *room = buf_room(out, 4096);
		ssize_t n = room == NULL ? -1 : pread(fd, room, 4096, (off_t)out->len);

		if (n == -1 && room != NULL && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0;
		buf_grew(out, (size_t)n);
	}
}

static bool make_servers(const struct conf *conf, struct slice chain,
			 struct smtpd_generation *state, char why[TLS_WHY_BYTES])
{
	for (size_t i = 0; i < conf->listener_count; i++) {
		const struct conf_listener *l = &conf->listeners[i];
		const struct tls_server_config config = {
			.chain_pem = chain,
			.key = 0,
			.listener = l->name,
			.tickets = l->isolation == ISOLATION_SHARED,
		};

		if (l->tls == TLS_OFF)
			continue;
		state->tls[i] = tls_server_new(&config, why);
		if (state->tls[i] == NULL)
			return false;
	}
	return true;
}

bool smtpd_generation_ready(struct service *s, struct generation *g, char *why, size_t why_size)
{
	const struct conf *conf = g->conf;
	struct smtpd_generation *state =
		mem_new(1, sizeof(*state) + conf->listener_count * sizeof(state->tls[0]));
	struct buf chain = buf_make(TLS_CHAIN_MAX);
	char reason[TLS_WHY_BYTES] = "it cannot be read";
	bool good = true;

	if (state == NULL)
		log_fatal("generation", ENOMEM);
	state->count = conf->listener_count;
	g->state = state;
	if (conf->tls_certificate != NULL)
		good = read_chain(service_path_fd(s, g->number, slice_of(conf->tls_certificate)),
				  &chain) &&
		       make_servers(conf, buf_slice(&chain), state, reason);
	if (!good)
		snprintf(why, why_size, "certificate %s: %s", conf->tls_certificate, reason);
	buf_free(&chain);
	return good;
}

void smtpd_generation_free(struct service *s, struct generation *g)
{
	struct smtpd_generation *state = g->state;

	(void)s;
	for (size_t i = 0; state != NULL && i < state->count; i++)
		tls_server_free(&state->tls[i]);
	free(state);
	g->state = NULL;
}

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
