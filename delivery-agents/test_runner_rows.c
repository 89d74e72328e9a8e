#include "runner_rows.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#define ANNE ((uid_t)1001)
#define BERT ((uid_t)1002)
#define CARL ((uid_t)1003)

static void add(struct runner_rows *rows, pid_t first, size_t count, uid_t uid)
{
	for (size_t i = 0; i < count; i++) {
		assert_true(runner_rows_has_room(rows, uid));
		runner_rows_add(rows, first + (pid_t)i, uid);
	}
}

static void end(struct runner_rows *rows, pid_t first, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct runner_row *row = runner_rows_find(rows, first + (pid_t)i);

		assert_non_null(row);
		row->pid = RUNNER_ROW_GONE;
	}
}

static size_t count_gone(const struct runner_rows *rows, uid_t uid)
{
	size_t count = 0;

	for (size_t i = 0; i < RUNNER_ROWS_MAX; i++)
		count += rows->of[i].pid == RUNNER_ROW_GONE && rows->of[i].uid == uid;
	return count;
}

/* However many workers end meanwhile, his own or others'. */
static void test_one_who_is_left_keeps_one_row(void **state)
{
	struct runner_rows rows = {0};
	uid_t anne = ANNE;

	(void)state;
	for (pid_t pid = 100; pid < 1000; pid += 10) {
		add(&rows, pid, 4, ANNE);
		add(&rows, pid + 4, 4, BERT);
		end(&rows, pid, 8);
		runner_rows_left(&rows, &anne);
		runner_rows_settle(&rows);
		assert_int_equal(count_gone(&rows, ANNE), 1);
		assert_int_equal(count_gone(&rows, BERT), 0);
	}
	runner_rows_settle(&rows);
	assert_false(runner_rows_has_gone(&rows));
}

static void test_of_whom_nothing_is_known_keeps_all(void **state)
{
	struct runner_rows rows = {0};

	(void)state;
	add(&rows, 100, 2, ANNE);
	add(&rows, 200, 3, BERT);
	add(&rows, 300, 1, CARL);
	end(&rows, 100, 2);
	end(&rows, 200, 2);
	runner_rows_left(&rows, NULL);
	runner_rows_settle(&rows);
	assert_int_equal(count_gone(&rows, ANNE), 2);
	assert_int_equal(count_gone(&rows, BERT), 2);
	assert_int_equal(count_gone(&rows, CARL), 0);
	assert_non_null(runner_rows_find(&rows, 202));
	assert_non_null(runner_rows_find(&rows, 300));
}

static void test_a_user_has_his_share(void **state)
{
	struct runner_rows rows = {0};

	(void)state;
	add(&rows, 100, RUNNER_ROWS_USER_MAX, ANNE);
	assert_false(runner_rows_has_room(&rows, ANNE));
	add(&rows, 200, RUNNER_ROWS_USER_MAX, BERT);
	assert_false(runner_rows_has_room(&rows, BERT));
	add(&rows, 300, RUNNER_ROWS_MAX - 2 * RUNNER_ROWS_USER_MAX, CARL);
	assert_false(runner_rows_has_room(&rows, CARL));
	end(&rows, 100, 1);
	assert_false(runner_rows_has_room(&rows, CARL));
	runner_rows_settle(&rows);
	assert_true(runner_rows_has_room(&rows, CARL));
	assert_true(runner_rows_has_room(&rows, ANNE));
}

static void test_no_row_is_a_worker_that_is_none(void **state)
{
	struct runner_rows rows = {0};

	(void)state;
	add(&rows, 100, 1, ANNE);
	end(&rows, 100, 1);
	assert_null(runner_rows_find(&rows, 100));
	assert_null(runner_rows_find(&rows, 0));
	assert_null(runner_rows_find(&rows, RUNNER_ROW_GONE));
	assert_true(runner_rows_has_gone(&rows));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_who_is_left_keeps_one_row),
		cmocka_unit_test(test_of_whom_nothing_is_known_keeps_all),
		cmocka_unit_test(test_a_user_has_his_share),
		cmocka_unit_test(test_no_row_is_a_worker_that_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
