#include "full.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define T slice_of("t")

static void test_full(void **state)
{
	struct full *f = full_new();
	char name[32];

	(void)state;
	assert_non_null(f);
	assert_false(full_has(f, T, slice_of("bob"), 0));
	full_tell(f, T, slice_of("bob"), true, 1000);
	assert_true(full_has(f, T, slice_of("bob"), 1000 + FULL_MS - 1));
	assert_false(full_has(f, T, slice_of("bob"), 1000 + FULL_MS));
	assert_false(full_has(f, slice_of("u"), slice_of("bob"), 1000));
	full_tell(f, T, slice_of("bob"), false, 1000);
	full_tell(f, T, slice_of("nobody"), false, 1000);
	assert_false(full_has(f, T, slice_of("bob"), 1000));
	for (unsigned i = 0; i < FULL_MAX + 5; i++) {
		snprintf(name, sizeof(name), "b%u", i);
		full_tell(f, T, slice_of(name), true, 1000);
	}
	assert_true(full_has(f, T, slice_of(name), 1000));
	full_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_full)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
