#include "index.h"

#include "base/mem.h"
#include "database.h"

#include <stdio.h>

#define SCHEMA_VERSION 1

static const char schema[] =
	"CREATE TABLE message(id INTEGER PRIMARY KEY, next INTEGER NOT NULL, tries INTEGER NOT NULL, size INTEGER NOT NULL,"
	" recipients INTEGER NOT NULL, held INTEGER NOT NULL, warned INTEGER NOT NULL, destination TEXT NOT NULL,"
	" sender TEXT NOT NULL, recipient TEXT NOT NULL, last TEXT NOT NULL);"
	"CREATE INDEX by_next ON message(next, id);"
	"CREATE INDEX by_destination ON message(destination, next, id);"
	"CREATE INDEX by_bucket ON message(id & 1023);"
	"PRAGMA user_version = 1;";

#define COLUMNS "id, next, tries, size, recipients, held, warned, destination, sender, recipient, last"

enum statement {
	ST_PUT,
	ST_REMOVE,
	ST_FIND,
	ST_PUT_OFF,
	ST_ALL_DUE,
	ST_MEND_TIMES,
	ST_DUE,
	ST_DUE_FOR,
	ST_NEXT,
	ST_KEY_NEXT,
	ST_KEY_DESTINATION,
	ST_LIST,
	ST_COUNT_ROWS,
	ST_BUCKET,
	ST_NUMBER
};

static const char *const texts[ST_NUMBER] = {
	[ST_PUT] = "INSERT OR REPLACE INTO message(" COLUMNS ") VALUES(?,?,?,?,?,?,?,?,?,?,?)",
	[ST_REMOVE] = "DELETE FROM message WHERE id = ?",
	[ST_FIND] = "SELECT " COLUMNS " FROM message WHERE id = ?",
	[ST_PUT_OFF] = "UPDATE message SET next = ?, tries = ? WHERE id = ?",
	[ST_ALL_DUE] = "UPDATE message SET next = ?1 WHERE held = 0 AND next > ?1",
	[ST_MEND_TIMES] = "UPDATE message SET next = ?2 WHERE held = 0 AND next > ?1 AND next < 9223372036854775807",
	[ST_DUE] = "SELECT " COLUMNS " FROM message WHERE (next, id) > (?, ?) AND next <= ? ORDER BY next, id LIMIT ?",
	[ST_DUE_FOR] = "SELECT " COLUMNS " FROM message WHERE destination = ? AND next <= ? ORDER BY next, id LIMIT ?",
	[ST_NEXT] = "SELECT next FROM message WHERE (next, id) > (?, ?) ORDER BY next, id LIMIT 1",
	[ST_KEY_NEXT] = "SELECT 1 FROM message INDEXED BY by_next WHERE next = ? AND id = ?",
	[ST_KEY_DESTINATION] = "SELECT 1 FROM message INDEXED BY by_destination WHERE destination = ? AND next = ? AND id = ?",
	[ST_LIST] = "SELECT " COLUMNS " FROM message WHERE id > ? ORDER BY id LIMIT ?",
	[ST_COUNT_ROWS] = "SELECT count(*) FROM message",
	[ST_BUCKET] = "SELECT id FROM message WHERE id & 1023 = ? LIMIT ?",
};

static const struct database_plan plan = {schema, SCHEMA_VERSION, texts, ST_NUMBER};
_Static_assert(ST_NUMBER <= DATABASE_STATEMENTS_MAX, "more statements than a database has");

struct index {
	struct database d;
};

struct index *index_open(const char *path)
{
	struct index *ix = mem_new(1, sizeof(*ix));

	if (ix != NULL)
		database_open(&ix->d, path, &plan);
	return ix;
}

struct index *index_look(const char *path)
{
	struct index *ix = mem_new(1, sizeof(*ix));

	if (ix != NULL && database_look(&ix->d, path, &plan))
		return ix;
	free(ix);
	return NULL;
}

void index_close(struct index **ip)
{
	struct index *ix = *ip;

	if (ix == NULL)
		return;
	*ip = NULL;
	database_close(&ix->d);
	free(ix);
}

bool index_was_reset(struct index *ix)
{
	return database_was_reset(&ix->d);
}

const char *index_trouble(const struct index *ix)
{
	return ix->d.trouble;
}

/* ---- statements ---- */

static sqlite3_stmt *statement(struct index *ix, enum statement which)
{
	return database_statement(&ix->d, which);
}

static bool finish(struct index *ix, sqlite3_stmt *st, int code)
{
	return database_finish(&ix->d, st, code);
}

