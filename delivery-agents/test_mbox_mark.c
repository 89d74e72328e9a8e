#include "mbox_mark.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void test_what_is_printed_is_read(void **state)
{
	const struct mbox_mark mark = {1000, 2345, slice_of("\nFrom a@b Sat\n")};
	struct buf text = buf_make(MBOX_MARK_BYTES);
	struct mbox_mark got;

	(void)state;
	buf_addf(&text, "%s", MBOX_MARK_OURS);
	mbox_mark_print(&text, &mark);
	assert_true(mbox_mark_read(buf_slice(&text), &got));
	assert_true(got.before == 1000 && got.after == 2345 && slice_eq(got.head, mark.head));
	for (size_t len = 0; len < text.len; len++) { /* who wrote it died */
		bool ours = mbox_mark_read(slice_make(text.at, len), &got);

		assert_int_equal(ours, len >= strlen(MBOX_MARK_OURS));
		assert_true(got.after == 0 || slice_starts(mark.head, got.head));
	}
	buf_free(&text);
}

static void test_what_is_no_mark(void **state)
{
	static const char *const others[] = {"", "1234\n", "poster\n", "postern"};
	static const char *const without[] = {"postern\n", "postern\n-1 5\nFrom x\n", "postern\n5 5\nFrom x\n", "postern\n9 5\nFrom x\n",
					      "postern\n1 2 3\nFrom x\n", "postern\n1 99999999999999999999\nFrom\n", "postern\n1 2\n"};
	struct mbox_mark got;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		assert_false(mbox_mark_read(slice_of(others[i]), &got));
	for (size_t i = 0; i < ARRAY_LEN(without); i++) {
		assert_true(mbox_mark_read(slice_of(without[i]), &got));
		assert_true(got.before == 0 && got.after == 0);
	}
}

static void test_search(void **state)
{
	static const struct {
		const char *text;
		bool want;
	} rows[] = {{"", false}, {"From x", true}, {"the beginFrom x", true}, {"FroFrom x", true}, {"a\nFrom x", true}, {"a\n\nFrom x", true},
		    {"a\nFrom\nFrom y", true}, {"a\nFrom", false}, {"From: x", false}, {"a\n Fro\nm ", false}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		for (size_t cut = 0; cut <= strlen(rows[i].text); cut++) {
			struct mbox_search s = {0};
			bool got = mbox_search_finds(&s, slice_make(rows[i].text, cut));

			got = mbox_search_finds(&s, slice_of(rows[i].text + cut)) || got;
			if (got != rows[i].want)
				fail_msg("%s, cut at %zu", rows[i].text, cut);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_printed_is_read),
		cmocka_unit_test(test_what_is_no_mark),
		cmocka_unit_test(test_search),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
