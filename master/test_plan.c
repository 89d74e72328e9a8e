#include "plan.h"

#include "base/mem.h"
#include "listen.h"
#include "os/fd.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
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

static bool add_path(struct plan *p, uint32_t roles, uint64_t kind, struct slice path)
{
	return plan_add_path(p, &(struct msg_CONF_PATH){roles, CONF_EACH_INSTANCE, kind, path});
}

static const struct msg_CONF_SETTINGS settings = {
	.spool = {"/s", 2},
	.runtime = {"/r", 2},
	.user_prefix = {"postern", 7},
	.host = {"mx.example.test", 15},
	.require = {"", 0},
	.log_level = LEVEL_WARN,
	.smtpd_workers = 2,
	.relay_workers = 3,
	.session_timeout_ms = 60000,
};

static void test_what_the_reader_says(void **state)
{
	struct plan *p = plan_new(7);

	(void)state;
	assert_false(plan_is_whole(p));
	assert_true(plan_set(p, &settings));
	assert_false(plan_is_whole(p));
	p->bundle_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_true(plan_is_whole(p));
	assert_string_equal(p->spool, "/s");
	assert_int_equal(p->relay_workers, 3);
	assert_int_equal(p->log_level, LEVEL_WARN);
	assert_false(plan_set(p, &settings)); /* once */
	plan_free(&p);
	assert_null(p);
}

static void test_mad_settings(void **state)
{
	struct msg_CONF_SETTINGS mad[] = {settings, settings, settings};

	(void)state;
	mad[0].log_level = LEVEL_ERROR + 1;
	mad[1].smtpd_workers = UINT64_MAX;
	mad[2].spool = slice_make("a\0b", 3);
	for (size_t i = 0; i < ARRAY_LEN(mad); i++) {
		struct plan *p = plan_new(7);

		assert_false(plan_set(p, &mad[i]));
		plan_free(&p);
	}
}

static void say_fact(struct plan *p, enum role role, const char *words)
{
	assert_true(plan_add_cage_fact(p, &(struct msg_CONF_CAGE_FACT){role, text("fact"), 7, text(words)}));
}

/* They are kept as records, for CAGE; who is bound to what it began with takes another process. */
static void test_cage_facts(void **state)
{
	struct plan *p = plan_new(1);
	char big[4000];
	struct rec_cage_fact fact;
	struct slice rest;

	(void)state;
	say_fact(p, ROLE_LOG, "syslog");
	rest = buf_slice(&p->cage_facts[ROLE_LOG]);
	assert_true(rec_cage_fact_next(&rest, &fact) && rest.len == 0 && fact.number == 7 && slice_eq(fact.text, text("syslog")));
	assert_int_equal(p->cage_facts[ROLE_GATE].len, 0);
	memset(big, 'x', sizeof(big));
	assert_false(plan_add_cage_fact(p, &(struct msg_CONF_CAGE_FACT){ROLE_COUNT, text("n"), 0, text("")}));
	for (int i = 0; i < 2; i++)
		assert_true(plan_add_cage_fact(p, &(struct msg_CONF_CAGE_FACT){ROLE_GATE, text("n"), 0, slice_make(big, sizeof(big))}));
	assert_false(plan_add_cage_fact(p, &(struct msg_CONF_CAGE_FACT){ROLE_GATE, text("n"), 0, slice_make(big, sizeof(big))}));
	plan_free(&p);
}

static void test_deliveries(void **state)
{
	const struct msg_CONF_DELIVERY m = {slice_make("a\0record", 8)};
	struct plan *p = plan_new(1);

	(void)state;
	for (unsigned i = 0; i < PLAN_DELIVERIES_MAX; i++)
		assert_true(plan_add_delivery(p, &m));
	assert_false(plan_add_delivery(p, &m));
	assert_int_equal(p->deliveries[0].len, 8);
	assert_memory_equal(p->deliveries[0].record, "a\0record", 8);
	plan_free(&p);
}

