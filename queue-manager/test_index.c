/* The index, and the crew that works on it. */
#include "index.h"

#include "base/mem.h"
#include "crew.h"
#include "test.h"

#include <fcntl.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64];

static int make_folder(void **state)
{
	(void)state;
	(void)snprintf(folder, sizeof(folder), "/tmp/postern-index-XXXXXX");
	return mkdtemp(folder) == NULL || chdir(folder) == -1 ? -1 : 0;
}

static int remove_folder(void **state)
{
	pid_t child = fork();

	(void)state;
	if (child == 0) {
		execlp("rm", "rm", "-rf", folder, (char *)NULL);
		_exit(1);
	}
	(void)waitpid(child, NULL, 0);
	return 0;
}

static struct index *open_new(void)
{
	struct index *ix;

	(void)unlink("index.db");
	(void)unlink("index.db-wal");
	ix = index_open("index.db");
	assert_non_null(ix);
	assert_true(index_was_reset(ix));
	return ix;
}

static struct index_row row(uint64_t id, int64_t next_s, const char *destination)
{
	struct index_row r = {.id = id, .next_s = next_s, .tries = 3, .size_bytes = 4096, .recipients = 2};

	(void)snprintf(r.destination, sizeof(r.destination), "%s", destination);
	(void)snprintf(r.sender, sizeof(r.sender), "a@example.test");
	(void)snprintf(r.recipient, sizeof(r.recipient), "b@example.test");
	(void)snprintf(r.last, sizeof(r.last), "451 4.3.0 later");
	return r;
}

static void put(struct index *ix, uint64_t id, int64_t next_s, const char *destination)
{
	struct index_row r = row(id, next_s, destination);

	assert_true(index_put(ix, &r));
}

static void test_rows(void **state)
{
	struct index *ix = open_new();
	struct index_row rows[10], r;
	struct index_key none = {INT64_MIN, 0};
	int64_t next;
	size_t count;
	bool found;

	(void)state;
	index_begin(ix);
	for (uint64_t i = 1; i <= 6; i++)
		put(ix, i, 100 + (int64_t)i % 3, i % 2 == 0 ? "relay a" : "relay b");
	index_end(ix);
	assert_true(index_find(ix, 4, &r, &found) && found);
	assert_string_equal(r.destination, "relay a");
	assert_string_equal(r.last, "451 4.3.0 later");
	assert_int_equal(r.tries, 3);
	assert_true(index_due(ix, 101, none, rows, 10, &count));
	assert_int_equal(count, 4); /* 3, 6 at 100; 1, 4 at 101 */
	assert_int_equal(rows[0].id, 3);
	assert_int_equal(rows[3].id, 4);
	assert_true(index_due(ix, 200, (struct index_key){101, 1}, rows, 10, &count));
	assert_int_equal(count, 3);
	assert_int_equal(rows[0].id, 4);
	assert_true(index_due_for(ix, "relay a", 101, rows, 10, &count));
	assert_int_equal(count, 2);
	assert_true(index_next(ix, (struct index_key){101, 4}, &next));
	assert_int_equal(next, 102);
	assert_true(index_next(ix, (struct index_key){102, 5}, &next));
	assert_true(next == INDEX_NEVER);
	assert_true(index_put_off(ix, 1, 999, 4));
	assert_true(index_find(ix, 1, &r, &found) && found);
	assert_true(r.next_s == 999 && r.tries == 4);
	assert_true(index_list(ix, 4, rows, 10, &count));
	assert_int_equal(count, 2);
	assert_true(index_remove(ix, 4));
	assert_true(index_find(ix, 4, &r, &found));
	assert_false(found);
	index_close(&ix);
	ix = index_open("index.db"); /* it is there after an orderly end */
	assert_false(index_was_reset(ix));
	assert_true(index_find(ix, 5, &r, &found) && found);
	index_close(&ix);
}

static void test_held_rows_are_not_made_due(void **state)
{
	struct index *ix = open_new();
	struct index_row r = row(1, INDEX_NEVER, "");
	struct index_key none = {INT64_MIN, 0};
	size_t count;

	(void)state;
	r.held = 1;
	assert_true(index_put(ix, &r));
	put(ix, 2, 5000, "");
	assert_true(index_all_due(ix, 10));
	assert_true(index_due(ix, 10, none, &r, 1, &count));
	assert_int_equal(count, 1);
	assert_int_equal(r.id, 2);
	index_close(&ix);
}

/* The clock was ahead when they were written. */
static void test_times_that_no_rule_can_have_set(void **state)
{
	struct index *ix = open_new();
	struct index_row r = row(1, INDEX_NEVER, "");
	bool found;

	(void)state;
	r.held = 1;
	assert_true(index_put(ix, &r));
	r = row(2, 90000, "");
	r.held = 1; /* dropped after its time */
	assert_true(index_put(ix, &r));
	put(ix, 3, 90000, "");
	put(ix, 4, 5000, "");
	assert_true(index_mend_times(ix, 5000, 10));
	assert_true(index_find(ix, 1, &r, &found) && r.next_s == INDEX_NEVER);
	assert_true(index_find(ix, 2, &r, &found) && r.next_s == 90000);
	assert_true(index_find(ix, 3, &r, &found) && r.next_s == 10);
	assert_true(index_find(ix, 4, &r, &found) && r.next_s == 5000);
	index_close(&ix);
}

