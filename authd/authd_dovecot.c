#include "authd_dovecot.h"

#include "base/base64.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "conf/net.h"
#include "dovecot_line.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUESTS_MAX 512u
#define GREETING_MS 5000u /* from the first word to dial to DONE */
#define ANSWER_MS 20000u /* of one step; Dovecot itself delays failures by some seconds */
#define THINKING_MS 60000u /* of a client, between a challenge and its response */
#define NET_BYTES 15u
#define AGAIN_MS 500u /* after a connection that came to nothing */
#define OUT_MAX (8u << 20)
#define LOG_EVERY_MS 60000u

enum dovecot_state { DOVECOT_DOWN, DOVECOT_DIALLING, DOVECOT_GREETING, DOVECOT_READY };

struct dovecot_request {
	LIST_ENTRY(dovecot_request) peers;
	struct dovecot *dovecot;
	uint32_t number; /* 0: Dovecot knows nothing of it, and it holds no place */
	enum mechanism mechanism;
	struct buf line; /* owned; what waits until Dovecot is ready */
	bool continued; /* the client's turn */
	uint8_t net[NET_BYTES]; /* where it comes from: a /24, or a /48 */
	struct timer *timer; /* owned */
	dovecot_answer_fn *answer;
	void *arg;
};

struct dovecot {
	LIST_ENTRY(dovecot) peers;
	struct authd *authd;
	uint64_t generation;
	const char *path; /* borrowed from it */
	enum dovecot_state state;
	uint64_t dialled; /* counts, so that a late descriptor is known as such */
	int fd; /* owned; -1 */
	struct watch *watch; /* owned */
	struct timer *timer; /* owned: of the greeting, or of the next try */
	struct buf in, out; /* owned; secret */
	uint32_t mechanisms; /* MECHANISM_BIT of those it told */
	uint32_t last_number;
	size_t count; /* of requests that hold a place */
	uint64_t log_at_ms, log_crowd_at_ms;
	LIST_HEAD(, dovecot_request) requests; /* the newest first */
};

struct dovecots {
	LIST_HEAD(, dovecot) all;
};

static void complain(struct dovecot *d, const char *why)
{
	uint64_t now = clock_mono_ms();

	if (now < d->log_at_ms)
		return;
	d->log_at_ms = now + LOG_EVERY_MS;
	LOG(LEVEL_ERROR, "dovecot-away", KV_STR("path", d->path), KV_STR("why", why));
}

/* ---- requests ---- */

/* Its client hears of it when it goes on. */
static void forget(struct dovecot_request *r)
{
	r->dovecot->count -= r->number != 0;
	r->number = 0;
}

static void request_free(struct dovecot_request *r)
{
	forget(r);
	LIST_REMOVE(r, peers);
	timer_free(&r->timer);
	buf_free(&r->line);
	free(r);
}

static void answer(struct dovecot_request *r, const struct dovecot_answer *said)
{
	dovecot_answer_fn *fn = r->answer;
	void *arg = r->arg;

	if (said->outcome == OC_AUTH_CONTINUE) {
		r->continued = true;
		timer_set(r->timer, THINKING_MS);
	} else {
		request_free(r);
	}
	fn(said, arg);
}

static void not_now(struct dovecot_request *r)
{
	answer(r, &(struct dovecot_answer){.outcome = OC_AUTH_UNAVAILABLE});
}

static struct dovecot_request *find(struct dovecot *d, uint64_t number)
{
	struct dovecot_request *r;

	LIST_FOREACH(r, &d->requests, peers)
		if (r->number == number)
			return r;
	return NULL;
}

/* One whose client is thinking loses its dialogue only when it goes on. */
static void fail_requests(struct dovecot *d)
{
	struct dovecot_request *r, *next;

	for (r = LIST_FIRST(&d->requests); r != NULL; r = next) {
		next = LIST_NEXT(r, peers);
		if (r->continued)
			forget(r);
		else
			not_now(r);
	}
}

/* ---- the connection ---- */

static void go_down(struct dovecot *d, const char *why)
{
	if (why != NULL)
		complain(d, why);
	watch_free(&d->watch);
	if (d->fd >= 0)
		close(d->fd);
	d->fd = -1;
	buf_free(&d->in);
	buf_free(&d->out);
	d->mechanisms = 0;
	d->state = DOVECOT_DOWN;
	timer_set(d->timer, AGAIN_MS);
	fail_requests(d);
}

