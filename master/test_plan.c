#include "plan.h"

#include "base/mem.h"
#include "listen.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct slice text(const char *s)
{
	return slice_of(s);
}

static void test_what_the_reader_says(void **state)
{
	struct plan *p = plan_new(7);

	(void)state;
	assert_false(plan_is_whole(p));
	assert_true(plan_set(p, text("spool"), text("/s")) && plan_set(p, text("runtime"), text("/r")) &&
		    plan_set(p, text("user_prefix"), text("postern")) && plan_set(p, text("log_level"), text("warn")) &&
		    plan_set(p, text("smtpd_workers"), text("2")) &&
		    plan_set(p, text("relay_workers"), text("3")) && plan_set(p, text("spool"), text("/t")));
	assert_false(plan_is_whole(p));
	p->bundle_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_true(plan_is_whole(p));
	assert_string_equal(p->spool, "/t");
	assert_int_equal(p->relay_workers, 3);
	assert_true(plan_set(p, text("not_ours"), text("x")));
	assert_false(plan_set(p, text("smtpd_workers"), text("-1")));
	assert_false(plan_set(p, text("spool"), slice_make("a\0b", 3)));
	plan_free(&p);
	assert_null(p);
}

static void test_bounds(void **state)
{
	struct plan *p = plan_new(1);
	char name[300];

	(void)state;
	assert_false(plan_add_path(p, 1, 0, text("relative")));
	assert_false(plan_add_path(p, 1, 2, text("/kind")));
	assert_false(plan_add_path(p, 1, 0, text("")));
	for (unsigned i = 0; i < PLAN_PATHS_MAX; i++)
		assert_true(plan_add_path(p, 1, 0, text("/a")));
	assert_false(plan_add_path(p, 1, 0, text("/a")));
	memset(name, 'x', sizeof(name));
	assert_false(plan_add_listener(p, 0, 0, text("::1"), text("n")));
	assert_false(plan_add_listener(p, 0, 65536, text("::1"), text("n")));
	assert_false(plan_add_listener(p, 0, 25, text("::1"), slice_make(name, sizeof(name))));
	assert_false(plan_add_listener(p, 0, 25, slice_make(name, 66), text("n")));
	for (unsigned i = 0; i < PLAN_LISTENERS_MAX; i++)
		assert_true(plan_add_listener(p, i, 25, text("::1"), text("n")));
	assert_false(plan_add_listener(p, 0, 25, text("::1"), text("n")));
	plan_free(&p);
}

static void test_paths_are_opened(void **state)
{
	struct plan *p = plan_new(1);
	struct buf why = buf_make(1000);
	struct stat st;

	(void)state;
	assert_true(plan_add_path(p, 1, PATH_FILE, text("/etc/passwd")) && plan_add_path(p, 1, PATH_FOLDER_OF, text("/etc/nothing")) &&
		    plan_add_path(p, 1, PATH_FOLDER_OF, text("/top")));
	assert_true(plan_open_paths(p, &why));
	assert_true(fstat(p->paths[0].fd, &st) == 0 && S_ISREG(st.st_mode));
	assert_true(fstat(p->paths[1].fd, &st) == 0 && S_ISDIR(st.st_mode));
	assert_true(fstat(p->paths[2].fd, &st) == 0 && S_ISDIR(st.st_mode));
	plan_free(&p);
	p = plan_new(2);
	assert_true(plan_add_path(p, 1, PATH_FILE, text("/no/such/a")) && plan_add_path(p, 1, PATH_FILE, text("/no/such/b")));
	assert_false(plan_open_paths(p, &why));
	/* both are named, not only the first */
	assert_non_null(strstr(buf_text(&why), "/no/such/a"));
	assert_non_null(strstr(buf_text(&why), "/no/such/b"));
	buf_free(&why);
	plan_free(&p);
}

