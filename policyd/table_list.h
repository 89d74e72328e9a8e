#ifndef POSTERN_POLICYD_TABLE_LIST_H
#define POSTERN_POLICYD_TABLE_LIST_H

#include "base/buf.h"
#include "mail/target_list.h"

/*
 * The value of an alias (mail/target_list.h), with the files that it includes, and theirs.  Pure but for `include`, which reads one.
 *
 * Always: an included file names addresses only (programs and files stand in the table itself, which is the administrator's); it is read
 * at most TABLE_LIST_DEPTH deep, never within itself, TABLE_LIST_FILES in all.  Whatever is wrong with one makes the whole alias
 * unknown: nothing is left out in silence.
 */
#define TABLE_LIST_DEPTH 10u
#define TABLE_LIST_FILES 100u
#define TABLE_LIST_FILE_MAX (1u << 20) /* bytes of one */
#define TABLE_LIST_WHY_MAX 512u

/* Adds the text of the file to `text_out`.  False with a sentence in `why`. */
typedef bool table_include_fn(void *arg, struct slice path, struct buf *text_out, struct buf *why);

enum table_list_end {
	TABLE_LIST_DONE,
	TABLE_LIST_UNKNOWN, /* see `why`; `fn` may have been called for items before it */
	TABLE_LIST_STOPPED, /* `fn` returned false */
};

/* Calls `fn` for each item that is no include.  `include` NULL: nothing can be included. */
enum table_list_end table_list_expand(struct slice value, table_include_fn *include, void *include_arg, target_fn *fn, void *arg,
				      char why[TABLE_LIST_WHY_MAX]);

#endif
