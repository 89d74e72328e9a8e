#ifndef POSTERN_CLI_IMPORT_LINES_H
#define POSTERN_CLI_IMPORT_LINES_H

#include "base/buf.h"

/*
 * The lines of other servers' tables (postmap(1), Exim's lsearch): `#` begins a comment line, and a line that begins with a blank goes on
 * with the one before; comments and empty lines between them count for nothing.  Pure.
 */
#define IMPORT_BYTES_MAX (16u << 20) /* of what is read, and of what is written */
#define IMPORT_LINE_MAX 65535u /* with its continuations */
#define IMPORT_ENTRIES_MAX 1000000u

/* What could not be carried over.  `what`: a sentence; `key`: as it stands there, any bytes. */
typedef void import_left_fn(size_t line, struct slice key, const char *what, void *arg);

struct import_lines {
	struct slice rest;
	size_t passed;
};

struct import_line {
	struct buf text; /* owned; without comments */
	size_t number; /* of the first, from 1 */
	bool too_long;
};

static inline struct import_lines import_lines_of(struct slice text)
{
	return (struct import_lines){text, 0};
}

static inline struct import_line import_line_make(void)
{
	return (struct import_line){buf_make(IMPORT_LINE_MAX), 0, false};
}

bool import_line_next(struct import_lines *lines, struct import_line *l);

bool import_is_blank(char c);
/* Needs no quotes in a table's file, and is neither a comment nor a program, a file or an include. */
bool import_is_plain(struct slice s);

#endif
