#include "tables.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "sqlite_at/sqlite_at.h"
#include "test_conf.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the headers above first */
#include <cmocka.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

static const char text[] =
	"hostname mx.example.test\n"
	"postmaster boss@example.test\n"
	"table inline { one; two: zwei }\n"
	"table file file /x/keys\n"
	"table nets cidr /x/nets\n"
	"table db sqlite /x/users.db \"select value from t where key = ?\"\n"
	"table slow sqlite /x/users.db \"select 1 from n a, n b, n c, n d, n e, n f, n g, n h where a.x <> ?\"\n"
	"transport home { maildir \"~/Maildir/\" }\n"
	"route { deliver home }\n";

static struct conf *conf;
static struct tables *tables;
static int folder = -1;
static unsigned logged;

static int give_folder(void *arg, const char *path)
{
	(void)arg;
	(void)path;
	return folder;
}

static void count_line(enum log_level level, const char *event, struct slice fields)
{
	(void)level;
	(void)event;
	(void)fields;
	logged++;
}

/* Replaces the file as `mv` does. */
static void put(const char *name, const char *content)
{
	int fd = openat(folder, "new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, strlen(content)), (ssize_t)strlen(content));
	close(fd);
	assert_int_equal(renameat(folder, "new", folder, name), 0);
}

static void run_sql(const char *sql)
{
	struct buf why = buf_make(512);
	int fd = openat(folder, "users.db", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	struct sqlite_at *s;

	close(fd);
	s = sqlite_at_open(folder, slice_of("users.db"), SQLITE_AT_WRITE, &why);
	assert_non_null(s);
	if (sqlite3_exec(sqlite_at_db(s), sql, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(sqlite_at_db(s)));
	sqlite_at_close(&s);
	buf_free(&why);
}

static int set_up(void **state)
{
	char name[] = "/tmp/test-tables-XXXXXX";

	(void)state;
	if (mkdtemp(name) == NULL)
		return -1;
	folder = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	tables = tables_new(conf, give_folder, NULL);
	logged = 0;
	return tables == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
	(void)state;
	tables_free(&tables);
	close(folder);
	return 0;
}

static void expect(const char *table, const char *key, enum answer want, const char *value)
{
	struct buf got = buf_make(TABLE_FILE_MAX);
	enum answer answer = tables_find(tables, conf_table_find(conf, slice_of(table)), slice_of(key), &got);

	if (answer != want || (want == ANSWER_YES && !slice_eq(buf_slice(&got), slice_of(value))))
		fail_msg("%s %s: %d \"%s\"", table, key, (int)answer, buf_text(&got));
	buf_free(&got);
}

static void test_inline(void **state)
{
	(void)state;
	expect("inline", "one", ANSWER_YES, "");
	expect("inline", "two", ANSWER_YES, "zwei");
	expect("inline", "three", ANSWER_NO, NULL);
}

static void test_file_changes(void **state)
{
	(void)state;
	expect("file", "a", ANSWER_UNKNOWN, NULL);
	put("keys", "a: 1\n");
	expect("file", "a", ANSWER_UNKNOWN, NULL); /* looked a moment ago */
	clock_turn_ms(1001);
	expect("file", "a", ANSWER_YES, "1");
	expect("file", "b", ANSWER_NO, NULL);
	put("keys", "b: 2\n");
	clock_turn_ms(1001);
	expect("file", "a", ANSWER_NO, NULL);
	expect("file", "b", ANSWER_YES, "2");
}

/* What is not well formed does not take the place of what was; what cannot be read is unknown. */
static void test_bad_files(void **state)
{
	(void)state;
	put("keys", "a: 1\n");
	expect("file", "a", ANSWER_YES, "1");
	put("keys", "a: 1\na: 2\n");
	clock_turn_ms(1001);
	expect("file", "a", ANSWER_YES, "1");
	assert_int_equal(logged, 1);
	assert_int_equal(unlinkat(folder, "keys", 0), 0);
	clock_turn_ms(1001);
	expect("file", "a", ANSWER_UNKNOWN, NULL);
	expect("file", "zzz", ANSWER_UNKNOWN, NULL);
	put("keys", "a: 3\n");
	clock_turn_ms(1001);
	expect("file", "a", ANSWER_YES, "3");
	assert_int_equal(mkdirat(folder, "dir", 0700), 0);
	assert_int_equal(unlinkat(folder, "keys", 0), 0);
	assert_int_equal(renameat(folder, "dir", folder, "keys"), 0);
	clock_turn_ms(1001);
	expect("file", "a", ANSWER_UNKNOWN, NULL);
}

static void test_malformed_from_the_start(void **state)
{
	(void)state;
	put("keys", "a: 1\na: 2\n");
	expect("file", "a", ANSWER_UNKNOWN, NULL);
	expect("file", "b", ANSWER_UNKNOWN, NULL);
}

static void test_logged_once_a_minute(void **state)
{
	(void)state;
	for (int i = 0; i < 30; i++) {
		expect("file", "a", ANSWER_UNKNOWN, NULL);
		clock_turn_ms(1001);
	}
	assert_int_equal(logged, 1);
	clock_turn_ms(60000);
	expect("file", "a", ANSWER_UNKNOWN, NULL);
	assert_int_equal(logged, 2);
}

static void test_cidr(void **state)
{
	(void)state;
	put("nets", "192.0.2.0/24: doc\n");
	expect("nets", "192.0.2.9", ANSWER_YES, "doc");
	expect("nets", "192.0.3.9", ANSWER_NO, NULL);
}

static void test_check(void **state)
{
	struct buf why = buf_make(512);

	(void)state;
	assert_true(tables_check(tables, &why)); /* nothing there is unknown, not wrong */
	put("keys", "a\n");
	put("nets", "192.0.2.0/24\nnonsense\n");
	assert_false(tables_check(tables, &why));
	assert_string_equal(buf_text(&why), "/x/nets:2: expected a network, like 192.0.2.0/24 or 2001:db8::/32");
	buf_free(&why);
}

static void test_database(void **state)
{
	(void)state;
	expect("db", "alice", ANSWER_UNKNOWN, NULL);
	run_sql("CREATE TABLE t(key TEXT, value TEXT); INSERT INTO t VALUES('alice', 'one'), ('list', 'a@x'), ('list', 'b@x'),"
		" ('null', NULL), ('nul', 'a' || char(0) || 'b'), ('meta', '{local}${x}')");
	clock_turn_ms(1001);
	expect("db", "alice", ANSWER_YES, "one");
	expect("db", "list", ANSWER_YES, "a@x,b@x");
	expect("db", "null", ANSWER_YES, "");
	expect("db", "nul", ANSWER_UNKNOWN, NULL);
	expect("db", "meta", ANSWER_YES, "{local}${x}");
	expect("db", "nobody", ANSWER_NO, NULL);
	run_sql("INSERT INTO t VALUES('nobody', 'now')");
	expect("db", "nobody", ANSWER_YES, "now");
	assert_int_equal(unlinkat(folder, "users.db", 0), 0);
	clock_turn_ms(1001);
	expect("db", "alice", ANSWER_UNKNOWN, NULL);
	run_sql("CREATE TABLE t(key TEXT, value TEXT); INSERT INTO t VALUES('alice', 'two')");
	clock_turn_ms(1001);
	expect("db", "alice", ANSWER_YES, "two");
}

static void test_injection(void **state)
{
	static const char *const keys[] = {"' OR 1=1--", "x'||(select value from t)||'", ";attach 'x' as y", "%", "_", "\xff\xfe", "?",
					   "alice' --", "a\"b"};

	(void)state;
	run_sql("CREATE TABLE t(key TEXT, value TEXT); INSERT INTO t VALUES('alice', 'one')");
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		expect("db", keys[i], ANSWER_NO, NULL);
	expect("db", "alice", ANSWER_YES, "one");
	print_message("ROW M01 tables pass\n");
}

static void test_hostile_databases(void **state)
{
	static const char *const schemas[] = {
		"CREATE VIEW t AS SELECT 'alice' AS key, load_extension('/x') AS value",
		"CREATE VIEW t AS SELECT 'alice' AS key, zeroblob(900000) AS value",
		"CREATE VIEW t AS SELECT 'alice' AS key, hex(randomblob(600000)) AS value",
		"CREATE TABLE other(x)",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(schemas); i++) {
		(void)unlinkat(folder, "users.db", 0);
		run_sql(schemas[i]);
		clock_turn_ms(1001);
		expect("db", "alice", ANSWER_UNKNOWN, NULL);
	}
	(void)unlinkat(folder, "users.db", 0);
	put("users.db", "SQLite format 3");
	clock_turn_ms(1001);
	expect("db", "alice", ANSWER_UNKNOWN, NULL);
	put("users.db", "this is no database, but it is long enough to be looked at as one, and then some more bytes to be sure of it");
	clock_turn_ms(1001);
	expect("db", "alice", ANSWER_UNKNOWN, NULL);
	print_message("ROW M02 tables pass\n");
}

static void test_time_is_bounded(void **state)
{
	(void)state;
	run_sql("CREATE TABLE n(x); INSERT INTO n VALUES(1),(1),(1),(1),(1),(1),(1),(1),(1),(1),(1),(1),(1),(1)");
	expect("slow", "1", ANSWER_UNKNOWN, NULL);
	print_message("ROW M01 time pass\n");
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_inline),	  TEST(test_file_changes), TEST(test_bad_files), TEST(test_malformed_from_the_start),
		TEST(test_logged_once_a_minute), TEST(test_cidr),  TEST(test_check),	 TEST(test_database),
		TEST(test_injection),	  TEST(test_hostile_databases), TEST(test_time_is_bounded),
	};
	int failed;

	log_set_sink(count_line);
	conf = conf_of_text(text);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	conf_free(&conf);
	return failed;
}
