#ifndef POSTERN_QUEUE_RECEIVED_H
#define POSTERN_QUEUE_RECEIVED_H

#include "spool_file.h"

/* The trace line this host adds to a message it takes (RFC 5321 §4.4).  Pure.  `for_whom` may be empty.  withholds_client: it says nothing of who gave the
 * message to us but that it was somebody here. */
bool received_add(struct buf *out, const struct spool_mail *mail, struct slice hostname, struct slice for_whom, bool withholds_client);

#endif
