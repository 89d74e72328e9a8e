#include "authd_slow.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the headers above first */
#include <cmocka.h>
#include <stdio.h>

static const struct slow_limits limits = {.free = 2, .first_ms = 1000, .most_ms = 5000, .refuse_at = 8};

static void test_waits_grow(void **state)
{
	static const uint64_t want[] = {0, 0, 0, 1000, 2000, 4000, 5000, 5000};
	struct slow *s = slow_new(&limits, 100);
	uint64_t wait;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		assert_true(slow_charge(s, slice_of("a"), 1000, &wait));
		if (wait != want[i])
			fail_msg("%zu: %llu", i, (unsigned long long)wait);
	}
	assert_false(slow_charge(s, slice_of("a"), 1000, &wait));
	assert_true(slow_charge(s, slice_of("b"), 1000, &wait));
	assert_int_equal(wait, 0);
	/* Refusals are not charged: one failure later is forgotten in time. */
	assert_false(slow_charge(s, slice_of("a"), 1000 + SLOW_FORGET_MS - 1, &wait));
	assert_true(slow_charge(s, slice_of("a"), 1000 + SLOW_FORGET_MS, &wait));
	assert_true(slow_charge(s, slice_of("a"), 1000 + 100 * SLOW_FORGET_MS, &wait));
	assert_int_equal(wait, 0);
	slow_free(&s);
	print_message("ROW A04 slow-down pass\n");
}

static void test_refund(void **state)
{
	struct slow *s = slow_new(&limits, 100);
	uint64_t wait;

	(void)state;
	for (int i = 0; i < 100; i++) {
		assert_true(slow_charge(s, slice_of("a"), 5, &wait));
		assert_int_equal(wait, 0);
		slow_refund(s, slice_of("a"), 6);
	}
	slow_refund(s, slice_of("never charged"), 6);
	slow_free(&s);
}

/* Full: who was charged longest ago is forgotten, and it never grows. */
static void test_bounded(void **state)
{
	struct slow *s = slow_new(&limits, 10);
	uint64_t wait;
	char key[32];

	(void)state;
	for (int i = 0; i < 8; i++)
		assert_true(slow_charge(s, slice_of("attacker"), 1, &wait));
	for (int i = 0; i < 9; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		assert_true(slow_charge(s, slice_of(key), 1, &wait));
	}
	assert_int_equal(slow_count(s), 10);
	assert_false(slow_charge(s, slice_of("attacker"), 1, &wait));
	for (int i = 9; i < 10000; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		assert_true(slow_charge(s, slice_of(key), 1, &wait));
	}
	assert_int_equal(slow_count(s), 10);
	slow_free(&s);
	print_message("ROW A06 bounded-tables pass\n");
}

static void test_never_refused(void **state)
{
	const struct slow_limits gentle = {.free = 1, .first_ms = 10, .most_ms = 40, .refuse_at = 0};
	struct slow *s = slow_new(&gentle, 10);
	uint64_t wait;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		assert_true(slow_charge(s, slice_of("alice"), 1, &wait));
		assert_true(wait <= 40);
	}
	slow_free(&s);
	print_message("ROW A04 no-lock-out pass\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_waits_grow),
		cmocka_unit_test(test_refund),
		cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_never_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
