#include "base/log.h"
#include "master.h"
#include "notify.h"

/*
 * Whether the children's loops turn.  Each is asked once a tick, and what it misses is counted in ticks: while the master itself did
 * not run (the machine slept, all was stopped, the clock jumped) nothing is counted.
 *
 *   missed == 0 --tick--> 1 --tick--> ... --WATCH_TICKS later--> killed; its supervisor starts it anew
 *       ^---------PONG--------'
 */
#define WATCH_TICKS 8u
#define TICK_MS_MIN 100u

static uint64_t tick_ms(const struct master *m)
{
	uint64_t own = m->plan->watchdog_ms / WATCH_TICKS, system = notify_watchdog_ms() / 4;
	uint64_t tick = own == 0 || (system > 0 && system < own) ? system : own;

	return tick > 0 && tick < TICK_MS_MIN ? TICK_MS_MIN : tick;
}

static void on_pong(struct ipc_message *m, void *arg)
{
	struct slot *s = arg;

	s->pinged = false;
	if (m != NULL)
		s->missed = 0;
}

static bool is_watched(const struct slot *s)
{
	return s->life.state == SUPERVISE_READY && s->link != NULL;
}

static void look_at(struct slot *s, uint64_t tick)
{
	uint64_t patience = s->master->plan->watchdog_ms;

	s->missed++;
	if (!s->pinged)
		s->pinged = link_ask(s->link, IPC_PING, &(struct msg_PING){0}, LINK_ASK_MS, on_pong, s) != 0;
	/* One tick passes between question and question in the best of cases. */
	if (patience == 0 || (s->missed - 1) * tick < patience)
		return;
	LOG(LEVEL_ERROR, "child-hangs", KV_STR("role", role_name(s->row->role)), KV_NUM("instance", s->instance), KV_NUM("child", s->pid),
	    KV_NUM("silent-ms", s->missed * tick));
	s->missed = 0;
	slot_event(s, EVENT_MUST_DIE);
}

static void on_tick(void *arg)
{
	struct master *m = arg;
	uint64_t tick = tick_ms(m);
	bool all_answer = true;

	for (size_t i = 0; i < m->slot_count; i++) {
		struct slot *s = m->slots[i];

		if (!is_watched(s)) {
			s->missed = 0;
			continue;
		}
		look_at(s, tick);
		all_answer = all_answer && s->missed * tick <= notify_watchdog_ms() / 2 + tick;
	}
	if (all_answer)
		notify_watchdog();
	if (tick > 0)
		timer_set(m->watch, tick);
}

void watch_children(struct master *m)
{
	uint64_t tick = tick_ms(m);

	if (m->watch == NULL)
		m->watch = timer_new(m->loop, on_tick, m);
	if (tick == 0)
		timer_stop(m->watch);
	else
		timer_set(m->watch, tick);
}
