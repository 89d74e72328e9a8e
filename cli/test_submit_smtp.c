/* sendmail's side of SMTP, against a server that says what the test wants. */
#include "submit_smtp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define HELLO "220 mx.example.test ESMTP\r\n250-mx.example.test\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n"

/* The server's words are there before they are asked for: the client reads them in order. */
static bool start(struct submit_smtp *s, int pair[2], const char *words)
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(write(pair[1], words, strlen(words)), (ssize_t)strlen(words));
	assert_int_equal(shutdown(pair[1], SHUT_WR), 0);
	return submit_smtp_start(s, pair[0]);
}

static void stop(struct submit_smtp *s, int pair[2])
{
	submit_smtp_close(s);
	close(pair[1]);
}

static void greets(void **state)
{
	struct submit_smtp s;
	int pair[2];

	(void)state;
	assert_true(start(&s, pair, HELLO "250 2.1.0 ok\r\n"));
	assert_string_equal(s.host, "mx.example.test");
	assert_true(s.has_8bitmime && s.has_smtputf8);
	assert_true(submit_smtp_say(&s, "sender", 2, "MAIL FROM:<%s>", "a@b"));
	stop(&s, pair);
}

static void failures(void **state)
{
	static const struct {
		const char *words;
		int exit;
		const char *why; /* begins with */
	} cases[] = {
		{"", 75, "the mail server ended the connection"},
		{"421 4.3.2 busy\r\n", 75, "the mail server does not take mail now: 421 4.3.2 busy"},
		{"554 5.7.1 go away\r\n", 77, "the mail server does not take mail now: 554"},
		{"hello\r\n", 75, "the mail server answers with something else"},
		{"2\r\n", 75, "the mail server answers with something else"},
		{"220-a\r\n250 b\r\n", 75, "the mail server answers with something else"},
		{"220 a", 75, "the mail server ended the connection"},
		{"354 a\r\n", 75, "the mail server does not take mail now: 354"},
		{HELLO "550 5.1.1 no such mailbox\r\n", 67, "x was refused: 550 5.1.1 no such mailbox"},
		{HELLO "550 5.1.2 no such domain\r\n", 68, "x was refused"},
		{HELLO "552 5.3.4 too big\r\n", 65, "x was refused"},
		{HELLO "550 5.6.11 bare CR\r\n", 65, "x was refused"},
		{HELLO "550 5.7.1 relaying denied\r\n", 77, "x was refused"},
		{HELLO "550 something\r\n", 69, "x was refused"},
		{HELLO "451 4.3.0 later\r\n", 75, "x was refused"},
		{HELLO "550 \x1b[31m\r\n", 69, "x was refused: 550 ?[31m"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct submit_smtp s;
		int pair[2];

		assert_false(start(&s, pair, cases[i].words) && submit_smtp_say(&s, "x was refused", 2, "RCPT TO:<x>"));
		if (s.exit != cases[i].exit || !slice_starts(slice_of(s.why), slice_of(cases[i].why)))
			fail_msg("case %zu: exit %d: %s", i, s.exit, s.why);
		stop(&s, pair);
	}
}

/* A server that never comes to an end costs bounded memory. */
static void endless(void **state)
{
	static const char *const forms[] = {"220-", "220 "};
	static char words[200000];

	(void)state;
	for (size_t form = 0; form < 2; form++) {
		struct submit_smtp s;
		int pair[2];

		memset(words, 'a', sizeof(words) - 1);
		if (form == 0)
			for (size_t i = 0; i + 7 < sizeof(words); i += 7)
				memcpy(words + i, "220-a\r\n", 7);
		else
			memcpy(words, forms[form], 4);
		assert_false(start(&s, pair, words));
		assert_int_equal(s.exit, 75);
		assert_true(s.in.cap <= 8 * SUBMIT_LINE_MAX);
		stop(&s, pair);
	}
}

/* The reason why the server stopped taking a message is what the user hears. */
static void refusal_in_the_middle(void **state)
{
	struct submit_smtp s;
	int pair[2], status;
	pid_t pid;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	pid = fork();
	if (pid == 0) {
		char sink[1000];

		close(pair[0]);
		(void)!write(pair[1], HELLO, sizeof(HELLO) - 1);
		(void)!read(pair[1], sink, sizeof(sink));
		(void)!read(pair[1], sink, sizeof(sink));
		(void)!write(pair[1], "552 5.3.4 message is too big\r\n", 30);
		_exit(0);
	}
	close(pair[1]);
	assert_true(submit_smtp_start(&s, pair[0]));
	assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
	for (int i = 0; i < 2000; i++) {
		char line[1000];

		memset(line, 'x', sizeof(line));
		buf_add(&s.out, line, sizeof(line));
		if (!submit_smtp_send(&s, false))
			break;
	}
	assert_int_equal(s.exit, 65);
	assert_true(slice_starts(slice_of(s.why), slice_of("the mail server refused the message: 552 5.3.4")));
	submit_smtp_close(&s);
	assert_int_equal(waitpid(pid, &status, 0), pid);
}

static void nobody_there(void **state)
{
	struct submit_smtp s;

	(void)state;
	assert_false(submit_smtp_open(&s, "/nonexistent/submission"));
	assert_int_equal(s.exit, 75);
	assert_non_null(strstr(s.why, "/nonexistent/submission (is Postern running?)"));
	submit_smtp_close(&s);
}

static void reply_lines(void **state)
{
	static const struct {
		const char *line;
		bool fine, last;
		unsigned code;
	} cases[] = {
		{"250 ok", true, true, 250},   {"250", true, true, 250},  {"250-ok", true, false, 250}, {"199 x", false, false, 0},
		{"600 x", false, false, 0},    {"25 x", false, false, 0}, {"2500", false, false, 0},	{"", false, false, 0},
		{"250\tok", false, false, 0}, {"-50 x", false, false, 0}, {"2 0 x", false, false, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct submit_reply r = {0};

		assert_int_equal(submit_reply_add(&r, slice_of(cases[i].line)), cases[i].fine);
		assert_int_equal(r.code, cases[i].code);
		assert_int_equal(r.last, cases[i].last);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(greets),		cmocka_unit_test(failures),	cmocka_unit_test(endless),
		cmocka_unit_test(refusal_in_the_middle), cmocka_unit_test(nobody_there), cmocka_unit_test(reply_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
