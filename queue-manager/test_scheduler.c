#include "scheduler.h"

#include "base/mem.h"
#include "test.h"

#include <stdio.h>

static const struct sched_limits limits = {
	.jobs_max = 10,
	.window_start = 2,
	.window_max = 6,
	.waiting_max = 50,
	.waiting_total = 80,
	.waiting_low = 5,
	.refill_at = 25,
	.dead_after = 3,
	.dead_first_ms = 1000,
	.dead_most_ms = 4000,
};

#define ITEMS 200

struct fixture {
	struct sched *s;
	struct sched_item items[ITEMS];
	size_t used;
	uint64_t now;
};

static struct fixture *fixture_new(void)
{
	struct fixture *f = mem_new(1, sizeof(*f));

	assert_non_null(f);
	f->s = sched_new(&limits);
	assert_non_null(f->s);
	f->now = 1000;
	return f;
}

static void fixture_free(struct fixture *f)
{
	sched_free(&f->s);
	free(f);
}

static enum sched_admit add(struct fixture *f, const char *destination)
{
	return sched_add(f->s, slice_of(destination), &f->items[f->used++], f->now);
}

static size_t start_all(struct fixture *f, struct sched_item **out)
{
	size_t n = 0;

	while ((out[n] = sched_next(f->s)) != NULL)
		n++;
	return n;
}

static void test_window_grows_and_shrinks(void **state)
{
	struct fixture *f = fixture_new();
	struct sched_item *run[ITEMS];
	size_t n;

	(void)state;
	for (int i = 0; i < 40; i++)
		assert_int_equal(add(f, "relay a"), SCHED_WAITING);
	assert_int_equal(start_all(f, run), 2);
	sched_done(f->s, run[0], SCHED_GOOD, f->now);
	sched_done(f->s, run[1], SCHED_GOOD, f->now);
	n = start_all(f, run);
	assert_int_equal(n, 4); /* one more for each success */
	for (size_t i = 0; i < n; i++)
		sched_done(f->s, run[i], SCHED_GOOD, f->now);
	n = start_all(f, run);
	assert_int_equal(n, 6); /* never above the maximum */
	sched_done(f->s, run[0], SCHED_BAD, f->now);
	sched_done(f->s, run[1], SCHED_GOOD, f->now);
	for (size_t i = 2; i < n; i++)
		sched_done(f->s, run[i], SCHED_NEITHER, f->now);
	assert_int_equal(start_all(f, run), 3); /* halved, and it grows slowly from now on */
	fixture_free(f);
}

static void test_jobs_max_and_turns(void **state)
{
	struct fixture *f = fixture_new();
	struct sched_item *run[ITEMS];
	static const char *const names[] = {"r a", "r b", "r c", "r d", "r e", "r f", "r g"};
	unsigned started[7] = {0};
	size_t n;

	(void)state;
	for (size_t d = 0; d < 7; d++)
		for (int i = 0; i < 3; i++)
			assert_int_equal(add(f, names[d]), SCHED_WAITING);
	n = start_all(f, run);
	assert_int_equal(n, 10);
	assert_int_equal(sched_running(f->s), 10);
	for (size_t i = 0; i < n; i++)
		started[(size_t)(run[i] - f->items) / 3]++;
	for (size_t d = 0; d < 7; d++)
		assert_true(started[d] >= 1); /* nobody is passed over */
	fixture_free(f);
}

static void test_a_dead_destination_delays_nobody(void **state)
{
	struct fixture *f = fixture_new();
	struct sched_item *run[ITEMS];
	size_t dead = 0;

	(void)state;
	for (int i = 0; i < 20; i++)
		assert_int_equal(add(f, "relay dead"), SCHED_WAITING);
	for (int i = 0; i < 3; i++) {
		struct sched_item *item = sched_next(f->s);

		assert_non_null(item);
		sched_done(f->s, item, SCHED_BAD, f->now);
	}
	assert_null(sched_next(f->s));
	while (sched_take_dead(f->s) != NULL)
		dead++;
	assert_int_equal(dead, 17);
	assert_int_equal(sched_waiting(f->s), 0);
	assert_int_equal(add(f, "relay dead"), SCHED_DEAD);
	assert_int_equal(add(f, "relay live"), SCHED_WAITING);
	assert_int_equal(start_all(f, run), 1);
	/* a probe, and only one, when its time is over */
	f->now += 1000;
	assert_false(sched_is_dead(f->s, slice_of("relay dead"), f->now));
	assert_int_equal(add(f, "relay dead"), SCHED_WAITING);
	assert_int_equal(add(f, "relay dead"), SCHED_WAITING);
	assert_int_equal(start_all(f, run), 1);
	sched_done(f->s, run[0], SCHED_BAD, f->now);
	while (sched_take_dead(f->s) != NULL)
		;
	/* dead at once, and twice as long */
	f->now += 1999;
	assert_int_equal(add(f, "relay dead"), SCHED_DEAD);
	f->now += 1;
	assert_int_equal(add(f, "relay dead"), SCHED_WAITING);
	assert_int_equal(start_all(f, run), 1);
	sched_done(f->s, run[0], SCHED_GOOD, f->now);
	assert_int_equal(add(f, "relay dead"), SCHED_WAITING);
	assert_int_equal(add(f, "relay dead"), SCHED_WAITING);
	assert_int_equal(start_all(f, run), 2); /* alive, and growing again */
	fixture_free(f);
}

