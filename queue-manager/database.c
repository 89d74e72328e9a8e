#include "database.h"

#include "base/mem.h"

#include <stdio.h>

static const char settings[] =
	"PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA mmap_size = 0; PRAGMA trusted_schema = OFF;"
	"PRAGMA cell_size_check = ON; PRAGMA cache_size = -4096; PRAGMA wal_autocheckpoint = 4000; PRAGMA temp_store = MEMORY;";

/* ---- opening, and beginning anew ---- */

static void note(struct database *d, const char *what)
{
	(void)snprintf(d->trouble, sizeof(d->trouble), "%s: %s", what, d->db == NULL ? "no memory" : sqlite3_errmsg(d->db));
}

static void finalize(sqlite3_stmt **st)
{
	sqlite3_finalize(*st);
	*st = NULL;
}

static void shut(struct database *d)
{
	for (size_t i = 0; i < d->plan->count; i++)
		finalize(&d->statements[i]);
	finalize(&d->begin);
	finalize(&d->commit);
	sqlite3_close(d->db);
	d->db = NULL;
}

static bool run_text(struct database *d, const char *text)
{
	return sqlite3_exec(d->db, text, NULL, NULL, NULL) == SQLITE_OK;
}

static int read_version(struct database *d)
{
	sqlite3_stmt *st = NULL;
	int version = -1;

	if (sqlite3_prepare_v2(d->db, "PRAGMA user_version", -1, &st, NULL) == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW)
		version = sqlite3_column_int(st, 0);
	sqlite3_finalize(st);
	return version;
}

static bool prepare(struct database *d, const char *text, sqlite3_stmt **out)
{
	return sqlite3_prepare_v3(d->db, text, -1, SQLITE_PREPARE_PERSISTENT, out, NULL) == SQLITE_OK;
}

static bool prepare_all(struct database *d)
{
	for (size_t i = 0; i < d->plan->count; i++)
		if (!prepare(d, d->plan->texts[i], &d->statements[i]))
			return false;
	return prepare(d, "BEGIN IMMEDIATE", &d->begin) && prepare(d, "COMMIT", &d->commit);
}

static bool open_it(struct database *d)
{
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
	int version;

	if (sqlite3_open_v2(d->path, &d->db, flags, NULL) != SQLITE_OK)
		return false;
	(void)sqlite3_extended_result_codes(d->db, 1);
	(void)sqlite3_db_config(d->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	(void)sqlite3_busy_timeout(d->db, 50);
	if (!run_text(d, settings))
		return false;
	version = read_version(d);
	if (version == 0)
		d->reset = run_text(d, d->plan->schema);
	return (version == d->plan->version || d->reset) && prepare_all(d);
}

/* One broken database is kept for people to look at; an older one makes room. */
static void set_aside(struct database *d)
{
	static const char *const suffixes[] = {"", "-wal", "-shm"};
	char from[300], to[300];

	shut(d);
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		(void)snprintf(from, sizeof(from), "%s%s", d->path, suffixes[i]);
		(void)snprintf(to, sizeof(to), "%s.bad%s", d->path, suffixes[i]);
		(void)rename(from, to);
	}
}

static void open_or_begin_anew(struct database *d)
{
	if (open_it(d))
		return;
	note(d, "open");
	set_aside(d);
	if (open_it(d))
		return;
	note(d, "open");
	shut(d); /* as on a full disk: without it, every message is simply due */
}

void database_open(struct database *d, const char *path, const struct database_plan *plan)
{
	*d = (struct database){.path = path, .plan = plan};
	open_or_begin_anew(d);
}

/* The name as it is: SQLite would look at every folder above, which the spool's owner need not be allowed. */
static int name_as_it_is(sqlite3_vfs *vfs, const char *name, int size, char *out)
{
	(void)vfs;
	return (size_t)snprintf(out, (size_t)size, "%s", name) < (size_t)size ? SQLITE_OK : SQLITE_CANTOPEN;
}

static bool register_here(void)
{
	static sqlite3_vfs here;
	const sqlite3_vfs *usual = sqlite3_vfs_find(NULL);

	if (usual == NULL)
		return false;
	here = *usual;
	here.pNext = NULL;
	here.zName = "here";
	here.xFullPathname = name_as_it_is;
	return sqlite3_vfs_register(&here, 0) == SQLITE_OK;
}

/* immutable: no lock is taken and no file made beside it. */
bool database_look(struct database *d, const char *path, const struct database_plan *plan)
{
	int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX;
	char uri[300];

	*d = (struct database){.path = path, .plan = plan, .looks = true};
	(void)snprintf(uri, sizeof(uri), "file:%s?immutable=1", path);
	if (register_here() && sqlite3_open_v2(uri, &d->db, flags, "here") == SQLITE_OK &&
	    run_text(d, "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;") && read_version(d) == plan->version && prepare_all(d))
		return true;
	shut(d);
	return false;
}

void database_close(struct database *d)
{
	shut(d);
}

bool database_was_reset(struct database *d)
{
	bool reset = d->reset;

	d->reset = false;
	return reset;
}

/* ---- statements ---- */

static bool is_broken(int code)
{
	code &= 0xff;
	return code == SQLITE_CORRUPT || code == SQLITE_NOTADB || code == SQLITE_IOERR || code == SQLITE_SCHEMA ||
	       code == SQLITE_ERROR || code == SQLITE_CANTOPEN;
}

void database_begin_anew(struct database *d)
{
	if (d->looks)
		return;
	set_aside(d);
	if (!open_it(d))
		shut(d); /* tried again by the next statement */
}

bool database_finish(struct database *d, sqlite3_stmt *st, int code)
{
	if (st != NULL)
		(void)sqlite3_reset(st);
	if (code == SQLITE_DONE || code == SQLITE_ROW)
		return true;
	note(d, "index");
	if (is_broken(code))
		database_begin_anew(d);
	return false;
}

static bool is_there(struct database *d)
{
	if (d->db == NULL && !d->looks)
		open_or_begin_anew(d);
	return d->db != NULL;
}

sqlite3_stmt *database_statement(struct database *d, unsigned which)
{
	return is_there(d) ? d->statements[which] : NULL;
}

bool database_run(struct database *d, sqlite3_stmt *st)
{
	return st != NULL && database_finish(d, st, sqlite3_step(st));
}

void database_begin(struct database *d)
{
	sqlite3_stmt *st = is_there(d) ? d->begin : NULL;

	d->trouble[0] = '\0';
	(void)database_run(d, st);
}

/* On a full disk it is here that writing fails: until now all of it was in memory. */
bool database_end(struct database *d)
{
	if (d->db == NULL || sqlite3_get_autocommit(d->db) != 0)
		return true; /* what failed has been told */
	if (database_run(d, d->commit))
		return true;
	if (d->db != NULL && sqlite3_get_autocommit(d->db) == 0)
		(void)run_text(d, "ROLLBACK");
	return false;
}
