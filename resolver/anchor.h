#ifndef POSTERN_ANCHOR_H
#define POSTERN_ANCHOR_H

#include "base/buf.h"

/* The root's trust anchors, one DS or DNSKEY record a line.  Reads the system's file where there is one (before the cage), else
 * gives the ones built in. */
void anchor_read(struct buf *out);
/* The records in the text of such a file: without comments, and only the root's.  Pure. */
void anchor_parse(struct slice text, struct buf *out);

#endif