/* Each call said "yes"; the disk is asked only at the end. */
static void test_a_commit_that_fails_is_told(void **state)
{
	struct index *ix = open_new();
	struct rlimit before, none;
	struct index_row r;
	bool found, ok;

	(void)state;
	put(ix, 1, 100, "");
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	none = before;
	none.rlim_cur = 0;
	(void)signal(SIGXFSZ, SIG_IGN);
	index_begin(ix);
	put(ix, 2, 100, "");
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	ok = index_end(ix);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_false(ok);
	(void)index_find(ix, 2, &r, &found);
	assert_false(found);
	put(ix, 2, 100, "");
	index_close(&ix);
}

static void test_missing_and_buckets(void **state)
{
	struct index *ix = open_new();
	uint64_t ids[] = {1, 2, 3, 1024 + 1, 5}, got[8];
	size_t missing, count;

	(void)state;
	put(ix, 2, 1, "");
	put(ix, 1024 + 1, 1, "");
	put(ix, 2048 + 1, 1, "");
	assert_true(index_missing(ix, ids, 5, &missing));
	assert_int_equal(missing, 3);
	assert_true(ids[0] == 1 && ids[1] == 3 && ids[2] == 5);
	assert_true(index_bucket(ix, 1, got, 8, &count));
	assert_int_equal(count, 2);
	index_close(&ix);
}

/* Every quoting character is a character of the value, nothing else. */
static void test_no_value_is_sql(void **state)
{
	struct index *ix = open_new();
	struct index_row r = row(1, 5, "relay x'; DROP TABLE message; --"), back;
	size_t count;
	bool found;

	(void)state;
	(void)snprintf(r.sender, sizeof(r.sender), "<\"x'/**/UNION/**/SELECT/**/X'41'--\"@a.b>");
	(void)snprintf(r.recipient, sizeof(r.recipient), "a\\'\"`%%_;--@x");
	assert_true(index_put(ix, &r));
	assert_true(index_find(ix, 1, &back, &found) && found);
	assert_string_equal(back.sender, r.sender);
	assert_string_equal(back.recipient, r.recipient);
	assert_true(index_due_for(ix, r.destination, 10, &back, 1, &count));
	assert_int_equal(count, 1);
	index_close(&ix);
	printf("ROW E18 index-quoting pass\n");
}

static void spoil(const char *path, off_t at, size_t len)
{
	static const char noise[4096] = "this is not what was written here";
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	for (size_t done = 0; done < len; done += sizeof(noise))
		assert_true(pwrite(fd, noise, sizeof(noise), at + (off_t)done) > 0);
	(void)close(fd);
}

static void test_broken_is_begun_anew(void **state)
{
	struct index *ix;
	struct index_row r;
	struct stat st;
	bool found;

	(void)state;
	for (off_t at = 0; at < 20480; at += 4096) {
		ix = open_new();
		for (uint64_t i = 1; i <= 300; i++)
			put(ix, i, (int64_t)i, "relay a");
		index_close(&ix);
		spoil("index.db", at, 4096);
		ix = index_open("index.db");
		assert_non_null(ix);
		/* noticed at once or when used; from then on it works */
		for (uint64_t i = 1; i <= 300; i++)
			(void)index_find(ix, i, &r, &found);
		for (uint64_t i = 1; i <= 3; i++)
			(void)index_put(ix, &(struct index_row){.id = i});
		put(ix, 7, 1, "x");
		assert_true(index_find(ix, 7, &r, &found) && found);
		index_close(&ix);
	}
	assert_int_equal(stat("index.db.bad", &st), 0);
	printf("ROW E18 index-corrupt pass\n");
}

/* One byte of a key, on the page of one of the orders: no page is malformed, and SQLite says nothing. */
static void change_key(off_t page_at, const char *key, size_t len)
{
	char page[4096];
	int fd = open("index.db", O_RDWR | O_CLOEXEC);
	size_t at;

	assert_int_equal(pread(fd, page, sizeof(page), page_at), sizeof(page));
	at = slice_find(slice_make(page, sizeof(page)), slice_make(key, len));
	assert_true(at != SLICE_NONE);
	assert_int_equal(pwrite(fd, "\x7e", 1, page_at + (off_t)at), 1);
	(void)close(fd);
}