static bool run(struct index *ix, sqlite3_stmt *st)
{
	return database_run(&ix->d, st);
}

void index_begin(struct index *ix)
{
	database_begin(&ix->d);
}

bool index_end(struct index *ix)
{
	return database_end(&ix->d);
}

static void bind_number(sqlite3_stmt *st, int at, uint64_t value)
{
	(void)sqlite3_bind_int64(st, at, (sqlite3_int64)value);
}

static void bind_text(sqlite3_stmt *st, int at, const char *text)
{
	(void)sqlite3_bind_text(st, at, text, -1, SQLITE_STATIC);
}

bool index_put(struct index *ix, const struct index_row *row)
{
	sqlite3_stmt *st = statement(ix, ST_PUT);

	if (st == NULL)
		return false;
	bind_number(st, 1, row->id);
	bind_number(st, 2, (uint64_t)row->next_s);
	bind_number(st, 3, row->tries);
	bind_number(st, 4, row->size_bytes);
	bind_number(st, 5, row->recipients);
	bind_number(st, 6, row->held);
	bind_number(st, 7, row->warned);
	bind_text(st, 8, row->destination);
	bind_text(st, 9, row->sender);
	bind_text(st, 10, row->recipient);
	bind_text(st, 11, row->last);
	return run(ix, st);
}

bool index_remove(struct index *ix, uint64_t id)
{
	sqlite3_stmt *st = statement(ix, ST_REMOVE);

	if (st != NULL)
		bind_number(st, 1, id);
	return run(ix, st);
}

bool index_put_off(struct index *ix, uint64_t id, int64_t next_s, uint64_t tries)
{
	sqlite3_stmt *st = statement(ix, ST_PUT_OFF);

	if (st == NULL)
		return false;
	bind_number(st, 1, (uint64_t)next_s);
	bind_number(st, 2, tries);
	bind_number(st, 3, id);
	return run(ix, st);
}

bool index_all_due(struct index *ix, int64_t now_s)
{
	sqlite3_stmt *st = statement(ix, ST_ALL_DUE);

	if (st != NULL)
		bind_number(st, 1, (uint64_t)now_s);
	return run(ix, st);
}

bool index_mend_times(struct index *ix, int64_t latest_s, int64_t now_s)
{
	sqlite3_stmt *st = statement(ix, ST_MEND_TIMES);

	if (st != NULL) {
		bind_number(st, 1, (uint64_t)latest_s);
		bind_number(st, 2, (uint64_t)now_s);
	}
	return run(ix, st);
}

/* ---- reading: nothing in a row is believed to fit ---- */

static void column_text(sqlite3_stmt *st, int at, char *out, size_t size)
{
	const unsigned char *text = sqlite3_column_text(st, at);

	(void)snprintf(out, size, "%s", text == NULL ? "" : (const char *)text);
}

static uint64_t column_number(sqlite3_stmt *st, int at)
{
	return (uint64_t)sqlite3_column_int64(st, at);
}

static void read_row(sqlite3_stmt *st, struct index_row *row)
{
	row->id = column_number(st, 0);
	row->next_s = sqlite3_column_int64(st, 1);
	row->tries = column_number(st, 2);
	row->size_bytes = column_number(st, 3);
	row->recipients = column_number(st, 4);
	row->held = column_number(st, 5) != 0;
	row->warned = column_number(st, 6) != 0;
	column_text(st, 7, row->destination, sizeof(row->destination));
	column_text(st, 8, row->sender, sizeof(row->sender));
	column_text(st, 9, row->recipient, sizeof(row->recipient));
	column_text(st, 10, row->last, sizeof(row->last));
}

static bool read_rows(struct index *ix, sqlite3_stmt *st, struct index_row *rows, size_t max, size_t *count_out)
{
	int code = SQLITE_ROW;

	*count_out = 0;
	while (*count_out < max && (code = sqlite3_step(st)) == SQLITE_ROW)
		read_row(st, &rows[(*count_out)++]);
	return finish(ix, st, code);
}

bool index_find(struct index *ix, uint64_t id, struct index_row *out, bool *found_out)
{
	sqlite3_stmt *st = statement(ix, ST_FIND);
	size_t count;

	*found_out = false;
	if (st == NULL)
		return false;
	bind_number(st, 1, id);
	if (!read_rows(ix, st, out, 1, &count))
		return false;
	*found_out = count == 1;
	return true;
}

