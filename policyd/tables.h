#ifndef POSTERN_POLICYD_TABLES_H
#define POSTERN_POLICYD_TABLES_H

#include "base/buf.h"
#include "rules/rules.h"

/*
 * The tables of one generation.
 *
 *   inline             in memory
 *   file, cidr, pcre2  read whole and checked, then it takes the place of the one before; looked at again at most once a second
 *   directory          a file for each domain, each looked at when it is asked for
 *   postgresql, ...    of other servers: asked by postern-lookup (remote.h), and then PENDING until that is known
 *   sqlite             asked each time, one bound parameter, 50 ms at most
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

/* Whether every file that can be read is well formed; else "path:line: what" in `why`.  (Not those of a directory: one of them that is
 * malformed makes its own domain unknown.) */
bool tables_check(struct tables *t, struct buf *why);

/* `FACT in TABLE`, and one key for everything else that asks for one; table_keys.h has the keys.  `table` is one of the generation's.
 * The value is added to `value_out` (NULL: not wanted); several rows of a database are one value with commas between them. */
enum answer tables_find(struct tables *t, const struct conf_table *table, struct slice key, struct buf *value_out);

/* `alias TABLE`: what stands there of that address. `base` is the address without its sub-address; "": it has none. */
enum answer tables_alias(struct tables *t, const struct conf_table *table, struct slice address, struct slice base,
			 struct buf *value_out);

/* Whether an alias of that very address stands there: not one of its domain or of all, and never in patterns.  NO of what is no address. */
enum answer tables_names(struct tables *t, const struct conf_table *table, struct slice address);

/* What `:include:PATH` in a value of that table names: a plain file beneath the folder that the table's `include` names, else beneath that
 * of the table's own file.  False with a sentence in `why`. */
bool tables_include(struct tables *t, const struct conf_table *table, struct slice path, struct buf *text_out, struct buf *why);

/* Who asks the servers of others.  YES adds to `value_out` (NULL: not wanted); UNKNOWN says why. */
#define TABLE_REMOTE_WHY_MAX 256u
struct tables_remote {
	enum answer (*find)(void *arg, const struct conf_table *table, struct slice key, struct buf *value_out, char why[TABLE_REMOTE_WHY_MAX]);
	void *arg;
};
/* Until it was said, such tables are UNKNOWN. */
void tables_set_remote(struct tables *t, const struct tables_remote *remote);

/* For people: from where the last answer came, and why it was no better.  Written by look-ups while it is set; NULL: by none. */
struct tables_detail {
	char where[600]; /* "PATH:LINE", or the query */
	char why[600];
};
void tables_tell(struct tables *t, struct tables_detail *detail);

#endif
