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
		slow_settle(s, slice_of("a"), 1000, SLOW_FAILED);
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

/* Those that are not settled yet count nothing while they are few, and all beyond that as failures. */
static void test_at_once(void **state)
{
	const struct slow_limits some = {.free = 3, .first_ms = 1000, .most_ms = 5000, .at_once = 10, .refuse_at = 8};
	struct slow *s = slow_new(&some, 100);
	uint64_t wait;

	(void)state;
	for (unsigned i = 0; i < 18; i++) {
		assert_true(slow_charge(s, slice_of("a"), 1000, &wait));
		assert_int_equal(wait > 0, i >= 14);
	}
	assert_false(slow_charge(s, slice_of("a"), 1000, &wait));
	/* Well ended, they are as if they had never been; badly, they are failures. */
	for (unsigned i = 0; i < 10; i++)
		slow_settle(s, slice_of("a"), 1001, SLOW_UNKNOWN);
	for (unsigned i = 0; i < 7; i++)
		slow_settle(s, slice_of("a"), 1001, SLOW_FAILED);
	assert_true(slow_charge(s, slice_of("a"), 1001, &wait));
	assert_int_equal(wait, 5000);
	slow_settle(s, slice_of("a"), 1001, SLOW_FAILED);
	assert_false(slow_charge(s, slice_of("a"), 1001, &wait));
	slow_settle(s, slice_of("unknown"), 1001, SLOW_FAILED);
	assert_true(slow_charge(s, slice_of("unknown"), 1001, &wait));
	slow_free(&s);
	print_message("ROW A04 many-at-once pass\n");
}

/* Who has logged in often may do so many times at once; failures take that away again. */
static void test_trust_is_earned(void **state)
{
	const struct slow_limits some = {.free = 0, .first_ms = 1000, .most_ms = 5000, .at_once = 5, .refuse_at = 0};
	struct slow *s = slow_new(&some, 100);
	unsigned earned = 5 * SLOW_TRUST, at_once;
	uint64_t wait;

	(void)state;
	for (unsigned i = 0; i < 2 * earned; i++) {
		assert_true(slow_charge(s, slice_of("a"), 1000, &wait));
		slow_settle(s, slice_of("a"), 1000, SLOW_GOOD);
	}
	for (at_once = 0; slow_charge(s, slice_of("a"), 1000, &wait) && wait == 0; at_once++)
		;
	assert_int_equal(at_once, 5 + earned + 1);
	for (unsigned i = 0; i <= at_once; i++)
		slow_settle(s, slice_of("a"), 1000, i < 3 ? SLOW_FAILED : SLOW_UNKNOWN);
	for (at_once = 0; slow_charge(s, slice_of("a"), 1000 + 3 * SLOW_FORGET_MS, &wait) && wait == 0; at_once++)
		;
	assert_int_equal(at_once, 5 + earned / 8 + 1);
	slow_free(&s);
	print_message("ROW A04 trust-is-earned pass\n");
}

static void test_success(void **state)
{
	struct slow *s = slow_new(&limits, 100);
	uint64_t wait;

	(void)state;
	for (int i = 0; i < 100; i++) {
		assert_true(slow_charge(s, slice_of("a"), 5, &wait));
		assert_int_equal(wait, 0);
		slow_settle(s, slice_of("a"), 6, SLOW_UNKNOWN);
	}
	slow_settle(s, slice_of("never charged"), 6, SLOW_UNKNOWN);
	slow_free(&s);
}

/* Full: who was charged longest ago is forgotten, and it never grows. */
static void test_bounded(void **state)
{
	struct slow *s = slow_new(&limits, 10);
	uint64_t wait;
	char key[32];

	(void)state;
	for (int i = 0; i < 8; i++) {
		assert_true(slow_charge(s, slice_of("attacker"), 1, &wait));
		slow_settle(s, slice_of("attacker"), 1, SLOW_FAILED);
	}
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
		slow_settle(s, slice_of("alice"), 1, i % 2 == 0);
	}
	slow_free(&s);
	print_message("ROW A04 no-lock-out pass\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_waits_grow),
		cmocka_unit_test(test_at_once),
		cmocka_unit_test(test_trust_is_earned),
		cmocka_unit_test(test_success),
		cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_never_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
