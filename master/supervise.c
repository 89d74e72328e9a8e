#include "supervise.h"

struct rule {
	enum supervise_state next;
	enum supervise_action action;
};

#define STAY(state) {SUPERVISE_##state, ACTION_NONE}
#define GO(state, action) {SUPERVISE_##state, ACTION_##action}

static const struct rule rules[SUPERVISE_STATES][SUPERVISE_EVENTS] = {
	/* start, ready, died, timeout, must die, stop, retired, replace */
	[SUPERVISE_IDLE] = {GO(STARTING, SPAWN), STAY(IDLE), STAY(IDLE), STAY(IDLE), STAY(IDLE), GO(DEAD, GONE), STAY(IDLE),
			    STAY(IDLE)},
	[SUPERVISE_STARTING] = {STAY(STARTING), GO(READY, LINK), GO(BACKING_OFF, NONE), GO(STARTING, KILL),
				GO(STARTING, KILL), GO(DRAINING, DRAIN), GO(DEAD, GONE), GO(STARTING, KILL)},
	[SUPERVISE_READY] = {STAY(READY), STAY(READY), GO(BACKING_OFF, NONE), GO(READY, KILL), GO(READY, KILL),
			     GO(DRAINING, DRAIN), GO(DEAD, GONE), GO(REPLACING, DRAIN)},
	[SUPERVISE_BACKING_OFF] = {STAY(BACKING_OFF), STAY(BACKING_OFF), STAY(BACKING_OFF), GO(STARTING, SPAWN),
				   STAY(BACKING_OFF), GO(DEAD, GONE), STAY(BACKING_OFF), STAY(BACKING_OFF)},
	[SUPERVISE_DRAINING] = {STAY(DRAINING), STAY(DRAINING), GO(DEAD, GONE), GO(DRAINING, KILL), GO(DRAINING, KILL),
				STAY(DRAINING), GO(DEAD, GONE), STAY(DRAINING)},
	[SUPERVISE_REPLACING] = {STAY(REPLACING), STAY(REPLACING), GO(STARTING, SPAWN), GO(REPLACING, KILL), GO(REPLACING, KILL),
				 GO(DRAINING, NONE), GO(DEAD, GONE), STAY(REPLACING)},
	[SUPERVISE_DEAD] = {GO(STARTING, SPAWN), STAY(DEAD), STAY(DEAD), STAY(DEAD), STAY(DEAD), STAY(DEAD), STAY(DEAD), STAY(DEAD)},
};

const char *supervise_state_name(enum supervise_state state)
{
	static const char *const names[SUPERVISE_STATES] = {
		[SUPERVISE_IDLE] = "idle",		 [SUPERVISE_STARTING] = "starting", [SUPERVISE_READY] = "ready",
		[SUPERVISE_BACKING_OFF] = "backing-off", [SUPERVISE_DRAINING] = "draining", [SUPERVISE_DEAD] = "dead",
		[SUPERVISE_REPLACING] = "replacing",
	};

	return (unsigned)state < SUPERVISE_STATES ? names[state] : "?";
}

static void grow_backoff(struct supervise *s, uint64_t now_ms)
{
	if (s->backoff_ms == 0 || now_ms - s->started_ms >= SUPERVISE_LIVED_MS)
		s->backoff_ms = SUPERVISE_BACKOFF_FIRST_MS;
	else if (s->backoff_ms < SUPERVISE_BACKOFF_MAX_MS / 2)
		s->backoff_ms *= 2;
	else
		s->backoff_ms = SUPERVISE_BACKOFF_MAX_MS;
}

/* What holds on entering a state: which deadline runs there. */
static void enter(struct supervise *s, enum supervise_state next, uint64_t now_ms)
{
	s->state = next;
	s->deadline_ms = 0;
	switch (next) {
	case SUPERVISE_STARTING:
		s->started_ms = now_ms;
		s->deadline_ms = now_ms + SUPERVISE_START_MS;
		return;
	case SUPERVISE_BACKING_OFF:
		s->deaths++;
		grow_backoff(s, now_ms);
		s->deadline_ms = now_ms + s->backoff_ms;
		return;
	case SUPERVISE_DRAINING:
		s->deadline_ms = now_ms + SUPERVISE_DRAIN_MS;
		return;
	case SUPERVISE_REPLACING:
		s->deadline_ms = now_ms + SUPERVISE_REPLACE_MS;
		return;
	case SUPERVISE_IDLE:
	case SUPERVISE_READY:
	case SUPERVISE_DEAD:
	case SUPERVISE_STATES:
		return;
	}
}

enum supervise_action supervise_step(struct supervise *s, enum supervise_event event, uint64_t now_ms)
{
	const struct rule *rule = &rules[s->state][event];

	if (rule->next != s->state)
		enter(s, rule->next, now_ms);
	else if (event == EVENT_TIMEOUT)
		s->deadline_ms = 0; /* killed once; its death is what comes next */
	return rule->action;
}

void supervise_until(struct supervise *s, uint64_t deadline_ms)
{
	if (s->state == SUPERVISE_READY)
		s->deadline_ms = deadline_ms;
}
