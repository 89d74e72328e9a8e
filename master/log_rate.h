#ifndef POSTERN_LOG_RATE_H
#define POSTERN_LOG_RATE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * How much one process may say: so many events a second on average, so many at once.  What is beyond is counted, and the count
 * is an event.  Pure.
 */
#define LOG_RATE_A_SECOND 20000u
#define LOG_RATE_BURST 40000u

struct log_rate {
	uint64_t tokens; /* thousandths of an event */
	uint64_t last_ms;
	uint64_t dropped; /* since log_rate_dropped */
};

struct log_rate log_rate_make(uint64_t now_ms);
/* False: this event is dropped, and counted. */
bool log_rate_admit(struct log_rate *r, uint64_t now_ms);
/* How many were dropped since the last call. */
uint64_t log_rate_dropped(struct log_rate *r);

#endif
