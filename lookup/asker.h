#ifndef POSTERN_LOOKUP_ASKER_H
#define POSTERN_LOOKUP_ASKER_H

#include "service/service.h"

/*
 * The table of this instance: questions, one after the other, over one connection to the first of its servers that can be had.
 *
 *   DOWN --question--> CREDENTIAL --> RESOLVING --> DIALLING --connection--> OPENING --> IDLE <--answer-- ASKING
 *    ^                      '---------- next server, or none: unknown ------'       '--question--^
 *    '------ broken, or a question's time is over; tried again after 1 s, 2 s ... 30 s
 *
 * Always: one answer a question, within the table's `timeout`; until it may be tried again, questions are unknown at once, with the reason.
 * A connection that ended while nothing was asked, or that an earlier question used, is made anew for the question that finds it so.
 */
struct asker;

/* NULL: this instance has no table. Exits 75 without memory. */
struct asker *asker_new(struct service *s);
/* LOOKUP_ASK */
void asker_ask(struct asker *a, struct link *link, const struct ipc_message *m);
/* Who asked on that link is gone. */
void asker_link_down(struct asker *a, const struct link *link);
void asker_status(const struct asker *a, struct buf *out);

#endif
