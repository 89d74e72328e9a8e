#include "sqlite_at/sqlite_at.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the headers above first */
#include <cmocka.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int folder = -1;

static int start(void **state)
{
	char name[] = "/tmp/test-sqlite-at-XXXXXX";

	(void)state;
	if (mkdtemp(name) == NULL)
		return -1;
	folder = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* No path means anything from here on. */
	return folder == -1 || chdir("/proc/self/fdinfo") == -1 ? -1 : 0;
}

static void touch(const char *name)
{
	int fd = openat(folder, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	close(fd);
}

static struct sqlite_at *open_it(const char *name, enum sqlite_at_mode mode)
{
	struct buf why = buf_make(512);
	struct sqlite_at *s = sqlite_at_open(folder, slice_of(name), mode, &why);

	assert_int_equal(s == NULL, why.len > 0);
	buf_free(&why);
	return s;
}

static int run(struct sqlite_at *s, const char *sql)
{
	return sqlite3_exec(sqlite_at_db(s), sql, NULL, NULL, NULL);
}

static void make(const char *name, const char *sql)
{
	struct sqlite_at *s;

	touch(name);
	s = open_it(name, SQLITE_AT_WRITE);
	assert_non_null(s);
	if (run(s, sql) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(sqlite_at_db(s)));
	sqlite_at_close(&s);
}

static void test_write_then_read(void **state)
{
	struct sqlite_at *s;
	sqlite3_stmt *stmt;
	struct stat st;

	(void)state;
	make("a.db", "CREATE TABLE t(k TEXT PRIMARY KEY, v TEXT); INSERT INTO t VALUES('one', 'eins')");
	assert_int_equal(fstatat(folder, "a.db", &st, 0), 0);
	assert_true(st.st_size > 0);
	assert_int_equal(fstatat(folder, "a.db-journal", &st, 0), -1);

	s = open_it("a.db", SQLITE_AT_READ);
	assert_non_null(s);
	assert_int_equal(sqlite3_prepare_v2(sqlite_at_db(s), "SELECT v FROM t WHERE k = ?", -1, &stmt, NULL), SQLITE_OK);
	sqlite3_bind_text(stmt, 1, "one", -1, SQLITE_STATIC);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	assert_string_equal((const char *)sqlite3_column_text(stmt, 0), "eins");
	sqlite3_finalize(stmt);
	sqlite_at_close(&s);
}

/* A writer that dies after its first page went to the file: who only reads cannot, until somebody takes that back. */
static void test_who_died_in_the_middle(void **state)
{
	struct sqlite_at *s;
	struct buf why = buf_make(500);
	int status;
	pid_t pid;

	(void)state;
	make("died.db", "CREATE TABLE t(v TEXT); INSERT INTO t VALUES('one')");
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		s = open_it("died.db", SQLITE_AT_WRITE);
		_exit(s != NULL && run(s, "PRAGMA cache_spill=1; PRAGMA cache_size=1; BEGIN IMMEDIATE; UPDATE t SET v = 'two';"
					  "CREATE TABLE u(v TEXT); WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 500)"
					  " INSERT INTO u SELECT printf('%0500d', x) FROM c") == SQLITE_OK
			      ? 0
			      : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	s = open_it("died.db", SQLITE_AT_READ);
	assert_int_equal(run(s, "SELECT v FROM t") & 0xff, SQLITE_READONLY);
	sqlite_at_close(&s);
	s = sqlite_at_open_mended(folder, slice_of("died.db"), &why);
	assert_non_null(s);
	assert_int_equal(run(s, "SELECT v FROM t WHERE v = 'one'"), SQLITE_OK);
	sqlite_at_close(&s);
	s = open_it("died.db", SQLITE_AT_READ);
	assert_int_equal(run(s, "SELECT v FROM t"), SQLITE_OK);
	sqlite_at_close(&s);
	(void)unlinkat(folder, "died.db", 0);
	buf_free(&why);
}

static void test_names_do_not_lead_out(void **state)
{
	static const char *const names[] = {"", "..", ".", "../a.db", "x/a.db", "/etc/passwd", "/at/3/x", "absent.db"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct sqlite_at *s = open_it(names[i], SQLITE_AT_READ);

		/* SQLite opens lazily: what is absent may show at the first statement. */
		if (s != NULL && run(s, "SELECT count(*) FROM sqlite_schema") == SQLITE_OK)
			fail_msg("\"%s\" was opened", names[i]);
		sqlite_at_close(&s);
	}
	assert_int_equal(symlinkat("a.db", folder, "link.db"), 0);
	assert_null(open_it("link.db", SQLITE_AT_READ));
}

static void test_reader_may_only_select(void **state)
{
	static const char *const forbidden[] = {
		"INSERT INTO t VALUES('x', 'y')",
		"DELETE FROM t",
		"DROP TABLE t",
		"CREATE TABLE u(a)",
		"CREATE TEMP TABLE u(a)",
		"ATTACH '/etc/passwd' AS p",
		"ATTACH ':memory:' AS p",
		"PRAGMA writable_schema=ON",
		"PRAGMA query_only=OFF",
		"VACUUM INTO 'x'",
		"SELECT load_extension('x')",
		"SELECT readfile('/etc/passwd')",
		"SELECT randomblob(1000000000)",
		"SELECT zeroblob(2000000)",
		"WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT count(*) FROM c",
		"BEGIN IMMEDIATE",
	};
	struct sqlite_at *s;

	(void)state;
	make("b.db", "CREATE TABLE t(k TEXT PRIMARY KEY, v TEXT)");
	s = open_it("b.db", SQLITE_AT_READ);
	assert_non_null(s);
	assert_int_equal(run(s, "SELECT v FROM t"), SQLITE_OK);
	assert_int_equal(run(s, "SELECT lower(v) || '@' || k FROM t ORDER BY k"), SQLITE_OK);
	for (size_t i = 0; i < ARRAY_LEN(forbidden); i++)
		if (run(s, forbidden[i]) == SQLITE_OK)
			fail_msg("allowed: %s", forbidden[i]);
	sqlite_at_close(&s);
	print_message("ROW M01 authorizer pass\n");
}

static void test_time_is_bounded(void **state)
{
	struct sqlite_at *s;

	(void)state;
	make("c.db", "CREATE TABLE n(x); INSERT INTO n VALUES(1),(2),(3),(4),(5),(6),(7),(8),(9),(10)");
	s = open_it("c.db", SQLITE_AT_READ);
	assert_non_null(s);
	sqlite_at_limit(s, 20);
	assert_int_equal(run(s, "SELECT count(*) FROM n a, n b, n c, n d, n e, n f, n g, n h, n i, n j, n k") & 0xff,
			 SQLITE_INTERRUPT);
	sqlite_at_limit(s, 1000);
	assert_int_equal(run(s, "SELECT count(*) FROM n"), SQLITE_OK);
	sqlite_at_close(&s);
}

static void test_hostile_files(void **state)
{
	static const char *const schemas[] = {
		"CREATE TABLE r(x); CREATE VIEW t AS SELECT load_extension('/tmp/x') AS v, x AS k FROM r; INSERT INTO r VALUES(1)",
		"CREATE TABLE r(x); CREATE VIEW t AS SELECT hex(randomblob(900000)) AS v, x AS k FROM r; INSERT INTO r VALUES(1)",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(schemas); i++) {
		struct sqlite_at *s;

		(void)unlinkat(folder, "h.db", 0);
		make("h.db", schemas[i]);
		s = open_it("h.db", SQLITE_AT_READ);
		assert_non_null(s);
		if (run(s, "SELECT v FROM t") == SQLITE_OK)
			fail_msg("allowed: %s", schemas[i]);
		sqlite_at_close(&s);
	}
	print_message("ROW M02 views pass\n");
}

/* Every page of a small database broken in turn: an error or an answer, never a crash. */
static void test_broken_pages(void **state)
{
	struct stat st;
	char byte;
	int fd;

	(void)state;
	make("d.db", "CREATE TABLE t(k TEXT PRIMARY KEY, v TEXT); INSERT INTO t VALUES('one', 'eins'), ('two', 'zwei')");
	assert_int_equal(fstatat(folder, "d.db", &st, 0), 0);
	fd = openat(folder, "d.db", O_RDWR | O_CLOEXEC);
	for (off_t at = 0; at < st.st_size; at += at < 200 ? 1 : 37) {
		struct sqlite_at *s;
		char changed;

		assert_int_equal(pread(fd, &byte, 1, at), 1);
		changed = (char)(byte ^ 0xff);
		assert_int_equal(pwrite(fd, &changed, 1, at), 1);
		s = open_it("d.db", SQLITE_AT_READ);
		if (s != NULL)
			(void)run(s, "SELECT v FROM t WHERE k = 'one'");
		sqlite_at_close(&s);
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	}
	close(fd);
	print_message("ROW M02 broken-pages pass\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_write_then_read),
		cmocka_unit_test(test_who_died_in_the_middle), cmocka_unit_test(test_names_do_not_lead_out),
		cmocka_unit_test(test_reader_may_only_select), cmocka_unit_test(test_time_is_bounded),
		cmocka_unit_test(test_hostile_files), cmocka_unit_test(test_broken_pages),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