static void test_bounds(void **state)
{
	struct plan *p = plan_new(1);
	char name[300];

	(void)state;
	assert_false(add_path(p, 1, 0, text("relative")));
	assert_false(add_path(p, 1, 3, text("/kind")));
	assert_false(add_path(p, 1, 0, text("")));
	for (unsigned i = 0; i < PLAN_PATHS_MAX; i++)
		assert_true(add_path(p, 1, 0, text("/a")));
	assert_false(add_path(p, 1, 0, text("/a")));
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
	assert_true(add_path(p, 1, PATH_FILE, text("/etc/passwd")) && add_path(p, 1, PATH_FOLDER_OF, text("/etc/nothing")) &&
		    add_path(p, 1, PATH_FOLDER_OF, text("/top")));
	assert_true(plan_open_paths(p, &why));
	assert_true(fstat(p->paths[0].fd, &st) == 0 && S_ISREG(st.st_mode));
	assert_true(fstat(p->paths[1].fd, &st) == 0 && S_ISDIR(st.st_mode));
	assert_true(fstat(p->paths[2].fd, &st) == 0 && S_ISDIR(st.st_mode));
	plan_free(&p);
	p = plan_new(2);
	assert_true(add_path(p, 1, PATH_FILE, text("/no/such/a")) && add_path(p, 1, PATH_FILE, text("/no/such/b")));
	assert_false(plan_open_paths(p, &why));
	/* both are named, not only the first */
	assert_non_null(strstr(buf_text(&why), "/no/such/a"));
	assert_non_null(strstr(buf_text(&why), "/no/such/b"));
	buf_free(&why);
	plan_free(&p);
}

/* ---- copies ---- */

static void write_file(const char *path, const char *content)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_true(fputs(content, f) >= 0 && fclose(f) == 0);
}

static void assert_holds(int fd, const char *content)
{
	struct buf got = buf_make(1000);

	assert_true(os_memfd_read(fd, 1000, &got)); /* sealed, too */
	assert_string_equal(buf_text(&got), content);
	buf_free(&got);
}

static struct plan *plan_of_copies(const char *a, const char *b)
{
	struct plan *p = plan_new(1);

	assert_true(plan_set(p, &settings) && plan_add_delivery(p, &(struct msg_CONF_DELIVERY){text("record")}));
	p->bundle_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_true(add_path(p, 1u << ROLE_KEYD | 1u << ROLE_LOOKUP, PATH_COPY, text(a)) && add_path(p, 1, PATH_FILE, text("/etc/passwd")) &&
		    add_path(p, 1u << ROLE_KEYD, PATH_COPY, text(b)));
	assert_true(plan_add_listener(p, 0, 25, text("::1"), text("n")));
	return p;
}

/* A generation keeps what its files held; the next one of the same configuration has what they hold then. */
static void test_copies(void **state)
{
	char folder[] = "/tmp/test_plan.XXXXXX", a[64], b[64], fresh[64];
	struct buf why = buf_make(1000);
	struct plan *p, *next;
	uint64_t mark;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(a, sizeof(a), "%s/a", folder);
	snprintf(b, sizeof(b), "%s/b", folder);
	snprintf(fresh, sizeof(fresh), "%s/new", folder);
	write_file(a, "first");
	write_file(b, "");
	p = plan_of_copies(a, b);
	assert_true(plan_open_paths(p, &why));
	assert_int_equal(plan_files_mark(p), p->files_mark);
	/* written over in place, and replaced */
	write_file(a, "second, and longer");
	write_file(fresh, "other");
	assert_int_equal(rename(fresh, b), 0);
	mark = plan_files_mark(p);
	assert_int_not_equal(mark, p->files_mark);
	assert_holds(p->paths[0].fd, "first");
	assert_holds(p->paths[2].fd, "");
	next = plan_again(p, 2);
	assert_non_null(next);
	assert_true(plan_open_paths(next, &why));
	assert_int_equal(next->files_mark, mark);
	assert_holds(next->paths[0].fd, "second, and longer");
	assert_holds(next->paths[2].fd, "other");
	/* keyd is handed them; lookup's children have read theirs, and cannot be */
	assert_false(plan_needs_new_process(next, p, ROLE_KEYD));
	assert_true(plan_needs_new_process(next, p, ROLE_LOOKUP));
	assert_false(plan_needs_new_process(next, next, ROLE_LOOKUP));
	assert_int_equal(next->listener_count, 1);
	assert_string_equal(next->spool, "/s");
	assert_int_equal(next->session_timeout_ms, 60000);
	plan_free(&p);
	plan_free(&next);
	/* gone: another mark, and no plan */
	p = plan_of_copies(a, b);
	assert_true(plan_open_paths(p, &why));
	unlink(a);
	assert_int_not_equal(plan_files_mark(p), p->files_mark);
	next = plan_again(p, 2);
	assert_false(plan_open_paths(next, &why));
	assert_non_null(strstr(buf_text(&why), a));
	plan_free(&p);
	plan_free(&next);
	unlink(b);
	rmdir(folder);
	buf_free(&why);
}

