#ifndef POSTERN_ONCE_H
#define POSTERN_ONCE_H

#include "base/slice.h"

#include <stdbool.h>

/*
 * To whom a filter has answered lately: ".postern-vacation" in the owner's folder, lines "UNTIL KEY", replaced as a whole.  At most
 * ONCE_LINES_MAX, of which the oldest go.
 */
#define ONCE_LINES_MAX 2000u
/* True, and noted: `key` was not due for `to` within the last so many seconds.  False: it was, or it could not be noted. */
bool once_is_due(int base_fd, struct slice folder, struct slice key, struct slice to, uint64_t seconds);

#endif