static void flush(struct dovecot *d)
{
	while (d->out.len > 0) {
		ssize_t n = send(d->fd, d->out.at, d->out.len, MSG_NOSIGNAL);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && errno != EAGAIN) {
			go_down(d, "the connection was lost");
			return;
		}
		if (n <= 0)
			break;
		buf_take(&d->out, (size_t)n);
	}
	watch_want(d->watch, WATCH_READ | (d->out.len > 0 ? WATCH_WRITE : 0u));
}

/* All of it or nothing; where there is no room now there may be later. */
static bool say(struct dovecot *d, struct slice line)
{
	size_t before = d->out.len;
	bool said = buf_add_slice(&d->out, line);

	if (!said)
		buf_undo(&d->out, before);
	return said;
}

/* What waited goes out when the loop says that it can; what finds no room waits on, until it has waited too long. */
static void send_waiting(struct dovecot *d)
{
	struct dovecot_request *r;

	LIST_FOREACH(r, &d->requests, peers)
		if (say(d, buf_slice(&r->line)))
			buf_free(&r->line);
	watch_want(d->watch, WATCH_READ | WATCH_WRITE);
}

static void refuse_unknown_mechanisms(struct dovecot *d)
{
	struct dovecot_request *r, *next;

	for (r = LIST_FIRST(&d->requests); r != NULL; r = next) {
		next = LIST_NEXT(r, peers);
		if (r->line.len == 0 || (d->mechanisms & MECHANISM_BIT(r->mechanism)) != 0)
			continue;
		LOG(LEVEL_ERROR, "dovecot-mechanism", KV_STR("path", d->path), KV_STR("mechanism", mechanism_name(r->mechanism)));
		not_now(r);
	}
}

/* ---- what it says ---- */

static bool is_ready(struct dovecot *d)
{
	if (d->state != DOVECOT_GREETING)
		return false;
	d->state = DOVECOT_READY;
	timer_stop(d->timer);
	refuse_unknown_mechanisms(d);
	send_waiting(d);
	return true;
}

static bool take_challenge(struct dovecot_request *r, struct slice encoded)
{
	struct buf challenge = buf_make(MECHANISM_MESSAGE_MAX);
	bool good = base64_decode(encoded, &challenge);
	const struct dovecot_answer said = {.outcome = OC_AUTH_CONTINUE, .challenge = buf_slice(&challenge)};

	if (good)
		answer(r, &said);
	buf_free(&challenge);
	return good;
}

static void log_failure(const struct dovecot_line *line)
{
	LOG(LEVEL_DEBUG, "dovecot-fail", KV_TEXT("user", line->user), KV_TEXT("reason", line->reason),
	    KV_NUM("temporary", line->temporary));
}

static bool take_answer(struct dovecot *d, const struct dovecot_line *line)
{
	struct dovecot_request *r = find(d, line->number);
	struct dovecot_answer said = {.outcome = OC_AUTHENTICATED, .user = line->user};

	/* A late word about what was given up is no fault of it; one about what waits for us is. */
	if (r == NULL || line->number == 0)
		return d->state == DOVECOT_READY;
	if (r->continued && d->state == DOVECOT_READY && line->word == DOVECOT_FAIL) {
		forget(r); /* it does not wait for this client any longer; others must not lose their logins by that */
		return true;
	}
	if (r->continued || d->state != DOVECOT_READY)
		return false;
	if (line->word == DOVECOT_CONT)
		return take_challenge(r, line->text);
	if (line->word == DOVECOT_FAIL) {
		log_failure(line);
		said.outcome = line->temporary ? OC_AUTH_UNAVAILABLE : OC_AUTH_FAILED;
	}
	answer(r, &said);
	return true;
}

static bool take_line(struct dovecot *d, struct slice text)
{
	struct dovecot_line line;
	enum mechanism m;

	if (!dovecot_line_parse(text, &line))
		return false;
	switch (line.word) {
	case DOVECOT_OTHER:
		return true;
	case DOVECOT_VERSION:
		return line.number == 1;
	case DOVECOT_MECH:
		m = mechanism_find(line.text);
		if (m != MECHANISM_COUNT && d->state == DOVECOT_GREETING)
			d->mechanisms |= MECHANISM_BIT(m);
		return true;
	case DOVECOT_DONE:
		return is_ready(d);
	case DOVECOT_OK:
	case DOVECOT_FAIL:
	case DOVECOT_CONT:
		return take_answer(d, &line);
	}
	return false;
}

