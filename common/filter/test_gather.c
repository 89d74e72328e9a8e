#include "filter/gather.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
/* cmocka wants the headers above first */
#include <cmocka.h>

static struct filter_gather begin(struct filter_result *r)
{
	const struct filter_limits limits = {.steps = 10, .actions = 4, .redirects = 2, .text = 20, .body = 0};
	struct filter_gather g;

	filter_gather_begin(&g, &limits, NULL, r);
	return g;
}

static void assert_dropped(struct filter_result *r, const char *why)
{
	assert_int_equal(r->outcome, FILTER_ERROR);
	assert_string_equal(r->why, why);
	assert_int_equal(r->count, 0);
	assert_null(r->actions);
	filter_result_free(r);
}

static void test_steps(void **state)
{
	struct filter_result r;
	struct filter_gather g = begin(&r);

	(void)state;
	assert_true(filter_step(&g, 1, 9));
	assert_true(filter_step(&g, 1, 1));
	assert_false(filter_step(&g, 3, 1));
	assert_dropped(&r, "line 3: the filter takes too many steps (more than 10)");
	g = begin(&r);
	assert_false(filter_step(&g, 3, UINT32_MAX));
	assert_dropped(&r, "line 3: the filter takes too many steps (more than 10)");
}

static void test_actions(void **state)
{
	struct filter_result r;
	struct filter_gather g = begin(&r);

	(void)state;
	for (uint32_t i = 1; i <= 4; i++)
		assert_non_null(filter_act(&g, FILTER_FILE, i, slice_of("x")));
	assert_int_equal(r.count, 4);
	assert_true(filter_has(&g, FILTER_FILE, slice_of("x")));
	assert_false(filter_has(&g, FILTER_FOLDER, slice_of("x")));
	assert_null(filter_act(&g, FILTER_INBOX, 5, slice_empty()));
	assert_dropped(&r, "line 5: the filter asks for too much (more than 4 things)");
}

static void test_mails(void **state)
{
	struct filter_result r;
	struct filter_gather g = begin(&r);

	(void)state;
	assert_non_null(filter_act(&g, FILTER_REDIRECT, 1, slice_of("x")));
	assert_non_null(filter_act(&g, FILTER_MAIL, 1, slice_of("x")));
	assert_non_null(filter_act(&g, FILTER_FILE, 1, slice_of("x")));
	assert_null(filter_act(&g, FILTER_REDIRECT, 2, slice_of("y")));
	assert_dropped(&r, "line 2: the filter sends too many mails (more than 2)");
}

static void test_texts(void **state)
{
	struct filter_result r;
	struct filter_gather g = begin(&r);
	struct slice kept;

	(void)state;
	assert_true(filter_keep(&g, 1, slice_of("0123456789"), &kept));
	assert_true(slice_eq(kept, slice_of("0123456789")));
	assert_non_null(filter_act(&g, FILTER_FILE, 1, slice_of("0123456789")));
	assert_null(filter_act(&g, FILTER_FILE, 2, slice_of("0")));
	assert_dropped(&r, "line 2: the filter makes too much text (more than 20 bytes)");
}

static void test_shown(void **state)
{
	static const struct {
		const char *text, *shown;
	} rows[] = {
		{"", "\"\""},
		{"a\"b\\c\nd\x01\x7f", "\"a\\\"b\\\\c\\nd\\x01\\x7f\""},
		{"0123456789012345678901234567890123456789012345678901234567890123456789abc",
		 "\"0123456789012345678901234567890123456789012345678901234567890123456789ab...\""},
		{"0123456789012345678901234567890123456789012345678901234567890123456789a\xc3\xa4",
		 "\"0123456789012345678901234567890123456789012345678901234567890123456789a...\""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf out = buf_make(1024);

		filter_show(slice_of(rows[i].text), &out);
		assert_string_equal(buf_text(&out), rows[i].shown);
		buf_free(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_steps), cmocka_unit_test(test_actions), cmocka_unit_test(test_mails),
		cmocka_unit_test(test_texts), cmocka_unit_test(test_shown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
