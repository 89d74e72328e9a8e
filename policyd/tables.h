#ifndef POSTERN_POLICYD_TABLES_H
#define POSTERN_POLICYD_TABLES_H

#include "base/buf.h"
#include "rules/rules.h"

/*
 * The tables of one generation.
 *
 *   inline            in memory
 *   file, cidr        read whole and checked, then it takes the place of the one before; looked at again at most once a second
 *   sqlite            asked each time, one bound parameter, 50 ms at most
 *
 * Three answers always.  A table that cannot be read is UNKNOWN, and so is a file that never was well formed; one that was, and was
 * replaced by what is not, stays as it was.  Either is logged once a minute.
 */
struct tables;

#define TABLE_FILE_MAX (16u << 20)

/* The descriptor (borrowed) of a path that the configuration names, or -1. */
typedef int tables_fd_fn(void *arg, const char *path);

/* NULL: no memory. */
struct tables *tables_new(const struct conf *conf, tables_fd_fn *fd, void *arg);
void tables_free(struct tables **tp);

/* Whether every file that can be read is well formed; else "path:line: what" in `why`. */
bool tables_check(struct tables *t, struct buf *why);

/* `table` is one of the generation's.  The value is added to `value_out` (NULL: not wanted); several rows of a database are one
 * value with commas between them. */
enum answer tables_find(struct tables *t, const struct conf_table *table, struct slice key, struct buf *value_out);

#endif