/* An answer may end the connection, or all of it: nothing of `in` is looked at then. */
static void take_lines(struct dovecot *d)
{
	size_t end;

	while (d->fd >= 0 && (end = slice_index(buf_slice(&d->in), '\n')) != SLICE_NONE) {
		struct buf line = buf_make_secret(DOVECOT_LINE_MAX);
		bool good = buf_add(&line, d->in.at, end);

		buf_take(&d->in, end + 1);
		good = good && take_line(d, buf_slice(&line));
		buf_free(&line);
		if (!good && d->fd >= 0)
			go_down(d, "it said what Dovecot does not say");
	}
	if (d->fd >= 0 && d->in.len > DOVECOT_LINE_MAX)
		go_down(d, "it said a line without end");
}

static void on_ready(int fd, unsigned what, void *arg)
{
	struct dovecot *d = arg;
	char space[4096];
	ssize_t n;

	if ((what & WATCH_WRITE) != 0)
		flush(d);
	if (d->fd != fd || (what & WATCH_READ) == 0)
		return;
	n = recv(fd, space, sizeof(space), 0);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0 && buf_add(&d->in, space, (size_t)n))
		take_lines(d);
	else
		go_down(d, n == 0 ? "it ended the connection" : "the connection was lost");
	mem_wipe(space, sizeof(space));
}

/* ---- dialling ---- */

struct dialling {
	struct authd *authd;
	uint64_t generation, dialled;
};

static struct dovecot *find_dovecot(struct authd *a, uint64_t generation)
{
	struct dovecot *d;

	LIST_FOREACH(d, &a->dovecots->all, peers)
		if (d->generation == generation)
			return d;
	return NULL;
}

/* A client's number must be its own among all that are connected; ours says nothing of our pid. */
static void greet(struct dovecot *d, int fd)
{
	uint32_t number;

	mem_random(&number, sizeof(number));
	d->fd = fd;
	d->state = DOVECOT_GREETING;
	d->watch = watch_new(service_loop(d->authd->service), fd, on_ready, d);
	buf_addf(&d->out, "VERSION\t1\t1\nCPID\t%u\n", number >> 2 | 1u);
	watch_want(d->watch, WATCH_READ | WATCH_WRITE);
}

static void on_dialled(struct ipc_message *m, void *arg)
{
	struct dialling *call = arg;
	struct dovecot *d = find_dovecot(call->authd, call->generation);
	bool wanted = d != NULL && d->state == DOVECOT_DIALLING && d->dialled == call->dialled;
	char why[256] = "postern-dial does not answer";

	free(call);
	if (!wanted)
		return;
	if (m != NULL)
		(void)slice_copy(slice_sub(m->body.DIALLED.text, 0, sizeof(why) - 1), why, sizeof(why));
	if (m == NULL || m->body.DIALLED.outcome != OC_DONE || m->fd < 0) {
		go_down(d, why);
		return;
	}
	greet(d, m->fd);
	m->fd = -1;
}

static void dial(struct dovecot *d)
{
	struct dialling *call = mem_new(1, sizeof(*call));
	const struct msg_DIAL_ASK ask = {d->generation, CONF_TARGET_DOVECOT, slice_empty(), GREETING_MS};

	if (call == NULL) {
		timer_set(d->timer, AGAIN_MS);
		return;
	}
	*call = (struct dialling){d->authd, d->generation, ++d->dialled};
	d->state = DOVECOT_DIALLING;
	timer_set(d->timer, GREETING_MS);
	service_ask(d->authd->service, ROLE_DIAL, IPC_DIAL_ASK, &ask, GREETING_MS, on_dialled, call);
}

static bool somebody_waits(const struct dovecot *d)
{
	const struct dovecot_request *r;

	LIST_FOREACH(r, &d->requests, peers)
		if (!r->continued)
			return true;
	return false;
}

static void on_timer(void *arg)
{
	struct dovecot *d = arg;

	if (d->state == DOVECOT_DOWN) {
		if (somebody_waits(d))
			dial(d);
	} else if (d->state != DOVECOT_READY) {
		go_down(d, "it does not greet");
	}
}

/* ---- all of them ---- */

static struct dovecot *dovecot_new(struct authd *a, const struct generation *g)
{
	struct dovecot *d = mem_new(1, sizeof(*d));

