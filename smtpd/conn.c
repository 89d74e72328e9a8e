#include "conn_private.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "service/service.h"
#include "rules/rules.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define IN_MAX (256u << 10) /* clear text of one TLS step, and what was left */
#define OUT_MAX (4u << 20)
#define OUT_HIGH 65536u /* replies not sent: no more commands are taken */
#define LINGER_BYTES (256u << 10)

void conn_enter(struct conn *c, enum conn_phase next)
{
	c->phase = next;
	c->active_ms = clock_mono_ms();
}

/* ---- what goes out ---- */

static void say_tls(struct conn *c, struct slice plain)
{
	if (!tls_write(c->tls, plain, &c->out))
		conn_enter(c, CONN_GONE);
}

/* What came before the banner; only rules at connect can have held it back since the gate looked. */
static void note_early(struct conn *c)
{
	const struct session_place *place = &c->session.place;
	char byte;

	c->greeted = true;
	if (place->conf->policy[STAGE_CONNECT] != NULL && place->role != LISTENER_LOCAL && place->tls != TLS_IMPLICIT &&
	    recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1)
		c->session.early = true;
}

/* A rule's delay holds the reply back. */
static void take_replies(struct conn *c)
{
	struct session *s = &c->session;

	if (s->out.len == 0 || s->state == SESSION_PAUSE)
		return;
	if (!c->greeted)
		note_early(c);
	if (c->tls != NULL)
		say_tls(c, buf_slice(&s->out));
	else
		buf_add_slice(&c->out, buf_slice(&s->out));
	if (!buf_ok(&c->out) || !buf_ok(&s->out)) {
		LOG(LEVEL_WARN, "out-of-memory", KV_SESSION(s->place.number));
		conn_enter(c, CONN_GONE);
	}
	buf_free(&s->out);
}

static void flush(struct conn *c)
{
	while (c->out.len > 0 && c->phase != CONN_GONE) {
		ssize_t n = send(c->fd, c->out.at, c->out.len, MSG_NOSIGNAL);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && errno == EAGAIN)
			return;
		if (n <= 0) {
			conn_enter(c, CONN_GONE);
			return;
		}
		c->active_ms = clock_mono_ms();
		buf_take(&c->out, (size_t)n);
	}
	buf_free(&c->out); /* an idle connection keeps no memory for it */
}

/* ---- what the session wants ---- */

/* Whatever it was waiting for, it waits for it no more. */
static void end_session(struct conn *c, enum session_end why)
{
	session_end(&c->session, why);
	conn_forget_asks(c);
	c->asked = false;
}

static bool want_input(struct conn *c)
{
	size_t used;

	if (c->login_lost && !session_receives(&c->session)) {
		end_session(c, END_LOGIN_LOST);
		return true;
	}
	if (c->in.len == 0 || c->out.len > OUT_HIGH)
		return false;
	c->session.tls_ready = c->tls_server != NULL && worker_can_sign(c->worker);
	c->session.wall_s = (int64_t)(clock_wall_ms() / 1000);
	used = session_input(&c->session, buf_slice(&c->in));
	buf_take(&c->in, used);
	return used > 0;
}

static bool want_policy(struct conn *c)
{
	return ask_policy(c);
}

static bool want_login(struct conn *c)
{
	return ask_login(c);
}

static bool want_client(struct conn *c)
{
	return ask_client(c);
}

static bool want_rewrite(struct conn *c)
{
	return ask_rewrite(c);
}

static bool want_store(struct conn *c)
{
	return draft_store(c);
}

static bool want_commit(struct conn *c)
{
	return draft_commit(c);
}

static bool want_pause(struct conn *c)
{
	c->pause_until_ms = clock_mono_ms() + c->session.pause_ms;
	return false;
}

