#ifndef POSTERN_POLICYD_FULL_H
#define POSTERN_POLICYD_FULL_H

#include "base/slice.h"

#include <stdbool.h>

/*
 * Mailboxes that were full when mail was last delivered to them, by transport and next hop, as local told: known for five minutes at
 * most, so that a message comes through now and then that finds out.  Bounded; what does not fit is not known.
 */
#define FULL_MS 300000u
#define FULL_MAX 10000u

struct full;
struct full *full_new(void); /* NULL: no memory */
void full_free(struct full **fp);
void full_tell(struct full *f, struct slice transport, struct slice nexthop, bool is_full, uint64_t now_ms);
bool full_has(const struct full *f, struct slice transport, struct slice nexthop, uint64_t now_ms);

#endif
