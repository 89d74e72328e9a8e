#include "dns.h"

#include "anchor.h"

#include "base/log.h"
#include "base/mem.h"
#include "os/cage.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the headers above first */
#include <arpa/inet.h>
#include <cmocka.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* A name server on loopback, in the same loop: example.test has an MX, fail.test fails, silent.test is silent, all else does
 * not exist.  It knows nothing of DNSSEC. */
struct server {
	int fd;
	struct watch *watch;
	char forwarder[SETTING_FORWARDER_BYTES];
	unsigned asked;
};

static size_t question_end(const unsigned char *p, size_t len)
{
	size_t at = 12;

	while (at < len && p[at] != 0)
		at += p[at] + 1u;
	return at + 5;
}

static bool is_asked(struct slice packet, const char *label)
{
	return slice_find(packet, slice_of(label)) != SLICE_NONE;
}

static void on_question(int fd, unsigned what, void *arg)
{
	static const char mx[] = "\xc0\x0c\0\x0f\0\x01\0\0\0\x3c\0\x08\0\x0a\3mx1\xc0\x0c";
	struct server *s = arg;
	unsigned char p[1500];
	struct sockaddr_in from;
	socklen_t from_len = sizeof(from);
	ssize_t n = recvfrom(fd, p, 512, 0, (struct sockaddr *)&from, &from_len);
	size_t len = n < 17 ? 0 : question_end(p, (size_t)n);
	struct slice packet = slice_make((const char *)p, (size_t)n);
	bool exists = is_asked(packet, "\7example\4test") && !is_asked(packet, "\3nxd");

	(void)what;
	if (len == 0 || len > 512 || is_asked(packet, "\6silent"))
		return;
	s->asked++;
	p[2] = 0x81;
	p[3] = (unsigned char)(0x80 | (is_asked(packet, "\4fail") ? 2 : exists ? 0 : 3));
	memset(p + 6, 0, 6);
	if (exists && p[len - 3] == RDATA_MX) {
		p[7] = 1;
		memcpy(p + len, mx, sizeof(mx) - 1);
		len += sizeof(mx) - 1;
	}
	(void)!sendto(fd, p, len, 0, (const struct sockaddr *)&from, from_len);
}

static void server_open(struct server *s)
{
	struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(here);

	s->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(s->fd, (const struct sockaddr *)&here, len), 0);
	assert_int_equal(getsockname(s->fd, (struct sockaddr *)&here, &len), 0);
	snprintf(s->forwarder, sizeof(s->forwarder), "forward 127.0.0.1@%u", ntohs(here.sin_port));
}

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

static void check_answers(struct loop *loop, struct dns *d, struct server *s)
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

static struct dns *make(struct loop *loop, const struct server *s, bool validate)
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

static void check_all(struct loop *loop, struct server *s)
{
	struct dns *plain = make(loop, s, false), *validating = make(loop, s, true);

	s->watch = watch_new(loop, s->fd, on_question, s);
	watch_want(s->watch, WATCH_READ);
	check_answers(loop, plain, s);
	check_bogus(loop, validating);
	dns_retire(&plain);
	dns_retire(&validating);
	loop_turn(loop);
	watch_free(&s->watch);
}

static void test_answers(void **state)
{
	struct loop *loop = loop_new();
	struct server s = {.asked = 0};

	(void)state;
	dns_prepare();
	server_open(&s);
	check_all(loop, &s);
	close(s.fd);
	loop_free(&loop);
}

/* What is open when it is retired is answered before it goes. */
static void test_retired_with_open_questions(void **state)
{
	struct loop *loop = loop_new();
	struct server s = {.asked = 0};
	struct got g = {.calls = 0};
	struct dns *d;

	(void)state;
	server_open(&s);
	d = make(loop, &s, false);
	s.watch = watch_new(loop, s.fd, on_question, &s);
	watch_want(s.watch, WATCH_READ);
	for (unsigned i = 0; i < 3; i++)
		assert_true(dns_ask(d, "example.test", RDATA_MX, on_answer, &g));
	dns_retire(&d);
	wait_for(loop, &g, 3);
	assert_int_equal(g.calls, 3);
	watch_free(&s.watch);
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
	struct server s = {.asked = 0};

	dns_prepare();
	server_open(&s);
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
