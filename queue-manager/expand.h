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
 * And a list with an owner (DIRECTIVE_LIST), which the queue sees to itself, a few at a time: the same message to its members, sent by its
 * owner, is durable before the list's slot is closed.
 *
 *   waiting for its turn --> body copied --> members asked --> written --> slot closed: delivered;  what fails: tried again like any other
 *
 * Always: of what an agent asks for the new message has the sender, the envelope id and what was asked for (RFC 3461 §5.2.7) of the old one; its addresses may leave this
 * host, for their owner sends it on; the addresses it was made of stand in it, and no more than ANCESTORS_MAX of them.  Of a
 * list it has no envelope id and nothing that was asked for (§5.2.7.3).
 */
void expand_on_expand(struct queue *q, struct link *link, struct ipc_message *m);
void expand_on_mail(struct queue *q, struct link *link, struct ipc_message *m);

struct message;
void expand_start(struct queue *q);
/* Those of its recipients that are lists to be tried become busy, and are tried in turn.  Settles nothing itself. */
void expand_lists(struct queue *q, struct message *m);
bool expand_has_lists(struct message *m);
/* Begins as many as may be under way. */
void expand_pump(struct queue *q);

#endif
