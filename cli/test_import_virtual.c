#include "import_virtual.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the headers above first */
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

static void note(size_t line, struct slice key, const char *what, void *arg)
{
	assert_true(what[0] != '\0');
	buf_addf(arg, "%zu %.*s;", line, SLICE_ARG(key));
}

static const struct {
	const char *name, *text, *out, *left;
} rows[] = {
	{"nothing", "", "", ""},
	{"one, two targets", "info@a.test alice@b.test, bob@b.test\n", "info@a.test: alice@b.test, bob@b.test\n", ""},
	{"blanks part targets", "info@a.test\talice@b.test bob@b.test ,, c@b.test", "info@a.test: alice@b.test, bob@b.test, c@b.test\n", ""},
	{"a target without a domain", "info@a.test alice", "info@a.test: alice\n", ""},
	{"catch-all", "@A.test alice@b.test\n", "@a.test: alice@b.test\n", ""},
	{"a line that goes on", "info@a.test\n  alice@b.test,\n# what\n\n\tbob@b.test\n x@b.test\ny@a.test z@b.test\n",
	 "info@a.test: alice@b.test, bob@b.test, x@b.test\ny@a.test: z@b.test\n", ""},
	{"comments", "# x\n  # y\na@a.test b@a.test\n", "a@a.test: b@a.test\n", ""},
	{"U-labels", "@b\xc3\xbc"
		     "cher.test a@b\xc3\xbc"
		     "cher.test\n",
	 "@xn--bcher-kva.test: a@xn--bcher-kva.test\n", ""},
	{"the first of a key", "a@a.test b@a.test\nc@a.test d@a.test\nA@a.TEST e@a.test\n", "a@a.test: b@a.test\nc@a.test: d@a.test\n", "3 A@a.test;"},
	{"a domain", "a.test anything\nx@a.test y@b.test\n", "x@a.test: y@b.test\n", "1 a.test;"},
	{"no domain", "joe alice@b.test\n", "", "1 joe;"},
	{"expressions", "/^a/ b@a.test\n!/x/ y@a.test\n", "", "1 /^a/;2 !/x/;"},
	{"a whole domain", "@a.test @b.test\n", "", "1 @a.test;"},
	{"one bad target leaves the line out", "x@a.test y@b.test, |/bin/sh\n", "", "1 x@a.test;"},
	{"files, includes", "x@a.test /var/x\ny@a.test :include:/x\nz@a.test \"|x\"\n", "", "1 x@a.test;2 y@a.test;3 z@a.test;"},
	{"what would be another thing here", "#x@a.test y@b.test\n\"a b\"@a.test x@b.test\n|x@a.test y@b.test\nq@a.test #y@b.test\n", "",
	 "2 \"a;3 |x@a.test;4 q@a.test;"},
	{"no target", "x@a.test\ny@a.test ,,\n", "", "1 x@a.test;2 y@a.test;"},
	{"a literal", "x@[127.0.0.1] y@b.test\n", "", "1 x@[127.0.0.1];"},
};

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf out = buf_make(4096), left = buf_make(4096);

		assert_true(import_virtual(slice_of(rows[i].text), &out, note, &left));
		if (strcmp(buf_text(&out), rows[i].out) != 0 || strcmp(buf_text(&left), rows[i].left) != 0)
			fail_msg("%s: %s, left %s", rows[i].name, buf_text(&out), buf_text(&left));
		buf_free(&out);
		buf_free(&left);
	}
}

static void test_bounds(void **state)
{
	struct buf text = buf_make(1 << 20), out = buf_make(1 << 20), left = buf_make(4096);

	(void)state;
	buf_add_text(&text, "x@a.test ");
	for (int i = 0; i < 10000; i++)
		buf_add_text(&text, "\n someone@b.test");
	buf_add_text(&text, "\ny@a.test z@b.test\n");
	assert_true(import_virtual(buf_slice(&text), &out, note, &left));
	assert_string_equal(buf_text(&out), "y@a.test: z@b.test\n");
	assert_string_equal(buf_text(&left), "1 x@a.test;");
	buf_free(&out);
	out = buf_make(8);
	assert_false(import_virtual(slice_of("y@a.test z@b.test\n"), &out, note, &left));
	buf_free(&text);
	buf_free(&out);
	buf_free(&left);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
