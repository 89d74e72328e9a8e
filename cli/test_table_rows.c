#include "table_rows.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the headers above first */
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/test-table-rows-XXXXXX";
static char path[128];

static int start(void **state)
{
	(void)state;
	return mkdtemp(folder) == NULL ? -1 : 0;
}

static struct conf_table table_of(enum conf_table_kind kind, const char *name, const char *query)
{
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return (struct conf_table){.kind = kind, .name = "t", .path = path, .query = query};
}

static enum outcome set(const struct conf_table *t, const char *key, const char *value, const char *was)
{
	struct buf old = buf_make(1000), why = buf_make(1000);
	enum outcome oc = table_rows_set(&table_rows_quotas, t, slice_of(key), slice_of(value), &old, &why);

	if (oc == OC_DONE)
		assert_string_equal(buf_text(&old), was);
	else
		assert_true(why.len > 0);
	buf_free(&old);
	buf_free(&why);
	return oc;
}

static void holds(const struct conf_table *t, const char *key, const char *value)
{
	struct buf found = buf_make(1000), why = buf_make(1000);
	enum outcome oc = table_rows_find(t, slice_of(key), &found, &why);

	assert_int_equal(oc, value == NULL ? OC_NOT_FOUND : OC_DONE);
	if (value != NULL)
		assert_string_equal(buf_text(&found), value);
	buf_free(&found);
	buf_free(&why);
}

/* Set, changed, and put back as it was. */
static void both_ways(const struct conf_table *t)
{
	holds(t, "a@b.test", NULL);
	assert_int_equal(set(t, "a@b.test", "500M", ""), OC_DONE);
	assert_int_equal(set(t, "c@b.test", "none", ""), OC_DONE);
	holds(t, "A@b.test", "500M");
	assert_int_equal(set(t, "A@B.test", "64K 10", "500M"), OC_DONE);
	holds(t, "a@b.test", "64K 10");
	assert_int_equal(set(t, "a@b.test", "", "64K 10"), OC_DONE);
	assert_int_equal(set(t, "a@b.test", "", ""), OC_DONE);
	holds(t, "a@b.test", NULL);
	holds(t, "c@b.test", "none");
}

static void test_file(void **state)
{
	struct conf_table t = table_of(TABLE_FILE, "file", NULL);
	struct stat st;

	(void)state;
	both_ways(&t);
	assert_int_equal(stat(t.path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	assert_int_equal(set(&t, "#a@b.test", "500M", ""), OC_BAD_INPUT);
	assert_int_equal(set(&t, "\"a:b\"@b.test", "500M", ""), OC_BAD_INPUT);
	unlink(t.path);
}

static void test_database(void **state)
{
	struct conf_table t = table_of(TABLE_SQLITE, "db", "select quota from quotas where address = ?");
	struct buf why = buf_make(1000);

	(void)state;
	assert_int_equal(table_rows_make(&table_rows_quotas, &t, &why), OC_DONE);
	both_ways(&t);
	/* What policyd would not read is not written either. */
	t.query = "select quota from quotas where address = 'x' || ?";
	assert_int_equal(set(&t, "c@b.test", "1G", ""), OC_BAD_INPUT);
	t.query = "select quota from others where address = ?";
	assert_int_equal(set(&t, "c@b.test", "1G", ""), OC_IO_ERROR);
	t.query = "select quota from quotas where address = ?";
	holds(&t, "c@b.test", "none");
	unlink(t.path);
	buf_free(&why);
}

static void test_other_kinds(void **state)
{
	struct conf_table t = table_of(TABLE_INLINE, "x", NULL);

	(void)state;
	assert_int_equal(set(&t, "a@b.test", "1G", ""), OC_BAD_INPUT);
}

static void test_text(void **state)
{
	static const struct {
		const char *text, *value;
		enum outcome oc;
		const char *out, *was;
	} cases[] = {
		{"", "1G", OC_DONE, "k@x: 1G\n", ""},
		{"# all\n\na@x: 5M\nK@x:   2G  # because\n*: 1G", "1G", OC_DONE, "# all\n\na@x: 5M\nk@x: 1G  # because\n*: 1G\n", "2G"},
		{"\"k@x\": 2G\nb: 1\n", "", OC_DONE, "b: 1\n", "2G"},
		{"k@x\n", "1G", OC_DONE, "k@x: 1G\n", ""},
		{"a@x: 5M", "1G", OC_DONE, "a@x: 5M\nk@x: 1G\n", ""},
		{"k@x: 1G\nk@x: 2G\n", "3G", OC_BAD_INPUT, "", NULL},
		{"k@x: 1G\n  10\n", "3G", OC_BAD_INPUT, "", NULL},
		{"a@x: 1G\n  10\nk@x: 1G\n", "3G", OC_DONE, "a@x: 1G\n  10\nk@x: 3G\n", "1G"},
		{"a: b # k@x: 1G\n", "", OC_DONE, "a: b # k@x: 1G\n", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf out = buf_make(1000), was = buf_make(100), why = buf_make(1000);
		struct slice value = slice_of(cases[i].value);
		enum outcome oc = table_rows_edit(slice_of(cases[i].text), slice_of("k@x"), &value, &out, &was, &why);

		assert_int_equal(oc, cases[i].oc);
		if (oc == OC_DONE) {
			assert_string_equal(buf_text(&out), cases[i].out);
			assert_string_equal(buf_text(&was), cases[i].was);
		}
		buf_free(&out);
		buf_free(&was);
		buf_free(&why);
	}
}

static int stop(void **state)
{
	(void)state;
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_database),
		cmocka_unit_test(test_other_kinds),
		cmocka_unit_test(test_text),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
