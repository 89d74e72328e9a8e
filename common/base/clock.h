#ifndef POSTERN_BASE_CLOCK_H
#define POSTERN_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

/*
 * The only source of time in every process.  Deadlines and waits use the monotonic clock; what is written down (spool,
 * headers, log, retry times that outlive a restart) uses the wall clock.
 */
uint64_t clock_mono_ms(void);
uint64_t clock_mono_us(void); /* for measuring */
uint64_t clock_cpu_us(void); /* what this thread has used */
int64_t clock_wall_s(void);
int64_t clock_wall_ms(void);

/* Turns both clocks forward; works only in builds with POSTERN_TEST_CLOCK, elsewhere it does nothing. */
void clock_turn_ms(int64_t forward_ms);
/* By how much they were turned in all; elsewhere 0. */
int64_t clock_turned_ms(void);

/* "Sat, 21 Nov 2026 09:11:31 +0000" (RFC 5322 §3.3, always UTC) into out[CLOCK_DATE_BYTES]. */
#define CLOCK_DATE_BYTES 40
void clock_rfc5322(int64_t wall_s, char out[CLOCK_DATE_BYTES]);
/* "2026-11-21T09:11:31.123Z" into out[CLOCK_DATE_BYTES]. */
void clock_iso(int64_t wall_ms, char out[CLOCK_DATE_BYTES]);

#endif
