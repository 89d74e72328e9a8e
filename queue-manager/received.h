#ifndef POSTERN_QUEUE_RECEIVED_H
#define POSTERN_QUEUE_RECEIVED_H

#include "spool_file.h"

/* The trace line this host adds to a message it takes (RFC 5321 §4.4).  Pure.  `for_whom` may be empty. */
bool received_add(struct buf *out, const struct spool_mail *mail, struct slice hostname, struct slice for_whom);

#endif
