#include "gate_lobby.h"

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

struct guest {
	LIST_ENTRY(guest) next;
	struct lobby *lobby;
	char listener[256];
	struct lobby_terms terms;
	struct gate_visit visit;
	struct gate_origin counted; /* as what */
	bool is_counted;
	struct buf header; /* owned; what came of it */
	struct watch *watch; /* owned */
	struct timer *timer; /* owned */
	int fd; /* owned */
	bool pausing;
};

struct lobby {
	LIST_HEAD(, guest) guests;
	size_t count;
	struct loop *loop;
	struct gate_sessions *sessions; /* borrowed */
	lobby_leave_fn *on_leave;
	void *arg;
};

struct lobby *lobby_new(struct loop *loop, struct gate_sessions *sessions, lobby_leave_fn *on_leave, void *arg)
{
	struct lobby *l = mem_new(1, sizeof(*l));

	if (l == NULL)
		log_fatal("lobby", ENOMEM);
	LIST_INIT(&l->guests);
	l->loop = loop;
	l->sessions = sessions;
	l->on_leave = on_leave;
	l->arg = arg;
	return l;
}

size_t lobby_count(const struct lobby *l)
{
	return l->count;
}

static enum gate_verdict count_as(struct guest *g, const struct gate_origin *as)
{
	enum gate_verdict verdict = gate_sessions_count_in(g->lobby->sessions, as, &g->terms.limits);

	g->counted = *as;
	g->is_counted = verdict == GATE_ADMIT;
	return verdict;
}

static void uncount(struct guest *g)
{
	if (g->is_counted)
		gate_sessions_uncount(g->lobby->sessions, &g->counted);
	g->is_counted = false;
}

/* The descriptor is the caller's now. */
static int guest_free(struct guest *g)
{
	int fd = g->fd;

	LIST_REMOVE(g, next);
	g->lobby->count--;
	uncount(g);
	watch_free(&g->watch);
	timer_free(&g->timer);
	buf_free(&g->header);
	free(g);
	return fd;
}

static void guest_close(struct guest *g)
{
	close(guest_free(g));
}

void lobby_clear(struct lobby *l)
{
	while (!LIST_EMPTY(&l->guests))
		guest_close(LIST_FIRST(&l->guests));
}

void lobby_free(struct lobby **lp)
{
	struct lobby *l = *lp;

	if (l == NULL)
		return;
	*lp = NULL;
	lobby_clear(l);
	free(l);
}

/* ---- leaving ---- */

static void leave(struct guest *g)
{
	struct lobby *l = g->lobby;
	struct gate_visit visit = g->visit;
	char listener[sizeof(g->listener)];

	memcpy(listener, g->listener, sizeof(listener));
	l->on_leave(listener, &visit, guest_free(g), l->arg);
}

/* ---- the pause ---- */

/* It spoke, went, or does neither. */
static void look(struct guest *g)
{
	char byte;
	ssize_t n = recv(g->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		guest_close(g);
		return;
	}
	g->visit.early = true;
	leave(g);
}

