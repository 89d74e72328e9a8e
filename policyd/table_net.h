#ifndef POSTERN_POLICYD_TABLE_NET_H
#define POSTERN_POLICYD_TABLE_NET_H

#include "base/buf.h"

/*
 * A table of networks, whole in memory: lines `192.0.2.0/24` or `2001:db8::/32: value`.  Of all networks that hold an address the
 * smallest counts.  Pure.
 */
struct table_net;

/* Takes the content of `text` (it is empty afterwards) in every case.  NULL with "LINE: what is wrong" in `why`. */
struct table_net *table_net_parse(struct buf *text, struct buf *why);
void table_net_free(struct table_net **tp);

size_t table_net_count(const struct table_net *t);
/* `key` is an address as text; what is none is in no network.  `value_out` is borrowed from the table. */
bool table_net_find(const struct table_net *t, struct slice key, struct slice *value_out, size_t *line_out);

#endif
