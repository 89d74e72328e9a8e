#include "ipc/link.h"

#include "base/clock.h"
#include "base/mem.h"
#include "ipc/packet.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the headers above first */
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* The system is wrapped: the next `failing_sends` fail with `send_error`, and memory of `no_memory_from` bytes and more is
 * not there. */
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);
static size_t no_memory_from = SIZE_MAX;
static int send_error;
static unsigned failing_sends, sends;

void *__wrap_malloc(size_t size)
{
	if (size < no_memory_from)
		return __real_malloc(size);
	errno = ENOMEM;
	return NULL;
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
	sends++;
	if (failing_sends == 0)
		return __real_sendmsg(fd, message, flags);
	failing_sends--;
	errno = send_error;
	return -1;
}

static void fail_sends(unsigned count, int err)
{
	failing_sends = count;
	send_error = err;
	sends = 0;
}

/* Two ends in one loop: `a` is an smtpd, `b` is authd. */
struct ends {
	struct loop *loop;
	struct link *a, *b;
	int raw; /* instead of a: the bare socket */
	unsigned heard, answers, failures, broken;
	const char *why;
	uint64_t request;
	bool mute;
};

static void on_message(struct link *link, struct ipc_message *m, void *arg)
{
	struct ends *e = arg;

	(void)link;
	e->heard++;
	e->request = m->request;
	if (m->type == IPC_AUTH_START && !e->mute) {
		struct msg_AUTH_RESULT result = {OC_AUTHENTICATED, slice_of("alice"), slice_empty(), slice_empty()};

		link_answer(e->b, m->request, IPC_AUTH_RESULT, &result, -1);
	}
}

static void on_broken(struct link *link, const char *why, void *arg)
{
	struct ends *e = arg;

	e->broken++;
	e->why = why;
	if (link == e->a)
		link_free(&e->a);
	else
		link_free(&e->b);
}

static void on_answer(struct ipc_message *m, void *arg)
{
	struct ends *e = arg;

	if (m == NULL)
		e->failures++;
	else if (m->body.AUTH_RESULT.outcome == OC_AUTHENTICATED &&
		 slice_eq(m->body.AUTH_RESULT.login, slice_of("alice")))
		e->answers++;
}

static int start(void **state)
{
	struct ends *e = mem_new(1, sizeof(*e));
	struct link_config authd = {ROLE_AUTHD, ROLE_SMTPD, 3, on_message, on_broken, e};
	struct link_config smtpd = {ROLE_SMTPD, ROLE_AUTHD, 0, on_message, on_broken, e};
	int pair[2];

	assert_true(link_pair(pair));
	e->loop = loop_new();
	e->raw = dup(pair[0]);
	e->a = link_new(e->loop, pair[0], &smtpd);
	e->b = link_new(e->loop, pair[1], &authd);
	*state = e;
	return 0;
}

static int stop(void **state)
{
	struct ends *e = *state;

	link_free(&e->a);
	link_free(&e->b);
	if (e->raw >= 0)
		close(e->raw);
	loop_free(&e->loop);
	free(e);
	return 0;
}

static void turn(struct ends *e)
{
	for (int i = 0; i < 20; i++)
		loop_turn(e->loop);
}

static const struct msg_AUTH_START alice = {1, 1, 0, 1, {"secret", 6}, {"", 0}, {"", 0}, {"", 0}};

static void test_questions_travel_together(void **state)
{
	struct ends *e = *state;

	for (int i = 0; i < 500; i++)
		link_ask(e->a, IPC_AUTH_START, &alice, LINK_ASK_MS, on_answer, e);
	assert_int_equal(e->answers, 0);
	turn(e);
	assert_int_equal(e->heard, 500);
	assert_int_equal(e->answers, 500);
	assert_int_equal(link_open_questions(e->a), 0);
}

static void test_a_broken_link_fails_its_questions(void **state)
{
	struct ends *e = *state;

	e->mute = true;
	link_ask(e->a, IPC_AUTH_START, &alice, LINK_ASK_MS, on_answer, e);
	turn(e);
	link_break(e->b, "test");
	close(e->raw);
	e->raw = -1;
	turn(e);
	assert_int_equal(e->failures, 1);
	assert_int_equal(e->broken, 2);
	assert_null(e->a);
}

