#include "mail/subaddress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_cut(void **state)
{
	static const struct {
		const char *separators, *address, *user, *detail, *base;
	} rows[] = {
		{"+", "bob+lists@x.test", "bob", "lists", "bob@x.test"},
		{"+", "bob@x.test", "bob", "", ""},
		{"+", "bob+@x.test", "bob", "", "bob@x.test"},
		{"+", "+bob@x.test", "+bob", "", ""},
		{"+", "++a@x.test", "+", "a", "+@x.test"},
		{"+", "bob+a+b@x.test", "bob", "a+b", "bob@x.test"},
		{"+-", "bob-a+b@x.test", "bob", "a+b", "bob@x.test"},
		{"+-", "bob+a-b@x.test", "bob", "a-b", "bob@x.test"},
		{"", "bob+lists@x.test", "bob+lists", "", ""},
		{"-", "bob+lists@x-y.test", "bob+lists", "", ""},
		{"+", "\"john doe+x\"@x.test", "\"john doe+x\"", "", ""},
		{"+", "bob+${run{id}}@x.test", "bob", "${run{id}}", "bob@x.test"},
		{"+", "bob+lists", "bob", "lists", "bob"},
		{"+", "", "", "", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct slice separators = slice_of(rows[i].separators), address = slice_of(rows[i].address);
		struct subaddress s = subaddress_cut(separators, address);
		char space[MAIL_ADDRESS_MAX + 1];

		if (!slice_eq(s.user, slice_of(rows[i].user)) && address.len > 0)
			fail_msg("%s: user %.*s", rows[i].address, SLICE_ARG(s.user));
		if (!slice_eq(s.detail, slice_of(rows[i].detail)))
			fail_msg("%s: detail %.*s", rows[i].address, SLICE_ARG(s.detail));
		if (!slice_eq(subaddress_base(separators, address, space), slice_of(rows[i].base)))
			fail_msg("%s: base", rows[i].address);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_cut)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
