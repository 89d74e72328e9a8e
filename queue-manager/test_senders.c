/* Who has sent: bounds, how long, one spelling for all, and what a database that is not whole makes of it. */
#include "senders.h"

#include "base/mem.h"
#include "test.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define DAY 86400
#define START (20000ll * DAY + 5)
#define KEPT (30ll * DAY)

static char folder[64];

static int make_folder(void **state)
{
	(void)state;
	(void)snprintf(folder, sizeof(folder), "/tmp/postern-senders-XXXXXX");
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

static struct senders_terms at(int64_t now_s)
{
	return (struct senders_terms){"+", KEPT, now_s};
}

static struct senders *open_new(uint64_t max)
{
	struct senders *s = NULL;

	senders_remove(&s, "senders.db");
	s = senders_open("senders.db", max);
	assert_non_null(s);
	return s;
}

static void note(struct senders *s, const char *key, int64_t now_s)
{
	struct senders_terms terms = at(now_s);

	assert_true(senders_note(s, key, &terms));
	assert_true(senders_end(s));
}

static enum senders_answer find(struct senders *s, const char *key, int64_t now_s)
{
	struct senders_terms terms = at(now_s);
	enum senders_answer answer;

	assert_true(senders_find(s, key, &terms, &answer));
	assert_true(senders_end(s));
	return answer;
}

static void test_a_young_one_knows_no_no(void **state)
{
	struct senders *s = open_new(100);

	(void)state;
	note(s, "a@x.test", START);
	assert_true(senders_was_reset(s));
	assert_false(senders_was_reset(s));
	assert_int_equal(find(s, "a@x.test", START), SENDERS_YES);
	assert_int_equal(find(s, "b@x.test", START), SENDERS_UNKNOWN);
	assert_int_equal(find(s, "b@x.test", START + KEPT - 1), SENDERS_UNKNOWN);
	assert_int_equal(find(s, "b@x.test", START + KEPT), SENDERS_NO);
	senders_close(&s);
	s = senders_open("senders.db", 100);
	assert_int_equal(find(s, "a@x.test", START), SENDERS_YES);
	assert_int_equal(find(s, "b@x.test", START + KEPT), SENDERS_NO);
	assert_false(senders_was_reset(s));
	senders_close(&s);
}

static void test_how_long_an_address_counts(void **state)
{
	struct senders *s = open_new(100);

	(void)state;
	note(s, "a@x.test", START);
	note(s, "b@x.test", START);
	note(s, "b@x.test", START + 20 * DAY);
	assert_int_equal(find(s, "a@x.test", START + KEPT), SENDERS_YES); /* to the end of that day */
	assert_int_equal(find(s, "a@x.test", START + KEPT + DAY), SENDERS_NO);
	assert_int_equal(find(s, "b@x.test", START + KEPT + DAY), SENDERS_YES);
	assert_int_equal(find(s, "b@x.test", START + 20 * DAY + KEPT + DAY), SENDERS_NO);
	/* a is removed by the next note; who never was there is as unknown as before, and no more */
	note(s, "c@x.test", START + KEPT + 2 * DAY);
	assert_int_equal(find(s, "a@x.test", START + KEPT + 2 * DAY), SENDERS_NO);
	senders_close(&s);
}

/* With a longer time than the one that it was forgotten by, nothing is known of it. */
static void test_what_was_forgotten_is_not_denied(void **state)
{
	struct senders_terms longer = {"+", 2 * KEPT, START + KEPT + 35 * DAY};
	struct senders *s = open_new(100);
	enum senders_answer answer;

	(void)state;
	note(s, "first@x.test", START);
	note(s, "a@x.test", START + 10 * DAY);
	for (int i = 0; i < 3; i++)
		note(s, "b@x.test", START + 12 * DAY + KEPT + i * DAY);
	assert_true(senders_find(s, "a@x.test", &longer, &answer));
	assert_int_equal(answer, SENDERS_UNKNOWN);
	senders_close(&s);
}

static void test_the_oldest_make_room(void **state)
{
	struct senders *s = open_new(250);
	int64_t later = START + 5 * DAY;
	char key[40];

	(void)state;
	for (int i = 0; i < 250; i++) {
		(void)snprintf(key, sizeof(key), "u%d@x.test", i);
		note(s, key, i < 100 ? START : later);
	}
	assert_int_equal(find(s, "u0@x.test", later), SENDERS_YES);
	note(s, "one-more@x.test", later);
	assert_int_equal(find(s, "one-more@x.test", later), SENDERS_YES);
	assert_int_equal(find(s, "u100@x.test", later), SENDERS_YES);
	/* those of the first day went, and whether somebody was one of them is not known until it does not matter */
	assert_int_equal(find(s, "u0@x.test", START + KEPT), SENDERS_UNKNOWN);
	assert_int_equal(find(s, "u0@x.test", START + KEPT + DAY), SENDERS_NO);
	senders_close(&s);
}

static void test_one_spelling(void **state)
{
	static const struct {
		const char *sub_address, *address, *key;
	} rows[] = {
		{"+", "Alice+Tag@Example.ORG", "alice@example.org"}, {"", "Alice+Tag@Example.ORG", "alice+tag@example.org"},
		{"-+", "a-b+c@x.test", "a@x.test"},		       {"+", "\"a b\"@x.test", "\"a b\"@x.test"},
		{"+", "a@b\xc3\xbc" "cher.test", "a@xn--bcher-kva.test"},
	};
	char key[MAIL_ADDRESS_MAX + 1];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_true(senders_key(rows[i].sub_address, slice_of(rows[i].address), key));
		assert_string_equal(key, rows[i].key);
	}
	assert_false(senders_key("+", slice_of(""), key));
	assert_false(senders_key("+", slice_of("no address"), key));
}

