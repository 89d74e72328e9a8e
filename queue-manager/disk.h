#ifndef POSTERN_QUEUE_DISK_H
#define POSTERN_QUEUE_DISK_H

#include "queue.h"

/*
 * The disk under the spool: when a new file could not be made durable, accepting stops at once, with 451 and without a try, until a
 * probe has been made durable (sickness.h).  What is in the spool goes on being tried, and what ends is removed, as far as the disk
 * lets it.
 */
void disk_start(struct queue *q);
/* A new file could not be made: `err` is what the disk said. */
void disk_failed(struct queue *q, int err);
/* Whether a new message may be begun; "no" is counted. */
bool disk_accepts(struct queue *q);
/* "well", or "sick: Input/output error". */
void disk_status(const struct queue *q, struct buf *out);

#endif