/* A generation of renewed files starts no process anew: not those that read what cannot be handed to them later. */
static void test_again_is_for_who_runs(void **state)
{
	struct plan *p = plan_of_copies("/etc/passwd", "/etc/group"), *next;

	(void)state;
	say_fact(p, ROLE_AUTHD, "postern");
	say_fact(p, ROLE_LOOKUP, "ldap { }");
	next = plan_again(p, 2);
	assert_non_null(next);
	for (enum role role = 0; role < ROLE_COUNT; role++)
		assert_false(plan_needs_new_process(next, p, role));
	assert_int_equal(next->delivery_count, 1);
	assert_memory_equal(next->deliveries[0].record, "record", 6);
	assert_string_equal(next->host, "mx.example.test");
	plan_free(&p);
	plan_free(&next);
}

/* What is no file, or too much of one, is no copy. */
static void test_what_is_no_copy(void **state)
{
	char folder[] = "/tmp/test_plan.XXXXXX", a[64];
	struct buf why = buf_make(1000);
	struct plan *p;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(a, sizeof(a), "%s/a", folder);
	assert_int_equal(mkfifo(a, 0600), 0);
	p = plan_of_copies(a, "/etc/passwd");
	assert_false(plan_open_paths(p, &why));
	plan_free(&p);
	unlink(a);
	write_file(a, "");
	assert_int_equal(truncate(a, PLAN_COPY_MAX + 1), 0);
	p = plan_of_copies(a, "/etc/passwd");
	assert_false(plan_open_paths(p, &why));
	assert_non_null(strstr(buf_text(&why), "too large"));
	plan_free(&p);
	assert_int_equal(truncate(a, PLAN_COPY_MAX), 0);
	p = plan_of_copies(a, "/etc/passwd");
	assert_true(plan_open_paths(p, &why));
	plan_free(&p);
	unlink(a);
	rmdir(folder);
	buf_free(&why);
}

/* A file of one instance of a role is for no other one. */
static void test_paths_of_an_instance(void **state)
{
	struct plan *p = plan_new(1);

	(void)state;
	assert_true(plan_add_path(p, &(struct msg_CONF_PATH){1u << ROLE_LOOKUP, 2, PATH_COPY, text("/key")}));
	assert_true(add_path(p, 1u << ROLE_LOOKUP, PATH_COPY, text("/all")));
	assert_true(plan_path_is_for(&p->paths[0], ROLE_LOOKUP, 2));
	assert_false(plan_path_is_for(&p->paths[0], ROLE_LOOKUP, 1) || plan_path_is_for(&p->paths[0], ROLE_KEYD, 2));
	assert_true(plan_path_is_for(&p->paths[1], ROLE_LOOKUP, 1));
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

	const struct msg_CONF_CAGE_FACT pam = {ROLE_AUTHD, text("pam"), 0, text("postern")};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct plan *old = plan_new(1), *next = plan_new(2);

		assert_true(add_path(old, 1u << ROLE_POLICYD, PATH_FOLDER_OF, text(cases[i].old)));
		assert_true(add_path(next, 1u << ROLE_POLICYD, PATH_FOLDER_OF, text(cases[i].next)));
		assert_int_equal(plan_needs_new_process(next, old, ROLE_POLICYD), cases[i].is_new);
		assert_false(plan_needs_new_process(next, old, ROLE_AUTHD));
		assert_true(plan_add_cage_fact(next, &pam));
		assert_true(plan_needs_new_process(next, old, ROLE_AUTHD));
		assert_false(plan_needs_new_process(next, old, ROLE_KEYD));
		assert_true(plan_add_cage_fact(old, &pam));
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

/* A connection to this listener. */
static bool replies_at_once(int listener)
{
	struct sockaddr_in at;
	socklen_t len = sizeof(at);
	int on = 0, client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), server;

	assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
	assert_int_equal(connect(client, (struct sockaddr *)&at, len), 0);
	server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(server >= 0);
	len = sizeof(on);
	assert_int_equal(getsockopt(server, IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
	close(server);
	close(client);
	return on != 0;
}

static void test_every_address(void **state)
{
	struct buf why = buf_make(1000);
	int fds[2];

	(void)state;
	assert_true(listen_tcp_any(free_port(), fds, &why));
	assert_true(fds[0] >= 0);
	assert_true(replies_at_once(fds[0]));
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
		cmocka_unit_test(test_what_the_reader_says), cmocka_unit_test(test_mad_settings),
		cmocka_unit_test(test_cage_facts), cmocka_unit_test(test_deliveries), cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_paths_are_opened), cmocka_unit_test(test_copies), cmocka_unit_test(test_what_is_no_copy),
		cmocka_unit_test(test_again_is_for_who_runs),     cmocka_unit_test(test_new_folders), cmocka_unit_test(test_paths_of_an_instance),
		cmocka_unit_test(test_listeners),	     cmocka_unit_test(test_every_address),
		cmocka_unit_test(test_named_sockets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