	if (d == NULL)
		return NULL;
	d->authd = a;
	d->generation = g->number;
	d->path = g->conf->auth.dovecot;
	d->fd = -1;
	d->in = buf_make_secret(4 * DOVECOT_LINE_MAX);
	d->out = buf_make_secret(OUT_MAX);
	d->timer = timer_new(service_loop(a->service), on_timer, d);
	LIST_INIT(&d->requests);
	LIST_INSERT_HEAD(&a->dovecots->all, d, peers);
	return d;
}

struct dovecot *dovecot_of(struct authd *a, const struct generation *g)
{
	struct dovecot *d;

	if (g->conf->auth.dovecot == NULL)
		return NULL;
	if (a->dovecots == NULL) {
		a->dovecots = mem_new(1, sizeof(*a->dovecots));
		if (a->dovecots == NULL)
			return NULL;
		LIST_INIT(&a->dovecots->all);
	}
	d = find_dovecot(a, g->number);
	return d == NULL ? dovecot_new(a, g) : d;
}

/* Each dialogue holds its generation, so that nobody waits here. */
void dovecots_drop(struct authd *a, const struct generation *g)
{
	struct dovecot *d = a == NULL || a->dovecots == NULL ? NULL : find_dovecot(a, g->number);

	if (d == NULL)
		return;
	go_down(d, NULL);
	LIST_REMOVE(d, peers);
	timer_free(&d->timer);
	free(d);
}

void dovecots_status(const struct authd *a, struct buf *out)
{
	static const char *const states[] = {"down", "dialling", "greeting", "ready"};
	const struct dovecot *d;

	if (a->dovecots == NULL)
		return;
	LIST_FOREACH(d, &a->dovecots->all, peers) {
		service_status_text(out, "dovecot", states[d->state]);
		service_status_number(out, "dovecot_requests", d->count);
	}
}

/* ---- asking ---- */

/* It has been told of the request, and is to forget it; where there is no room to say so it does that by itself. */
static void say_cancel(struct dovecot_request *r)
{
	struct dovecot *d = r->dovecot;
	struct buf line = buf_make(32);

	if (d->state != DOVECOT_READY || r->number == 0 || r->line.len > 0)
		return;
	if (buf_addf(&line, "CANCEL\t%u\n", r->number))
		(void)say(d, buf_slice(&line));
	buf_free(&line);
	watch_want(d->watch, WATCH_READ | WATCH_WRITE);
}

static void give_up(struct dovecot_request *r)
{
	say_cancel(r);
	if (r->continued)
		forget(r);
	else
		not_now(r);
}

static void on_silence(void *arg)
{
	struct dovecot_request *r = arg;

	if (r->number != 0 && !r->continued)
		complain(r->dovecot, "it does not answer a request");
	give_up(r);
}

/* ---- room ---- */

static bool holds(const struct dovecot_request *r, const uint8_t net[NET_BYTES])
{
	return r->number != 0 && memcmp(r->net, net, NET_BYTES) == 0;
}

static size_t held_by(const struct dovecot *d, const uint8_t net[NET_BYTES])
{
	const struct dovecot_request *r;
	size_t count = 0;

	LIST_FOREACH(r, &d->requests, peers)
		count += holds(r, net);
	return count;
}

/* The network that holds most.  Only a crowd is looked at so closely. */
static const uint8_t *greediest(const struct dovecot *d, size_t *count_out)
{
	const struct dovecot_request *r;
	const uint8_t *net = NULL;

	*count_out = 0;
	LIST_FOREACH(r, &d->requests, peers) {
		size_t count = r->number != 0 ? held_by(d, r->net) : 0;

		if (count > 0 && count >= *count_out) { /* the newest are first: of equals who came first makes room */
			*count_out = count;
			net = r->net;
		}
	}
	return net;
}

/* Of those whose client thinks, where there is one. */
static struct dovecot_request *oldest_of(const struct dovecot *d, const uint8_t net[NET_BYTES])
{
	struct dovecot_request *r, *asked = NULL, *thinking = NULL;

	LIST_FOREACH(r, &d->requests, peers) {
		if (!holds(r, net))
			continue;
		asked = r;
		if (r->continued)
			thinking = r;
	}
	return thinking != NULL ? thinking : asked;
}

