#ifndef POSTERN_QUEUE_SENT_H
#define POSTERN_QUEUE_SENT_H

#include "queue.h"

/*
 * Who has sent, for the rules (`recipient.has-sent`): the loop's side of senders.h.
 *
 *   no rule asks --reload--> kept --reload--> removed
 *
 * Always: noted is the sender of mail that gate or authd vouch for (a login, a trusted client, a local user), as its commit begins, so that
 * it stands there before anybody can answer it; never that of a report, an expansion or a filter.  An address costs nothing but its first message
 * of a day.  What fails is a line in the log: no mail waits for it, and none is refused by it.
 */
void sent_start(struct queue *q);
void sent_stop(struct queue *q);
void sent_switched(struct queue *q);
void sent_link_down(struct queue *q, const struct link *link);

void sent_note(struct queue *q, struct slice sender);
void sent_on_ask(struct queue *q, struct link *link, struct ipc_message *m);

#endif
