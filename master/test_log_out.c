#include "log_out.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char root[] = "/tmp/postern-log-XXXXXX";
static int root_fd;

static const struct log_event event = {LEVEL_INFO, 1790000000123, ROLE_GATE, 0, {"started", 7}, {"a=1", 3}};
#define LINE "2026-09-21T14:13:20.123Z info gate[0] started a=1\n"

static size_t file_size(const char *name)
{
	struct stat st;

	return fstatat(root_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? (size_t)st.st_size : SIZE_MAX;
}

static void write_file(const char *name, const char *text)
{
	int fd = openat(root_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static void open_out(struct log_out *o, const char *name)
{
	log_out_init(o, LOG_TO_FILE);
	assert_true(log_out_set_file(o, root_fd, slice_of(name)));
}

static void kinds(void **state)
{
	static const struct {
		const char *setting;
		bool fine;
		enum log_kind kind;
	} cases[] = {
		{"stderr", true, LOG_TO_STDERR}, {"syslog", true, LOG_TO_SYSLOG}, {"journald", true, LOG_TO_JOURNALD},
		{"/var/log/x", true, LOG_TO_FILE}, {"", false, LOG_TO_FILE}, {"/", false, LOG_TO_FILE},
		{"relative/x", false, LOG_TO_FILE}, {"Stderr", false, LOG_TO_FILE},
	};
	static const struct {
		const char *path, *folder, *name; /* folder NULL: refused */
	} paths[] = {
		{"/var/log/postern/log", "/var/log/postern", "log"}, {"/log", "/", "log"}, {"/var/", NULL, NULL},
		{"/var/..", NULL, NULL}, {"/var/.", NULL, NULL}, {"log", NULL, NULL}, {"", NULL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum log_kind kind;

		assert_int_equal(log_kind_of(slice_of(cases[i].setting), &kind), cases[i].fine);
		assert_int_equal(kind, cases[i].kind);
	}
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		struct slice folder, name;

		assert_int_equal(log_split_path(slice_of(paths[i].path), &folder, &name), paths[i].folder != NULL);
		if (paths[i].folder != NULL) {
			assert_true(slice_eq(folder, slice_of(paths[i].folder)));
			assert_true(slice_eq(name, slice_of(paths[i].name)));
		}
	}
}

static void writes_and_follows_a_rotation(void **state)
{
	struct log_out o;
	struct stat st;

	(void)state;
	open_out(&o, "log");
	assert_true(log_out_open(&o));
	log_out_add(&o, &event);
	log_out_add(&o, &event);
	log_out_flush(&o);
	assert_int_equal(file_size("log"), 2 * (sizeof(LINE) - 1));
	assert_int_equal(fstatat(root_fd, "log", &st, 0), 0);
	assert_int_equal(st.st_mode & 0007, 0);
	assert_int_equal(renameat(root_fd, "log", root_fd, "log.1"), 0);
	assert_true(log_out_check(&o));
	log_out_add(&o, &event);
	log_out_flush(&o);
	assert_int_equal(file_size("log.1"), 2 * (sizeof(LINE) - 1));
	assert_int_equal(file_size("log"), sizeof(LINE) - 1);
	assert_true(log_out_check(&o));
	log_out_close(&o);
}

/* Whatever was planted under the log's name: it is not touched, nothing hangs, and it is said why. */
static void planted_names(void **state)
{
	static const char *const variants[] = {"symlink", "hardlink", "fifo", "folder", "socket-dangling"};

	(void)state;
	write_file("target", "precious\n");
	assert_int_equal(symlinkat("target", root_fd, "symlink"), 0);
	assert_int_equal(linkat(root_fd, "target", root_fd, "hardlink", 0), 0);
	assert_int_equal(mkfifoat(root_fd, "fifo", 0600), 0);
	assert_int_equal(mkdirat(root_fd, "folder", 0700), 0);
	assert_int_equal(symlinkat("/nonexistent/x", root_fd, "socket-dangling"), 0);
	alarm(20);
	for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]); i++) {
		struct log_out o;
		bool pass;

		open_out(&o, variants[i]);
		pass = !log_out_open(&o) && o.why[0] != '\0' && file_size("target") == 9;
		printf("ROW N01 %s %s\n", variants[i], pass ? "pass" : "fail");
		assert_true(pass);
		log_out_close(&o);
	}
	alarm(0);
}

