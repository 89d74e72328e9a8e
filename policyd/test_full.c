#include "full.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define T slice_of("t")

static void tell(struct full *f, const char *name, bool is_full)
{
	full_tell(f, &(struct full_mailbox){T, slice_of(name), {100000, 7}}, is_full, 1000);
}

static bool has(const struct full *f, const char *transport, const char *name, uint64_t now_ms)
{
	struct quota_limit limit;

	if (!full_has(f, slice_of(transport), slice_of(name), now_ms, &limit))
		return false;
	assert_int_equal(limit.bytes, 100000);
	assert_int_equal(limit.messages, 7);
	return true;
}

static void test_full(void **state)
{
	struct full *f = full_new();
	char name[32];

	(void)state;
	assert_non_null(f);
	assert_false(has(f, "t", "bob", 0));
	tell(f, "bob", true);
	assert_true(has(f, "t", "bob", 1000 + FULL_MS - 1));
	assert_false(has(f, "t", "bob", 1000 + FULL_MS));
	assert_false(has(f, "u", "bob", 1000));
	tell(f, "bob", false);
	tell(f, "nobody", false);
	assert_false(has(f, "t", "bob", 1000));
	for (unsigned i = 0; i < FULL_MAX + 5; i++) {
		snprintf(name, sizeof(name), "b%u", i);
		tell(f, name, true);
	}
	assert_true(has(f, "t", name, 1000));
	full_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_full)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
