#ifndef POSTERN_MASTER_SUPERVISE_H
#define POSTERN_MASTER_SUPERVISE_H

#include <stdint.h>

/*
 * The life of one child, as a table of states and events (pure: the clock comes as an argument).
 *
 *   IDLE --start--> STARTING --ready--> READY --died--> BACKING_OFF --timeout--> STARTING
 *                      '-------------died------------------^
 *   STARTING, READY --stop--> DRAINING --died--> DEAD        BACKING_OFF, IDLE --stop--> DEAD --start--> STARTING
 *
 *   STARTING, READY --retired--> DEAD: another serves in its place
 *   READY --replace--> REPLACING (as DRAINING) --died--> STARTING: what it lacks the next of its kind has
 *
 * A child is restarted after 100 ms, doubled with each death up to 30 s; one that lived 60 s begins anew at 100 ms.
 */
enum supervise_state {
	SUPERVISE_IDLE,
	SUPERVISE_STARTING,
	SUPERVISE_READY,
	SUPERVISE_BACKING_OFF,
	SUPERVISE_DRAINING,
	SUPERVISE_REPLACING,
	SUPERVISE_DEAD,
	SUPERVISE_STATES
};

enum supervise_event {
	EVENT_START,
	EVENT_READY,
	EVENT_DIED, /* reaped */
	EVENT_TIMEOUT, /* the deadline has come */
	EVENT_MUST_DIE, /* it broke the rules, or its link broke */
	EVENT_STOP,
	EVENT_RETIRED, /* reaped, and another is in its place */
	EVENT_REPLACE, /* a reload wants another in its place */
	SUPERVISE_EVENTS
};

/* What the caller has to do. */
enum supervise_action { ACTION_NONE, ACTION_SPAWN, ACTION_LINK, ACTION_KILL, ACTION_DRAIN, ACTION_GONE };

#define SUPERVISE_BACKOFF_FIRST_MS 100u
#define SUPERVISE_BACKOFF_MAX_MS 30000u
#define SUPERVISE_LIVED_MS 60000u
#define SUPERVISE_START_MS 60000u
#define SUPERVISE_DRAIN_MS 10000u
#define SUPERVISE_REPLACE_MS 30000u /* longer: nobody waits for it, and what is cut off might be done twice */

struct supervise {
	enum supervise_state state;
	uint64_t started_ms;
	uint64_t backoff_ms; /* the last wait; 0: none yet */
	uint64_t deadline_ms; /* when EVENT_TIMEOUT is due; 0: never */
	uint64_t deaths;
};

enum supervise_action supervise_step(struct supervise *s, enum supervise_event event, uint64_t now_ms);
/* One that is READY and has to end by itself until then: its next EVENT_TIMEOUT is a kill. */
void supervise_until(struct supervise *s, uint64_t deadline_ms);
const char *supervise_state_name(enum supervise_state state);

#endif