/* Not before our 220 has left in clear. */
static bool want_tls(struct conn *c)
{
	flush(c);
	c->asked = false;
	if (c->out.len == 0 && c->phase == CONN_OPEN)
		conn_begin_handshake(c);
	return false;
}

static bool want_close(struct conn *c)
{
	conn_enter(c, CONN_FLUSHING);
	if (c->tls != NULL)
		tls_close(c->tls, &c->out);
	return false;
}

/* Each does what is wanted and returns true when the session may want something else now. */
static bool (*const wants[])(struct conn *c) = {
	[WANT_INPUT] = want_input, [WANT_POLICY] = want_policy, [WANT_LOGIN] = want_login, [WANT_CLIENT] = want_client,
	[WANT_REWRITE] = want_rewrite,
	[WANT_STORE] = want_store, [WANT_COMMIT] = want_commit, [WANT_PAUSE] = want_pause,
	[WANT_TLS] = want_tls,	   [WANT_CLOSE] = want_close,
};

static void serve(struct conn *c)
{
	bool more = true;

	while (more && c->phase == CONN_OPEN) {
		enum session_want want = session_want(&c->session);

		take_replies(c);
		if (draft_is_over(c))
			draft_abort(c);
		if (c->dialogue && !c->session.sasl.open)
			drop_dialogue(c);
		if (c->phase != CONN_OPEN || c->asked)
			return;
		c->asked = want != WANT_INPUT && want != WANT_CLOSE;
		more = wants[want](c);
	}
}

/* ---- the end ---- */

static void log_close(const struct conn *c)
{
	const struct session *s = &c->session;

	LOG(LEVEL_INFO, "session-close", KV_SESSION(s->place.number),
	    KV_STR("client", s->place.client), KV_STR("state", session_state_name(s->state)),
	    KV_NUM("commands", s->commands), KV_NUM("errors", s->errors),
	    KV_NUM("messages", s->messages), KV_STR("login", s->login),
	    KV_NUM("ms", clock_mono_ms() - c->began_ms));
}

static void conn_free(struct conn *c)
{
	struct worker *w = c->worker;
	struct ports *p = &w->ports;
	const struct msg_SESSION_END end = {c->session.place.number};

	log_close(c);
	conn_forget_asks(c);
	draft_drop(c);
	watch_free(&c->watch);
	timer_free(&c->timer);
	tls_conn_free(&c->tls);
	close(c->fd);
	buf_free(&c->in);
	buf_free(&c->out);
	session_clear(&c->session);
	w->release(w, &c->generation);
	LIST_REMOVE(c, peers);
	free(c);
	w->count--;
	(void)p->tell(p->arg, ROLE_GATE, IPC_SESSION_END, &end);
	if (w->count == 0 && w->on_empty != NULL)
		w->on_empty(w);
}

/* The last reply has left: say so, and wait a little for the peer to hear it.  Closing at once,
 * with input unread, would make the kernel throw our reply away. */
static void finish_flushing(struct conn *c)
{
	if (c->ended || shutdown(c->fd, SHUT_WR) == -1)
		conn_enter(c, CONN_GONE);
	else
		conn_enter(c, CONN_LINGERING);
}

/* ---- time ---- */

static void time_is_over(struct conn *c, uint64_t now)
{
	if (c->phase == CONN_HANDSHAKE)
		LOG(LEVEL_INFO, "tls-failed", KV_SESSION(c->session.place.number),
		    KV_STR("client", c->session.place.client), KV_STR("why", "took too long"));
	if (c->phase != CONN_OPEN || c->out.len > 0) {
		conn_enter(c, CONN_GONE);
	} else if (now >= conn_session_deadline(c)) {
		end_session(c, END_SESSION_LONG);
	} else if (now >= conn_message_deadline(c)) {
		end_session(c, END_MESSAGE_LONG);
	} else if (c->session.state == SESSION_PAUSE) {
		c->asked = false;
		session_resume(&c->session);
	} else {
		end_session(c, END_IDLE);
	}
}

