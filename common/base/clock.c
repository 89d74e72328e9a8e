#include "base/clock.h"

#include <stdio.h>
#include <time.h>

static int64_t turned_ms;

static int64_t now_ms(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000 + turned_ms;
}

uint64_t clock_mono_ms(void)
{
	return (uint64_t)now_ms(CLOCK_MONOTONIC);
}

uint64_t clock_mono_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

uint64_t clock_cpu_us(void)
{
	struct timespec used;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
	return (uint64_t)used.tv_sec * 1000000u + (uint64_t)used.tv_nsec / 1000u;
}

int64_t clock_wall_ms(void)
{
	return now_ms(CLOCK_REALTIME);
}

int64_t clock_wall_s(void)
{
	return clock_wall_ms() / 1000;
}

void clock_turn_ms(int64_t forward_ms)
{
#ifdef POSTERN_TEST_CLOCK
	turned_ms += forward_ms;
#else
	(void)forward_ms;
#endif
}

int64_t clock_turned_ms(void)
{
	return turned_ms;
}

/* strftime's names follow the locale, and a header must not. */
static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
				   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

void clock_rfc5322(int64_t wall_s, char out[CLOCK_DATE_BYTES])
{
	time_t t = (time_t)wall_s;
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL) {
		t = 0;
		gmtime_r(&t, &tm);
	}
	snprintf(out, CLOCK_DATE_BYTES, "%s, %d %s %04ld %02d:%02d:%02d +0000", days[tm.tm_wday % 7],
		 tm.tm_mday, months[tm.tm_mon % 12], (tm.tm_year + 1900L) % 10000, tm.tm_hour, tm.tm_min,
		 tm.tm_sec);
}

void clock_iso(int64_t wall_ms, char out[CLOCK_DATE_BYTES])
{
	time_t t = (time_t)(wall_ms / 1000);
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL) {
		t = 0;
		gmtime_r(&t, &tm);
	}
	snprintf(out, CLOCK_DATE_BYTES, "%04ld-%02d-%02dT%02d:%02d:%02d.%03dZ",
		 (tm.tm_year + 1900L) % 10000, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
		 (int)(wall_ms % 1000));
}
