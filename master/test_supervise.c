#include "supervise.h"

#include "base/mem.h"

#include <stdio.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define ST(state) SUPERVISE_##state
#define EV(event) EVENT_##event
#define AC(action) ACTION_##action

/* Every state and every event. */
static const struct {
	enum supervise_state from;
	enum supervise_event event;
	enum supervise_state to;
	enum supervise_action action;
} cases[] = {
	{ST(IDLE), EV(START), ST(STARTING), AC(SPAWN)},
	{ST(IDLE), EV(READY), ST(IDLE), AC(NONE)},
	{ST(IDLE), EV(DIED), ST(IDLE), AC(NONE)},
	{ST(IDLE), EV(TIMEOUT), ST(IDLE), AC(NONE)},
	{ST(IDLE), EV(MUST_DIE), ST(IDLE), AC(NONE)},
	{ST(IDLE), EV(STOP), ST(DEAD), AC(GONE)},
	{ST(IDLE), EV(RETIRED), ST(IDLE), AC(NONE)},
	{ST(STARTING), EV(RETIRED), ST(DEAD), AC(GONE)},
	{ST(READY), EV(RETIRED), ST(DEAD), AC(GONE)},
	{ST(BACKING_OFF), EV(RETIRED), ST(BACKING_OFF), AC(NONE)},
	{ST(DRAINING), EV(RETIRED), ST(DEAD), AC(GONE)},
	{ST(DEAD), EV(RETIRED), ST(DEAD), AC(NONE)},
	{ST(STARTING), EV(START), ST(STARTING), AC(NONE)},
	{ST(STARTING), EV(READY), ST(READY), AC(LINK)},
	{ST(STARTING), EV(DIED), ST(BACKING_OFF), AC(NONE)},
	{ST(STARTING), EV(TIMEOUT), ST(STARTING), AC(KILL)},
	{ST(STARTING), EV(MUST_DIE), ST(STARTING), AC(KILL)},
	{ST(STARTING), EV(STOP), ST(DRAINING), AC(DRAIN)},
	{ST(READY), EV(START), ST(READY), AC(NONE)},
	{ST(READY), EV(READY), ST(READY), AC(NONE)},
	{ST(READY), EV(DIED), ST(BACKING_OFF), AC(NONE)},
	{ST(READY), EV(TIMEOUT), ST(READY), AC(KILL)},
	{ST(READY), EV(MUST_DIE), ST(READY), AC(KILL)},
	{ST(READY), EV(STOP), ST(DRAINING), AC(DRAIN)},
	{ST(BACKING_OFF), EV(START), ST(BACKING_OFF), AC(NONE)},
	{ST(BACKING_OFF), EV(READY), ST(BACKING_OFF), AC(NONE)},
	{ST(BACKING_OFF), EV(DIED), ST(BACKING_OFF), AC(NONE)},
	{ST(BACKING_OFF), EV(TIMEOUT), ST(STARTING), AC(SPAWN)},
	{ST(BACKING_OFF), EV(MUST_DIE), ST(BACKING_OFF), AC(NONE)},
	{ST(BACKING_OFF), EV(STOP), ST(DEAD), AC(GONE)},
	{ST(DRAINING), EV(START), ST(DRAINING), AC(NONE)},
	{ST(DRAINING), EV(READY), ST(DRAINING), AC(NONE)},
	{ST(DRAINING), EV(DIED), ST(DEAD), AC(GONE)},
	{ST(DRAINING), EV(TIMEOUT), ST(DRAINING), AC(KILL)},
	{ST(DRAINING), EV(MUST_DIE), ST(DRAINING), AC(KILL)},
	{ST(DRAINING), EV(STOP), ST(DRAINING), AC(NONE)},
	{ST(IDLE), EV(REPLACE), ST(IDLE), AC(NONE)},
	{ST(STARTING), EV(REPLACE), ST(STARTING), AC(KILL)},
	{ST(READY), EV(REPLACE), ST(REPLACING), AC(DRAIN)},
	{ST(BACKING_OFF), EV(REPLACE), ST(BACKING_OFF), AC(NONE)},
	{ST(DRAINING), EV(REPLACE), ST(DRAINING), AC(NONE)},
	{ST(DEAD), EV(REPLACE), ST(DEAD), AC(NONE)},
	{ST(REPLACING), EV(START), ST(REPLACING), AC(NONE)},
	{ST(REPLACING), EV(READY), ST(REPLACING), AC(NONE)},
	{ST(REPLACING), EV(DIED), ST(STARTING), AC(SPAWN)},
	{ST(REPLACING), EV(TIMEOUT), ST(REPLACING), AC(KILL)},
	{ST(REPLACING), EV(MUST_DIE), ST(REPLACING), AC(KILL)},
	{ST(REPLACING), EV(STOP), ST(DRAINING), AC(NONE)},
	{ST(REPLACING), EV(RETIRED), ST(DEAD), AC(GONE)},
	{ST(REPLACING), EV(REPLACE), ST(REPLACING), AC(NONE)},
	{ST(DEAD), EV(START), ST(STARTING), AC(SPAWN)},
	{ST(DEAD), EV(READY), ST(DEAD), AC(NONE)},
	{ST(DEAD), EV(DIED), ST(DEAD), AC(NONE)},
	{ST(DEAD), EV(TIMEOUT), ST(DEAD), AC(NONE)},
	{ST(DEAD), EV(MUST_DIE), ST(DEAD), AC(NONE)},
	{ST(DEAD), EV(STOP), ST(DEAD), AC(NONE)},
};

