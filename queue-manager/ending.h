#ifndef POSTERN_QUEUE_ENDING_H
#define POSTERN_QUEUE_ENDING_H

#include "message.h"

/*
 * The end of a message's file.
 *
 * Always: a file that cannot be removed now (a disk that fails, or became read-only) says in its slots that all is done, if
 * it takes that; its id is kept, so that no scan takes it up again, and its removal is tried again every minute.
 */
void ending_start(struct queue *q);
/* Removes the file and the row, and forgets the message. */
void ending_of(struct queue *q, struct message *m);
/* It has ended, and only its file is still there. */
bool ending_is_under_way(const struct queue *q, uint64_t id);

#endif
