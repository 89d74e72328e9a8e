#include "tables.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "folder.h"
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

static const char config_text[] =
	"hostname mx.example.test\n"
	"postmaster boss@example.test\n"
	"table inline { one; two: zwei }\n"
	"table file file /x/keys\n"
	"table nets cidr /x/nets\n"
	"table patterns pcre2 /x/patterns\n"
	"table domains directory /x include /x/lists\n"
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

static void expect_alias(const char *table, const char *address, enum answer want, const char *value)
{
	struct buf got = buf_make(TABLE_FILE_MAX);
	enum answer answer =
		tables_alias(tables, conf_table_find(conf, slice_of(table)), slice_of(address), slice_empty(), &got);

	if (answer != want || (want == ANSWER_YES && !slice_eq(buf_slice(&got), slice_of(value))))
		fail_msg("%s %s: %d \"%s\"", table, address, (int)answer, buf_text(&got));
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

static void test_pcre2(void **state)
{
	(void)state;
	expect("patterns", "a", ANSWER_UNKNOWN, NULL);
	put("patterns", "/^(.)b/ <$1>\n");
	clock_turn_ms(1001);
	expect("patterns", "ab", ANSWER_YES, "<a>");
	expect("patterns", "b", ANSWER_NO, NULL);
	put("patterns", "/(/ x\n");
	clock_turn_ms(1001);
	expect("patterns", "ab", ANSWER_YES, "<a>");
}

static void test_defaults(void **state)
{
	(void)state;
	put("keys", "a@x.test: one\n@x.test: any\nroot: boss\n");
	expect("file", "a@x.test", ANSWER_YES, "one");
	expect("file", "b@x.test", ANSWER_YES, "any");
	expect("file", "root@y.test", ANSWER_NO, NULL);
	expect_alias("file", "root@y.test", ANSWER_YES, "boss");
	expect_alias("file", "nobody@y.test", ANSWER_NO, NULL);
	put("keys", "a@x.test: one\n*: rest\n");
	clock_turn_ms(1001);
	expect("file", "y.test", ANSWER_YES, "rest");
	expect_alias("file", "nobody@y.test", ANSWER_YES, "rest");
}

/* ---- a folder of domains ---- */

static void test_directory(void **state)
{
	(void)state;
	expect("domains", "x.test", ANSWER_NO, NULL);
	put("x.test", "alice: alice@home.test\nbob@x.test: b\n*: rest\n");
	put("y.test", "alice: other\n");
	expect("domains", "x.test", ANSWER_YES, "");
	expect("domains", "X.Test", ANSWER_YES, "");
	expect_alias("domains", "Alice@x.test", ANSWER_YES, "alice@home.test");
	expect_alias("domains", "alice@y.test", ANSWER_YES, "other");
	expect_alias("domains", "bob@x.test", ANSWER_YES, "b");
	expect_alias("domains", "nobody@x.test", ANSWER_YES, "rest");
	expect_alias("domains", "nobody@y.test", ANSWER_NO, NULL);
	expect_alias("domains", "nobody@z.test", ANSWER_NO, NULL);
	expect("domains", "alice@y.test", ANSWER_YES, "other");
	expect("domains", "bob@y.test", ANSWER_NO, NULL);
	/* at once: changed, gone, there again */
	put("y.test", "bob: now\n");
	expect_alias("domains", "alice@y.test", ANSWER_NO, NULL);
	expect_alias("domains", "bob@y.test", ANSWER_YES, "now");
	assert_int_equal(unlinkat(folder, "y.test", 0), 0);
	expect("domains", "y.test", ANSWER_NO, NULL);
	put("xn--bcher-kva.test", "a: one\n");
	expect_alias("domains", "a@b\xc3\xbc" "cher.test", ANSWER_YES, "one");
}

/* A file that is malformed makes its own domain unknown, or stays as it was. */
static void test_directory_malformed(void **state)
{
	(void)state;
	put("bad.test", "a: 1\na: 2\n");
	put("good.test", "a: 1\n");
	expect("domains", "bad.test", ANSWER_UNKNOWN, NULL);
	expect_alias("domains", "a@bad.test", ANSWER_UNKNOWN, NULL);
	expect_alias("domains", "a@good.test", ANSWER_YES, "1");
	assert_int_equal(logged, 1);
	put("good.test", "a b c\n");
	expect_alias("domains", "a@good.test", ANSWER_YES, "1");
	put("bad.test", "a: 3\n");
	expect_alias("domains", "a@bad.test", ANSWER_YES, "3");
	assert_int_equal(mkdirat(folder, "dir.test", 0700), 0);
	expect("domains", "dir.test", ANSWER_UNKNOWN, NULL);
	assert_int_equal(symlinkat("good.test", folder, "link.test"), 0);
	expect("domains", "link.test", ANSWER_UNKNOWN, NULL);
	assert_int_equal(mkfifoat(folder, "fifo.test", 0600), 0);
	expect("domains", "fifo.test", ANSWER_UNKNOWN, NULL);
}

static void test_hostile_domains(void **state)
{
	static const char *const names[] = {"../x.test", "..", ".", "/", "x.test/", "/etc/passwd", "a/b", "sub/x.test", ".x.test", "x..test", "[192.0.2.1]",
					    "x.test\n", "-x", "%2e%2e", "\xff\xfe.test", "."};

	(void)state;
	put("x.test", "a: 1\n");
	assert_int_equal(mkdirat(folder, "sub", 0700), 0);
	put("sub/x.test", "a: 1\n");
	put(".x.test", "a: 1\n");
	put("-x", "a: 1\n");
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct buf address = buf_make(512);

		expect("domains", names[i], ANSWER_NO, NULL);
		buf_addf(&address, "a@%s", names[i]);
		if (tables_alias(tables, conf_table_find(conf, slice_of("domains")), buf_slice(&address), slice_empty(), NULL) == ANSWER_YES)
			fail_msg("%s", names[i]);
		buf_free(&address);
	}
	expect("domains", "", ANSWER_NO, NULL);
}

