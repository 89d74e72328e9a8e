#include "mbox.h"

#include "base/mem.h"
#include "maildir.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char root[] = "/tmp/postern-mbox-XXXXXX";
static int base_fd = -1;

/* ---- the lock, as others see it ---- */

static unsigned looks; /* how often the lock is found held by who looks at it */
static bool was_held;
static int lock_fd = -1; /* of it; what it says is read when it is gone */

int __real_fcntl(int fd, int cmd, ...);
int __wrap_fcntl(int fd, int cmd, ...);

static bool is_lock(int fd)
{
	struct stat st, named;

	return fstat(fd, &st) == 0 && fstatat(base_fd, "bob.lock", &named, 0) == 0 && st.st_ino == named.st_ino;
}

static int lock_of(int fd, int cmd, void *arg)
{
	int rc;

	if (!is_lock(fd))
		return __real_fcntl(fd, cmd, arg);
	if (lock_fd == -1)
		lock_fd = openat(base_fd, "bob.lock", O_RDONLY | O_CLOEXEC);
	if (looks > 0) {
		looks--;
		errno = EAGAIN;
		return -1;
	}
	rc = __real_fcntl(fd, cmd, arg);
	was_held = rc == 0;
	return rc;
}

int __wrap_fcntl(int fd, int cmd, ...)
{
	va_list list;
	void *arg;

	va_start(list, cmd);
	arg = va_arg(list, void *);
	va_end(list);
	return cmd == F_OFD_SETLK ? lock_of(fd, cmd, arg) : __real_fcntl(fd, cmd, arg);
}

/* ---- deliveries ---- */

static enum outcome deliver(void)
{
	static const char body[] = "Subject: hello\r\n\r\nfirst\r\n";
	const struct mbox box = {.base_fd = base_fd, .path = slice_of("bob"), .sender = slice_of("a@x.test"), .now_s = 1};
	struct maildir_message m = {.fd = memfd_create("message", MFD_CLOEXEC),
				    .length = sizeof(body) - 1,
				    .id = 42,
				    .address = slice_of("bob@x.test"),
				    .prepend = slice_empty(),
				    .host = slice_of("mx.x.test")};
	char text[MAILDIR_TEXT_BYTES] = "";
	enum outcome outcome;

	assert_true(m.fd >= 0 && write(m.fd, body, m.length) == (ssize_t)m.length);
	outcome = mbox_deliver(&box, &m, text);
	close(m.fd);
	return outcome;
}

/* Only a lock that its maker holds says whose it is: any other would be taken away from him while he writes. */
static void test_a_lock_that_somebody_looks_at(void **state)
{
	static const struct {
		unsigned looks;
		bool held;
	} rows[] = {{0, true}, {1, true}, {1000, false}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char said[512] = "";

		looks = rows[i].looks;
		was_held = false;
		assert_int_equal(deliver(), OC_DONE);
		assert_int_equal(was_held, rows[i].held);
		assert_true(lock_fd >= 0 && pread(lock_fd, said, sizeof(said) - 1, 0) >= 0);
		assert_int_equal(strncmp(said, "postern\n", 8) == 0, rows[i].held);
		assert_true(rows[i].held || said[0] == '\0');
		assert_int_equal(faccessat(base_fd, "bob.lock", F_OK, 0), -1);
		close(lock_fd);
		lock_fd = -1;
	}
}

static int set_up(void **state)
{
	(void)state;
	if (mkdtemp(root) == NULL)
		return -1;
	base_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return base_fd >= 0 ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	(void)unlinkat(base_fd, "bob", 0);
	close(base_fd);
	return rmdir(root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_lock_that_somebody_looks_at)};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
