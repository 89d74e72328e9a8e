#ifndef POSTERN_CLI_IMPORT_EXIM_H
#define POSTERN_CLI_IMPORT_EXIM_H

#include "import_lines.h"

/*
 * One of Exim's alias files of a domain (lsearch: "local: list", `*` for all others) as a file of a table of kind directory.  Pure.
 *
 * `qualify`: the domain that Exim completes a name without one with (qualify_recipient), canonical; "": such entries are left out.
 * What is carried over means the same here; an entry of which one target cannot be said is left out as a whole and told, and so is the second
 * line of a key.
 */
/* False: no memory, or more than the bounds (`out` is then of no use). */
bool import_exim(struct slice text, struct slice qualify, struct buf *out, import_left_fn *left, void *arg);

#endif
