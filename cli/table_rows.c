#include "table_rows.h"

#include "base/log.h"
#include "file_at/file_edit.h"
#include "sqlite_at/sqlite_at.h"

#include <errno.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (16u << 20) /* what policyd reads */
#define WITHIN_MS 5000

#define ROWS_OF(table, value) \
	{ \
		.make = "CREATE TABLE IF NOT EXISTS " table "(address TEXT PRIMARY KEY COLLATE NOCASE, " value " TEXT NOT NULL)", \
		.find = "SELECT " value " FROM " table " WHERE address = ?1", \
		.put = "INSERT INTO " table "(address, " value ") VALUES(?1, ?2) ON CONFLICT(address) DO UPDATE SET " value " = excluded." value, \
		.drop = "DELETE FROM " table " WHERE address = ?1", \
		.query = "select " value " from " table " where address = ?", \
	}

const struct table_rows table_rows_quotas = ROWS_OF("quotas", "quota");
const struct table_rows table_rows_owners = ROWS_OF("owners", "user");

static enum outcome fail(struct buf *why, enum outcome oc, const char *text)
{
	buf_add_text(why, text);
	return oc;
}

bool table_rows_can(const struct conf_table *table, struct buf *why)
{
	if (table->kind == TABLE_FILE || table->kind == TABLE_SQLITE)
		return true;
	buf_addf(why, "table %s is neither a file nor a database of this host: change it where it is kept", table->name);
	return false;
}

/* The folder of a file, and its group, which what is made in it gets: policyd is in that. */
static enum outcome open_folder(const char *path, int *folder_out, struct slice *name_out, gid_t *gid_out, struct buf *why)
{
	struct stat st;

	*folder_out = sqlite_at_folder(path, name_out);
	if (*folder_out == -1 || fstat(*folder_out, &st) == -1) {
		buf_addf(why, "%s: %.*s", path, SLICE_ARG(log_errno_text(errno)));
		return OC_IO_ERROR;
	}
	*gid_out = st.st_gid;
	return OC_DONE;
}

/* ---- the text of a file ---- */

struct line {
	struct slice whole; /* without its LF */
	struct slice key, value, comment; /* empty key: a comment, or nothing */
	bool goes_on; /* with the line before */
};

/* A `#` behind a blank, outside of quotes. */
static size_t comment_at(struct slice text)
{
	bool quoted = false;

	for (size_t i = 0; i < text.len; i++) {
		quoted = quoted != (text.at[i] == '"');
		if (!quoted && text.at[i] == '#' && (i == 0 || text.at[i - 1] == ' ' || text.at[i - 1] == '\t'))
			return i;
	}
	return text.len;
}

static void read_line(struct line *l)
{
	size_t comment = comment_at(l->whole), colon = SLICE_NONE;
	struct slice text = slice_trim(slice_sub(l->whole, 0, comment));
	bool quoted = false;

	l->goes_on = text.len > 0 && (l->whole.at[0] == ' ' || l->whole.at[0] == '\t');
	l->key = l->value = slice_empty();
	l->comment = slice_from(l->whole, comment);
	if (l->goes_on || text.len == 0)
		return;
	for (size_t i = 0; i < text.len && colon == SLICE_NONE; i++) {
		quoted = quoted != (text.at[i] == '"');
		if (!quoted && text.at[i] == ':')
			colon = i;
	}
	l->key = slice_trim(slice_sub(text, 0, colon));
	if (colon != SLICE_NONE)
		l->value = slice_trim(slice_from(text, colon + 1));
	if (l->key.len > 1 && l->key.at[0] == '"' && l->key.at[l->key.len - 1] == '"')
		l->key = slice_sub(l->key, 1, l->key.len - 2);
}

