#include "quota.h"

#include "base/mem.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
/* cmocka wants the headers above first */
#include <cmocka.h>

#define LIMIT 1000000u

static char root[] = "/tmp/postern-quota-XXXXXX";
static int base_fd = -1;
static const struct quota_pending nothing = {0, 0};
static const struct quota_limit limit = {LIMIT, 0};

static int make_base(void **state)
{
	(void)state;
	if (mkdtemp(root) == NULL)
		return -1;
	base_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return base_fd < 0 ? -1 : 0;
}

static void remove_in(int folder, const char *const *names)
{
	for (; *names != NULL; names++)
		(void)unlinkat(folder, *names, 0);
}

static void make_maildir(const char *name)
{
	int fd;

	assert_int_equal(mkdirat(base_fd, name, 0700), 0);
	fd = openat(base_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(mkdirat(fd, "tmp", 0700) | mkdirat(fd, "new", 0700) | mkdirat(fd, "cur", 0700), 0);
	close(fd);
}

static void make_file(const char *path, const char *text)
{
	int fd = openat(base_fd, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

/* Names whose sizes together are more than a number holds: they are not believed (the sanitizers see what would overflow). */
static void test_names_of_any_size(void **state)
{
	char why[MAILDIR_TEXT_BYTES], path[128];

	(void)state;
	make_maildir("a");
	for (unsigned i = 0; i < 5; i++) {
		snprintf(path, sizeof(path), "a/cur/%u,S=2305843009213693950:2,", i);
		make_file(path, "x");
	}
	assert_int_equal(quota_take(base_fd, slice_of("a"), &limit, nothing, 600000, why), OC_DONE);
	assert_int_equal(quota_take(base_fd, slice_of("a"), &limit, nothing, LIMIT - 4, why), OC_MAILBOX_FULL); /* the files are 5 bytes */
}

static void test_file_of_any_sum(void **state)
{
	char why[MAILDIR_TEXT_BYTES];
	struct buf text = buf_make(8192);

	(void)state;
	make_maildir("b");
	buf_addf(&text, "%uS\n", LIMIT);
	for (unsigned i = 0; i < 100; i++)
		buf_add_text(&text, "2305843009213693951 2305843009213693951\n");
	make_file("b/maildirsize", buf_text(&text));
	buf_free(&text);
	assert_int_equal(quota_take(base_fd, slice_of("b"), &limit, nothing, 600000, why), OC_DONE);
}

/* What a batch has taken lies in tmp/: counting anew must not forget it. */
static void test_batch(void **state)
{
	const struct quota_pending pending = {600000, 1};
	char why[MAILDIR_TEXT_BYTES];

	(void)state;
	make_maildir("c");
	assert_int_equal(quota_take(base_fd, slice_of("c"), &limit, nothing, 600000, why), OC_DONE);
	assert_int_equal(quota_take(base_fd, slice_of("c"), &limit, pending, 600000, why), OC_MAILBOX_FULL);
	assert_int_equal(quota_take(base_fd, slice_of("c"), &limit, pending, 400000, why), OC_DONE);
}

/* Of messages, alone and beside bytes; and a limit that another program wrote into the file does not count as ours. */
static void test_messages(void **state)
{
	const struct quota_limit two = {0, 2}, both = {LIMIT, 3};
	char why[MAILDIR_TEXT_BYTES];

	(void)state;
	make_maildir("d");
	make_file("d/cur/1,S=10:2,S", "x");
	assert_int_equal(quota_take(base_fd, slice_of("d"), &two, nothing, 1, why), OC_DONE);
	assert_int_equal(quota_take(base_fd, slice_of("d"), &two, (struct quota_pending){1, 1}, 1, why), OC_MAILBOX_FULL);
	assert_string_equal(why, "2 of 2 messages are there");
	assert_int_equal(quota_take(base_fd, slice_of("d"), &both, (struct quota_pending){1, 1}, LIMIT, why), OC_MAILBOX_FULL);
	assert_string_equal(why, "11 of 1000000 bytes are used");
	assert_int_equal(quota_take(base_fd, slice_of("d"), &both, (struct quota_pending){1, 1}, 1, why), OC_DONE);
}

static int remove_base(void **state)
{
	static const char *const names[] = {"a/maildirsize", "b/maildirsize", "c/maildirsize", "d/maildirsize", "d/cur/1,S=10:2,S", "a/cur/0,S=2305843009213693950:2,",
					    "a/cur/1,S=2305843009213693950:2,", "a/cur/2,S=2305843009213693950:2,",
					    "a/cur/3,S=2305843009213693950:2,", "a/cur/4,S=2305843009213693950:2,", NULL};
	static const char *const folders[] = {"a/tmp", "a/new", "a/cur", "a", "b/tmp", "b/new", "b/cur", "b", "c/tmp", "c/new", "c/cur", "c", "d/tmp", "d/new", "d/cur", "d"};

	(void)state;
	remove_in(base_fd, names);
	for (size_t i = 0; i < ARRAY_LEN(folders); i++)
		(void)unlinkat(base_fd, folders[i], AT_REMOVEDIR);
	close(base_fd);
	return rmdir(root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_names_of_any_size), cmocka_unit_test(test_file_of_any_sum),
					   cmocka_unit_test(test_batch), cmocka_unit_test(test_messages)};

	return cmocka_run_group_tests(tests, make_base, remove_base);
}
