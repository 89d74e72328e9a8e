#include "tables.h"
#include "test_conf.h"

#include "sqlite_at/sqlite_at.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The rows that stand there under one key, a line each; what begins with a blank is a blob, and what is empty NULL. */
static const char config_text[] = "hostname mx.example.test\n"
				  "postmaster boss@example.test\n"
				  "table db sqlite /x/t.db \"select value from t where key = ?\"\n"
				  "transport home { maildir \"~/Maildir/\" }\n"
				  "route { deliver home }\n";

static struct {
	char folder[32];
	int fd;
	struct conf *conf;
	struct tables *tables;
	struct sqlite_at *db;
	sqlite3_stmt *insert;
} all = {.folder = "/tmp/fuzz-sqlite-XXXXXX", .fd = -1};

static int give_folder(void *arg, const char *path)
{
	(void)arg;
	(void)path;
	return all.fd;
}

static void tidy(void)
{
	(void)unlinkat(all.fd, "t.db", 0);
	(void)rmdir(all.folder);
}

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void run_sql(const char *sql)
{
	must(sqlite3_exec(sqlite_at_db(all.db), sql, NULL, NULL, NULL) == SQLITE_OK);
}

static void begin(void)
{
	struct buf why = buf_make(512);

	must(mkdtemp(all.folder) != NULL);
	all.fd = open(all.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	close(openat(all.fd, "t.db", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	(void)atexit(tidy);
	all.db = sqlite_at_open(all.fd, slice_of("t.db"), SQLITE_AT_WRITE, &why);
	must(all.db != NULL);
	run_sql("pragma synchronous = off; pragma journal_mode = memory; create table t(key text, value)");
	must(sqlite3_prepare_v2(sqlite_at_db(all.db), "insert into t values('k', ?)", -1, &all.insert, NULL) == SQLITE_OK);
	all.conf = conf_of_text(config_text);
	all.tables = tables_new(all.conf, give_folder, NULL);
	must(all.tables != NULL);
	buf_free(&why);
}

static size_t put_rows(struct slice rest)
{
	size_t rows = 0;

	run_sql("begin; delete from t");
	for (bool more = true; more; rows++) {
		size_t end = slice_index(rest, '\n');
		struct slice row = end == SLICE_NONE ? rest : slice_sub(rest, 0, end);

		more = end != SLICE_NONE;
		rest = slice_from(rest, more ? end + 1 : rest.len);
		if (row.len == 0)
			sqlite3_bind_null(all.insert, 1);
		else if (row.at[0] == ' ')
			sqlite3_bind_blob(all.insert, 1, row.at + 1, (int)row.len - 1, SQLITE_STATIC);
		else
			sqlite3_bind_text(all.insert, 1, row.at, (int)row.len, SQLITE_STATIC);
		must(sqlite3_step(all.insert) == SQLITE_DONE && sqlite3_reset(all.insert) == SQLITE_OK);
	}
	run_sql("commit");
	return rows;
}

/* Whatever a database holds: a value without a NUL and within its bound, or unknown. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf value = buf_make(1 << 20);
	enum answer answer;
	size_t rows;

	if (all.fd == -1)
		begin();
	rows = put_rows(slice_make((const char *)data, size));
	answer = tables_find(all.tables, conf_table_find(all.conf, slice_of("db")), slice_of("k"), &value);
	must(answer == ANSWER_YES || answer == ANSWER_UNKNOWN);
	must(answer != ANSWER_YES || (rows <= 10000 && slice_index(buf_slice(&value), '\0') == SLICE_NONE && value.len <= size + rows));
	buf_free(&value);
	return 0;
}
