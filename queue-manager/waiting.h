#ifndef POSTERN_QUEUE_WAITING_H
#define POSTERN_QUEUE_WAITING_H

#include "message.h"

/*
 * Messages that wait in the index only, and how they come back: by a sweep in the order of their time, and by destination
 * when one that was full has room again.
 *
 * Always: every row not held is either ahead of the sweep's cursor, or its destination is noted in the scheduler as having
 * stored ones, or it is in memory, or the sweep will come back to it (rows for whose kind there was no room; all of them
 * after the index has failed to write, and once a minute those whose time no rule can have set).
 */
void waiting_start(struct queue *q);
void waiting_stop(struct queue *q);
/* Writes the row; what is due sooner than the sweep expects wakes it. */
void waiting_put(struct queue *q, const struct index_row *row);
void waiting_forget(struct queue *q, uint64_t id);
/* The sweep begins again, at the first row. */
void waiting_rewind(struct queue *q);
/* All of them are due now. */
void waiting_all_due(struct queue *q);
/* Destinations with room get more of theirs. */
void waiting_refill(struct queue *q);

/* Every index task ends here, in the loop: logs what failed, and has the files scanned when the index began anew. */
void waiting_after(struct queue *q, bool ok, bool reset, const char *why);

#endif
