#include "tables.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "file_at/file_at.h"
#include "sqlite_at/sqlite_at.h"
#include "table_net.h"
#include "table_text.h"

#include <errno.h>
#include <sqlite3.h>

#define LOOK_EVERY_MS 1000
#define LOG_EVERY_MS 60000
#define QUERY_MS 50
#define ROWS_MAX 1000

/* Always: `text`, `net` or `db` is what the last good reading gave; `readable` says whether it may be used. */
struct table {
	const struct conf_table *conf;
	struct file_at file;
	struct file_at_mark mark; /* of what was read last, well formed or not */
	struct table_text *text; /* owned: inline, file */
	struct table_net *net; /* owned: cidr */
	struct sqlite_at *db; /* owned */
	sqlite3_stmt *query; /* owned */
	uint64_t look_at_ms; /* 0: never looked */
	uint64_t log_at_ms;
	bool marked, readable;
};

struct tables {
	struct table *all; /* owned; in the configuration's order */
	size_t count;
};

/* ---- failures ---- */

static void complain(struct table *t, const char *what, struct slice why)
{
	uint64_t now = clock_mono_ms();

	if (now < t->log_at_ms)
		return;
	t->log_at_ms = now + LOG_EVERY_MS;
	LOG(LEVEL_WARN, what, KV_STR("table", t->conf->name), KV_STR("path", t->conf->path == NULL ? "" : t->conf->path),
	    KV_TEXT("why", why));
}

static bool unreadable(struct table *t, struct slice why)
{
	complain(t, "table-unreadable", why);
	t->readable = false;
	return false;
}

/* ---- files ---- */

static bool parse_text(struct table *t, struct buf *text, struct buf *why)
{
	struct table_text *fresh = table_text_parse(text, why);

	if (fresh == NULL)
		return false;
	table_text_free(&t->text);
	t->text = fresh;
	return true;
}

static bool parse_net(struct table *t, struct buf *text, struct buf *why)
{
	struct table_net *fresh = table_net_parse(text, why);

	if (fresh == NULL)
		return false;
	table_net_free(&t->net);
	t->net = fresh;
	return true;
}

static bool parse(struct table *t, struct buf *text, struct buf *why)
{
	return t->conf->kind == TABLE_CIDR ? parse_net(t, text, why) : parse_text(t, text, why);
}

static bool has_content(const struct table *t)
{
	return t->text != NULL || t->net != NULL;
}

/* `mistake` gets "LINE: what" when the file can be read and is not well formed. */
static bool read_file(struct table *t, struct buf *mistake)
{
	struct buf text = buf_make(TABLE_FILE_MAX);
	struct stat st;
	bool done = file_at_read(&t->file, &text, &st, &t->mark);

	t->marked = done;
	if (!done) {
		unreadable(t, log_errno_text(errno));
	} else {
		done = parse(t, &text, mistake);
		if (!done)
			complain(t, "table-malformed", buf_slice(mistake));
		t->readable = has_content(t);
	}
	buf_free(&text);
	return done;
}

static bool is_changed(struct table *t)
{
	struct file_at_mark mark;
	struct stat st;

	return !t->marked || !file_at_look(&t->file, &st, &mark) || !file_at_mark_eq(&mark, &t->mark);
}

static bool refresh_file(struct table *t)
{
	struct buf mistake = buf_make(512);

	if (is_changed(t))
		(void)read_file(t, &mistake);
	buf_free(&mistake);
	return t->readable;
}

static enum answer find_text(struct table *t, struct slice key, struct buf *value_out)
{
	struct slice value;

	if (!table_text_find(t->text, key, &value))
		return ANSWER_NO;
	return value_out == NULL || buf_add_slice(value_out, value) ? ANSWER_YES : ANSWER_UNKNOWN;
}

static enum answer find_net(struct table *t, struct slice key, struct buf *value_out)
{
	struct slice value;

	if (!table_net_find(t->net, key, &value))
		return ANSWER_NO;
	return value_out == NULL || buf_add_slice(value_out, value) ? ANSWER_YES : ANSWER_UNKNOWN;
}

/* ---- databases ---- */

static void close_database(struct table *t)
{
	sqlite3_finalize(t->query);
	t->query = NULL;
	sqlite_at_close(&t->db);
}

static bool prepare(struct table *t)
{
	sqlite3 *db = sqlite_at_db(t->db);
	const char *rest = "";

	sqlite_at_limit(t->db, QUERY_MS);
	if (sqlite3_prepare_v3(db, t->conf->query, -1, SQLITE_PREPARE_PERSISTENT, &t->query, &rest) != SQLITE_OK)
		return unreadable(t, slice_of(sqlite3_errmsg(db)));
	if (t->query == NULL || slice_trim(slice_of(rest)).len > 0 || sqlite3_bind_parameter_count(t->query) != 1 ||
	    !sqlite3_stmt_readonly(t->query) || sqlite3_column_count(t->query) < 1)
		return unreadable(t, slice_of("the query must be one SELECT with one ?"));
	return true;
}