static bool has_spoken(const struct guest *g)
{
	char byte;

	return g->terms.speaks_clear && recv(g->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
}

/* Once it is known who the client is.  One that is too many leaves at once, and is told so by who counts next. */
static void pause_or_leave(struct guest *g)
{
	g->visit.early = has_spoken(g);
	uncount(g);
	if (g->visit.early || g->terms.pause_ms == 0 || count_as(g, &g->visit.origin) != GATE_ADMIT) {
		leave(g);
		return;
	}
	g->pausing = true;
	timer_set(g->timer, g->terms.pause_ms);
}

/* ---- the header ---- */

static void refuse(struct guest *g, const char *why)
{
	LOG(LEVEL_WARN, "proxy-refused", KV_STR("proxy", g->visit.client), KV_STR("listener", g->listener), KV_STR("why", why));
	guest_close(g);
}

static void become_client(struct guest *g, const struct proxy_header *h)
{
	struct gate_visit *v = &g->visit;

	memcpy(v->proxy, v->client, sizeof(v->proxy));
	v->origin = gate_origin_of_address(&h->client);
	v->client_port = h->client_port;
	v->local_port = h->local_port;
	if (gate_address_text(&h->client, v->client) && gate_address_text(&h->local, v->local))
		pause_or_leave(g);
	else
		refuse(g, "an address that cannot be written");
}

/* What came is a part of the header, or has its end in it. */
static void judge(struct guest *g, enum proxy_step step, const struct proxy_header *h)
{
	switch (step) {
	case PROXY_MORE:
		return;
	case PROXY_CLIENT:
		become_client(g, h);
		return;
	case PROXY_OWN:
		pause_or_leave(g);
		return;
	case PROXY_NAMELESS:
		/* Served as the proxy itself (§2.1); but what nobody can name must not relay, nor name others by XCLIENT. */
		if (g->terms.proxy_is_trusted || g->visit.may_xclient)
			refuse(g, "it names no client, and would be taken for the proxy, which is trusted");
		else
			pause_or_leave(g);
		return;
	case PROXY_BAD:
		refuse(g, h->why);
		return;
	}
}

/* Only as much is taken from the socket as belongs to the header. */
static void read_header(struct guest *g)
{
	size_t had = g->header.len;
	char *room = buf_room(&g->header, PROXY_HEADER_MAX - had);
	struct proxy_header header;
	enum proxy_step step;
	ssize_t n, taken;
	size_t part;

	if (room == NULL) {
		refuse(g, "out of memory");
		return;
	}
	n = recv(g->fd, room, PROXY_HEADER_MAX - had, MSG_PEEK | MSG_DONTWAIT);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		refuse(g, "it went before its header was whole");
		return;
	}
	step = proxy_parse(slice_make(g->header.at, had + (size_t)n), &header);
	part = step == PROXY_MORE || step == PROXY_BAD ? (size_t)n : header.len - had;
	taken = recv(g->fd, room, part, MSG_DONTWAIT);
	if (taken != (ssize_t)part)
		refuse(g, "it could not be read");
	else {
		buf_grew(&g->header, part);
		judge(g, step, &header);
	}
}

/* ---- events ---- */

static void on_ready(int fd, unsigned what, void *arg)
{
	struct guest *g = arg;

	(void)fd;
	(void)what;
	if (g->pausing)
		look(g);
	else
		read_header(g);
}

static void on_timer(void *arg)
{
	struct guest *g = arg;

	if (g->pausing)
		leave(g);
	else
		refuse(g, "no whole header in time");
}

/* ---- entering ---- */

static struct guest *guest_new(struct lobby *l, const struct gate_visit *visit, const struct lobby_terms *terms, int fd)
{
	struct guest *g = mem_new(1, sizeof(*g));

	if (g == NULL)
		return NULL;
	g->watch = watch_new(l->loop, fd, on_ready, g);
	if (g->watch == NULL) {
		free(g);
		return NULL;
	}
	g->lobby = l;
	g->visit = *visit;
	g->terms = *terms;
	snprintf(g->listener, sizeof(g->listener), "%s", terms->listener);
	g->terms.listener = g->listener;
	g->header = buf_make(PROXY_HEADER_MAX);
	g->fd = fd;
	g->timer = timer_new(l->loop, on_timer, g);
	LIST_INSERT_HEAD(&l->guests, g, next);
	l->count++;
	return g;
}

enum gate_verdict lobby_enter(struct lobby *l, const struct gate_visit *visit, const struct lobby_terms *terms, int fd)
{
	static const struct gate_origin nobody = {.host_len = 0};
	struct guest *g = guest_new(l, visit, terms, fd);
	enum gate_verdict verdict;

	if (g == NULL)
		return GATE_BUSY;
	verdict = count_as(g, terms->proxy ? &nobody : &visit->origin);
	if (verdict != GATE_ADMIT) {
		(void)guest_free(g);
		return verdict;
	}
	g->pausing = !terms->proxy;
	timer_set(g->timer, terms->proxy ? LOBBY_HEADER_MS : terms->pause_ms);
	watch_want(g->watch, WATCH_READ);
	return GATE_ADMIT;
}