static void test_silence_ends_in_failure(void **state)
{
	struct ends *e = *state;

	e->mute = true;
	link_ask(e->a, IPC_AUTH_START, &alice, 1000, on_answer, e);
	turn(e);
	assert_int_equal(e->failures, 0);
	clock_turn_ms(2000);
	loop_clock_turned(e->loop);
	turn(e);
	assert_int_equal(e->failures, 1);
	/* The late answer is nobody's. */
	link_answer(e->b, e->request, IPC_AUTH_RESULT, &(struct msg_AUTH_RESULT){OC_DONE, {"", 0}, {"", 0}, {"", 0}}, -1);
	turn(e);
	assert_int_equal(e->failures, 1);
	assert_int_equal(e->broken, 0);
}

static void test_what_may_not_be_said_ends_the_link(void **state)
{
	struct ends *e = *state;
	struct msg_SESSION_LOGIN forged = {1, slice_of("root")};

	assert_true(link_tell_now(e->raw, IPC_SESSION_LOGIN, 0, false, &forged, -1));
	turn(e);
	assert_int_equal(e->heard, 0);
	assert_true(e->broken >= 1);
	assert_null(e->b);
	print_message("ROW I01 forged pass\n");
}

static void test_garbage_ends_the_link(void **state)
{
	struct ends *e = *state;

	assert_int_equal(packet_send(e->raw, slice_of("hello"), -1), PACKET_DONE);
	turn(e);
	assert_null(e->b);
	print_message("ROW I02 garbage pass\n");
}

/* What was said before is heard before: a drain leaves nothing behind. */
static void test_drain_takes_all(void **state)
{
	struct ends *e = *state;

	for (int i = 0; i < 100; i++)
		assert_true(link_tell_now(e->raw, IPC_AUTH_START, 0, false, &alice, -1));
	e->mute = true;
	link_drain(e->b);
	assert_int_equal(e->heard, 100);
}

/* Whoever makes us ask more than there is place for makes those questions fail: we live on, and so do the others. */
static void test_more_questions_than_there_is_place_for(void **state)
{
	struct ends *e = *state;
	uint64_t last = 0;

	e->mute = true;
	link_pause(e->b, true);
	for (int i = 0; i < 200100; i++)
		last = link_ask(e->a, IPC_AUTH_START, &alice, LINK_ASK_MS, on_answer, e);
	link_forget(e->a, last);
	turn(e);
	assert_int_equal(e->failures, 99);
	assert_int_equal(link_open_questions(e->a), 200000);
	link_break(e->a, NULL);
	turn(e);
	assert_int_equal(e->failures, 200099);
	print_message("ROW R06 open-questions pass\n");
}

/* A descriptor that is not due never arrives: the receiver has no room for it. */
static void test_stray_descriptor_is_dropped(void **state)
{
	struct ends *e = *state;
	int before = dup(0), after;

	close(before);
	assert_true(link_tell_now(e->raw, IPC_AUTH_START, 5, false, &alice, e->raw));
	turn(e);
	assert_int_equal(e->heard, 1);
	after = dup(0);
	close(after);
	assert_int_equal(before, after);
	print_message("ROW I03 stray-descriptor pass\n");
}

static void test_a_peer_that_does_not_read(void **state)
{
	struct ends *e = *state;
	char secret[1000] = "long";
	struct msg_AUTH_START check = {1, 1, 0, 1, slice_make(secret, sizeof(secret)), {"", 0}, {"", 0}, {"", 0}};
	unsigned asked = 0;

	link_pause(e->b, true);
	while (asked < 100000 && link_queued_bytes(e->a) < LINK_QUEUED_MAX) {
		link_tell(e->a, IPC_AUTH_START, &check, -1);
		link_flush(e->a);
		asked++;
	}
	assert_true(asked < 100000);
	assert_false(link_tell(e->a, IPC_AUTH_START, &check, -1) && link_tell(e->a, IPC_AUTH_START, &check, -1));
	assert_true(link_queued_bytes(e->a) < LINK_QUEUED_MAX + LINK_PACKET_MAX);
	print_message("ROW I04 bounded pass\n");
}

