#ifndef POSTERN_POLICYD_LIMIT_H
#define POSTERN_POLICYD_LIMIT_H

#include "facts.h"
#include "quota/quota_limit.h"

/*
 * How much a mailbox may hold: what the table of its transport has for the address (`alias TABLE` has the keys), else the transport's own.
 * A value that is no limit is our mistake: UNKNOWN, with a sentence in `why`; so is a table that cannot be asked.  YES: `*out`.  Pure.
 */
#define LIMIT_WHY_MAX 256u
enum answer limit_find(const struct conf *conf, const struct conf_transport *transport, struct slice address, const struct lookups *lookups,
		       struct quota_limit *out, char why[LIMIT_WHY_MAX]);

#endif
