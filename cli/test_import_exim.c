#include "import_exim.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the headers above first */
#include <cmocka.h>

static void note(size_t line, struct slice key, const char *what, void *arg)
{
	assert_true(what[0] != '\0');
	buf_addf(arg, "%zu %.*s;", line, SLICE_ARG(key));
}

static const struct {
	const char *name, *text, *out, *left;
} rows[] = {
	{"nothing", "", "", ""},
	{"that of the seeds",
	 "patrick: patrick@localhost\nfrancesca: francesca@localhost\nfoo: patrick@localhost,francesca@localhost\n*: patrick@localhost\n",
	 "patrick: patrick@localhost\nfrancesca: francesca@localhost\nfoo: patrick@localhost, francesca@localhost\n*: patrick@localhost\n", ""},
	{"names without a domain", "sales: alice, bob@b.test\n", "sales: alice@mx.test, bob@b.test\n", ""},
	{"blanks instead of a colon, and before it", "a  x@b.test\nb : y@b.test\n", "a: x@b.test\nb: y@b.test\n", ""},
	{"a line that goes on", "# all\nA: x@b.test,\n# what\n\n  y@b.test\n", "a: x@b.test, y@b.test\n", ""},
	{"refusals", "spam: :fail: no such person, ever\nlater: :defer: moving\nnull: :blackhole:\nno: :fail:\n",
	 "spam: :fail: no such person, ever\nlater: :defer: moving\nnull: :blackhole:\nno: :fail:\n", ""},
	{"a display name", "a: Carol <carol@b.test>\n", "a: carol@b.test\n", ""},
	{"the first of a key", "a: x@b.test\nA: y@b.test\n", "a: x@b.test\n", "2 A;"},
	{"programs, files, includes", "a: |/bin/x\nb: /var/x\nc: :include:/x\nd: \"|/bin/x -y\"\ne: \\f\n", "", "1 a;2 b;3 c;4 d;5 e;"},
	{"what only Exim knows", "a: :unknown:\nb: x@b.test, :defaultrouter:\nc: $local_part@b.test\nd: ${lookup{x}}\n", "", "1 a;2 b;3 c;4 d;"},
	{"no target", "a:\nb\nc: ,\n", "", "1 a;2 b;3 c;"},
	{"one bad target leaves the line out", "a: x@b.test, |/bin/x\n", "", "1 a;"},
	{"keys", "\"a b\": x@b.test\na@b.test: x@b.test\nx,y: x@b.test\n: x@b.test\n|x: y@b.test\n", "", "1 \"a b\": x@b.test;2 a@b.test;3 x,y;4 ;5 |x;"},
	{"a target that needs quotes", "a: \"x y\"@b.test\n", "", "1 a;"},
};

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf out = buf_make(4096), left = buf_make(4096);

		assert_true(import_exim(slice_of(rows[i].text), slice_of("mx.test"), &out, note, &left));
		if (strcmp(buf_text(&out), rows[i].out) != 0 || strcmp(buf_text(&left), rows[i].left) != 0)
			fail_msg("%s: %s, left %s", rows[i].name, buf_text(&out), buf_text(&left));
		buf_free(&out);
		buf_free(&left);
	}
}

static void test_nothing_to_qualify_with(void **state)
{
	struct buf out = buf_make(4096), left = buf_make(4096);

	(void)state;
	assert_true(import_exim(slice_of("a: bob\nb: x@b.test\n"), slice_empty(), &out, note, &left));
	assert_string_equal(buf_text(&out), "b: x@b.test\n");
	assert_string_equal(buf_text(&left), "1 a;");
	buf_free(&out);
	buf_free(&left);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_nothing_to_qualify_with),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