/* In a dialogue it counts when a command was handled, not when a byte came; in a body, every
 * byte counts. */
static void note_progress(struct conn *c)
{
	enum session_state state = c->session.state;

	if (state == c->state_seen && c->session.commands == c->commands_seen)
		return;
	if (c->session.bodies != c->bodies_seen)
		c->message_ms = clock_mono_ms();
	c->bodies_seen = c->session.bodies;
	c->state_seen = state;
	c->commands_seen = c->session.commands;
	c->active_ms = clock_mono_ms();
}

static void arm_timer(struct conn *c)
{
	uint64_t due = conn_deadline(c), now = clock_mono_ms();

	if (due == CONN_NEVER)
		timer_stop(c->timer);
	else
		timer_set(c->timer, due > now ? due - now : 0);
}

/* ---- events ---- */

static bool reads_now(const struct conn *c)
{
	if (c->phase == CONN_LINGERING)
		return true;
	if (c->ended || c->waits_key || c->in.len > 0 || c->out.len > OUT_HIGH)
		return false;
	return c->phase == CONN_HANDSHAKE ||
	       (c->phase == CONN_OPEN && session_takes_input(&c->session));
}

/* What the peer ended is ended once all that came before has been answered. */
static bool is_finished(const struct conn *c)
{
	return c->ended && c->phase <= CONN_OPEN &&
	       (c->phase == CONN_HANDSHAKE || session_takes_input(&c->session)) && c->in.len == 0;
}

/* Commands are left that were not taken for want of room for their replies, and there is room again. */
static bool goes_on(const struct conn *c)
{
	return c->phase == CONN_OPEN && c->in.len > 0 && c->out.len <= OUT_HIGH &&
	       session_takes_input(&c->session);
}

void conn_run(struct conn *c)
{
	do {
		serve(c);
		note_progress(c);
		flush(c);
	} while (goes_on(c));
	if (is_finished(c))
		conn_enter(c, CONN_FLUSHING);
	flush(c);
	if (c->phase == CONN_FLUSHING && c->out.len == 0)
		finish_flushing(c);
	if (c->phase == CONN_GONE) {
		conn_free(c);
		return;
	}
	if (c->in.len == 0)
		buf_free(&c->in);
	watch_want(c->watch, (reads_now(c) ? WATCH_READ : 0u) | (c->out.len > 0 ? WATCH_WRITE : 0u));
	arm_timer(c);
}

void conn_end(struct conn *c, enum session_end why)
{
	if (c->phase == CONN_HANDSHAKE)
		conn_enter(c, CONN_GONE);
	else
		end_session(c, why);
	conn_run(c);
}

static void linger(struct conn *c, size_t len)
{
	c->lingered += len;
	if (c->lingered > LINGER_BYTES)
		conn_enter(c, CONN_GONE);
}

static void take_bytes(struct conn *c, struct slice bytes)
{
	if (session_receives(&c->session))
		c->active_ms = clock_mono_ms();
	if (c->phase == CONN_LINGERING)
		linger(c, bytes.len);
	else if (c->tls != NULL)
		conn_step_tls(c, bytes);
	else if (!buf_add_slice(&c->in, bytes))
		conn_enter(c, CONN_GONE);
}

static void peer_ended(struct conn *c)
{
	if (c->tls != NULL && c->phase != CONN_LINGERING)
		conn_tls_over(c, tls_end_of_input(c->tls));
	c->ended = true;
	if (c->phase == CONN_LINGERING)
		conn_enter(c, CONN_GONE);
}

static void read_some(struct conn *c)
{
	ssize_t n = recv(c->fd, c->worker->space, sizeof(c->worker->space), 0);

	if (n > 0)
		take_bytes(c, slice_make(c->worker->space, (size_t)n));
	else if (n == 0)
		peer_ended(c);
	else if (errno != EAGAIN && errno != EINTR)
		conn_enter(c, CONN_GONE);
}

