#include "domains_own.h"

#include "base/clock.h"
#include "base/log.h"
#include "sqlite_at/sqlite_at.h"

#include <errno.h>
#include <sqlite3.h>
#include <sys/stat.h>

/* The domains as rows of a database.  Each change is one statement, and so all of it or nothing. */

#define WITHIN_MS 5000
#define LIST_MS 600000
#define SCHEMA \
	"CREATE TABLE IF NOT EXISTS domains(name TEXT PRIMARY KEY COLLATE NOCASE, created INTEGER NOT NULL, removed INTEGER)"

static enum outcome from_sqlite(struct domains *d, int code, struct buf *why)
{
	switch (code & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return OC_DONE;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return domains_fail(why, OC_BUSY, "the database is in use by another process");
	default:
		return domains_fail(why, OC_IO_ERROR, sqlite3_errmsg(sqlite_at_db(d->db)));
	}
}

static bool open_database(struct domains *d, bool create, struct buf *why)
{
	struct slice name;
	struct stat st;

	d->folder = sqlite_at_folder(d->path, &name);
	if (d->folder == -1 || fstat(d->folder, &st) == -1 || (create && !sqlite_at_make(d->folder, name, st.st_gid))) {
		buf_addf(why, "%s: %.*s", d->path, SLICE_ARG(log_errno_text(errno)));
		return false;
	}
	d->db = create ? sqlite_at_open(d->folder, name, SQLITE_AT_WRITE, why) : sqlite_at_open_mended(d->folder, name, why);
	if (d->db == NULL || !create)
		return d->db != NULL;
	sqlite_at_limit(d->db, WITHIN_MS);
	return from_sqlite(d, sqlite3_exec(sqlite_at_db(d->db), SCHEMA, NULL, NULL, NULL), why) == OC_DONE;
}

/* ?1 is the domain, ?2 (where the statement has one) the time. */
static sqlite3_stmt *prepare(struct domains *d, const char *sql, struct slice domain)
{
	sqlite3_stmt *stmt = NULL;

	sqlite_at_limit(d->db, WITHIN_MS);
	if (sqlite3_prepare_v2(sqlite_at_db(d->db), sql, -1, &stmt, NULL) != SQLITE_OK)
		return NULL;
	if (sqlite3_bind_text(stmt, 1, domain.at, (int)domain.len, SQLITE_TRANSIENT) == SQLITE_OK &&
	    (sqlite3_bind_parameter_count(stmt) < 2 || sqlite3_bind_int64(stmt, 2, clock_wall_s()) == SQLITE_OK))
		return stmt;
	sqlite3_finalize(stmt);
	return NULL;
}

/* DONE with `*changed` false: no row fitted. */
static enum outcome change(struct domains *d, const char *sql, struct slice domain, bool *changed, struct buf *why)
{
	sqlite3 *db = sqlite_at_db(d->db);
	sqlite3_stmt *stmt = prepare(d, sql, domain);
	enum outcome oc;

	*changed = false;
	if (stmt == NULL)
		return from_sqlite(d, sqlite3_errcode(db), why);
	oc = from_sqlite(d, sqlite3_step(stmt), why);
	*changed = oc == OC_DONE && sqlite3_changes(db) > 0;
	sqlite3_finalize(stmt);
	return oc;
}

struct seen {
	bool is_there, removed;
};

static bool look(const struct domains_entry *e, void *arg)
{
	struct seen *seen = arg;

	*seen = (struct seen){true, e->removed_s != 0};
	return true;
}

/* Why a change changed nothing; it is asked afterwards, so that the change itself needs no second statement. */
static enum outcome explain(struct domains *d, struct slice domain, const char *there, const char *removed, struct buf *why)
{
	struct seen seen = {false, false};
	enum outcome oc = d->kind->find(d, domain, look, &seen, why);

	if (oc != OC_DONE)
		return oc;
	return domains_fail(why, OC_NOT_ALLOWED, seen.removed ? removed : there);
}

static enum outcome add(struct domains *d, struct slice domain, struct buf *why)
{
	bool changed;
	enum outcome oc = change(d, "INSERT INTO domains(name, created) VALUES(?1, ?2) ON CONFLICT DO NOTHING", domain, &changed, why);

	return oc != OC_DONE || changed ? oc
					: explain(d, domain, "there is such a domain already",
						  "it was removed; `postern domain restore` brings it back", why);
}

static enum outcome take_away(struct domains *d, struct slice domain, struct buf *why)
{
	bool changed;
	enum outcome oc =
		change(d, "UPDATE domains SET removed = ?2 WHERE name = ?1 AND removed IS NULL", domain, &changed, why);

	return oc != OC_DONE || changed ? oc : explain(d, domain, "it was changed just now", "it is removed already", why);
}

static enum outcome restore(struct domains *d, struct slice domain, struct buf *why)
{
	bool changed;
	enum outcome oc =
		change(d, "UPDATE domains SET removed = NULL WHERE name = ?1 AND removed IS NOT NULL", domain, &changed, why);

	return oc != OC_DONE || changed ? oc : explain(d, domain, "it is not removed", "it was changed just now", why);
}

static struct domains_entry entry_of(sqlite3_stmt *stmt)
{
	const unsigned char *text = sqlite3_column_text(stmt, 0);

	return (struct domains_entry){
		text == NULL ? slice_empty() : slice_make((const char *)text, (size_t)sqlite3_column_bytes(stmt, 0)),
		sqlite3_column_int64(stmt, 1), sqlite3_column_type(stmt, 2) == SQLITE_NULL ? 0 : sqlite3_column_int64(stmt, 2),
		DOMAINS_UNCOUNTED};
}

static enum outcome find(struct domains *d, struct slice domain, domains_fn *fn, void *arg, struct buf *why)
{
	sqlite3_stmt *stmt = prepare(d, "SELECT name, created, removed FROM domains WHERE name = ?1", domain);
	struct domains_entry e;
	enum outcome oc;
	int code;

	if (stmt == NULL)
		return from_sqlite(d, sqlite3_errcode(sqlite_at_db(d->db)), why);
	code = sqlite3_step(stmt);
	oc = code == SQLITE_DONE ? domains_fail(why, OC_NOT_FOUND, "there is no such domain") : from_sqlite(d, code, why);
	if (code == SQLITE_ROW) {
		e = entry_of(stmt);
		(void)fn(&e, arg);
	}
	sqlite3_finalize(stmt);
	return oc;
}

static enum outcome list(struct domains *d, domains_fn *fn, void *arg, struct buf *why)
{
	sqlite3_stmt *stmt = NULL;
	enum outcome oc;
	int code;

	sqlite_at_limit(d->db, LIST_MS);
	code = sqlite3_prepare_v2(sqlite_at_db(d->db), "SELECT name, created, removed FROM domains ORDER BY name", -1, &stmt, NULL);
	while (stmt != NULL && (code = sqlite3_step(stmt)) == SQLITE_ROW) {
		struct domains_entry e = entry_of(stmt);

		if (!fn(&e, arg))
			break;
	}
	oc = from_sqlite(d, code, why);
	sqlite3_finalize(stmt);
	return oc;
}

const struct domains_kind domains_sqlite = {open_database, add, take_away, restore, find, list};