static void add_entry(struct slice key, struct slice value, struct slice comment, struct buf *out)
{
	buf_add_slice(out, key);
	buf_add_text(out, ": ");
	buf_add_slice(out, value);
	if (comment.len > 0) {
		buf_add_text(out, "  ");
		buf_add_slice(out, comment);
	}
	buf_add_char(out, '\n');
}

enum outcome table_rows_edit(struct slice text, struct slice key, const struct slice *value, struct buf *out, struct buf *was_out, struct buf *why)
{
	struct line l;
	size_t found = 0;
	bool in_it = false;

	while (slice_cut(&text, '\n', &l.whole)) {
		read_line(&l);
		in_it = l.goes_on ? in_it : l.key.len > 0 && slice_eq_nocase(l.key, key);
		if (!in_it) {
			buf_add_slice(out, l.whole);
			buf_add_char(out, '\n');
			continue;
		}
		if (l.goes_on)
			return fail(why, OC_BAD_INPUT, "its entry goes on in a second line; write it by hand");
		found++;
		buf_add_slice(was_out, l.value);
		if (value != NULL && value->len > 0)
			add_entry(key, *value, l.comment, out);
	}
	if (found > 1)
		return fail(why, OC_BAD_INPUT, "this key stands in the file twice; take one of the lines out");
	if (found == 0 && value == NULL)
		return fail(why, OC_NOT_FOUND, "there is no such key");
	if (found == 0 && value->len > 0)
		add_entry(key, *value, slice_empty(), out);
	return buf_ok(out) ? OC_DONE : fail(why, OC_SPOOL_FULL, "the file would be larger than 16 MiB; use sqlite");
}

struct edit {
	struct slice key, value;
	struct buf *was_out;
};

static enum outcome edit_text(void *arg, struct slice text, struct buf *out, struct buf *why)
{
	const struct edit *e = arg;

	return table_rows_edit(text, e->key, &e->value, out, e->was_out, why);
}

static enum outcome set_in_file(const struct conf_table *table, struct slice key, struct slice value, struct buf *was_out, struct buf *why)
{
	struct edit e = {key, value, was_out};
	struct slice name;
	gid_t gid;
	int folder;
	enum outcome oc = open_folder(table->path, &folder, &name, &gid, why);
	const struct file_edit how = {.path = table->path, .make_gid = &gid, .bytes_max = FILE_MAX, .edit = edit_text, .arg = &e};

	if (folder != -1)
		close(folder);
	if (oc == OC_DONE && (key.at[0] == '#' || slice_index(key, '"') != SLICE_NONE || slice_index(key, ':') != SLICE_NONE))
		oc = fail(why, OC_BAD_INPUT, "this address needs quotes in a file: write its line by hand");
	return oc == OC_DONE ? file_edit(&how, why) : oc;
}

static enum outcome find_in_file(const struct conf_table *table, struct slice key, struct buf *value_out, struct buf *why)
{
	struct buf text = buf_make(FILE_MAX), same = buf_make(FILE_MAX + 1);
	enum outcome oc = access(table->path, F_OK) == -1 && errno == ENOENT ? fail(why, OC_NOT_FOUND, "there is no such file yet")
									     : file_edit_read(table->path, &text, why);

	if (oc == OC_DONE)
		oc = table_rows_edit(buf_slice(&text), key, NULL, &same, value_out, why);
	buf_free(&text);
	buf_free(&same);
	return oc;
}

/* ---- a database ---- */

static enum outcome from_sqlite(struct sqlite_at *db, int code, struct buf *why)
{
	int kind = code & 0xff;

	if (kind == SQLITE_OK || kind == SQLITE_ROW || kind == SQLITE_DONE)
		return OC_DONE;
	if (kind == SQLITE_BUSY || kind == SQLITE_LOCKED)
		return fail(why, OC_BUSY, "the database is in use by another process");
	return fail(why, OC_IO_ERROR, sqlite3_errmsg(sqlite_at_db(db)));
}

