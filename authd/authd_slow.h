#ifndef POSTERN_AUTHD_SLOW_H
#define POSTERN_AUTHD_SLOW_H

#include "base/slice.h"

/*
 * Slow-down by failures: each key (a source, a login) has a score that falls by one every SLOW_FORGET_MS.  Pure: time is given.
 *
 * An attempt is charged when it begins and settled when its outcome is known.  Until then some of one key are free, so that an office
 * behind one address may log in all at once; beyond that each counts like a failure, so that a thousand at once are a thousand.  Each
 * good one makes one more free, up to SLOW_TRUST times as many, and each failure halves what was earned: who sends much mail by one
 * login, or has many clients behind one address, is not slowed down for it.  A table that is full forgets who was charged longest ago.
 */
struct slow;

#define SLOW_FORGET_MS 12000u /* five a minute */
#define SLOW_TRUST 8u

enum slow_outcome { SLOW_GOOD, SLOW_FAILED, SLOW_UNKNOWN /* it was not looked at */ };

struct slow_limits {
	unsigned free; /* score up to which nothing waits */
	uint64_t first_ms, most_ms; /* the wait then, doubled with each further failure */
	unsigned at_once; /* attempts not settled yet that count nothing */
	unsigned refuse_at; /* score from which attempts are refused without being looked at; 0: never */
};

struct slow *slow_new(const struct slow_limits *limits, size_t max_keys); /* NULL: no memory */
void slow_free(struct slow **sp);
size_t slow_count(const struct slow *s);

/* Charges one attempt.  False: refused, and nothing is charged.  Else `wait_ms` says how much later it is to be answered. */
bool slow_charge(struct slow *s, struct slice key, uint64_t now_ms, uint64_t *wait_ms);
/* Its outcome; once for each charge. */
void slow_settle(struct slow *s, struct slice key, uint64_t now_ms, enum slow_outcome outcome);

#endif