bool index_due(struct index *ix, int64_t now_s, struct index_key after, struct index_row *rows, size_t max,
	       size_t *count_out)
{
	sqlite3_stmt *st = statement(ix, ST_DUE);

	*count_out = 0;
	if (st == NULL)
		return false;
	bind_number(st, 1, (uint64_t)after.next_s);
	bind_number(st, 2, after.id);
	bind_number(st, 3, (uint64_t)now_s);
	bind_number(st, 4, max);
	return read_rows(ix, st, rows, max, count_out);
}

bool index_due_for(struct index *ix, const char *destination, int64_t now_s, struct index_row *rows, size_t max,
		   size_t *count_out)
{
	sqlite3_stmt *st = statement(ix, ST_DUE_FOR);

	*count_out = 0;
	if (st == NULL)
		return false;
	bind_text(st, 1, destination);
	bind_number(st, 2, (uint64_t)now_s);
	bind_number(st, 3, max);
	return read_rows(ix, st, rows, max, count_out);
}

bool index_list(struct index *ix, uint64_t after_id, struct index_row *rows, size_t max, size_t *count_out)
{
	sqlite3_stmt *st = statement(ix, ST_LIST);

	*count_out = 0;
	if (st == NULL)
		return false;
	bind_number(st, 1, after_id);
	bind_number(st, 2, max);
	return read_rows(ix, st, rows, max, count_out);
}

static bool read_number(struct index *ix, sqlite3_stmt *st, int64_t absent, int64_t *out)
{
	int code = sqlite3_step(st);

	*out = code == SQLITE_ROW ? sqlite3_column_int64(st, 0) : absent;
	return finish(ix, st, code);
}

bool index_next(struct index *ix, struct index_key after, int64_t *next_s_out)
{
	sqlite3_stmt *st = statement(ix, ST_NEXT);

	*next_s_out = INDEX_NEVER;
	if (st == NULL)
		return false;
	bind_number(st, 1, (uint64_t)after.next_s);
	bind_number(st, 2, after.id);
	return read_number(ix, st, INDEX_NEVER, next_s_out);
}

bool index_count(struct index *ix, uint64_t *out)
{
	sqlite3_stmt *st = statement(ix, ST_COUNT_ROWS);
	int64_t number = 0;
	bool ok = st != NULL && read_number(ix, st, 0, &number);

	*out = (uint64_t)number;
	return ok;
}

static bool has_key(struct index *ix, sqlite3_stmt *st, bool *has_out)
{
	int code = sqlite3_step(st);

	*has_out = code == SQLITE_ROW;
	return finish(ix, st, code);
}

/* The orders lie beside the rows, and SQLite does not see by itself that they differ: what is not in them is never due. */
static bool is_in_order(struct index *ix, const struct index_row *row)
{
	sqlite3_stmt *by_next = statement(ix, ST_KEY_NEXT), *by_destination = statement(ix, ST_KEY_DESTINATION);
	bool is_in_both, is_in_one;

	if (by_next == NULL || by_destination == NULL)
		return false;
	bind_number(by_next, 1, (uint64_t)row->next_s);
	bind_number(by_next, 2, row->id);
	bind_text(by_destination, 1, row->destination);
	bind_number(by_destination, 2, (uint64_t)row->next_s);
	bind_number(by_destination, 3, row->id);
	if (!has_key(ix, by_next, &is_in_one) || !has_key(ix, by_destination, &is_in_both))
		return false;
	if (is_in_one && is_in_both)
		return true;
	(void)snprintf(ix->d.trouble, sizeof(ix->d.trouble), "index: a row is missing from the order of times, or of destinations");
	database_begin_anew(&ix->d);
	return false;
}

bool index_missing(struct index *ix, uint64_t *ids, size_t count, size_t *missing_out)
{
	struct index_row row;
	bool found;

	*missing_out = 0;
	for (size_t i = 0; i < count; i++) {
		if (!index_find(ix, ids[i], &row, &found) || (found && !is_in_order(ix, &row)))
			return false;
		if (!found)
			ids[(*missing_out)++] = ids[i];
	}
	return true;
}

bool index_bucket(struct index *ix, unsigned bucket, uint64_t *ids, size_t max, size_t *count_out)
{
	sqlite3_stmt *st = statement(ix, ST_BUCKET);
	int code = SQLITE_ROW;

	*count_out = 0;
	if (st == NULL)
		return false;
	bind_number(st, 1, bucket);
	bind_number(st, 2, max);
	while (*count_out < max && (code = sqlite3_step(st)) == SQLITE_ROW)
		ids[(*count_out)++] = column_number(st, 0);
	return finish(ix, st, code);
}
