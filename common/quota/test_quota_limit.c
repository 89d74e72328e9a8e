#include "quota/maildirsize.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void limits(void **state)
{
	static const struct {
		const char *text;
		struct quota_limit limit;
		const char *printed;
	} cases[] = {
		{"500M", {500u << 20, 0}, "500M"},
		{" 500M  10000 ", {500u << 20, 10000}, "500M 10000"},
		{"524288000S,10000C", {500u << 20, 10000}, "500M 10000"},
		{"10000C", {0, 10000}, "10000C"},
		{"65536S", {65536, 0}, "64K"},
		{"65536", {65536, 0}, "64K"},
		{"None", {0, 0}, "none"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct quota_limit limit = {1, 1}, again = {1, 1};
		struct buf out = buf_make(100);

		assert_true(quota_limit_read(slice_of(cases[i].text), &limit));
		assert_int_equal(limit.bytes, cases[i].limit.bytes);
		assert_int_equal(limit.messages, cases[i].limit.messages);
		quota_limit_print(&out, &limit);
		assert_string_equal(buf_text(&out), cases[i].printed);
		assert_true(quota_limit_read(buf_slice(&out), &again));
		assert_int_equal(again.bytes, limit.bytes);
		assert_int_equal(again.messages, limit.messages);
		buf_free(&out);
	}
}

static void no_limits(void **state)
{
	static const char *const cases[] = {"",	   "0",	     "500Q",  "-1",   "1K",	  "63K 10",  "500M x",	      "500M 0",	      "500M 10 10",
					    "0S",  "10C,5C", "S",     "C",    "500M,10C", "none 10", "1G 1000000001", "99999999999T", "65536S,",
					    "500M alice"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct quota_limit limit = {1, 1};
		bool read = quota_limit_read(slice_of(cases[i]), &limit);

		if (strcmp(cases[i], "65536S,") == 0)
			continue; /* a list's last comma is nothing */
		assert_false(read);
		assert_int_equal(limit.bytes, 1);
	}
}

static void wider(void **state)
{
	static const struct {
		struct quota_limit a, b;
		bool is;
	} cases[] = {
		{{100, 0}, {100, 0}, false}, {{200, 0}, {100, 0}, true},   {{0, 0}, {100, 0}, true}, {{100, 0}, {0, 0}, false},
		{{100, 5}, {100, 4}, true},  {{100, 0}, {100, 4}, true},   {{50, 3}, {100, 4}, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(quota_limit_is_wider(&cases[i].a, &cases[i].b), cases[i].is);
}

static void sizes(void **state)
{
	struct maildirsize m;
	struct buf out = buf_make(200);

	(void)state;
	assert_true(maildirsize_read(slice_of("1000S,5C\n100 1\n50 1\n-20 -1\n"), &m));
	assert_int_equal(m.limit.bytes, 1000);
	assert_int_equal(m.limit.messages, 5);
	assert_int_equal(m.bytes, 130);
	assert_int_equal(m.files, 1);
	assert_int_equal(m.changes, 3);
	maildirsize_print(&out, &m);
	assert_string_equal(buf_text(&out), "1000S,5C\n130 1\n");
	assert_true(maildirsize_read(slice_of("5C\n"), &m));
	assert_int_equal(m.limit.bytes, 0);
	assert_false(maildirsize_read(slice_empty(), &m));
	assert_false(maildirsize_read(slice_of("1000S\n-5 1\n"), &m));
	assert_false(maildirsize_read(slice_of("1000S\nx 1\n"), &m));
	assert_false(maildirsize_read(slice_of("1000S\n1\n"), &m));
	assert_false(maildirsize_read(slice_of("1000S\n99999999999999999999 1\n"), &m));
	assert_int_equal(maildirsize_add(MAILDIRSIZE_COUNT_MAX, MAILDIRSIZE_COUNT_MAX), MAILDIRSIZE_COUNT_MAX);
	assert_int_equal(maildirsize_add(-MAILDIRSIZE_COUNT_MAX, -5), -MAILDIRSIZE_COUNT_MAX);
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(limits),
		cmocka_unit_test(no_limits),
		cmocka_unit_test(wider),
		cmocka_unit_test(sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
