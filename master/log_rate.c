#include "log_rate.h"

#define ONE 1000u

struct log_rate log_rate_make(uint64_t now_ms)
{
	return (struct log_rate){(uint64_t)LOG_RATE_BURST * ONE, now_ms, 0};
}

static void refill(struct log_rate *r, uint64_t now_ms)
{
	uint64_t most = (uint64_t)LOG_RATE_BURST * ONE;
	uint64_t passed = now_ms > r->last_ms ? now_ms - r->last_ms : 0;

	r->last_ms = now_ms;
	if (passed > most / LOG_RATE_A_SECOND)
		r->tokens = most;
	else
		r->tokens += passed * LOG_RATE_A_SECOND;
	if (r->tokens > most)
		r->tokens = most;
}

bool log_rate_admit(struct log_rate *r, uint64_t now_ms)
{
	refill(r, now_ms);
	if (r->tokens < ONE) {
		r->dropped++;
		return false;
	}
	r->tokens -= ONE;
	return true;
}

uint64_t log_rate_dropped(struct log_rate *r)
{
	uint64_t n = r->dropped;

	r->dropped = 0;
	return n;
}
