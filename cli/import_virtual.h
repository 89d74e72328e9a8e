#ifndef POSTERN_CLI_IMPORT_VIRTUAL_H
#define POSTERN_CLI_IMPORT_VIRTUAL_H

#include "import_lines.h"

/*
 * A virtual alias table of Postfix (virtual(5), the source that postmap reads) as the file of a table of ours.  Pure.
 *
 * What is carried over means the same here; a line that would mean something else, or of which one target cannot be said, is left out as a
 * whole and told.  So are the second line of a key (Postfix takes the first) and a domain that is only declared.
 */
/* False: no memory, or more than the bounds (`out` is then of no use). */
bool import_virtual(struct slice text, struct buf *out, import_left_fn *left, void *arg);

#endif
