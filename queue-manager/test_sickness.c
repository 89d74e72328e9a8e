#include "sickness.h"

#include "base/mem.h"
#include "test.h"

#include <errno.h>

struct line {
	enum sick_event event;
	enum sick_state after;
	unsigned want;
	uint64_t wait_ms;
};

static void follow(const struct line *lines, size_t count)
{
	struct sickness s = {.state = SICK_WELL};

	for (size_t i = 0; i < count; i++) {
		assert_int_equal(sickness_step(&s, lines[i].event, EIO, 1000 + i), lines[i].want);
		assert_int_equal(s.state, lines[i].after);
		assert_int_equal(sickness_accepts(&s), lines[i].after == SICK_WELL);
		if (lines[i].want == SICK_WAIT)
			assert_int_equal(s.wait_ms, lines[i].wait_ms);
	}
}

static void test_a_disk_that_stays_sick_is_asked_less_and_less(void **state)
{
	static const struct line lines[] = {
		{SICK_WRITE_FAILED, SICK_PROBING, SICK_PROBE | SICK_TELL, 0},
		{SICK_WRITE_FAILED, SICK_PROBING, SICK_NOTHING, 0}, /* what was under way says nothing new */
		{SICK_PROBE_FAILED, SICK_WAITING, SICK_WAIT, 1000},
		{SICK_WRITE_FAILED, SICK_WAITING, SICK_NOTHING, 0},
		{SICK_TIME, SICK_PROBING, SICK_PROBE, 0},
		{SICK_PROBE_FAILED, SICK_WAITING, SICK_WAIT, 2000},
		{SICK_TIME, SICK_PROBING, SICK_PROBE, 0},
		{SICK_PROBE_FAILED, SICK_WAITING, SICK_WAIT, 4000},
		{SICK_TIME, SICK_PROBING, SICK_PROBE, 0},
		{SICK_PROBE_FAILED, SICK_WAITING, SICK_WAIT, 8000},
		{SICK_TIME, SICK_PROBING, SICK_PROBE, 0},
		{SICK_PROBE_FAILED, SICK_WAITING, SICK_WAIT, 16000},
		{SICK_TIME, SICK_PROBING, SICK_PROBE, 0},
		{SICK_PROBE_FAILED, SICK_WAITING, SICK_WAIT, 30000},
		{SICK_TIME, SICK_PROBING, SICK_PROBE, 0},
		{SICK_PROBE_FAILED, SICK_WAITING, SICK_WAIT, 30000},
		{SICK_TIME, SICK_PROBING, SICK_PROBE, 0},
		{SICK_PROBE_OK, SICK_WELL, SICK_TELL, 0},
		{SICK_TIME, SICK_WELL, SICK_NOTHING, 0}, /* a timer that was late */
		{SICK_WRITE_FAILED, SICK_PROBING, SICK_PROBE | SICK_TELL, 0},
		{SICK_PROBE_FAILED, SICK_WAITING, SICK_WAIT, 1000}, /* from the beginning */
	};

	(void)state;
	follow(lines, ARRAY_LEN(lines));
}

static void test_what_does_not_fit_changes_nothing(void **state)
{
	static const struct line lines[] = {
		{SICK_PROBE_OK, SICK_WELL, SICK_NOTHING, 0},
		{SICK_PROBE_FAILED, SICK_WELL, SICK_NOTHING, 0},
		{SICK_TIME, SICK_WELL, SICK_NOTHING, 0},
		{SICK_WRITE_FAILED, SICK_PROBING, SICK_PROBE | SICK_TELL, 0},
		{SICK_TIME, SICK_PROBING, SICK_NOTHING, 0},
		{SICK_PROBE_FAILED, SICK_WAITING, SICK_WAIT, 1000},
		{SICK_PROBE_OK, SICK_WAITING, SICK_NOTHING, 0},
		{SICK_PROBE_FAILED, SICK_WAITING, SICK_NOTHING, 0},
	};

	(void)state;
	follow(lines, ARRAY_LEN(lines));
}

static void test_since_when_and_why(void **state)
{
	struct sickness s = {.state = SICK_WELL};

	(void)state;
	(void)sickness_step(&s, SICK_WRITE_FAILED, EIO, 5000);
	s.refused = 7;
	(void)sickness_step(&s, SICK_PROBE_FAILED, EROFS, 6000);
	assert_int_equal(s.since_ms, 5000);
	assert_int_equal(s.err, EROFS);
	(void)sickness_step(&s, SICK_TIME, 0, 7000);
	assert_int_equal(sickness_step(&s, SICK_PROBE_OK, 0, 7000), SICK_TELL);
	assert_int_equal(s.refused, 7); /* to be told */
	assert_int_equal(s.since_ms, 5000);
	(void)sickness_step(&s, SICK_WRITE_FAILED, EIO, 9000);
	assert_int_equal(s.refused, 0);
	assert_int_equal(s.since_ms, 9000);
}

/* A full disk, a want of our own, and a body that is not what a worker announced say nothing of the disk. */
static void test_what_is_no_sickness(void **state)
{
	static const int others[] = {0, ENOSPC, EDQUOT, EMFILE, ENFILE, ENOMEM, EINTR, EAGAIN, EMSGSIZE, EACCES, ENOENT, EEXIST};
	static const int its_own[] = {EIO, EROFS, EUCLEAN, EBADMSG /* EFSBADCRC: a sum of the file system's own is wrong */};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		assert_false(sickness_is_one(others[i]));
	for (size_t i = 0; i < ARRAY_LEN(its_own); i++)
		assert_true(sickness_is_one(its_own[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_disk_that_stays_sick_is_asked_less_and_less),
		cmocka_unit_test(test_what_does_not_fit_changes_nothing),
		cmocka_unit_test(test_since_when_and_why),
		cmocka_unit_test(test_what_is_no_sickness),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
