/* sendmail as a program, in environments that only an attacker or a broken cron job makes; this test is its server. */
#include "base/buf.h"
#include "base/sanitizer.h"
#include "submit_reply.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define RSS_KIB_MAX (64 * 1024)
#define KEPT_MAX 60000 /* what a pipe holds while nobody reads */

static char root[] = "/tmp/postern-sendmail-XXXXXX";
static int listener = -1;

/* ---- the server: takes everything, and tells the test what it was ---- */

static bool is_command(struct slice text, const char *verb)
{
	return slice_starts_nocase(text, slice_of(verb));
}

static void say(int fd, const char *text)
{
	(void)!write(fd, text, strlen(text));
}

struct server {
	int fd, report;
	bool in_data;
	char tail[5];
	size_t kept;
};

/* Whether the end of data has come: its last five bytes are CRLF.CRLF. */
static bool data_ends(struct server *s, const char *at, size_t len)
{
	for (size_t i = len > 5 ? len - 5 : 0; i < len; i++) {
		memmove(s->tail, s->tail + 1, 4);
		s->tail[4] = at[i];
	}
	return memcmp(s->tail, "\r\n.\r\n", 5) == 0;
}

static void serve_bytes(struct server *s, char *at, size_t len)
{
	size_t room = KEPT_MAX - s->kept;

	if (room > 0)
		s->kept += (size_t)write(s->report, at, len < room ? len : room);
	if (s->in_data) {
		s->in_data = !data_ends(s, at, len);
		if (!s->in_data)
			say(s->fd, "250 2.0.0 accepted as 0000000000001\r\n");
		return;
	}
	if (is_command(slice_make(at, len), "DATA")) {
		s->in_data = true;
		memcpy(s->tail, "...\r\n", 5);
		say(s->fd, "354 go on\r\n");
	} else if (is_command(slice_make(at, len), "RCPT TO:<nobody@")) {
		say(s->fd, "550 5.1.1 no such mailbox here\r\n");
	} else {
		say(s->fd, is_command(slice_make(at, len), "EHLO") ? "250-mx\r\n250 8BITMIME\r\n" : "250 2.0.0 ok\r\n");
	}
}

static _Noreturn void serve(int report)
{
	static char space[1 << 17];
	struct pollfd p = {listener, POLLIN, 0};
	struct server s = {.report = report};
	ssize_t n;

	signal(SIGPIPE, SIG_IGN);
	if (poll(&p, 1, 30000) != 1 || (s.fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) < 0)
		_exit(0);
	say(s.fd, "220 mx.example.test ESMTP\r\n");
	while ((n = read(s.fd, space, sizeof(space))) > 0)
		serve_bytes(&s, space, (size_t)n);
	_exit(0);
}

/* ---- a run ---- */

struct run {
	char *const *argv;
	const char *input;
	void (*feed)(int fd); /* instead of input */
	void (*spoil)(void); /* in the child, before exec */
	int exit;
	long rss_kib;
	struct buf heard; /* by the server */
	char said[2000]; /* on stderr */
};

static pid_t start_feeder(const struct run *r, const int in[2])
{
	pid_t pid = fork();
	int to = in[1];

	if (pid != 0)
		return pid;
	close(in[0]);
	signal(SIGPIPE, SIG_IGN);
	if (r->feed != NULL)
		r->feed(to);
	else
		(void)!write(to, r->input, strlen(r->input));
	_exit(0);
}

static _Noreturn void become_sendmail(const struct run *r, int in, int err)
{
	setenv("POSTERN_RUNTIME", root, 1);
	dup2(in, 0);
	dup2(err, 2);
	close_range(3, ~0u, 0);
	if (r->spoil != NULL)
		r->spoil();
	execv(POSTERN_SENDMAIL, r->argv);
	_exit(127);
}

static void read_all(int fd, struct buf *out)
{
	char piece[4096];
	ssize_t n;

	while ((n = read(fd, piece, sizeof(piece))) > 0)
		(void)buf_add(out, piece, (size_t)n);
	close(fd);
}