static void test_new_folders(void **state)
{
	static const struct {
		const char *old, *next;
		bool is_new;
	} cases[] = {
		{"/etc/postern/a", "/etc/postern/b", false}, {"/etc/postern/a", "/etc/a", true},
		{"/etc/postern/a", "/etc/posters/a", true},  {"/a", "/b", false},
		{"/a", "/a/b", true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct plan *old = plan_new(1), *next = plan_new(2);

		assert_true(plan_add_path(old, 1u << ROLE_POLICYD, PATH_FOLDER_OF, text(cases[i].old)));
		assert_true(plan_add_path(next, 1u << ROLE_POLICYD, PATH_FOLDER_OF, text(cases[i].next)));
		assert_int_equal(plan_needs_new_process(next, old, ROLE_POLICYD), cases[i].is_new);
		assert_false(plan_needs_new_process(next, old, ROLE_AUTHD));
		assert_true(plan_set(next, slice_of("authd_start"), slice_of("postern")));
		assert_true(plan_needs_new_process(next, old, ROLE_AUTHD));
		assert_false(plan_needs_new_process(next, old, ROLE_KEYD));
		assert_true(plan_set(old, slice_of("authd_start"), slice_of("postern")));
		assert_false(plan_needs_new_process(next, old, ROLE_AUTHD));
		plan_free(&old);
		plan_free(&next);
	}
}

static uint16_t port_of(int fd)
{
	struct sockaddr_in at;
	socklen_t len = sizeof(at);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	return ntohs(at.sin_port);
}

/* A port that is free: asked from the kernel, then given back. */
static uint16_t free_port(void)
{
	struct buf why = buf_make(500);
	int fd = listen_tcp("127.0.0.1", 0, &why);
	uint16_t port = port_of(fd);

	close(fd);
	buf_free(&why);
	return port;
}

static void test_listeners(void **state)
{
	struct plan *old = plan_new(1), *next = plan_new(2), *taken = plan_new(3);
	struct buf why = buf_make(1000);
	uint16_t port = free_port();
	struct stat a, b;

	(void)state;
	assert_true(plan_add_listener(old, 0, port, text("127.0.0.1"), text("one")));
	assert_true(plan_bind(old, NULL, &why));
	assert_int_equal(port_of(old->listeners[0].fds[0]), port);
	/* the same address in the next generation is the same socket: nobody is refused meanwhile */
	assert_true(plan_add_listener(next, 3, port, text("127.0.0.1"), text("two")));
	assert_true(plan_bind(next, old, &why));
	assert_true(fstat(old->listeners[0].fds[0], &a) == 0 && fstat(next->listeners[0].fds[0], &b) == 0);
	assert_int_equal(a.st_ino, b.st_ino);
	plan_free(&old);
	/* taken: said with what to do */
	assert_true(plan_add_listener(taken, 0, port, text("127.0.0.1"), text("x")));
	assert_true(plan_add_listener(taken, 1, port, text("not-an-address"), text("y")));
	assert_false(plan_bind(taken, NULL, &why));
	assert_non_null(strstr(buf_text(&why), "another program has this port"));
	assert_non_null(strstr(buf_text(&why), "not-an-address"));
	plan_free(&next);
	plan_free(&taken);
	buf_free(&why);
}

static void test_every_address(void **state)
{
	struct buf why = buf_make(1000);
	int fds[2];

	(void)state;
	assert_true(listen_tcp_any(free_port(), fds, &why));
	assert_true(fds[0] >= 0);
	if (fds[1] >= 0) {
		int only = 0;
		socklen_t len = sizeof(only);

		assert_int_equal(getsockopt(fds[1], IPPROTO_IPV6, IPV6_V6ONLY, &only, &len), 0);
		assert_int_equal(only, 1);
		close(fds[1]);
	}
	close(fds[0]);
	buf_free(&why);
}

static void test_named_sockets(void **state)
{
	char folder[] = "/tmp/postern-plan-XXXXXX";
	struct buf why = buf_make(1000);
	struct stat st;
	int dir, fd;

	(void)state;
	assert_non_null(mkdtemp(folder));
	dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < 2; i++) { /* the second replaces what the first left */
		fd = listen_unix(dir, folder, "control", SOCK_SEQPACKET, 0600, &why);
		assert_true(fd >= 0);
		assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0 && (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
		close(fd);
	}
	assert_int_equal(fstatat(dir, "control", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(st.st_mode, S_IFSOCK | 0600);
	fd = listen_unix(dir, folder, "submission", SOCK_STREAM, 0666, &why);
	assert_int_equal(fstatat(dir, "submission", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(st.st_mode, S_IFSOCK | 0666);
	close(fd);
	unlinkat(dir, "control", 0);
	unlinkat(dir, "submission", 0);
	close(dir);
	rmdir(folder);
	buf_free(&why);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_the_reader_says), cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_paths_are_opened),     cmocka_unit_test(test_new_folders),
		cmocka_unit_test(test_listeners),	     cmocka_unit_test(test_every_address),
		cmocka_unit_test(test_named_sockets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