/* ?1 is the key, ?2 (where there is one) the value.  A row's first column is added to `out` (NULL: not wanted); NOT_FOUND: no row came. */
static enum outcome run(struct sqlite_at *db, const char *sql, struct slice key, struct slice value, struct buf *out, struct buf *why)
{
	sqlite3_stmt *stmt = NULL;
	const unsigned char *text;
	enum outcome oc;
	int code = sqlite3_prepare_v2(sqlite_at_db(db), sql, -1, &stmt, NULL);

	if (code == SQLITE_OK && sqlite3_bind_parameter_count(stmt) >= 1)
		code = sqlite3_bind_text(stmt, 1, key.at, (int)key.len, SQLITE_TRANSIENT);
	if (code == SQLITE_OK && sqlite3_bind_parameter_count(stmt) >= 2)
		code = sqlite3_bind_text(stmt, 2, value.at, (int)value.len, SQLITE_TRANSIENT);
	if (code == SQLITE_OK)
		code = sqlite3_step(stmt);
	oc = from_sqlite(db, code, why);
	text = code == SQLITE_ROW ? sqlite3_column_text(stmt, 0) : NULL;
	if (oc == OC_DONE && out != NULL && text != NULL)
		buf_add(out, (const char *)text, (size_t)sqlite3_column_bytes(stmt, 0));
	if (oc == OC_DONE && out != NULL && code != SQLITE_ROW)
		oc = OC_NOT_FOUND;
	sqlite3_finalize(stmt);
	return oc;
}

/* What was written must be what policyd will read. */
static enum outcome check_query(struct sqlite_at *db, const struct table_rows *rows, const struct conf_table *table, struct slice key, struct slice value, struct buf *why)
{
	struct buf read = buf_make(4096);
	enum outcome oc = run(db, table->query, key, slice_empty(), &read, why);

	if (oc == OC_NOT_FOUND || (oc == OC_DONE && !slice_eq(buf_slice(&read), value)))
		oc = value.len == 0 && oc == OC_NOT_FOUND ? OC_DONE : OC_BAD_INPUT;
	if (oc == OC_BAD_INPUT)
		buf_addf(why, "the query of table %s does not read what this command writes; it would be\n  \"%s\"",
			 table->name, rows->query);
	buf_free(&read);
	return oc;
}

static enum outcome change(struct sqlite_at *db, const struct table_rows *rows, const struct conf_table *table, struct slice key, struct slice value,
			   struct buf *was_out, struct buf *why)
{
	enum outcome oc = run(db, rows->make, key, value, NULL, why);

	if (oc == OC_DONE)
		oc = run(db, rows->find, key, value, was_out, why);
	if (oc == OC_DONE || oc == OC_NOT_FOUND)
		oc = run(db, value.len == 0 ? rows->drop : rows->put, key, value, NULL, why);
	return oc == OC_DONE ? check_query(db, rows, table, key, value, why) : oc;
}

static enum outcome set_within(struct sqlite_at *db, const struct table_rows *rows, const struct conf_table *table, struct slice key,
			       struct slice value, struct buf *was_out, struct buf *why)
{
	enum outcome oc = run(db, "BEGIN IMMEDIATE", key, value, NULL, why);

	if (oc != OC_DONE)
		return oc;
	oc = change(db, rows, table, key, value, was_out, why);
	if (oc == OC_DONE)
		return run(db, "COMMIT", key, value, NULL, why);
	(void)sqlite3_exec(sqlite_at_db(db), "ROLLBACK", NULL, NULL, NULL);
	return oc;
}

/* Opens it to write, made where it is missing. */
static enum outcome open_database(const struct conf_table *table, bool write, int *folder_out, struct sqlite_at **db_out, struct buf *why)
{
	struct slice name;
	gid_t gid;
	enum outcome oc = open_folder(table->path, folder_out, &name, &gid, why);