static void test_dead_time_has_a_ceiling(void **state)
{
	struct fixture *f = fixture_new();

	(void)state;
	for (int i = 0; i < 20; i++) {
		struct sched_item *item;

		assert_int_equal(add(f, "r x"), SCHED_WAITING);
		item = sched_next(f->s);
		assert_non_null(item);
		sched_done(f->s, item, SCHED_BAD, f->now);
		while (sched_take_dead(f->s) != NULL)
			;
		f->now += 4000; /* never longer */
	}
	sched_revive(f->s);
	assert_int_equal(add(f, "r x"), SCHED_WAITING);
	fixture_free(f);
}

static void test_memory_is_bounded(void **state)
{
	struct fixture *f = fixture_new();
	struct slice name;

	(void)state;
	for (int i = 0; i < 50; i++)
		assert_int_equal(add(f, "r a"), SCHED_WAITING);
	assert_int_equal(add(f, "r a"), SCHED_FULL);
	assert_false(sched_has_room(f->s, slice_of("r a")));
	for (int i = 0; i < 30; i++)
		assert_int_equal(add(f, "r b"), SCHED_WAITING);
	/* the total is reached: a destination that was not met still gets its few */
	for (int i = 0; i < 5; i++)
		assert_int_equal(add(f, "r c"), SCHED_WAITING);
	assert_int_equal(add(f, "r c"), SCHED_FULL);
	assert_int_equal(add(f, "r b"), SCHED_FULL);
	sched_note_stored(f->s, slice_of("r a"));
	sched_note_stored(f->s, slice_of("r a"));
	assert_false(sched_refill(f->s, &name));
	for (int i = 0; i < 40; i++)
		sched_remove(f->s, &f->items[i]);
	assert_true(sched_refill(f->s, &name));
	assert_true(slice_eq(name, slice_of("r a")));
	assert_false(sched_refill(f->s, &name)); /* the note is taken away */
	fixture_free(f);
}

static void test_removed_items_do_not_run(void **state)
{
	struct fixture *f = fixture_new();
	struct sched_item *run[ITEMS];

	(void)state;
	add(f, "r a");
	add(f, "r a");
	add(f, "r a");
	sched_remove(f->s, &f->items[1]);
	sched_remove(f->s, &f->items[1]); /* twice does no harm */
	assert_int_equal(start_all(f, run), 2);
	assert_ptr_equal(run[0], &f->items[0]);
	assert_ptr_equal(run[1], &f->items[2]);
	sched_remove(f->s, run[0]); /* running: stays */
	assert_int_equal(sched_running(f->s), 2);
	fixture_free(f);
}

/* Many destinations that come and go: the table does not grow for ever. */
static void test_idle_destinations_are_forgotten(void **state)
{
	struct sched *s = sched_new(&limits);
	struct sched_item item;

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "r host%u", i);
		item = (struct sched_item){0};
		assert_int_equal(sched_add(s, slice_of(name), &item, i), SCHED_WAITING);
		assert_ptr_equal(sched_next(s), &item);
		sched_done(s, &item, SCHED_GOOD, i);
	}
	assert_true(sched_destinations(s) <= 2001);
	sched_free(&s);
}

/* The operator speaks between a death and what follows from it. */
static void test_revival_before_the_dead_are_taken(void **state)
{
	struct fixture *f = fixture_new();
	struct sched_item *out[ITEMS + 1];

	(void)state;
	for (int i = 0; i < 10; i++)
		assert_int_equal(add(f, "relay a"), SCHED_WAITING);
	for (size_t failed = 0; failed < 3;) {
		size_t n = start_all(f, out);

		for (size_t i = 0; i < n; i++, failed++)
			sched_done(f->s, out[i], SCHED_BAD, f->now);
	}
	sched_revive(f->s);
	assert_null(sched_take_dead(f->s));
	assert_true(start_all(f, out) > 0);
	fixture_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_window_grows_and_shrinks),
		cmocka_unit_test(test_jobs_max_and_turns),
		cmocka_unit_test(test_a_dead_destination_delays_nobody),
		cmocka_unit_test(test_dead_time_has_a_ceiling),
		cmocka_unit_test(test_revival_before_the_dead_are_taken),
		cmocka_unit_test(test_memory_is_bounded),
		cmocka_unit_test(test_removed_items_do_not_run),
		cmocka_unit_test(test_idle_destinations_are_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
