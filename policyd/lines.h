#ifndef POSTERN_POLICYD_LINES_H
#define POSTERN_POLICYD_LINES_H

#include "base/buf.h"

/*
 * The lines of a table's file: spaces at both ends and what follows a `#` (at the start, or behind a blank; not inside "quotes") are
 * dropped, empty lines passed over.
 *
 * Where lines are joined, one that begins with a blank goes on with the line before it, as aliases(5) has it: the line's end and what
 * was dropped between become spaces, in the text itself.
 */
struct lines {
	struct slice rest;
	size_t number; /* of the line last returned (its first one), from 1 */
	size_t passed; /* lines read so far */
	struct slice line;
	const char *mistake; /* NULL: none so far */
	bool joined;
};

static inline struct lines lines_of(struct slice text)
{
	return (struct lines){text, 0, 0, {"", 0}, NULL, false};
}

/* The content of `text` is written to. */
static inline struct lines lines_joined(struct buf *text)
{
	return (struct lines){buf_slice(text), 0, 0, {"", 0}, NULL, true};
}

/* False at the end, or at a line that cannot be one (then `mistake` says why). */
bool lines_next(struct lines *l);

#endif
