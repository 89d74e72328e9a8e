#ifndef POSTERN_CLI_QUOTAS_H
#define POSTERN_CLI_QUOTAS_H

#include "base/buf.h"
#include "base/outcome.h"
#include "conf/conf.h"

/*
 * Where a transport's `quota TABLE` says how much each mailbox may hold, as `postern user quota` reads and changes it:
 *
 *     file     lines "ADDRESS: VALUE"; comments and order stay (file_at/file_edit.h)
 *     sqlite   quotas(address TEXT PRIMARY KEY COLLATE NOCASE, quota TEXT NOT NULL), in one transaction; where the table's own query
 *              does not find what was written, nothing is
 *
 * Other kinds are kept elsewhere.  A row counts at once, a line within a second.  All block on the disk, and at most some seconds on another command.
 *
 * Outcomes: DONE; NOT_FOUND: no such key; BAD_INPUT: an address that cannot stand there, a file with a mistake, a database that is not ours;
 * BUSY; IO_ERROR and SPOOL_FULL.  But for DONE, `why` has a sentence.
 */
bool quotas_can(const struct conf_table *table, struct buf *why);

/* Makes the file or the database where there is none, so that who is in no table is known to be.  DONE also where it is not ours to make. */
enum outcome quotas_make(const struct conf_table *table, struct buf *why) __attribute__((warn_unused_result));
/* The value of exactly that key is added to `value_out`. */
enum outcome quotas_find(const struct conf_table *table, struct slice key, struct buf *value_out, struct buf *why) __attribute__((warn_unused_result));
/* `value` empty: the key is taken out.  What it was before is added to `was_out` ("": it was not there). */
enum outcome quotas_set(const struct conf_table *table, struct slice address, struct slice value, struct buf *was_out, struct buf *why)
	__attribute__((warn_unused_result));

/* The text of such a file; pure.  `value` NULL: only look. */
enum outcome quotas_edit(struct slice text, struct slice key, const struct slice *value, struct buf *out, struct buf *was_out, struct buf *why)
	__attribute__((warn_unused_result));

#endif
