#ifndef POSTERN_QUEUE_ENDING_H
#define POSTERN_QUEUE_ENDING_H

#include "message.h"

/*
 * The end of a message's file.
 *
 * Always: a file that cannot be removed now (a disk that fails, or became read-only) says in its slots that all is done, if
 * it takes that; its id is kept, so that no scan takes it up again, and its removal is tried again every minute, and at an
 * orderly end.
 */
void ending_start(struct queue *q);
/* Removes the file and the row, and forgets the message. */
void ending_of(struct queue *q, struct message *m);
/* The file of one that was never accepted, and could not be removed when its commit failed. */
void ending_of_refused(struct queue *q, const struct spool_mail *mail, enum spool_folder folder);
/* It has ended, and only its file is still there. */
bool ending_is_under_way(const struct queue *q, uint64_t id);
/* All that are left are tried once more, by the writers. */
void ending_finish_all(struct queue *q);

#endif