static void test_the_wrong_answer_ends_the_link(void **state)
{
	struct ends *e = *state;
	struct link_config relay = {ROLE_RELAY, ROLE_AUTHD, 0, on_message, on_broken, e};
	struct msg_CREDENTIAL_ASK ask = {1, slice_of("isp")};
	int pair[2];

	link_free(&e->a);
	assert_true(link_pair(pair));
	e->a = link_new(e->loop, pair[0], &relay);
	link_ask(e->a, IPC_CREDENTIAL_ASK, &ask, LINK_ASK_MS, on_answer, e);
	link_flush(e->a);
	/* Said by an authd, but not what was asked. */
	assert_true(link_tell_now(pair[1], IPC_CREDENTIAL, 1, true,
				  &(struct msg_CREDENTIAL){OC_DONE, {"u", 1}, {"p", 1}}, -1));
	turn(e);
	assert_int_equal(e->failures + e->answers, 0); /* the callback above wants another type */
	link_ask(e->a, IPC_CREDENTIAL_ASK, &ask, LINK_ASK_MS, on_answer, e);
	link_flush(e->a);
	assert_true(link_tell_now(pair[1], IPC_STATUS, 2, true, &(struct msg_STATUS){{"", 0}}, -1));
	turn(e);
	assert_int_equal(e->broken, 1);
	assert_int_equal(e->failures, 1);
	close(pair[1]);
}

enum end_of_child { ENDED_WELL, BROKE_LINK = 3, BLAMED_PEER };

