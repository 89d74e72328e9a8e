#ifndef POSTERN_POLICYD_FULL_H
#define POSTERN_POLICYD_FULL_H

#include "base/slice.h"
#include "quota/quota_limit.h"

#include <stdbool.h>

/*
 * Mailboxes that were full when mail was last delivered to them, by transport and next hop, and what they might hold then, as local told:
 * known for five minutes at most, so that a message comes through now and then that finds out.  Bounded; what does not fit is not known.
 */
#define FULL_MS 300000u
#define FULL_MAX 10000u

struct full;
struct full *full_new(void); /* NULL: no memory */
void full_free(struct full **fp);
struct full_mailbox {
	struct slice transport, nexthop;
	struct quota_limit limit; /* within which it was full */
};
void full_tell(struct full *f, const struct full_mailbox *mailbox, bool is_full, uint64_t now_ms);
/* True: it was, within `*limit_out`. */
bool full_has(const struct full *f, struct slice transport, struct slice nexthop, uint64_t now_ms, struct quota_limit *limit_out);

#endif