/* Planted while it runs: the file it has is kept, nothing is lost. */
static void planted_at_a_rotation(void **state)
{
	struct log_out o;
	bool pass;

	(void)state;
	write_file("victim", "precious\n");
	open_out(&o, "running");
	assert_true(log_out_open(&o));
	assert_int_equal(renameat(root_fd, "running", root_fd, "running.1"), 0);
	assert_int_equal(symlinkat("victim", root_fd, "running"), 0);
	pass = !log_out_check(&o);
	log_out_add(&o, &event);
	log_out_flush(&o);
	pass = pass && file_size("victim") == 9 && file_size("running.1") == sizeof(LINE) - 1;
	assert_int_equal(unlinkat(root_fd, "running", 0), 0);
	pass = pass && log_out_check(&o);
	log_out_add(&o, &event);
	log_out_flush(&o);
	pass = pass && file_size("running") == sizeof(LINE) - 1;
	printf("ROW N01 rotated-into-symlink %s\n", pass ? "pass" : "fail");
	assert_true(pass);
	log_out_close(&o);
}

static void foreign_owner(void **state)
{
	struct log_out o;

	(void)state;
	if (geteuid() != 0) {
		printf("skipped: needs root\n");
		return;
	}
	write_file("foreign", "");
	assert_int_equal(fchownat(root_fd, "foreign", 4242, 4242, 0), 0);
	open_out(&o, "foreign");
	assert_false(log_out_open(&o));
	printf("ROW N01 foreign-owner pass\n");
	log_out_close(&o);
}

/* A reader that does not read costs lines, never time. */
static void never_waits(void **state)
{
	int pipes[2], saved = dup(STDERR_FILENO);
	struct log_out o;
	struct log_event big = event;
	static char text[8000];

	(void)state;
	memset(text, 'a', sizeof(text));
	memcpy(text, "a=", 2);
	big.fields = slice_make(text, sizeof(text));
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_true(dup2(pipes[1], STDERR_FILENO) >= 0);
	log_out_init(&o, LOG_TO_STDERR);
	alarm(20);
	for (int i = 0; i < 2000; i++) {
		log_out_add(&o, &big);
		log_out_flush(&o);
	}
	alarm(0);
	assert_true(dup2(saved, STDERR_FILENO) >= 0);
	close(saved);
	assert_true(log_out_dropped(&o) > 1000);
	assert_true(o.waiting.len <= LOG_WAITING_MAX);
	assert_int_equal(log_out_dropped(&o), 0);
	close(pipes[0]);
	close(pipes[1]);
	log_out_close(&o);
}

static int daemon_socket(const char *path)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	unlink(path);
	assert_true(slice_copy(slice_of(path), at.sun_path, sizeof(at.sun_path)));
	assert_int_equal(bind(fd, (const struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

static void check_received(int fd, const char *start)
{
	char got[1000];
	ssize_t n = recv(fd, got, sizeof(got) - 1, 0);

	assert_true(n > 0);
	assert_true(slice_starts(slice_make(got, (size_t)n), slice_of(start)));
}

static void syslog_and_its_restart(void **state)
{
	static const struct {
		enum log_kind kind;
		const char *start;
	} cases[] = {{LOG_TO_SYSLOG, "<22>Sep 21 14:13:20 postern-gate[0]: started a=1"},
		     {LOG_TO_JOURNALD, "PRIORITY=6\nSYSLOG_FACILITY=2\n"}};
	char path[100];

	(void)state;
	snprintf(path, sizeof(path), "%s/dev-log", root);
	for (size_t i = 0; i < 2; i++) {
		struct log_out o;
		int daemon = daemon_socket(path);

		log_out_init(&o, cases[i].kind);
		o.socket_path = path;
		assert_true(log_out_open(&o));
		log_out_add(&o, &event);
		check_received(daemon, cases[i].start);
		close(daemon);
		daemon = daemon_socket(path);
		log_out_add(&o, &event);
		check_received(daemon, cases[i].start);
		close(daemon);
		unlink(path);
		log_out_add(&o, &event); /* to stderr */
		assert_int_equal(o.waiting.len, sizeof(LINE) - 1);
		assert_false(log_out_check(&o));
		daemon = daemon_socket(path);
		assert_true(log_out_check(&o));
		log_out_add(&o, &event);
		check_received(daemon, cases[i].start);
		close(daemon);
		log_out_close(&o);
	}
}

static int set_up(void **state)
{
	(void)state;
	if (mkdtemp(root) == NULL)
		return -1;
	root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return root_fd < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	pid_t pid = fork();

	(void)state;
	close(root_fd);
	if (pid == 0) {
		execl("/bin/rm", "rm", "-rf", root, (char *)NULL);
		_exit(127);
	}
	return waitpid(pid, NULL, 0) == pid ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kinds),
		cmocka_unit_test(writes_and_follows_a_rotation),
		cmocka_unit_test(planted_names),
		cmocka_unit_test(planted_at_a_rotation),
		cmocka_unit_test(foreign_owner),
		cmocka_unit_test(never_waits),
		cmocka_unit_test(syslog_and_its_restart),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
