#ifndef POSTERN_EVENT_LOOP_H
#define POSTERN_EVENT_LOOP_H

#include <stdbool.h>
#include <stdint.h>

/*
 * The event loop: the only file that starts libevent.  One loop a process, made after the last fork that shares it.
 * Callbacks are named on_x and never block.
 */
struct loop;
struct timer;
struct watch;

struct loop *loop_new(void); /* exits 75 when it cannot be made */
void loop_free(struct loop **lp);
/* Runs until loop_stop. */
void loop_run(struct loop *l);
void loop_stop(struct loop *l);
/* One turn: what is ready now, without waiting (tests). */
void loop_turn(struct loop *l);
/* For units that build on libevent themselves (bufferevents, libunbound). */
struct event_base *loop_base(struct loop *l);

/* A timer calls `fn` once each time it was set; setting it again replaces the earlier time. */
typedef void timer_fn(void *arg);
struct timer *timer_new(struct loop *l, timer_fn *fn, void *arg); /* exits 75 without memory */
void timer_free(struct timer **tp);
void timer_set(struct timer *t, uint64_t after_ms);
void timer_stop(struct timer *t);
bool timer_is_set(const struct timer *t);

/* After clock_turn_ms: timers that are due by the turned clock fire. */
void loop_clock_turned(struct loop *l);

enum { WATCH_READ = 1, WATCH_WRITE = 2 };

/* Watches a descriptor (borrowed) until freed; `what` in the callback says what is ready.  May be freed in its own callback. */
typedef void watch_fn(int fd, unsigned what, void *arg);
struct watch *watch_new(struct loop *l, int fd, watch_fn *fn, void *arg);
void watch_free(struct watch **wp);
/* Which of WATCH_READ | WATCH_WRITE to wait for; 0: neither. */
void watch_want(struct watch *w, unsigned what);

/* `fn` runs in this turn of the loop, after the callbacks that are due. */
typedef void soon_fn(void *arg);
struct soon;
struct soon *soon_new(struct loop *l, soon_fn *fn, void *arg);
void soon_free(struct soon **sp);
void soon_call(struct soon *s);

/* The signal arrives as a callback of the loop (libevent's self-pipe): nothing runs in the handler. */
typedef void signal_fn(int signo, void *arg);
void loop_on_signal(struct loop *l, int signo, signal_fn *fn, void *arg);

#endif
