#ifndef POSTERN_CLI_LISTING_H
#define POSTERN_CLI_LISTING_H

#include "command.h"

/*
 * Rows that a command makes itself, printed as those that the server would send; page by page, so that memory does not grow with them.
 */
struct listing {
	struct buf fields, page, out; /* owned: of a row, of rows, of text */
	struct rows rows; /* borrows `out` */
	bool ok;
};

void listing_begin(struct listing *l, const struct cli *cli, const struct command *command);
void listing_text(struct listing *l, const char *key, struct slice value);
void listing_number(struct listing *l, const char *key, int64_t value);
/* Ends the row; false: go on with no more. */
bool listing_row(struct listing *l);
/* Prints what is left where `exit` is CLI_OK, and frees it.  The exit code. */
int listing_end(struct listing *l, int exit, const struct command *command);

#endif
