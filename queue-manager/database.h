#ifndef POSTERN_QUEUE_DATABASE_H
#define POSTERN_QUEUE_DATABASE_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * A database of the spool (SQLite): what may be lost.  Used by one thread only; every function blocks, none logs.
 *
 * Always: one that is broken, or of another version, is set aside (PATH.bad) and begun anew, empty; who uses it is told (database_was_reset).
 * One that cannot be had at all, as on a full disk, is tried again by the next statement.
 */
#define DATABASE_STATEMENTS_MAX 24u

struct database_plan {
	const char *schema; /* with its PRAGMA user_version */
	int version;
	const char *const *texts; /* of the statements */
	size_t count;
};

struct database {
	const char *path; /* borrowed; relative to the working folder, which is the spool */
	const struct database_plan *plan;
	sqlite3 *db; /* NULL: it cannot be had now */
	sqlite3_stmt *begin, *commit, *statements[DATABASE_STATEMENTS_MAX];
	bool reset;
	bool looks; /* database_look: never begun anew */
	char trouble[200]; /* of the last failure, or "" */
};

void database_open(struct database *d, const char *path, const struct database_plan *plan);
/* Reads only, and only one that is whole and of this version; nothing else may have it open. */
bool database_look(struct database *d, const char *path, const struct database_plan *plan);
void database_close(struct database *d);
/* Begun anew since the last call. */
bool database_was_reset(struct database *d);

/* Around what is written together.  False at the end: nothing of it was kept, whatever each call said. */
void database_begin(struct database *d);
bool database_end(struct database *d);

/* NULL: not now. */
sqlite3_stmt *database_statement(struct database *d, unsigned which);
/* Ends a statement, with what its last step said.  False: failed; what cannot be mended by waiting begins anew. */
bool database_finish(struct database *d, sqlite3_stmt *st, int code);
/* One step, and its end; also of NULL, which fails. */
bool database_run(struct database *d, sqlite3_stmt *st);
void database_begin_anew(struct database *d);

#endif
