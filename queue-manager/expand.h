#ifndef POSTERN_QUEUE_EXPAND_H
#define POSTERN_QUEUE_EXPAND_H

#include "queue.h"

/*
 * Messages that a delivery makes: what a forward file or a filter made of one recipient (the same message for others), and mail of the
 * owner's own, such as a vacation reply.  Asked for by local about a slot of a job it has, and answered once the new one is durable: then
 * only may it close the slot.  A crash in between does it again (docs/crash.md).
 *
 *   JOB_EXPAND --> body copied from file to file --> routes of addresses asked --> written --> JOB_EXPANDED
 *
 * Always: the new message has the sender, the envelope id and what was asked for (RFC 3461 §5.2.7) of the old one; its addresses may leave this
 * host, for their owner sends it on; the addresses it was made of stand in it, and no more than ANCESTORS_MAX of them.
 */
void expand_on_expand(struct queue *q, struct link *link, struct ipc_message *m);
void expand_on_mail(struct queue *q, struct link *link, struct ipc_message *m);

#endif
