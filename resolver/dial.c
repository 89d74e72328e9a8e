/*
 * postern-dial: makes connections to the destinations of the configuration and hands on their descriptors.  It never reads or
 * writes a byte on them.
 */
#include "target.h"

#include "base/log.h"
#include "base/mem.h"
#include "service/service.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/queue.h>
#include <unistd.h>

#define CALLS_MAX 2000u

struct call {
	LIST_ENTRY(call) next;
	struct dial *dial;
	struct link *link; /* NULL: whoever asked is gone */
	uint64_t number;
	struct watch *watch; /* owned */
	struct timer *timer; /* owned */
	struct target target;
	int fd; /* owned; -1 once handed on */
};

struct dial {
	struct service *service;
	struct here here;
	LIST_HEAD(, call) calls;
	size_t count;
};

/* ---- one call ---- */

static void call_free(struct call *c)
{
	struct dial *d = c->dial;

	LIST_REMOVE(c, next);
	d->count--;
	watch_free(&c->watch);
	timer_free(&c->timer);
	if (c->fd >= 0)
		close(c->fd);
	free(c);
	if (service_is_draining(d->service) && d->count == 0)
		service_stop(d->service);
}

static void answer(struct link *link, uint64_t number, enum outcome outcome, const char *text, int fd)
{
	const struct msg_DIALLED dialled = {outcome, slice_of(text)};

	link_answer(link, number, IPC_DIALLED, &dialled, fd);
}

static void end(struct call *c, int err)
{
	char text[TARGET_WHY_BYTES] = "";
	int fd = c->fd;

	if (err != 0)
		snprintf(text, sizeof(text), "connecting to %s: %.*s", c->target.text,
			 SLICE_ARG(log_errno_text(err)));
	LOG(LEVEL_DEBUG, "dialled", KV_STR("target", c->target.text), KV_NUM("error", err));
	watch_free(&c->watch);
	if (c->link != NULL && err == 0) {
		c->fd = -1;
		answer(c->link, c->number, OC_DONE, "", fd);
	} else if (c->link != NULL) {
		answer(c->link, c->number, OC_CONNECT_FAILED, text, -1);
	}
	call_free(c);
}

static void on_connected(int fd, unsigned what, void *arg)
{
	struct call *c = arg;
	int err = 0;
	socklen_t len = sizeof(err);

	(void)what;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) == -1)
		err = errno;
	end(c, err);
}

static void on_timeout(void *arg)
{
	end(arg, ETIMEDOUT);
}

static struct call *call_new(struct dial *d, struct link *link, uint64_t number, const struct target *target)
{
	struct call *c = d->count >= CALLS_MAX ? NULL : mem_new(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->dial = d;
	c->link = link;
	c->number = number;
	c->target = *target;
	c->timer = timer_new(service_loop(d->service), on_timeout, c);
	c->fd = socket(target->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	LIST_INSERT_HEAD(&d->calls, c, next);
	d->count++;
	return c;
}

/* Never from inside a failed connect: the answer is given in the same turn, by the caller of this. */
static void begin(struct call *c, uint64_t timeout_ms)
{
	int on = 1;

	if (c->fd < 0) {
		end(c, errno);
		return;
	}
	if (c->target.address.ss_family != AF_UNIX)
		(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(c->fd, (const struct sockaddr *)&c->target.address, c->target.len) == 0) {
		end(c, 0);
		return;
	}
	if (errno != EINPROGRESS) {
		end(c, errno);
		return;
	}
	c->watch = watch_new(service_loop(c->dial->service), c->fd, on_connected, c);
	watch_want(c->watch, WATCH_WRITE);
	timer_set(c->timer, timeout_ms);
}

static uint64_t bounded_timeout(const struct conf *c, uint64_t asked)
{
	return asked == 0 || asked > c->set.connect_timeout_ms ? c->set.connect_timeout_ms : asked;
}

static void on_dial_ask(struct service *s, struct link *link, struct ipc_message *m)
{
	const struct msg_DIAL_ASK *ask = &m->body.DIAL_ASK;
	struct dial *d = service_state(s);
	struct generation *g = generation_find(s, ask->generation);
	struct target target;
	char why[TARGET_WHY_BYTES] = "this generation of the configuration is gone";
	enum outcome outcome = OC_UNAVAILABLE;
	struct call *c;

	if (g != NULL && g->conf != NULL)
		outcome = target_find(g->conf, &d->here, link_peer(link), ask->target, ask->address, &target, why);
	if (outcome != OC_DONE) {
		LOG(LEVEL_WARN, "dial-refused", KV_NUM("target", ask->target), KV_TEXT("address", ask->address),
		    KV_STR("why", why));
		answer(link, m->request, outcome, why, -1);
		return;
	}
	c = call_new(d, link, m->request, &target);
	if (c == NULL)
		answer(link, m->request, OC_BUSY, "too many connections are being made", -1);
	else
		begin(c, bounded_timeout(g->conf, ask->timeout_ms));
}

/* ---- the process ---- */

static void prepare(struct service *s)
{
	struct dial *d = mem_new(1, sizeof(*d));

	if (d == NULL)
		log_fatal("dial", ENOMEM);
	d->service = s;
	LIST_INIT(&d->calls);
	if (!here_read(&d->here))
		LOG(LEVEL_WARN, "interfaces-unknown", KV_ERRNO(errno));
	service_set_state(s, d);
}

static void on_link_down(struct service *s, struct link *link)
{
	struct dial *d = service_state(s);
	struct call *c, *next;

	for (c = LIST_FIRST(&d->calls); c != NULL; c = next) {
		next = LIST_NEXT(c, next);
		if (c->link == link)
			call_free(c);
	}
}

static void drain(struct service *s, uint64_t deadline_ms)
{
	struct dial *d = service_state(s);

	(void)deadline_ms; /* no call lives longer than connect_timeout */
	if (d->count == 0)
		service_stop(s);
}

static void status(struct service *s, struct buf *out)
{
	const struct dial *d = service_state(s);

	service_status_number(out, "connecting", d->count);
}

/* Not in a chroot: an LMTP server's socket lies where its package puts it.  No file can be opened in this cage. */
static const struct cage_spec cage = {
	.calls = CALLS_SOCKETS,
	.takes_fds = true,
	.files_max = 4096,
};

static service_message_fn *const handlers[IPC_COUNT] = {
	[IPC_DIAL_ASK] = on_dial_ask,
};

static const struct service_spec spec = {
	.role = ROLE_DIAL,
	.cage = &cage,
	.text = &service_text,
	.prepare = prepare,
	.handlers = handlers,
	.link_down = on_link_down,
	.drain = drain,
	.status = status,
};

int main(int argc, char **argv)
{
	return service_run(&spec, argc, argv);
}
