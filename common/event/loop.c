#include "event/loop.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <signal.h>
#include <sys/queue.h>

struct timer {
	struct event ev;
	LIST_ENTRY(timer) peers;
	struct loop *loop;
	timer_fn *fn;
	void *arg;
	uint64_t due_ms;
	bool set;
};

#define LOOP_SIGNALS 8

struct loop_signal {
	struct event ev;
	signal_fn *fn;
	void *arg;
};

struct loop {
	struct event_base *base;
	LIST_HEAD(, timer) timers; /* all of them, so that a turned clock finds them */
	struct loop_signal signals[LOOP_SIGNALS];
	size_t signal_count;
};

struct watch {
	struct event *ev;
	struct loop *loop;
	watch_fn *fn;
	void *arg;
	int fd;
	unsigned want;
};

struct soon {
	struct event ev;
	soon_fn *fn;
	void *arg;
};

struct loop *loop_new(void)
{
	struct loop *l = mem_new(1, sizeof(*l));
	struct event_config *config = event_config_new();

	if (l == NULL || config == NULL)
		log_fatal("event loop", ENOMEM);
	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV);
	l->base = event_base_new_with_config(config);
	event_config_free(config);
	if (l->base == NULL)
		log_fatal("event loop", errno);
	LIST_INIT(&l->timers);
	return l;
}

void loop_free(struct loop **lp)
{
	struct loop *l = *lp;

	if (l == NULL)
		return;
	*lp = NULL;
	for (size_t i = 0; i < l->signal_count; i++)
		event_del(&l->signals[i].ev);
	event_base_free(l->base);
	free(l);
}

void loop_run(struct loop *l)
{
	event_base_loop(l->base, EVLOOP_NO_EXIT_ON_EMPTY);
}

void loop_stop(struct loop *l)
{
	event_base_loopbreak(l->base);
}

void loop_turn(struct loop *l)
{
	event_base_loop(l->base, EVLOOP_NONBLOCK);
}

struct event_base *loop_base(struct loop *l)
{
	return l->base;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct timer *t = arg;

	(void)fd;
	(void)what;
	t->set = false;
	t->fn(t->arg);
}

struct timer *timer_new(struct loop *l, timer_fn *fn, void *arg)
{
	struct timer *t = mem_new(1, sizeof(*t));

	if (t == NULL)
		log_fatal("timer", ENOMEM);
	t->loop = l;
	t->fn = fn;
	t->arg = arg;
	event_assign(&t->ev, l->base, -1, 0, on_timer, t);
	LIST_INSERT_HEAD(&l->timers, t, peers);
	return t;
}

void timer_free(struct timer **tp)
{
	struct timer *t = *tp;

	if (t == NULL)
		return;
	*tp = NULL;
	event_del(&t->ev);
	LIST_REMOVE(t, peers);
	free(t);
}

static void arm(struct timer *t, uint64_t after_ms)
{
	struct timeval tv = {.tv_sec = (time_t)(after_ms / 1000),
			     .tv_usec = (suseconds_t)(after_ms % 1000 * 1000)};

	if (event_add(&t->ev, &tv) == -1)
		log_fatal("a timer", ENOMEM);
}

void timer_set(struct timer *t, uint64_t after_ms)
{
	t->due_ms = clock_mono_ms() + after_ms;
	t->set = true;
	arm(t, after_ms);
}

void timer_stop(struct timer *t)
{
	event_del(&t->ev);
	t->set = false;
}

bool timer_is_set(const struct timer *t)
{
	return t->set;
}

void loop_clock_turned(struct loop *l)
{
	uint64_t now = clock_mono_ms();
	struct timer *t;

	LIST_FOREACH(t, &l->timers, peers)
		if (t->set)
			arm(t, t->due_ms > now ? t->due_ms - now : 0);
}

static void on_watch(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;
	unsigned ready = (what & EV_READ ? WATCH_READ : 0u) | (what & EV_WRITE ? WATCH_WRITE : 0u);

	w->fn((int)fd, ready, w->arg);
}

struct watch *watch_new(struct loop *l, int fd, watch_fn *fn, void *arg)
{
	struct watch *w = mem_new(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	w->loop = l;
	w->fn = fn;
	w->arg = arg;
	w->fd = fd;
	w->ev = event_new(l->base, fd, EV_READ | EV_PERSIST, on_watch, w);
	if (w->ev == NULL) {
		free(w);
		return NULL;
	}
	return w;
}

void watch_free(struct watch **wp)
{
	struct watch *w = *wp;

	if (w == NULL)
		return;
	*wp = NULL;
	event_free(w->ev);
	free(w);
}

void watch_want(struct watch *w, unsigned want)
{
	short what = (short)((want & WATCH_READ ? EV_READ : 0) | (want & WATCH_WRITE ? EV_WRITE : 0));

	if (want == w->want)
		return;
	event_del(w->ev);
	w->want = want;
	if (want == 0)
		return;
	event_assign(w->ev, w->loop->base, w->fd, (short)(what | EV_PERSIST), on_watch, w);
	if (event_add(w->ev, NULL) == -1)
		log_fatal("cannot watch a descriptor", errno);
}

static void on_soon(evutil_socket_t fd, short what, void *arg)
{
	struct soon *s = arg;

	(void)fd;
	(void)what;
	s->fn(s->arg);
}

struct soon *soon_new(struct loop *l, soon_fn *fn, void *arg)
{
	struct soon *s = mem_new(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->fn = fn;
	s->arg = arg;
	event_assign(&s->ev, l->base, -1, 0, on_soon, s);
	return s;
}

void soon_free(struct soon **sp)
{
	struct soon *s = *sp;

	if (s == NULL)
		return;
	*sp = NULL;
	event_del(&s->ev);
	free(s);
}

void soon_call(struct soon *s)
{
	event_active(&s->ev, EV_TIMEOUT, 0);
}

static void on_signal(evutil_socket_t signo, short what, void *arg)
{
	struct loop_signal *s = arg;

	(void)what;
	s->fn((int)signo, s->arg);
}

void loop_on_signal(struct loop *l, int signo, signal_fn *fn, void *arg)
{
	struct loop_signal *s = &l->signals[l->signal_count];

	MUST(l->signal_count < LOOP_SIGNALS);
	l->signal_count++;
	s->fn = fn;
	s->arg = arg;
	event_assign(&s->ev, l->base, signo, EV_SIGNAL | EV_PERSIST, on_signal, s);
	if (event_add(&s->ev, NULL) == -1)
		log_fatal("cannot wait for a signal", errno);
}
