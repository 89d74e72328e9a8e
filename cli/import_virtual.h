#ifndef POSTERN_CLI_IMPORT_VIRTUAL_H
#define POSTERN_CLI_IMPORT_VIRTUAL_H

#include "base/buf.h"

/*
 * A virtual alias table of Postfix (virtual(5), the source that postmap reads) as the file of a table of ours.  Pure.
 *
 * What is carried over means the same here; a line that would mean something else, or of which one target cannot be said, is left out as a
 * whole and told.  So are the second line of a key (Postfix takes the first) and a domain that is only declared.
 */
#define IMPORT_BYTES_MAX (16u << 20) /* of what is read, and of what is written */
#define IMPORT_LINE_MAX 65535u /* with its continuations */
#define IMPORT_ENTRIES_MAX 1000000u

/* `what`: a sentence; `key`: as it stands there, any bytes. */
typedef void import_left_fn(size_t line, struct slice key, const char *what, void *arg);

/* False: no memory, or more than the bounds (`out` is then of no use). */
bool import_virtual(struct slice text, struct buf *out, import_left_fn *left, void *arg);

#endif