static void run_sendmail(struct run *r)
{
	int in[2], err[2], report[2], status;
	struct buf said = buf_make(sizeof(r->said) - 1);
	struct rusage used;
	pid_t feeder, server, pid;

	/* each pipe is made when those who must not hold its ends have been forked */
	assert_int_equal(pipe2(report, O_CLOEXEC), 0);
	server = fork();
	if (server == 0)
		serve(report[1]);
	close(report[1]);
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	feeder = start_feeder(r, in);
	close(in[1]);
	assert_int_equal(pipe2(err, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0)
		become_sendmail(r, in[0], err[1]);
	close(in[0]);
	close(err[1]);
	read_all(err[0], &said);
	assert_int_equal(wait4(pid, &status, 0, &used), pid);
	if (!WIFEXITED(status))
		fail_msg("it died of signal %d: %s", WTERMSIG(status), buf_text(&said));
	kill(server, SIGTERM);
	kill(feeder, SIGKILL);
	waitpid(feeder, NULL, 0);
	r->heard = buf_make(2 * KEPT_MAX);
	read_all(report[0], &r->heard);
	waitpid(server, NULL, 0);
	r->exit = WEXITSTATUS(status);
	r->rss_kib = used.ru_maxrss;
	(void)slice_copy(buf_slice(&said), r->said, sizeof(r->said));
	buf_free(&said);
}

#define ARGV(...) ((char *const[]){__VA_ARGS__, NULL})

static char sendmail_name[] = "sendmail", opt_t[] = "-t", opt_i[] = "-i", opt_f[] = "-f", to_alice[] = "alice@example.test",
	    to_nobody[] = "nobody@example.test", from_bob[] = "bob@example.test", bare[] = "alice", dashes[] = "--";

static bool server_heard(const struct run *r, const char *text)
{
	return slice_find(buf_slice(&r->heard), slice_of(text)) != SLICE_NONE;
}

static void report_row(const char *id, const char *variant, bool pass, const struct run *r)
{
	printf("ROW %s %s %s\n", id, variant, pass ? "pass" : "fail");
	if (!pass)
		fail_msg("exit %d, %ld KiB, \"%s\"", r->exit, r->rss_kib, r->said);
}

static void submits(void **state)
{
	struct run r = {.argv = ARGV(sendmail_name, opt_f, from_bob, opt_i, to_alice, bare),
			.input = "Subject: x\n\n.\nline\n..two\n"};

	(void)state;
	run_sendmail(&r);
	if (r.exit != 0)
		fail_msg("%s", r.said);
	assert_true(server_heard(&r, "MAIL FROM:<bob@example.test> BODY=8BITMIME\r\n"));
	assert_true(server_heard(&r, "RCPT TO:<alice@example.test>\r\n"));
	assert_true(server_heard(&r, "RCPT TO:<alice@mx.example.test>\r\n"));
	assert_true(server_heard(&r, "Message-ID: <"));
	assert_true(server_heard(&r, "\r\nSubject: x\r\n\r\n..\r\nline\r\n...two\r\n.\r\n"));
	buf_free(&r.heard);
}

static void takes_recipients(void **state)
{
	struct run r = {.argv = ARGV(sendmail_name, opt_t, from_bob),
			.input = "To: A <alice@example.test>\nBcc: secret@example.test\nX: y\n\nx\n.\nnot sent\n"};

	(void)state;
	run_sendmail(&r);
	assert_int_equal(r.exit, 0);
	assert_true(server_heard(&r, "RCPT TO:<alice@example.test>\r\n"));
	assert_true(server_heard(&r, "RCPT TO:<secret@example.test>\r\n"));
	assert_true(server_heard(&r, "RCPT TO:<bob@example.test>\r\n"));
	assert_false(server_heard(&r, "Bcc"));
	assert_false(server_heard(&r, "not sent"));
	buf_free(&r.heard);
}

static void all_or_none(void **state)
{
	struct run r = {.argv = ARGV(sendmail_name, to_alice, to_nobody), .input = "\nx\n"};

	(void)state;
	run_sendmail(&r);
	assert_int_equal(r.exit, SUBMIT_EX_NOUSER);
	assert_non_null(strstr(r.said, "nobody@example.test was refused: 550 5.1.1"));
	assert_false(server_heard(&r, "DATA"));
	buf_free(&r.heard);
}

static void exit_codes(void **state)
{
	static char none[] = "a b c";
	const struct {
		char *const *argv;
		const char *input;
		int exit;
	} cases[] = {
		{ARGV(sendmail_name), "\nx\n", SUBMIT_EX_USAGE},
		{ARGV(sendmail_name, opt_t), "Subject: x\n\nx\n", SUBMIT_EX_DATAERR},
		{ARGV(sendmail_name, opt_t), "To: a b c\n\nx\n", SUBMIT_EX_DATAERR},
		{ARGV(sendmail_name, none), "\nx\n", SUBMIT_EX_USAGE},
		{ARGV(sendmail_name, opt_f, none, to_alice), "\nx\n", SUBMIT_EX_USAGE},
		{ARGV(sendmail_name, dashes, to_alice), "\nx\n", 0},
		{ARGV(sendmail_name, to_alice), "", 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct run r = {.argv = cases[i].argv, .input = cases[i].input};

		run_sendmail(&r);
		if (r.exit != cases[i].exit)
			fail_msg("case %zu: exit %d: %s", i, r.exit, r.said);
		buf_free(&r.heard);
	}
}

/* ---- N03: more than memory ---- */

static void feed_lines(int fd)
{
	static char lines[65536];

	for (size_t i = 0; i < sizeof(lines); i += 2)
		memcpy(lines + i, "y\n", 2);
	for (int i = 0; i < 1600 && write(fd, lines, sizeof(lines)) > 0; i++)
		continue;
}

static void feed_one_line(int fd)
{
	static char line[65536];

	memset(line, 'y', sizeof(line));
	(void)!write(fd, "Subject: ", 9);
	for (int i = 0; i < 50000 && write(fd, line, sizeof(line)) > 0; i++)
		continue;
}

static bool is_small(const struct run *r)
{
	return WITH_ASAN || r->rss_kib < RSS_KIB_MAX;
}

static void huge_input(void **state)
{
	struct run lines = {.argv = ARGV(sendmail_name, opt_t), .feed = feed_lines};
	struct run line = {.argv = ARGV(sendmail_name, opt_t), .feed = feed_one_line};
	struct run body = {.argv = ARGV(sendmail_name, to_alice), .feed = feed_lines};

	(void)state;
	run_sendmail(&lines);
	report_row("N03", "endless-lines", lines.exit == SUBMIT_EX_DATAERR && is_small(&lines), &lines);
	buf_free(&lines.heard);
	run_sendmail(&line);
	report_row("N03", "3GiB-header-line", line.exit == SUBMIT_EX_DATAERR && is_small(&line), &line);
	buf_free(&line.heard);
	run_sendmail(&body);
	report_row("N03", "100MiB-body", body.exit == 0 && is_small(&body), &body);
	buf_free(&body.heard);
}

/* ---- N04: what a program is started with ---- */

static void deep_folder(void)
{
	char name[251];

	memset(name, 'd', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	if (chdir(root) != 0)
		_exit(126);
	for (int i = 0; i < 20; i++)
		if ((mkdir(name, 0700) != 0 && errno != EEXIST) || chdir(name) != 0)
			_exit(126);
}

static void odd_start(void **state)
{
	static char big[2000], empty[] = "";
	static char *many[1002];
	struct run deep = {.argv = ARGV(sendmail_name, to_alice), .input = "\nx\n", .spoil = deep_folder};
	struct run nameless = {.argv = ARGV(empty, to_alice), .input = "\nx\n"};
	struct run crowded = {.argv = many, .input = "\nx\n"};

	(void)state;
	run_sendmail(&deep);
	report_row("N04", "deep-folder", deep.exit == 0, &deep);
	buf_free(&deep.heard);
	run_sendmail(&nameless);
	report_row("N04", "empty-name", nameless.exit == 0, &nameless);
	buf_free(&nameless.heard);
	memset(big, 'a', sizeof(big) - 1);
	many[0] = sendmail_name;
	for (size_t i = 1; i < 1001; i++)
		many[i] = big;
	run_sendmail(&crowded);
	report_row("N04", "2MB-of-arguments", crowded.exit == SUBMIT_EX_USAGE, &crowded);
	buf_free(&crowded.heard);
}

/* ---- L08: what it inherits ---- */

static void close_all(void)
{
	close(0);
	close(1);
	close(2);
}

static void no_file_size(void)
{
	const struct rlimit rl = {1, 1};

	setrlimit(RLIMIT_FSIZE, &rl);
}

static void no_descriptors(void)
{
	const struct rlimit rl = {3, 3};

	setrlimit(RLIMIT_NOFILE, &rl);
}

static void folder_gone(void)
{
	char path[100];

	snprintf(path, sizeof(path), "%s/gone", root);
	if (mkdir(path, 0700) != 0 || chdir(path) != 0 || rmdir(path) != 0)
		_exit(126);
	umask(0);
}

/* An alarm and a pending, blocked signal survive exec. */
static void signals_pending(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGXFSZ);
	sigaddset(&set, SIGALRM);
	sigaddset(&set, SIGPIPE);
	sigprocmask(SIG_BLOCK, &set, NULL);
	raise(SIGXFSZ);
	raise(SIGALRM);
}

static void no_environment(void)
{
	char *keep = strdup(root);

	clearenv();
	setenv("POSTERN_RUNTIME", keep, 1);
	setenv("PATH", "", 1);
	setenv("LC_ALL", "tr_TR.UTF-8", 1);
	setenv("TZ", "/etc/shadow", 1);
	setenv("IFS", "/", 1);
}

static void odd_inheritance(void **state)
{
	static const struct {
		const char *variant;
		void (*spoil)(void);
		int exits[2]; /* either */
	} cases[] = {
		{"stdio-closed", close_all, {0, 0}},
		{"file-size-1", no_file_size, {0, 0}},
		{"descriptors-3", no_descriptors, {SUBMIT_EX_OSERR, 127 /* the loader's own */}},
		{"folder-gone", folder_gone, {0, 0}},
		{"signals-pending", signals_pending, {0, 0}},
		{"environment", no_environment, {0, 0}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct run r = {.argv = ARGV(sendmail_name, to_alice), .input = "\nx\n", .spoil = cases[i].spoil};

		run_sendmail(&r);
		report_row("L08", cases[i].variant, r.exit == cases[i].exits[0] || r.exit == cases[i].exits[1], &r);
		buf_free(&r.heard);
	}
}

/* A path in an argument is never opened. */
static void no_paths(void **state)
{
	static char path[100], opt_x[] = "-X", opt_c[] = "-C", opt_be[] = "-be", run[] = "${run}";
	const struct {
		const char *variant;
		char *const *argv;
	} cases[] = {
		{"log-file", ARGV(sendmail_name, opt_x, path, to_alice)},
		{"config", ARGV(sendmail_name, opt_c, path, to_alice)},
		{"expand", ARGV(sendmail_name, opt_be, run)},
	};
	struct stat st;

	(void)state;
	snprintf(path, sizeof(path), "%s/planted", root);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct run r = {.argv = cases[i].argv, .input = "\nx\n"};

		run_sendmail(&r);
		report_row("N08", cases[i].variant, r.exit == SUBMIT_EX_USAGE && stat(path, &st) == -1, &r);
		buf_free(&r.heard);
	}
}

static int set_up(void **state)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};

	(void)state;
	if (mkdtemp(root) == NULL)
		return -1;
	snprintf(at.sun_path, sizeof(at.sun_path), "%s/submission", root);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return bind(listener, (const struct sockaddr *)&at, sizeof(at)) == 0 && listen(listener, 5) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
	pid_t pid;

	(void)state;
	close(listener);
	pid = fork();
	if (pid == 0) {
		execl("/bin/rm", "rm", "-rf", root, (char *)NULL);
		_exit(127);
	}
	return waitpid(pid, NULL, 0) == pid ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(submits),	  cmocka_unit_test(takes_recipients), cmocka_unit_test(all_or_none),
		cmocka_unit_test(exit_codes),	  cmocka_unit_test(huge_input),	      cmocka_unit_test(odd_start),
		cmocka_unit_test(odd_inheritance), cmocka_unit_test(no_paths),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