/* In a process of its own: how it ended. */
static int end_of_one(int fd, enum role self, enum role peer, void (*meanwhile)(struct ends *e))
{
	int status = 0, null = -1;
	pid_t child = fork();

	assert_int_not_equal(child, -1);
	if (child == 0) {
		struct ends e = {.loop = loop_new()};

		null = open("/dev/null", O_WRONLY | O_CLOEXEC);
		(void)dup2(null, STDERR_FILENO);
		e.a = link_new(e.loop, fd, &(struct link_config){self, peer, 0, on_message, on_broken, &e});
		meanwhile(&e);
		for (int i = 0; i < 3; i++)
			loop_turn(e.loop);
		_exit(e.broken == 0 ? ENDED_WELL : e.why == NULL ? BROKE_LINK : BLAMED_PEER);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void do_nothing(struct ends *e)
{
	(void)e;
}

/* It is no socket, so each call on it fails, and yet nobody has gone. */
static void test_a_link_that_fails_on_our_side_ends_us(void **state)
{
	int pipes[2];

	(void)state;
	assert_int_equal(pipe2(pipes, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(write(pipes[1], "x", 1), 1);
	assert_int_equal(end_of_one(pipes[0], ROLE_SMTPD, ROLE_AUTHD, do_nothing), 75);
	assert_int_equal(end_of_one(pipes[0], ROLE_MASTER, ROLE_AUTHD, do_nothing), BROKE_LINK);
	close(pipes[0]);
	close(pipes[1]);
}

static const struct msg_PING ping = {1};

/* There is no memory for what is said, */
static void say_without_memory(struct ends *e)
{
	no_memory_from = 1;
	(void)link_tell(e->a, IPC_PING, &ping, -1);
}

/* nor for a packet that has to wait, */
static void wait_without_memory(struct ends *e)
{
	(void)link_tell(e->a, IPC_PING, &ping, -1);
	fail_sends(1, EAGAIN);
	no_memory_from = 1;
	(void)link_flush(e->a);
}

/* nor has the kernel any, until more waits than a peer that does not read is let wait. */
static void wait_for_the_kernel(struct ends *e)
{
	fail_sends(UINT_MAX, ENOBUFS);
	while (!link_is_broken(e->a) && link_tell(e->a, IPC_PING, &ping, -1))
		(void)link_flush(e->a);
	link_break_deaf(e->a);
}

static void wait_for_the_peer(struct ends *e)
{
	fail_sends(UINT_MAX, EAGAIN);
	while (!link_is_broken(e->a) && link_tell(e->a, IPC_PING, &ping, -1))
		(void)link_flush(e->a);
	link_break_deaf(e->a);
}

/* Want of memory is ours: we begin anew (the master ends the child, and blames it for nothing). */
static void test_want_of_memory_is_not_the_peers_fault(void **state)
{
	static void (*const wants[])(struct ends *e) = {say_without_memory, wait_without_memory, wait_for_the_kernel};
	int pair[2];

	(void)state;
	assert_true(link_pair(pair));
	for (size_t i = 0; i < ARRAY_LEN(wants); i++) {
		assert_int_equal(end_of_one(pair[0], ROLE_GATE, ROLE_QUEUE, wants[i]), 75);
		assert_int_equal(end_of_one(pair[0], ROLE_MASTER, ROLE_QUEUE, wants[i]), BROKE_LINK);
	}
	assert_int_equal(end_of_one(pair[0], ROLE_MASTER, ROLE_QUEUE, wait_for_the_peer), BLAMED_PEER);
	close(pair[0]);
	close(pair[1]);
}

/* A socket that can be written says nothing of memory: the link looks again later, not at once. */
static void test_the_kernels_want_of_memory_is_waited_out(void **state)
{
	static const int wants[] = {ENOBUFS, ENOMEM, ETOOMANYREFS};
	struct ends *e = *state;

	for (size_t i = 0; i < ARRAY_LEN(wants); i++) {
		fail_sends(1000, wants[i]);
		link_ask(e->a, IPC_AUTH_START, &alice, LINK_ASK_MS, on_answer, e);
		turn(e);
		assert_in_range(sends, 1, 5);
		failing_sends = 0;
		clock_turn_ms(100);
		loop_clock_turned(e->loop);
		turn(e);
		assert_int_equal(e->answers, i + 1);
		assert_int_equal(link_queued_bytes(e->a), 0);
	}
	/* And a socket that is only full is waited for as ever. */
	fail_sends(3, EAGAIN);
	link_ask(e->a, IPC_AUTH_START, &alice, LINK_ASK_MS, on_answer, e);
	turn(e);
	assert_in_range(sends, 4, 5);
	assert_int_equal(e->answers, ARRAY_LEN(wants) + 1);
	assert_int_equal(e->broken, 0);
}

/* What somebody said before he ended is heard, also where he had not read all: the kernel tells of that first. */
static void test_last_words_are_heard(void **state)
{
	char space[16];
	size_t len = 0;
	int pair[2];

	(void)state;
	assert_true(link_pair(pair));
	assert_int_equal(packet_send(pair[0], slice_of("unread"), -1), PACKET_DONE);
	assert_int_equal(packet_send(pair[1], slice_of("done"), -1), PACKET_DONE);
	close(pair[1]);
	assert_int_equal(packet_receive(pair[0], space, sizeof(space), &len, NULL), PACKET_DONE);
	assert_true(slice_eq(slice_make(space, len), slice_of("done")));
	assert_int_equal(packet_receive(pair[0], space, sizeof(space), &len, NULL), PACKET_CLOSED);
	close(pair[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_questions_travel_together, start, stop),
		cmocka_unit_test_setup_teardown(test_a_broken_link_fails_its_questions, start, stop),
		cmocka_unit_test_setup_teardown(test_silence_ends_in_failure, start, stop),
		cmocka_unit_test_setup_teardown(test_what_may_not_be_said_ends_the_link, start, stop),
		cmocka_unit_test_setup_teardown(test_garbage_ends_the_link, start, stop),
		cmocka_unit_test_setup_teardown(test_drain_takes_all, start, stop),
		cmocka_unit_test_setup_teardown(test_more_questions_than_there_is_place_for, start, stop),
		cmocka_unit_test_setup_teardown(test_stray_descriptor_is_dropped, start, stop),
		cmocka_unit_test_setup_teardown(test_a_peer_that_does_not_read, start, stop),
		cmocka_unit_test_setup_teardown(test_the_wrong_answer_ends_the_link, start, stop),
		cmocka_unit_test(test_a_link_that_fails_on_our_side_ends_us),
		cmocka_unit_test(test_want_of_memory_is_not_the_peers_fault),
		cmocka_unit_test(test_last_words_are_heard),
		cmocka_unit_test_setup_teardown(test_the_kernels_want_of_memory_is_waited_out, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