static void tell_of_crowd(struct dovecot *d)
{
	uint64_t now = clock_mono_ms();

	if (now < d->log_crowd_at_ms)
		return;
	d->log_crowd_at_ms = now + LOG_EVERY_MS;
	LOG(LEVEL_WARN, "dovecot-crowded", KV_STR("path", d->path), KV_NUM("logins", d->count));
}

/* When all places are taken, the network that holds most loses its oldest: who begins more than others keeps nobody from logging in.
 * A newcomer from that network itself may take only the place of one whose client thinks. */
static bool make_room(struct dovecot *d, const uint8_t net[NET_BYTES])
{
	struct dovecot_request *victim;
	const uint8_t *most;
	size_t count;

	if (d->count < REQUESTS_MAX)
		return true;
	tell_of_crowd(d);
	most = greediest(d, &count);
	if (held_by(d, net) >= count)
		most = net;
	victim = oldest_of(d, most);
	if (victim == NULL || (most == net && !victim->continued))
		return false;
	say_cancel(victim);
	if (victim->continued)
		forget(victim);
	else
		answer(victim, &(struct dovecot_answer){.outcome = OC_AUTH_UNAVAILABLE, .crowded = true});
	return true;
}

/* ---- a new one ---- */

static void pass_on(struct dovecot_request *r)
{
	struct dovecot *d = r->dovecot;

	timer_set(r->timer, ANSWER_MS);
	if (d->state == DOVECOT_READY)
		send_waiting(d);
	else if (d->state == DOVECOT_DOWN && !timer_is_set(d->timer))
		dial(d);
}

static bool write_request(struct dovecot_request *r, const char *client, bool has_initial, struct slice initial)
{
	bool ok = buf_addf(&r->line, "AUTH\t%u\t%s\tservice=smtp\tsecured\tnologin", r->number, mechanism_name(r->mechanism));

	if (client[0] != '\0')
		ok = ok && buf_addf(&r->line, "\trip=%s", client);
	if (has_initial)
		ok = ok && buf_add_text(&r->line, "\tresp=") && base64_encode(initial, &r->line);
	return ok && buf_add_char(&r->line, '\n');
}

static void net_of(const char *client, uint8_t net_out[NET_BYTES])
{
	struct in6_addr a;

	memset(net_out, 0, NET_BYTES);
	if (net_address(slice_of(client), &a))
		memcpy(net_out, a.s6_addr, net_is_v4(&a) ? NET_BYTES : 6);
}

static struct dovecot_request *request_new(struct dovecot *d, enum mechanism m, const char *client)
{
	struct dovecot_request *r;
	uint8_t net[NET_BYTES];

	net_of(client, net);
	r = make_room(d, net) ? mem_new(1, sizeof(*r)) : NULL;
	if (r == NULL)
		return NULL;
	memcpy(r->net, net, NET_BYTES);
	if (++d->last_number == 0)
		d->last_number = 1;
	r->dovecot = d;
	r->number = d->last_number;
	r->mechanism = m;
	r->line = buf_make_secret(MECHANISM_LINE_MAX + 512);
	r->timer = timer_new(service_loop(d->authd->service), on_silence, r);
	LIST_INSERT_HEAD(&d->requests, r, peers);
	d->count++;
	return r;
}

struct dovecot_request *dovecot_begin(struct dovecot *d, enum mechanism m, const char *client, bool has_initial, struct slice initial,
				      dovecot_answer_fn *answer_fn, void *arg)
{
	struct dovecot_request *r = request_new(d, m, client);

	if (r == NULL)
		return NULL;
	r->answer = answer_fn;
	r->arg = arg;
	if (!write_request(r, client, has_initial, initial) ||
	    (d->state == DOVECOT_READY && (d->mechanisms & MECHANISM_BIT(m)) == 0)) {
		request_free(r);
		return NULL;
	}
	pass_on(r);
	return r;
}

void dovecot_continue(struct dovecot_request *r, struct slice response)
{
	bool ok = buf_addf(&r->line, "CONT\t%u\t", r->number) && base64_encode(response, &r->line) && buf_add_char(&r->line, '\n');

	r->continued = false;
	/* The connection it was begun on is gone, or there is no room. */
	if (r->number == 0 || !ok) {
		buf_free(&r->line);
		timer_set(r->timer, 0);
		return;
	}
	pass_on(r);
}

void dovecot_cancel(struct dovecot_request *r)
{
	say_cancel(r);
	request_free(r);
}
