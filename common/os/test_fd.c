#include "os/fd.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void test_sealed_round_trip(void **state)
{
	struct slice content = slice_of("hostname mx1.example.org\n");
	struct buf out = buf_make(100);
	int fd = os_memfd_sealed("test", content);

	(void)state;
	assert_true(fd >= 0);
	assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
	assert_true(os_memfd_read(fd, 100, &out) && slice_eq(buf_slice(&out), content));
	/* and again: the shared offset does not move */
	buf_clear(&out);
	assert_true(os_memfd_read(fd, content.len, &out) && slice_eq(buf_slice(&out), content));
	buf_clear(&out);
	assert_false(os_memfd_read(fd, content.len - 1, &out));
	assert_int_equal(out.len, 0);
	assert_int_equal(write(fd, "x", 1), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(fd, 0), -1);
	buf_free(&out);
	close(fd);
}

static void test_empty_content(void **state)
{
	struct buf out = buf_make(100);
	int fd = os_memfd_sealed("test", slice_empty());

	(void)state;
	assert_true(os_memfd_read(fd, 100, &out));
	assert_int_equal(out.len, 0);
	close(fd);
}

/* What could still change while it is read is refused. */
static void test_unsealed_is_refused(void **state)
{
	struct buf out = buf_make(100);
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int pair[2];

	(void)state;
	assert_int_equal(write(fd, "abc", 3), 3);
	assert_false(os_memfd_read(fd, 100, &out));
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE), 0);
	assert_false(os_memfd_read(fd, 100, &out));
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL), 0);
	assert_true(os_memfd_read(fd, 100, &out));
	buf_free(&out);
	close(fd);
	assert_true(os_pipe(pair));
	assert_false(os_memfd_read(pair[0], 100, &out));
	assert_false(os_memfd_read(-1, 100, &out));
	os_close(&pair[0]);
	os_close(&pair[1]);
	assert_int_equal(pair[0], -1);
	os_close(&pair[0]);
}

/* L08: started with 0, 1 and 2 closed, the next files do not become them. */
static void test_stdio_is_filled(void **state)
{
	struct stat null, st;
	int status;
	pid_t child = fork();

	(void)state;
	if (child == 0) {
		close(0);
		close(1);
		close(2);
		close_range(3, ~0u, 0); /* whatever the caller of this test left open */
		if (!os_stdio_open() || stat("/dev/null", &null) == -1)
			_exit(1);
		for (int fd = 0; fd <= 2; fd++)
			if (fstat(fd, &st) == -1 || st.st_rdev != null.st_rdev || fcntl(fd, F_GETFD) != 0)
				_exit(2);
		_exit(fcntl(3, F_GETFD) == -1 ? 0 : 3);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	printf("ROW L08 stdio-closed pass\n");
}

/* Where the kernel has the option, a descriptor sent is refused. */
static void test_passrights(void **state)
{
	char byte = 'x', space[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space)};
	struct cmsghdr *head = CMSG_FIRSTHDR(&msg);
	int pair[2], passed = 0;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	if (os_passrights_off(pair[1])) {
		*head = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
		memcpy(CMSG_DATA(head), &passed, sizeof(passed));
		assert_int_equal(sendmsg(pair[0], &msg, MSG_DONTWAIT), -1);
		assert_int_equal(errno, EPERM);
		printf("ROW I03 passrights-off pass\n");
	}
	close(pair[0]);
	close(pair[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sealed_round_trip),   cmocka_unit_test(test_empty_content),
		cmocka_unit_test(test_unsealed_is_refused), cmocka_unit_test(test_stdio_is_filled),
		cmocka_unit_test(test_passrights),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
