/* The children as their owner sees them: one question each, and an end in every case. */
#include "warm/warm.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
/* cmocka wants the headers above first */
#include <cmocka.h>

static const struct cage_spec cage = {.calls = CALLS_FORK};

static void tell(int fd, enum outcome outcome)
{
	struct msg_VERIFIED verified = {.outcome = outcome, .why = slice_empty(), .login = slice_empty()};

	(void)link_tell_now(fd, IPC_VERIFIED, 0, false, &verified, -1);
}

/* One that was taken over: it has no alarm any more, answers and stays. */
static void stay(int fd, const struct ipc_message *m)
{
	(void)m;
	alarm(0);
	tell(fd, OC_AUTHENTICATED);
	for (;;)
		pause();
}

static void answer(int fd, const struct ipc_message *m)
{
	(void)m;
	tell(fd, OC_AUTH_FAILED);
}

static bool is(const struct ipc_message *m, const char *login)
{
	return slice_eq(m->body.VERIFY_ASK.login, slice_of(login));
}

/* Tries to leave somebody behind who says yes to whatever comes. */
static void multiply(int fd, const struct ipc_message *m)
{
	static char space[LINK_PACKET_MAX];
	struct link_now now = LINK_NOW(fd, ROLE_VERIFIER, ROLE_AUTHD, space);
	struct ipc_message next;

	if (!is(m, "multiply")) {
		tell(fd, OC_AUTH_FAILED);
		return;
	}
	for (int i = 0; i < 20; i++)
		if (fork() == 0)
			while (link_receive_now(&now, &next))
				tell(fd, OC_AUTHENTICATED);
}

static int start(void (*serve)(int fd, const struct ipc_message *m))
{
	const struct warm_spec spec = {
		.owner = ROLE_AUTHD,
		.name = "test",
		.cage = &cage,
		.order = {.uid = getuid(), .gid = getgid(), .as_root = false, .root_fd = -1, .require = ""},
		.children = 2,
		.seconds = 1,
		.serve = serve,
	};

	return warm_start(&spec);
}

static void ask_about(int fd, const char *login)
{
	struct msg_VERIFY_ASK question = {slice_of(login), slice_of("secret"), slice_of("hash")};

	assert_true(link_tell_now(fd, IPC_VERIFY_ASK, 0, false, &question, -1));
}

static void ask(int fd)
{
	ask_about(fd, "alice");
}

/* False: nobody is left to answer. */
static bool hear(int fd, enum outcome *outcome_out)
{
	static char space[LINK_PACKET_MAX];
	struct link_now now = LINK_NOW(fd, ROLE_AUTHD, ROLE_VERIFIER, space);
	struct ipc_message m;

	if (!link_receive_now(&now, &m))
		return false;
	*outcome_out = m.body.VERIFIED.outcome;
	return true;
}

static void blocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	assert_true(flags != -1 && fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) == 0);
}

static void test_each_question_has_a_child(void **state)
{
	int fd = start(answer), status;
	enum outcome outcome;

	(void)state;
	blocking(fd);
	for (int i = 0; i < 20; i++) {
		ask(fd);
		assert_true(hear(fd, &outcome));
		assert_int_equal(outcome, OC_AUTH_FAILED);
	}
	close(fd);
	assert_true(wait(&status) > 0);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_one_that_stays_ends_them_all(void **state)
{
	int fd = start(stay), status;
	enum outcome outcome;

	(void)state;
	blocking(fd);
	ask(fd);
	assert_true(hear(fd, &outcome));
	assert_int_equal(outcome, OC_AUTHENTICATED);
	assert_false(hear(fd, &outcome)); /* all ends of the socket are closed: they are gone, that one too */
	assert_true(wait(&status) > 0);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 75);
	close(fd);
	print_message("ROW A10 overdue-child pass\n");
}

/* What it left behind would hear the passwords of others. */
static void test_none_can_fork(void **state)
{
	int fd = start(multiply), status;
	enum outcome outcome;

	(void)state;
	blocking(fd);
	for (int i = 0; i < 3; i++)
		ask_about(fd, "multiply");
	for (int i = 0; i < 30; i++) {
		ask(fd);
		assert_true(hear(fd, &outcome));
		assert_int_equal(outcome, OC_AUTH_FAILED);
	}
	close(fd);
	assert_true(wait(&status) > 0);
	print_message("ROW A10 child-cannot-multiply pass\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_question_has_a_child),
		cmocka_unit_test(test_one_that_stays_ends_them_all),
		cmocka_unit_test(test_none_can_fork),
	};

	/* The kernel counts no processes of root. */
	if (geteuid() == 0 && (setgid(65534) == -1 || setuid(65534) == -1))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