	*db_out = NULL;
	if (oc == OC_DONE && write && !sqlite_at_make(*folder_out, name, gid)) {
		buf_addf(why, "%s: %.*s", table->path, SLICE_ARG(log_errno_text(errno)));
		oc = OC_IO_ERROR;
	}
	if (oc == OC_DONE && !write && faccessat(*folder_out, name.at, F_OK, 0) == -1 && errno == ENOENT)
		oc = OC_NOT_FOUND;
	if (oc != OC_DONE)
		return oc;
	*db_out = write ? sqlite_at_open(*folder_out, name, SQLITE_AT_WRITE, why) : sqlite_at_open_mended(*folder_out, name, why);
	if (*db_out == NULL)
		return OC_IO_ERROR;
	sqlite_at_limit(*db_out, WITHIN_MS);
	return OC_DONE;
}

static void close_database(int folder, struct sqlite_at **db)
{
	sqlite_at_close(db);
	if (folder != -1)
		close(folder);
}

static enum outcome find_in_database(const struct conf_table *table, struct slice key, struct buf *value_out, struct buf *why)
{
	struct sqlite_at *db;
	int folder;
	enum outcome oc = open_database(table, false, &folder, &db, why);

	if (oc == OC_DONE)
		oc = run(db, table->query, key, slice_empty(), value_out, why);
	close_database(folder, &db);
	return oc;
}

static enum outcome set_in_database(const struct table_rows *rows, const struct conf_table *table, struct slice key, struct slice value,
				    struct buf *was_out, struct buf *why)
{
	struct sqlite_at *db;
	int folder;
	enum outcome oc = open_database(table, true, &folder, &db, why);

	if (oc == OC_DONE)
		oc = set_within(db, rows, table, key, value, was_out, why);
	close_database(folder, &db);
	return oc;
}

/* Another table that its query reads is not ours. */
static enum outcome make_database(const struct table_rows *rows, const struct conf_table *table, struct buf *why)
{
	struct buf ignored = buf_make(4096);
	struct sqlite_at *db;
	int folder;
	enum outcome oc = open_database(table, true, &folder, &db, why);

	if (oc == OC_DONE && run(db, table->query, slice_of("*"), slice_empty(), NULL, &ignored) == OC_IO_ERROR)
		oc = run(db, rows->make, slice_empty(), slice_empty(), NULL, why);
	close_database(folder, &db);
	buf_free(&ignored);
	return oc;
}

static enum outcome make_file(const struct conf_table *table, struct buf *why)
{
	struct slice name;
	gid_t gid;
	int folder;
	enum outcome oc = open_folder(table->path, &folder, &name, &gid, why);

	if (oc == OC_DONE && !sqlite_at_make(folder, name, gid)) {
		buf_addf(why, "%s: %.*s", table->path, SLICE_ARG(log_errno_text(errno)));
		oc = OC_IO_ERROR;
	}
	if (folder != -1)
		close(folder);
	return oc;
}

/* ---- either ---- */

enum outcome table_rows_find(const struct conf_table *table, struct slice key, struct buf *value_out, struct buf *why)
{
	if (!table_rows_can(table, why))
		return OC_BAD_INPUT;
	return table->kind == TABLE_FILE ? find_in_file(table, key, value_out, why) : find_in_database(table, key, value_out, why);
}

enum outcome table_rows_set(const struct table_rows *rows, const struct conf_table *table, struct slice key, struct slice value, struct buf *was_out,
			    struct buf *why)
{
	if (!table_rows_can(table, why))
		return OC_BAD_INPUT;
	return table->kind == TABLE_FILE ? set_in_file(table, key, value, was_out, why) : set_in_database(rows, table, key, value, was_out, why);
}

enum outcome table_rows_make(const struct table_rows *rows, const struct conf_table *table, struct buf *why)
{
	if (table->kind == TABLE_FILE)
		return make_file(table, why);
	return table->kind == TABLE_SQLITE ? make_database(rows, table, why) : OC_DONE;
}
