#ifndef POSTERN_QUEUE_CONTROL_H
#define POSTERN_QUEUE_CONTROL_H

#include "queue.h"

/*
 * The operator's questions, as the gate hands them on:
 *
 *   queue.list              rows in pages: id state (active, waiting, hold) sender recipients size age next tries last
 *   queue.show     id       the message's facts, then a row for each recipient
 *   queue.hold     id       moved to hold/ once nobody works on it; stays there until release
 *   queue.release  id       queue.remove id       queue.retry id | all
 *                           DONE means that it is so, and stays so over a crash; with a text, that it is noted: the message is
 *                           being tried
 *   queue.check    repair   the files against the index, in pages (control_check.h)
 *
 * Only root and the suite's own uid (the caller's, where all run as one) are answered.
 */
void control_on_ask(struct queue *q, struct link *link, struct ipc_message *m);
/* What came of a message that an operator had named. */
void control_tell(struct queue *q, uint64_t id, enum outcome outcome);
void control_link_down(struct queue *q, struct link *link);

#endif
