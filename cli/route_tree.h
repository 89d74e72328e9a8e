#ifndef POSTERN_CLI_ROUTE_TREE_H
#define POSTERN_CLI_ROUTE_TREE_H

#include "base/buf.h"

/*
 * What `postern route` shows people: the rows of policyd/explain.h as a tree, an address and all that was asked about it, then what it
 * led to, further in.  Pure; no byte that a terminal would obey.
 */
enum route_end_word { ROUTE_END_NONE /* malformed */, ROUTE_END_ACCEPTED, ROUTE_END_REFUSED, ROUTE_END_DEFERRED };

/* Adds the tree to `out` (NULL: it is not wanted), and says how it ended. */
enum route_end_word route_tree_print(struct slice control_row_records, struct buf *out);

#endif