/* A row that is there, and that no sweep would come by. */
static void test_orders_that_differ(void **state)
{
	static const struct {
		off_t page_at;
		const char *key;
	} spoilt[] = {{8192, "\x44\x33\x22\x11"}, {12288, "\x44\x33\x22\x11"}, {12288, "relay b"}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(spoilt); i++) {
		struct index *ix = open_new();
		uint64_t ids[] = {1, 2, 3};
		size_t missing;

		put(ix, 1, 0x44332210, "relay a");
		put(ix, 2, 0x44332211, "relay b");
		put(ix, 3, 0x44332212, "relay c");
		assert_true(index_missing(ix, ids, 3, &missing));
		assert_int_equal(missing, 0);
		index_close(&ix);
		change_key(spoilt[i].page_at, spoilt[i].key, strlen(spoilt[i].key));
		ix = index_open("index.db");
		assert_false(index_was_reset(ix));
		assert_false(index_missing(ix, ids, 3, &missing));
		assert_true(slice_starts(slice_of(index_trouble(ix)), slice_of("index: a row is missing")));
		assert_true(index_was_reset(ix));
		assert_true(index_missing(ix, ids, 3, &missing));
		assert_int_equal(missing, 3);
		index_close(&ix);
	}
	printf("ROW C05 index-orders-differ pass\n");
}

/* ---- the crew ---- */

#define TASKS 2000u

struct count_task {
	struct crew_task task;
	uint64_t key;
	unsigned number;
};

static unsigned last_of_key[8], finished, out_of_order;

static void run_count(struct crew_task *task)
{
	struct count_task *t = (struct count_task *)(void *)task;

	/* of one key, one at a time and in order: else the sanitizer, or this, would see it */
	if (t->number != last_of_key[t->key] + 1)
		out_of_order++;
	last_of_key[t->key] = t->number;
}

static void on_count(struct crew_task *task)
{
	finished++;
	free(task);
}

static unsigned begun, ended;

static void begin_batch(void *arg)
{
	(void)arg;
	begun++;
}

static void end_batch(void *arg)
{
	(void)arg;
	ended++;
}

static void run_crew(unsigned threads, const struct crew_hooks *hooks)
{
	struct loop *loop = loop_new();
	struct crew *crew = crew_new(loop, threads, hooks);
	unsigned numbers[8] = {0};

	assert_non_null(crew);
	memset(last_of_key, 0, sizeof(last_of_key));
	finished = 0;
	for (unsigned i = 0; i < TASKS; i++) {
		struct count_task *t = mem_new(1, sizeof(*t));

		assert_non_null(t);
		t->task = (struct crew_task){NULL, NULL, run_count, on_count};
		t->key = i * 7 % 8;
		t->number = ++numbers[t->key];
		crew_give(crew, t->key, &t->task);
	}
	crew_wait(crew);
	assert_int_equal(finished, TASKS);
	assert_int_equal(crew_pending(crew), 0);
	assert_int_equal(out_of_order, 0);
	crew_free(&crew);
	loop_free(&loop);
}

/* Three that wait behind one: all are prepared before any is run. */
static sem_t taken, gate;
static unsigned prepared, run_after[3], runs;

static void run_wait(struct crew_task *task)
{
	(void)task;
	sem_post(&taken);
	while (sem_wait(&gate) == -1)
		;
}

static void prepare_one(struct crew_task *task)
{
	(void)task;
	prepared++;
}

static void run_one(struct crew_task *task)
{
	(void)task;
	run_after[runs++] = prepared;
}

static void on_nothing(struct crew_task *task)
{
	(void)task;
}

static void test_crew_prepares_what_waits_together(void **state)
{
	struct loop *loop = loop_new();
	struct crew *crew = crew_new(loop, 1, NULL);
	struct crew_task first = {NULL, NULL, run_wait, on_nothing}, others[3];

	(void)state;
	assert_non_null(crew);
	sem_init(&taken, 0, 0);
	sem_init(&gate, 0, 0);
	crew_give(crew, 0, &first);
	while (sem_wait(&taken) == -1)
		;
	for (unsigned i = 0; i < 3; i++) {
		others[i] = (struct crew_task){NULL, prepare_one, run_one, on_nothing};
		crew_give(crew, i + 1, &others[i]);
	}
	sem_post(&gate);
	crew_wait(crew);
	assert_int_equal(runs, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(run_after[i], 3);
	crew_free(&crew);
	loop_free(&loop);
}

static void test_crew(void **state)
{
	const struct crew_hooks hooks = {begin_batch, end_batch, NULL};

	(void)state;
	run_crew(4, NULL);
	run_crew(1, &hooks);
	assert_true(begun > 0 && begun == ended);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_held_rows_are_not_made_due),
		cmocka_unit_test(test_times_that_no_rule_can_have_set),
		cmocka_unit_test(test_a_commit_that_fails_is_told),
		cmocka_unit_test(test_missing_and_buckets),
		cmocka_unit_test(test_no_value_is_sql),
		cmocka_unit_test(test_broken_is_begun_anew),
		cmocka_unit_test(test_orders_that_differ),
		cmocka_unit_test(test_crew),
		cmocka_unit_test(test_crew_prepares_what_waits_together),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
