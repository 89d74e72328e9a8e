#ifndef POSTERN_CLI_ROWS_H
#define POSTERN_CLI_ROWS_H

#include "base/buf.h"

/*
 * What the server answers to the operator, for people or for programs.  Pure.
 *
 * People get a table with aligned columns (or `key: value` lines), ages and sizes in short, and no byte that a terminal would
 * obey; programs get a JSON array of objects, complete also when it is printed in pieces.
 */
enum rows_style {
	ROWS_TABLE,
	ROWS_LINES, /* one row at length */
	ROWS_JSON,
};

#define ROWS_COLUMNS_MAX 32
#define ROWS_KEY_MAX 64

struct rows {
	enum rows_style style;
	struct buf *out; /* borrowed */
	size_t count;
	size_t columns;
	struct {
		char key[ROWS_KEY_MAX + 1];
		size_t width;
	} column[ROWS_COLUMNS_MAX];
};

struct rows rows_begin(enum rows_style style, struct buf *out);
/* Adds a page: control_row records.  The columns of a table are those of the first row; later pages keep their widths where
 * they can.  False: malformed, or no memory. */
bool rows_page(struct rows *r, struct slice control_row_records);
/* `nothing` is said when there was no row (not in JSON). */
bool rows_end(struct rows *r, const char *nothing);

/* Printable: well-formed UTF-8 without controls as it is, any other byte as \xNN. */
bool text_add_safe(struct slice text, struct buf *out);
/* The same, line by line: the line ends stay, but for the last. */
bool text_add_safe_lines(struct slice text, struct buf *out);
/* A JSON string with its quotes; a byte that is no UTF-8 becomes U+FFFD. */
bool text_add_json(struct slice text, struct buf *out);

#endif
