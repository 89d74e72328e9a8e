#include "dns.h"

#include "anchor.h"
#include "test_server.h"

#include "base/log.h"
#include "base/mem.h"
#include "os/cage.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the headers above first */
#include <cmocka.h>
#include <poll.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

struct got {
	unsigned calls, unknown, bogus;
	bool exists;
	size_t count;
	char name[RDATA_NAME_BYTES];
	bool in_call;
};

static void on_answer(const struct rdata *a, bool bogus, void *arg)
{
	struct got *g = arg;

	assert_false(g->in_call);
	g->calls++;
	g->unknown += a == NULL;
	g->bogus += bogus;
	if (a == NULL)
		return;
	g->exists = a->exists;
	g->count = a->count;
	if (a->count > 0)
		memcpy(g->name, a->records[0].name, sizeof(g->name));
}

static void wait_for(struct loop *loop, const struct got *g, unsigned calls)
{
	for (unsigned i = 0; i < 1000 && g->calls < calls; i++) {
		loop_turn(loop);
		if (g->calls < calls)
			poll(NULL, 0, 5);
	}
}

static void ask(struct loop *loop, struct dns *d, const char *name, struct got *g)
{
	*g = (struct got){.in_call = true};
	assert_true(dns_ask(d, name, RDATA_MX, on_answer, g));
	g->in_call = false;
	wait_for(loop, g, 1);
	assert_int_equal(g->calls, 1);
}

static void check_answers(struct loop *loop, struct dns *d, struct test_server *s)
{
	struct got g;
	unsigned asked;

	ask(loop, d, "example.test", &g);
	assert_int_equal(g.count, 1);
	assert_string_equal(g.name, "mx1.example.test");
	asked = s->asked;
	/* From the cache, and still not from inside the call. */
	ask(loop, d, "example.test", &g);
	assert_int_equal(g.count, 1);
	assert_int_equal(s->asked, asked);
	/* `test` is no zone of libunbound's own. */
	ask(loop, d, "nowhere.test", &g);
	assert_false(g.exists);
	assert_true(s->asked > asked);
	asked = s->asked;
	ask(loop, d, "1.0.0.10.in-addr.arpa", &g);
	assert_true(s->asked > asked);
	ask(loop, d, "fail.example.com", &g);
	assert_int_equal(g.unknown, 1);
	assert_int_equal(g.bogus, 0);
}

static void check_bogus(struct loop *loop, struct dns *d)
{
	struct got g;

	/* The server cannot prove that com is not signed: its answer, whatever it says, is false. */
	ask(loop, d, "example.com", &g);
	assert_int_equal(g.unknown, 1);
	assert_int_equal(g.bogus, 1);
	/* Beneath `test` nothing is expected to be signed. */
	ask(loop, d, "example.test", &g);
	assert_int_equal(g.count, 1);
}

static struct dns *make(struct loop *loop, const struct test_server *s, bool validate)
{
	struct buf anchors = buf_make(65536);
	struct setting setting;
	const char *why;
	struct dns *d;

	assert_true(setting_read(slice_of(s->forwarder), slice_empty(), &setting));
	if (validate)
		anchor_read(&anchors);
	d = dns_new(loop, &setting, buf_slice(&anchors), &why);
	buf_free(&anchors);
	if (d == NULL)
		fail_msg("%s", why);
	return d;
}

static void check_all(struct loop *loop, struct test_server *s)
{
	struct dns *plain = make(loop, s, false), *validating = make(loop, s, true);

	test_server_start(s, loop);
	check_answers(loop, plain, s);
	check_bogus(loop, validating);
	dns_retire(&plain);
	dns_retire(&validating);
	loop_turn(loop);
	test_server_stop(s);
}

static void test_answers(void **state)
{
	struct loop *loop = loop_new();
	struct test_server s = {.asked = 0};

	(void)state;
	dns_prepare();
	test_server_open(&s);
	check_all(loop, &s);
	close(s.fd);
	loop_free(&loop);
}

/* What is open when it is retired is answered before it goes. */
static void test_retired_with_open_questions(void **state)
{
	struct loop *loop = loop_new();
	struct test_server s = {.asked = 0};
	struct got g = {.calls = 0};
	struct dns *d;

	(void)state;
	test_server_open(&s);
	d = make(loop, &s, false);
	test_server_start(&s, loop);
	for (unsigned i = 0; i < 3; i++)
		assert_true(dns_ask(d, "example.test", RDATA_MX, on_answer, &g));
	dns_retire(&d);
	wait_for(loop, &g, 3);
	assert_int_equal(g.calls, 3);
	test_server_stop(&s);
	loop_turn(loop);
	close(s.fd);
	loop_free(&loop);
}

/* The same in the resolver's cage: what libunbound would open later it must not need. */
static void in_cage(void)
{
	static const struct cage_spec spec = {.calls = CALLS_SOCKETS | CALLS_ACCEPT, .files_max = 4096};
	const struct cage_order order = {.uid = getuid(), .gid = getgid(), .root_fd = -1, .require = ""};
	char missing[CAGE_MISSING_BYTES], why[256];
	struct loop *loop = loop_new();
	struct test_server s = {.asked = 0};

	dns_prepare();
	test_server_open(&s);
	if (!cage_enter(&spec, &order, missing, why, sizeof(why))) {
		fprintf(stderr, "%s\n", why);
		_exit(2);
	}
	check_all(loop, &s);
	_exit(0);
}

static void test_in_the_cage(void **state)
{
	int status;
	pid_t child = fork();

	(void)state;
	if (child == 0)
		in_cage();
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_in_the_cage), /* first: nothing of libunbound's was used yet */
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_retired_with_open_questions),
	};

	log_set_level(LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
