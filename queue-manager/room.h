#ifndef POSTERN_QUEUE_ROOM_H
#define POSTERN_QUEUE_ROOM_H

#include "queue.h"

/* Whether the spool has room for a message of that size, as it was when last looked at.  "No" has it looked at again, so that new
 * mail is taken within moments of there being room. */
bool room_for(struct queue *q, uint64_t bytes);

#endif