static void on_ready(int fd, unsigned what, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	if ((what & WATCH_READ) != 0 && reads_now(c))
		read_some(c);
	conn_run(c);
}

static void on_timer(void *arg)
{
	struct conn *c = arg;
	uint64_t now = clock_mono_ms();

	if (now >= conn_deadline(c))
		time_is_over(c, now);
	conn_run(c);
}

/* ---- the beginning ---- */

static void set_place(struct conn *c, const struct msg_SESSION_START *start)
{
	const struct conf *conf = c->generation->conf;
	struct session_place place = {
		.number = start->session,
		.conf = conf,
		.role = (enum conf_listener_role)start->role,
		.tls = TLS_OFF,
		.auth = AUTH_OFF,
		.hostname = conf->set.hostname,
		.client_port = start->client_port,
		.senders = conf->local_senders,
		.rewrites = rewrite_fields(conf->rewrite),
		.may_xclient = start->may_xclient != 0,
	};

	if (start->role != LISTENER_LOCAL) {
		place.tls = conf->listeners[start->listener].tls;
		place.auth = conf->listeners[start->listener].auth;
		place.hostname = conf->listeners[start->listener].hostname;
		place.banner = conf->listeners[start->listener].banner;
		place.dsn = conf->listeners[start->listener].dsn;
		place.senders = conf->listeners[start->listener].senders;
		place.hidden = conf->listeners[start->listener].hidden;
		place.trusted = conf_is_trusted(conf, start->client);
		c->listener = &conf->listeners[start->listener];
		place.takes_logins = conf_takes_logins(c->listener, start->client);
	}
	(void)slice_copy(start->client, place.client, sizeof(place.client));
	session_init(&c->session, &place);
	c->session.early = start->early != 0;
}

static void log_open(const struct conn *c, const struct msg_SESSION_START *start)
{
	static const char *const roles[] = {"mx", "submission", "local"};

	LOG(LEVEL_INFO, "session-open", KV_SESSION(start->session),
	    KV_TEXT("client", start->client), KV_NUM("port", start->client_port),
	    KV_STR("role", roles[start->role]), KV_TEXT("local", start->local),
	    KV_NUM("local.port", start->local_port), KV_TEXT("proxy", start->proxy),
	    KV_NUM("uid", (int64_t)start->uid), KV_NUM("early", start->early), KV_NUM("generation", c->generation->number));
}

static void first_step(struct conn *c)
{
	if (c->session.place.tls != TLS_IMPLICIT)
		session_begin(&c->session);
	else if (c->tls_server != NULL && worker_can_sign(c->worker))
		conn_begin_handshake(c);
	else
		conn_enter(c, CONN_GONE); /* no word can be said in clear here */
}

void conn_begin(struct worker *w, const struct msg_SESSION_START *start, int fd, struct generation *g)
{
	struct conn *c = mem_new(1, sizeof(*c));

	if (c == NULL)
		log_fatal("connection", ENOMEM);
	*c = (struct conn){
		.worker = w,
		.generation = g,
		.fd = fd,
		.draft = {.fd = -1},
		.in = buf_make_secret(IN_MAX), /* passwords pass here */
		.out = buf_make(OUT_MAX),
		.phase = CONN_OPEN,
		.began_ms = clock_mono_ms(),
		.active_ms = clock_mono_ms(),
	};
	LIST_INIT(&c->tickets);
	LIST_INSERT_HEAD(&w->conns, c, peers);
	w->count++;
	w->sessions++;
	c->watch = watch_new(w->loop, fd, on_ready, c);
	c->timer = timer_new(w->loop, on_timer, c);
	set_place(c, start);
	c->tls_server = start->role == LISTENER_LOCAL ? NULL : smtpd_generation_tls(g, start->listener);
	log_open(c, start);
	first_step(c);
	conn_run(c);
}
