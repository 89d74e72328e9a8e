#include "tables_own.h"

#include "base/log.h"
#include "base/mem.h"
#include "sqlite_at/sqlite_at.h"
#include "table_text.h"

#include <errno.h>
#include <sqlite3.h>

/* A table in a database file: one query with one bound parameter. */

#define QUERY_MS 50
#define ROWS_MAX 10000

struct table_sqlite {
	struct sqlite_at *db; /* owned */
	sqlite3_stmt *query; /* owned */
};

static void close_database(struct table *t)
{
	struct table_sqlite *s = t->sqlite;

	t->sqlite = NULL;
	if (s == NULL)
		return;
	sqlite3_finalize(s->query);
	sqlite_at_close(&s->db);
	free(s);
}

static bool prepare(struct table *t)
{
	struct table_sqlite *s = t->sqlite;
	sqlite3 *db = sqlite_at_db(s->db);
	const char *rest = "";

	sqlite_at_limit(s->db, QUERY_MS);
	if (sqlite3_prepare_v3(db, t->conf->query, -1, SQLITE_PREPARE_PERSISTENT, &s->query, &rest) != SQLITE_OK)
		return table_unreadable(t, slice_of(sqlite3_errmsg(db)));
	if (s->query == NULL || slice_trim(slice_of(rest)).len > 0 || sqlite3_bind_parameter_count(s->query) != 1 ||
	    !sqlite3_stmt_readonly(s->query) || sqlite3_column_count(s->query) < 1)
		return table_unreadable(t, slice_of("the query must be one SELECT with one ?"));
	return true;
}

static bool open_database(struct table *t)
{
	struct buf why = buf_make(512);
	bool done;

	close_database(t);
	t->sqlite = mem_new(1, sizeof(*t->sqlite));
	if (t->sqlite == NULL)
		return table_unreadable(t, slice_of("out of memory"));
	t->sqlite->db = sqlite_at_open(file_at_folder(&t->file), slice_of(t->file.name), SQLITE_AT_READ, &why);
	done = t->sqlite->db == NULL ? table_unreadable(t, buf_slice(&why)) : prepare(t);
	if (!done)
		close_database(t);
	buf_free(&why);
	return done;
}

/* Another file under the name is another database; its content SQLite watches itself. */
static bool refresh_database(struct table *t)
{
	struct file_at_mark mark;
	struct stat st;

	if (!file_at_look(&t->file, &st, &mark)) {
		int err = errno;

		close_database(t);
		return table_unreadable(t, log_errno_text(err));
	}
	if (t->sqlite == NULL || mark.inode != t->mark.inode || mark.device != t->mark.device)
		t->readable = open_database(t);
	t->mark = mark;
	return t->readable;
}

/* NULL has no text; a NUL inside would end it for whoever reads it next. */
static bool add_row(sqlite3_stmt *query, bool first, struct buf *out)
{
	const unsigned char *text = sqlite3_column_text(query, 0);
	struct slice value = text == NULL ? slice_empty()
					  : slice_make((const char *)text, (size_t)sqlite3_column_bytes(query, 0));

	if (slice_index(value, '\0') != SLICE_NONE || value.len > TABLE_VALUE_MAX)
		return false;
	return (first || buf_add_char(out, ',')) && buf_add_slice(out, value);
}

static enum answer read_rows(struct table *t, struct buf *value_out)
{
	struct table_sqlite *s = t->sqlite;
	size_t rows = 0;
	int code;

	while ((code = sqlite3_step(s->query)) == SQLITE_ROW) {
		rows++;
		if (value_out == NULL)
			return ANSWER_YES;
		if (rows > ROWS_MAX || !add_row(s->query, rows == 1, value_out)) {
			table_complain(t, "table-failed", slice_of("a value of more than 1 MiB or 10000 rows, or with a NUL"));
			return ANSWER_UNKNOWN;
		}
	}
	if (code == SQLITE_DONE)
		return rows > 0 ? ANSWER_YES : ANSWER_NO;
	table_complain(t, "table-failed", slice_of(sqlite3_errmsg(sqlite_at_db(s->db))));
	return ANSWER_UNKNOWN;
}

static enum answer find_row(struct table *t, const struct table_ask *ask)
{
	struct table_sqlite *s = t->sqlite;
	enum answer answer = ANSWER_UNKNOWN;

	sqlite_at_limit(s->db, QUERY_MS);
	if (sqlite3_bind_text(s->query, 1, ask->key.at, (int)ask->key.len, SQLITE_TRANSIENT) == SQLITE_OK)
		answer = read_rows(t, ask->value_out);
	sqlite3_reset(s->query);
	sqlite3_clear_bindings(s->query);
	if (answer == ANSWER_YES)
		table_found_at(t, t->conf->query, 0);
	return answer;
}

const struct table_kind table_kind_sqlite = {refresh_database, find_row, NULL, close_database};
