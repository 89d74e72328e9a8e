#ifndef POSTERN_QUEUE_CONTROL_CHECK_H
#define POSTERN_QUEUE_CONTROL_CHECK_H

#include "queue.h"

/*
 * queue.check: the files against the index, in pages.  Field `repair` = "yes": what is safe is mended.
 *
 *   bucket: files (a writer's thread) -> rows (the indexer's) -> the doubtful once more (the indexer's) -> next bucket, or the answer
 *
 * Rows of the answer: one a finding (finding, id, path, what, repaired), and at the end one with the counts of this page.
 */
void control_check(struct queue *q, struct link *link, struct ipc_message *m);
void control_check_link_down(struct queue *q, const struct link *link);

#endif
