#ifndef POSTERN_POLICYD_LINES_H
#define POSTERN_POLICYD_LINES_H

#include "base/slice.h"

/*
 * The lines of a table's file: spaces at both ends and what follows a `#` (at the start, or behind a blank) are dropped, empty
 * lines passed over.
 */
struct lines {
	struct slice rest;
	size_t number; /* of the line last returned, from 1 */
	struct slice line;
	const char *mistake; /* NULL: none so far */
};

static inline struct lines lines_of(struct slice text)
{
	return (struct lines){text, 0, {"", 0}, NULL};
}

/* False at the end, or at a line that cannot be one (then `mistake` says why). */
bool lines_next(struct lines *l);

#endif
