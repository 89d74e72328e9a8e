#ifndef POSTERN_QUEUE_SCAN_H
#define POSTERN_QUEUE_SCAN_H

#include "queue.h"

/*
 * Walks the folders for messages that the index does not know (after a crash: what was accepted and not yet tried; after
 * its loss: all), and for rows without a file.  A bucket at a time, in the background: mail flows meanwhile.
 */
void scan_start(struct queue *q);
/* Once more, in a while: the index has failed or begun anew. */
void scan_again(struct queue *q);
/* The one that was asked for need not wait: somebody looks. */
void scan_now(struct queue *q);
void scan_stop(struct queue *q);
bool scan_is_running(const struct queue *q);

#endif
