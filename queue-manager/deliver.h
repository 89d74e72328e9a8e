#ifndef POSTERN_QUEUE_DELIVER_H
#define POSTERN_QUEUE_DELIVER_H

#include "message.h"

/*
 * Jobs: batches that the scheduler lets start, handed to an agent.
 *
 * Always: only the agent that has a job may speak of it, of its own slots, once each; a permanent failure comes from an
 * agent's words only; an agent that goes away leaves its jobs as temporary failures.
 */
void deliver_start(struct queue *q); /* limits of the scheduler from the configuration */
void deliver_limits(struct queue *q);
/* Starts what may start, at the end of this turn of the loop. */
void deliver_pump(struct queue *q);

void deliver_on_recipient(struct queue *q, struct link *link, struct ipc_message *m);
void deliver_on_end(struct queue *q, struct link *link, struct ipc_message *m);
void deliver_link_down(struct queue *q, struct link *link);

/* The job, where this link has it and that slot of it is still open.  NULL: the link has been cut. */
struct batch *deliver_job_of(struct queue *q, struct link *link, uint64_t job, uint64_t slot);
/* The transport of a destination in the current configuration; NULL: gone. */
const struct conf_transport *deliver_transport(struct queue *q, const char *destination);
/* It is a transport of the local agent. */
bool deliver_is_local(struct queue *q, const char *destination);
/* How many recipients one batch for it may have. */
size_t deliver_batch_max(struct queue *q, const char *destination);

#endif