static bool open_database(struct table *t)
{
	struct buf why = buf_make(512);
	bool done;

	close_database(t);
	t->db = sqlite_at_open(file_at_folder(&t->file), slice_of(t->file.name), SQLITE_AT_READ, &why);
	done = t->db == NULL ? unreadable(t, buf_slice(&why)) : prepare(t);
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
		return unreadable(t, log_errno_text(err));
	}
	if (t->db == NULL || mark.inode != t->mark.inode || mark.device != t->mark.device)
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
	size_t rows = 0;
	int code;

	while ((code = sqlite3_step(t->query)) == SQLITE_ROW) {
		rows++;
		if (value_out == NULL)
			return ANSWER_YES;
		if (rows > ROWS_MAX || !add_row(t->query, rows == 1, value_out)) {
			complain(t, "table-failed", slice_of("a value of more than 64 KiB or 1000 rows, or with a NUL"));
			return ANSWER_UNKNOWN;
		}
	}
	if (code == SQLITE_DONE)
		return rows > 0 ? ANSWER_YES : ANSWER_NO;
	complain(t, "table-failed", slice_of(sqlite3_errmsg(sqlite_at_db(t->db))));
	return ANSWER_UNKNOWN;
}

static enum answer find_row(struct table *t, struct slice key, struct buf *value_out)
{
	enum answer answer = ANSWER_UNKNOWN;

	sqlite_at_limit(t->db, QUERY_MS);
	if (sqlite3_bind_text(t->query, 1, key.at, (int)key.len, SQLITE_TRANSIENT) == SQLITE_OK)
		answer = read_rows(t, value_out);
	sqlite3_reset(t->query);
	sqlite3_clear_bindings(t->query);
	return answer;
}

/* ---- kinds ---- */

static bool refresh_nothing(struct table *t)
{
	return t->readable;
}

static bool refresh_none(struct table *t)
{
	return unreadable(t, slice_of("this kind of table is not known here"));
}

static const struct {
	bool (*refresh)(struct table *t); /* whether it can be asked now */
	enum answer (*find)(struct table *t, struct slice key, struct buf *value_out);
} kinds[] = {
	[TABLE_INLINE] = {refresh_nothing, find_text},	 [TABLE_FILE] = {refresh_file, find_text},
	[TABLE_CIDR] = {refresh_file, find_net},	 [TABLE_SQLITE] = {refresh_database, find_row},
	[TABLE_DIRECTORY] = {refresh_none, find_text},
};

static bool refresh(struct table *t)
{
	uint64_t now = clock_mono_ms();

	if (t->look_at_ms == 0 || now >= t->look_at_ms) {
		t->look_at_ms = now + LOOK_EVERY_MS;
		t->readable = kinds[t->conf->kind].refresh(t);
	}
	return t->readable;
}

/* ---- all ---- */

static bool init(struct table *t, const struct conf_table *conf, tables_fd_fn *fd, void *arg)
{
	struct buf why = buf_make(256);

	t->conf = conf;
	t->file.fd = -1;
	if (conf->kind == TABLE_INLINE) {
		t->text = table_text_of(conf->entries, conf->entry_count, &why);
		t->readable = t->text != NULL;
		if (!t->readable)
			complain(t, "table-malformed", buf_slice(&why));
	} else if (conf->path != NULL) {
		(void)file_at_init(&t->file, fd(arg, conf->path), slice_of(conf->path));
	}
	buf_free(&why);
	return conf->kind != TABLE_INLINE || t->readable;
}

struct tables *tables_new(const struct conf *conf, tables_fd_fn *fd, void *arg)
{
	struct tables *t = mem_new(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->all = mem_new(conf->table_count + 1, sizeof(struct table));
	if (t->all == NULL) {
		free(t);
		return NULL;
	}
	t->count = conf->table_count;
	for (size_t i = 0; i < t->count; i++)
		(void)init(&t->all[i], &conf->tables[i], fd, arg);
	return t;
}

void tables_free(struct tables **tp)
{
	struct tables *t = *tp;

	if (t == NULL)
		return;
	*tp = NULL;
	for (size_t i = 0; i < t->count; i++) {
		table_text_free(&t->all[i].text);
		table_net_free(&t->all[i].net);
		close_database(&t->all[i]);
	}
	free(t->all);
	free(t);
}

static bool check_one(struct table *t, struct buf *why)
{
	struct buf mistake = buf_make(512);
	bool good = true;

	if (t->conf->kind == TABLE_FILE || t->conf->kind == TABLE_CIDR) {
		(void)read_file(t, &mistake);
		good = mistake.len == 0;
		t->look_at_ms = clock_mono_ms() + LOOK_EVERY_MS;
	}
	if (!good)
		buf_addf(why, "%s:%.*s", t->conf->path, SLICE_ARG(buf_slice(&mistake)));
	buf_free(&mistake);
	return good;
}

bool tables_check(struct tables *t, struct buf *why)
{
	for (size_t i = 0; i < t->count; i++)
		if (!check_one(&t->all[i], why))
			return false;
	return true;
}

static struct table *find_table(struct tables *t, const struct conf_table *conf)
{
	for (size_t i = 0; i < t->count; i++)
		if (t->all[i].conf == conf)
			return &t->all[i];
	return NULL;
}

enum answer tables_find(struct tables *t, const struct conf_table *conf, struct slice key, struct buf *value_out)
{
	struct table *table = find_table(t, conf);

	if (table == NULL || !refresh(table))
		return ANSWER_UNKNOWN;
	return kinds[conf->kind].find(table, key, value_out);
}