static void test_many_domains(void **state)
{
	struct folder *f = folder_new(folder);
	struct buf why = buf_make(512);
	const struct table_text *text;
	char name[64];

	(void)state;
	for (unsigned i = 0; i < FOLDER_FILES_MAX + 50; i++) {
		struct slice value;

		snprintf(name, sizeof(name), "d%u.test", i);
		put(name, "a: 1\n");
		assert_int_equal(folder_find(f, slice_of(name), &text, &why), ANSWER_YES);
		assert_true(table_text_find(text, slice_of("a"), &value));
		assert_true(folder_kept(f) <= FOLDER_FILES_MAX);
		assert_int_equal(folder_find(f, slice_of("d0.test"), &text, &why), ANSWER_YES); /* asked for often: it stays */
	}
	assert_int_equal(folder_kept(f), FOLDER_FILES_MAX);
	assert_int_equal(folder_find(f, slice_of("d1.test"), &text, &why), ANSWER_YES);
	folder_free(&f);
	buf_free(&why);
}

/* ---- included files ---- */

static void test_include(void **state)
{
	static const struct {
		const char *table, *path, *want; /* "": done */
	} cases[] = {
		{"file", "/x/staff", ""},
		{"file", "/x/sub/list", ""},
		{"file", "/x/gone", "No such file or directory"},
		{"file", "/etc/passwd", "not beneath /x"},
		{"file", "/x/../etc/passwd", "Invalid argument"},
		{"file", "/x/./staff", "Invalid argument"},
		{"file", "/x//staff", "Invalid argument"},
		{"file", "/x/sub/../staff", "Invalid argument"},
		{"file", "/x/sub/", "Invalid argument"},
		{"file", "/x/", "not beneath /x"},
		{"file", "/x/link", "Too many levels of symbolic links"},
		{"file", "/x/away/passwd", "Not a directory"},
		{"file", "/x/fifo", "Invalid argument"},
		{"file", "/x/sub", "Invalid argument"},
		{"file", "/x/open", "everybody may write to it"},
		{"domains", "/x/staff", "not beneath /x/lists"},
		{"domains", "/x/lists/staff", ""},
		{"inline", "/x/staff", "this table includes nothing: name a folder with `include`"},
	};

	(void)state;
	tables_free(&tables);
	put("keys", "a: 1\n");
	put("staff", "alice\n");
	put("open", "alice\n");
	assert_int_equal(fchmodat(folder, "open", 0666, 0), 0);
	assert_int_equal(mkdirat(folder, "sub", 0700), 0);
	put("sub/list", "alice\n");
	assert_int_equal(symlinkat("staff", folder, "link"), 0);
	assert_int_equal(symlinkat("/etc", folder, "away"), 0);
	assert_int_equal(mkfifoat(folder, "fifo", 0600), 0);
	tables = tables_new(conf, give_folder, NULL);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf text = buf_make(4096), why = buf_make(512);
		bool done = tables_include(tables, conf_table_find(conf, slice_of(cases[i].table)), slice_of(cases[i].path), &text, &why);

		if (done != (cases[i].want[0] == '\0') || strcmp(buf_text(&why), cases[i].want) != 0 ||
		    (done && !slice_eq(buf_slice(&text), slice_of("alice\n"))))
			fail_msg("%s: %d %s", cases[i].path, done, buf_text(&why));
		buf_free(&text);
		buf_free(&why);
	}
	print_message("ROW F17 symlinks pass\n");
}

/* What is opened is closed again. */
static void test_include_keeps_nothing_open(void **state)
{
	int before = dup(folder);
	int after;

	(void)state;
	close(before);
	put("staff", "alice\n");
	for (unsigned i = 0; i < 2000; i++) {
		struct buf text = buf_make(4096), why = buf_make(512);

		(void)tables_include(tables, conf_table_find(conf, slice_of("file")), slice_of(i % 2 == 0 ? "/x/staff" : "/x/none/at/all"), &text, &why);
		buf_free(&text);
		buf_free(&why);
	}
	after = dup(folder);
	close(after);
	assert_int_equal(before, after);
	print_message("ROW F17 descriptors pass\n");
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
		TEST(test_logged_once_a_minute), TEST(test_cidr), TEST(test_pcre2), TEST(test_defaults), TEST(test_directory), TEST(test_directory_malformed),
		TEST(test_hostile_domains), TEST(test_many_domains), TEST(test_include), TEST(test_include_keeps_nothing_open),  TEST(test_check),	 TEST(test_database),
		TEST(test_injection),	  TEST(test_hostile_databases), TEST(test_time_is_bounded),
	};
	int failed;

	log_set_sink(count_line);
	conf = conf_of_text(config_text);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	conf_free(&conf);
	return failed;
}
