#ifndef POSTERN_CLI_TABLE_ROWS_H
#define POSTERN_CLI_TABLE_ROWS_H

#include "base/buf.h"
#include "base/outcome.h"
#include "conf/conf.h"

/*
 * What a table that a transport names has for an address or a domain, as commands read and change it: how much each mailbox may hold (`quota
 * TABLE`, `postern user quota`), and whose the mailboxes of a domain are (`user by TABLE`, `postern domain add --user`).
 *
 *     file     lines "ADDRESS: VALUE"; comments and order stay (file_at/file_edit.h)
 *     sqlite   quotas(address TEXT PRIMARY KEY COLLATE NOCASE, quota TEXT NOT NULL), or owners(address ..., user TEXT NOT NULL), in one
 *              transaction; where the table's own query does not find what was written, nothing is
 *
 * Other kinds are kept elsewhere.  A row counts at once, a line within a second.  All block on the disk, and at most some seconds on another command.
 *
 * Outcomes: DONE; NOT_FOUND: no such key; BAD_INPUT: an address that cannot stand there, a file with a mistake, a database that is not ours;
 * BUSY; IO_ERROR and SPOOL_FULL.  But for DONE, `why` has a sentence.
 */
/* The statements of such a database. */
struct table_rows {
	const char *make, *find, *put, *drop; /* ?1: the key, ?2: the value */
	const char *query; /* what its table has in the configuration */
};
extern const struct table_rows table_rows_quotas, table_rows_owners;

bool table_rows_can(const struct conf_table *table, struct buf *why);

/* Makes the file or the database where there is none, so that who is in no table is known to be.  DONE also where it is not ours to make. */
enum outcome table_rows_make(const struct table_rows *rows, const struct conf_table *table, struct buf *why) __attribute__((warn_unused_result));
/* The value of exactly that key is added to `value_out`. */
enum outcome table_rows_find(const struct conf_table *table, struct slice key, struct buf *value_out, struct buf *why) __attribute__((warn_unused_result));
/* `value` empty: the key is taken out.  What it was before is added to `was_out` ("": it was not there). */
enum outcome table_rows_set(const struct table_rows *rows, const struct conf_table *table, struct slice key, struct slice value, struct buf *was_out,
			    struct buf *why)
	__attribute__((warn_unused_result));

/* The text of such a file; pure.  `value` NULL: only look. */
enum outcome table_rows_edit(struct slice text, struct slice key, const struct slice *value, struct buf *out, struct buf *was_out, struct buf *why)
	__attribute__((warn_unused_result));

#endif
