#include "file_at/file_at.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the headers above first */
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static int start(void **state)
{
	static char name[] = "/tmp/test-file-at-XXXXXX";
	static int fd;

	snprintf(name, sizeof(name), "/tmp/test-file-at-XXXXXX");
	if (mkdtemp(name) == NULL)
		return -1;
	fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = &fd;
	return fd == -1 ? -1 : 0;
}

static void put(int folder, const char *name, const char *text)
{
	int fd = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static bool read_it(int fd, const char *path, size_t max, struct buf *out, struct file_at_mark *mark)
{
	struct file_at f;
	struct stat st;

	*out = buf_make(max);
	return file_at_init(&f, fd, slice_of(path)) && file_at_read(&f, out, &st, mark);
}

static void test_names(void **state)
{
	static const char *const bad[] = {"", "/", "a/", "a/..", ".", "/etc/."};
	struct file_at f;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (file_at_init(&f, 3, slice_of(bad[i])))
			fail_msg("\"%s\" is a name", bad[i]);
	assert_true(file_at_init(&f, 3, slice_of("/etc/postern/aliases")));
	assert_string_equal(f.name, "aliases");
}

static void test_reads_beneath_a_folder(void **state)
{
	int folder = *(int *)*state, direct;
	struct file_at_mark first, second;
	struct buf text;

	put(folder, "t", "one");
	assert_true(read_it(folder, "/x/t", 100, &text, &first));
	assert_true(slice_eq(buf_slice(&text), slice_of("one")));
	buf_free(&text);

	put(folder, "new", "two");
	assert_int_equal(renameat(folder, "new", folder, "t"), 0);
	assert_true(read_it(folder, "/x/t", 100, &text, &second));
	assert_true(slice_eq(buf_slice(&text), slice_of("two")));
	assert_false(file_at_mark_eq(&first, &second));
	buf_free(&text);

	direct = openat(folder, "t", O_RDONLY | O_CLOEXEC);
	assert_true(read_it(direct, "/x/t", 100, &text, &first));
	assert_true(slice_eq(buf_slice(&text), slice_of("two")));
	assert_true(file_at_mark_eq(&first, &second));
	buf_free(&text);
	close(direct);
}

static void test_refuses(void **state)
{
	int folder = *(int *)*state;
	struct file_at_mark mark;
	struct buf text;

	put(folder, "big", "0123456789");
	assert_false(read_it(folder, "big", 10, &text, &mark));
	assert_int_equal(errno, EFBIG);
	buf_free(&text);
	assert_false(read_it(-1, "big", 100, &text, &mark));
	assert_int_equal(errno, EBADF);
	assert_false(read_it(folder, "absent", 100, &text, &mark));
	assert_int_equal(errno, ENOENT);

	assert_int_equal(symlinkat("big", folder, "link"), 0);
	assert_false(read_it(folder, "link", 100, &text, &mark));
	assert_int_equal(errno, ELOOP);
	assert_int_equal(mkfifoat(folder, "fifo", 0600), 0);
	assert_false(read_it(folder, "fifo", 100, &text, &mark));
	assert_int_equal(errno, EINVAL);
	assert_int_equal(mkdirat(folder, "sub", 0700), 0);
	assert_false(read_it(folder, "sub", 100, &text, &mark));
	assert_int_equal(errno, EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_reads_beneath_a_folder),
		cmocka_unit_test(test_refuses),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