static void test_table(void **state)
{
	(void)state;
	assert_int_equal(ARRAY_LEN(cases), SUPERVISE_STATES * SUPERVISE_EVENTS);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct supervise s = {.state = cases[i].from, .started_ms = 1000};
		enum supervise_action action = supervise_step(&s, cases[i].event, 2000);

		if (action != cases[i].action || s.state != cases[i].to)
			fail_msg("case %zu: %s, action %d", i, supervise_state_name(s.state), (int)action);
	}
}

/* One death after the other: 100 ms, doubled, never above 30 s. */
static void test_backoff(void **state)
{
	static const uint64_t waits[] = {100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000};
	struct supervise s = {.state = SUPERVISE_IDLE};
	uint64_t now = 5000;

	(void)state;
	supervise_step(&s, EVENT_START, now);
	for (size_t i = 0; i < ARRAY_LEN(waits); i++) {
		supervise_step(&s, EVENT_DIED, now);
		assert_int_equal(s.deadline_ms - now, waits[i]);
		assert_int_equal(s.deaths, i + 1);
		now = s.deadline_ms;
		assert_int_equal(supervise_step(&s, EVENT_TIMEOUT, now), ACTION_SPAWN);
	}
	printf("ROW R12 restart-backs-off pass\n");
}

static void test_long_life_forgives(void **state)
{
	struct supervise s = {.state = SUPERVISE_STARTING, .started_ms = 1000, .backoff_ms = 30000};

	(void)state;
	supervise_step(&s, EVENT_DIED, 1000 + SUPERVISE_LIVED_MS - 1);
	assert_int_equal(s.backoff_ms, 30000);
	s = (struct supervise){.state = SUPERVISE_READY, .started_ms = 1000, .backoff_ms = 30000};
	supervise_step(&s, EVENT_DIED, 1000 + SUPERVISE_LIVED_MS);
	assert_int_equal(s.backoff_ms, SUPERVISE_BACKOFF_FIRST_MS);
}

/* One that is replaced has done nothing wrong: the next begins at once, and as long as its predecessor had. */
static void test_replacing_is_no_death(void **state)
{
	struct supervise s = {.state = SUPERVISE_READY, .started_ms = 1000};

	(void)state;
	assert_int_equal(supervise_step(&s, EVENT_REPLACE, 2000), ACTION_DRAIN);
	assert_int_equal(s.deadline_ms, 2000 + SUPERVISE_REPLACE_MS);
	assert_int_equal(supervise_step(&s, EVENT_DIED, 2500), ACTION_SPAWN);
	assert_int_equal(s.deadline_ms, 2500 + SUPERVISE_START_MS);
	assert_int_equal(s.deaths, 0);
	assert_int_equal(s.backoff_ms, 0);
	/* And a stop in between is one. */
	s = (struct supervise){.state = SUPERVISE_REPLACING};
	supervise_step(&s, EVENT_STOP, 3000);
	assert_int_equal(s.deadline_ms, 3000 + SUPERVISE_DRAIN_MS);
	assert_int_equal(supervise_step(&s, EVENT_DIED, 3500), ACTION_GONE);
}

/* Each deadline ends in one kill, not in one a turn. */
static void test_deadlines(void **state)
{
	struct supervise s = {.state = SUPERVISE_IDLE};

	(void)state;
	supervise_step(&s, EVENT_START, 10);
	assert_int_equal(s.deadline_ms, 10 + SUPERVISE_START_MS);
	assert_int_equal(supervise_step(&s, EVENT_TIMEOUT, s.deadline_ms), ACTION_KILL);
	assert_int_equal(s.deadline_ms, 0);
	s = (struct supervise){.state = SUPERVISE_READY};
	supervise_step(&s, EVENT_STOP, 10);
	assert_int_equal(s.deadline_ms, 10 + SUPERVISE_DRAIN_MS);
	assert_int_equal(supervise_step(&s, EVENT_TIMEOUT, s.deadline_ms), ACTION_KILL);
	assert_int_equal(s.deadline_ms, 0);
	s = (struct supervise){.state = SUPERVISE_READY};
	supervise_until(&s, 500);
	assert_int_equal(s.deadline_ms, 500);
	assert_int_equal(supervise_step(&s, EVENT_TIMEOUT, s.deadline_ms), ACTION_KILL);
	assert_int_equal(s.deadline_ms, 0);
	s = (struct supervise){.state = SUPERVISE_DRAINING, .deadline_ms = 20};
	supervise_until(&s, 500);
	assert_int_equal(s.deadline_ms, 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_backoff),
		cmocka_unit_test(test_long_life_forgives),
		cmocka_unit_test(test_replacing_is_no_death),
		cmocka_unit_test(test_deadlines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
