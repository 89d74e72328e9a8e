#ifndef POSTERN_QUEUE_SICKNESS_H
#define POSTERN_QUEUE_SICKNESS_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Whether the disk under the spool still takes new messages.  Pure: the caller probes, waits and logs.
 *
 *           a new file failed: PROBE, "sick"           its time has come: PROBE
 *    WELL ------------------------------------> PROBING <----------------------- WAITING
 *      ^                                         |   |                              ^
 *      '------ the probe is durable: "well" -----'   '--- it is not: WAIT ----------'
 *
 * Always: accepting stops in all states but WELL; a file that failed is not tried again, a probe is a new one; what is said in
 * the log is said at the change only.  A full disk is none of this (room.h), nor is what we lack ourselves.
 */
enum sick_state { SICK_WELL, SICK_PROBING, SICK_WAITING, SICK_STATES };
enum sick_event { SICK_WRITE_FAILED, SICK_PROBE_OK, SICK_PROBE_FAILED, SICK_TIME, SICK_EVENTS };
enum sick_want {
	SICK_NOTHING = 0,
	SICK_PROBE = 1, /* write, sync and remove a new file, and tell how that ended */
	SICK_WAIT = 2, /* SICK_TIME after wait_ms */
	SICK_TELL = 4, /* the change is to be logged */
};

struct sickness {
	enum sick_state state;
	uint64_t wait_ms; /* before the next probe: 1 s, then twice as long each time, 30 s at most */
	uint64_t since_ms; /* of the last change */
	uint64_t refused; /* messages not taken since then; the caller counts */
	int err; /* what the disk said last */
};

/* The disk's fault, and not a lack of room, of memory or of descriptors. */
bool sickness_is_one(int err);
/* What is to be done, of enum sick_want together.  An event that does not fit the state wants nothing. */
unsigned sickness_step(struct sickness *s, enum sick_event event, int err, uint64_t now_ms);
static inline bool sickness_accepts(const struct sickness *s)
{
	return s->state == SICK_WELL;
}

#endif