/* What was noted before was cut in another way. */
static void test_another_separator(void **state)
{
	struct senders_terms minus = {"-", KEPT, START + KEPT};
	struct senders *s = open_new(100);
	enum senders_answer answer;

	(void)state;
	note(s, "a@x.test", START);
	assert_true(senders_find(s, "b@x.test", &minus, &answer));
	assert_int_equal(answer, SENDERS_UNKNOWN);
	assert_true(senders_find(s, "a@x.test", &minus, &answer));
	assert_int_equal(answer, SENDERS_YES);
	senders_close(&s);
}

static void test_a_clock_that_was_ahead(void **state)
{
	struct senders *s = open_new(100);

	(void)state;
	note(s, "a@x.test", START + 3650 * DAY);
	assert_int_equal(find(s, "b@x.test", START), SENDERS_UNKNOWN);
	assert_int_equal(find(s, "b@x.test", START + KEPT), SENDERS_NO);
	senders_close(&s);
}

static void spoil(const char *name)
{
	char noise[4096];
	int fd = open(name, O_RDWR | O_CLOEXEC);
	struct stat st;

	memset(noise, 0x5a, sizeof(noise));
	assert_true(fd != -1 && fstat(fd, &st) == 0);
	for (off_t at_byte = 0; at_byte < st.st_size; at_byte += (off_t)sizeof(noise))
		assert_int_equal(pwrite(fd, noise, sizeof(noise), at_byte), (ssize_t)sizeof(noise));
	(void)close(fd);
}

static void test_a_broken_one_is_begun_anew_and_denies_nobody(void **state)
{
	struct senders *s = open_new(100);
	struct stat st;

	(void)state;
	note(s, "a@x.test", START);
	senders_close(&s);
	spoil("senders.db");
	s = senders_open("senders.db", 100);
	assert_int_equal(find(s, "a@x.test", START + KEPT), SENDERS_UNKNOWN);
	assert_int_equal(find(s, "b@x.test", START + KEPT), SENDERS_UNKNOWN);
	assert_true(senders_was_reset(s));
	assert_int_equal(stat("senders.db.bad", &st), 0);
	assert_int_equal(find(s, "b@x.test", START + 2 * KEPT), SENDERS_NO);
	senders_close(&s);
}

/* It cannot be opened at all: unknown, and what was to be noted makes "unknown" of "no" once it can. */
static void test_one_that_cannot_be_written(void **state)
{
	struct senders_terms terms = at(START + KEPT);
	struct senders *s = open_new(100);
	enum senders_answer answer;

	(void)state;
	note(s, "a@x.test", START);
	senders_close(&s);
	assert_int_equal(rename("senders.db", "kept.db"), 0);
	assert_int_equal(mkdir("senders.db", 0700), 0);
	(void)unlink("senders.db.bad");
	assert_int_equal(mkdir("senders.db.bad", 0700), 0);
	assert_int_equal(mkdir("senders.db.bad/full", 0700), 0); /* it cannot be set aside either */
	s = senders_open("senders.db", 100);
	assert_false(senders_note(s, "c@x.test", &terms));
	assert_true(senders_trouble(s)[0] != '\0');
	(void)senders_end(s);
	assert_false(senders_find(s, "a@x.test", &terms, &answer));
	assert_int_equal(answer, SENDERS_UNKNOWN);
	assert_int_equal(rmdir("senders.db"), 0);
	assert_int_equal(rename("kept.db", "senders.db"), 0);
	assert_int_equal(find(s, "a@x.test", START + KEPT), SENDERS_YES);
	assert_int_equal(find(s, "b@x.test", START + KEPT), SENDERS_UNKNOWN);
	assert_int_equal(find(s, "b@x.test", START + 2 * KEPT), SENDERS_NO);
	senders_close(&s);
}

static void test_none_is_left(void **state)
{
	struct senders *s = open_new(100);
	struct stat st;

	(void)state;
	note(s, "a@x.test", START);
	senders_remove(&s, "senders.db");
	assert_null(s);
	assert_int_equal(stat("senders.db", &st), -1);
	assert_int_equal(stat("senders.db-wal", &st), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_young_one_knows_no_no),
		cmocka_unit_test(test_how_long_an_address_counts),
		cmocka_unit_test(test_what_was_forgotten_is_not_denied),
		cmocka_unit_test(test_the_oldest_make_room),
		cmocka_unit_test(test_one_spelling),
		cmocka_unit_test(test_another_separator),
		cmocka_unit_test(test_a_clock_that_was_ahead),
		cmocka_unit_test(test_a_broken_one_is_begun_anew_and_denies_nobody),
		cmocka_unit_test(test_one_that_cannot_be_written),
		cmocka_unit_test(test_none_is_left),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
