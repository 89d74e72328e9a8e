/* The operator's command against a gate that says what the test wants. */
#include "control.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum behaviour { ANSWERS, STALE_FIRST, CLOSES, GARBAGE, WRONG_TYPE, SILENT };

static char space[LINK_PACKET_MAX];

static void answer(int fd, uint64_t request, const char *text)
{
	struct msg_CONTROL_ANSWER a = {OC_DONE, slice_of(text), slice_empty(), slice_empty()};

	(void)link_tell_now(fd, IPC_CONTROL_ANSWER, request, true, &a, -1);
}

static void serve(int fd, enum behaviour how)
{
	struct link_now in = LINK_NOW(fd, ROLE_GATE, ROLE_CTL, space);
	struct ipc_message m = {.fd = -1};

	if (!link_receive_now(&in, &m) || m.type != IPC_CONTROL_ASK)
		_exit(1);
	switch (how) {
	case STALE_FIRST:
		answer(fd, m.request + 100, "stale");
		answer(fd, m.request, "right");
		break;
	case ANSWERS:
		answer(fd, m.request, "right");
		break;
	case GARBAGE:
		(void)!write(fd, "garbage", 7);
		break;
	case WRONG_TYPE: {
		struct msg_STATUS s = {slice_empty()};

		(void)link_tell_now(fd, IPC_STATUS, m.request, true, &s, -1);
		break;
	}
	case SILENT:
		(void)!read(fd, space, 1);
		break;
	case CLOSES:
		break;
	}
	_exit(0);
}

static bool ask(enum behaviour how, struct control *c, char text[64])
{
	const struct msg_CONTROL_ANSWER *a;
	int pair[2];
	pid_t pid;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	pid = fork();
	if (pid == 0) {
		close(pair[0]);
		serve(pair[1], how);
	}
	close(pair[1]);
	assert_true(control_start(c, pair[0]));
	a = control_ask(c, "status", slice_empty(), slice_empty(), 1);
	text[0] = '\0';
	if (a != NULL)
		(void)slice_copy(a->text, text, 64);
	control_close(c);
	waitpid(pid, NULL, 0);
	return a != NULL;
}

static void asks(void **state)
{
	static const struct {
		enum behaviour how;
		bool answered;
	} cases[] = {
		{ANSWERS, true}, {STALE_FIRST, true}, {CLOSES, false}, {GARBAGE, false}, {WRONG_TYPE, false}, {SILENT, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct control c;
		char text[64];

		assert_int_equal(ask(cases[i].how, &c, text), cases[i].answered);
		assert_string_equal(text, cases[i].answered ? "right" : "");
		if (!cases[i].answered)
			assert_true(c.exit == CLI_TEMPORARY && c.why[0] != '\0');
	}
}

static void nobody_there(void **state)
{
	struct control c;
	char longest[300];

	(void)state;
	assert_false(control_open(&c, "/nonexistent/control"));
	assert_int_equal(c.exit, CLI_UNREACHABLE);
	assert_non_null(strstr(c.why, "is Postern running?"));
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_false(control_open(&c, longest));
	assert_int_equal(c.exit, CLI_USAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(asks), cmocka_unit_test(nobody_there)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
