#include "base/log.h"
#include "base/mem.h"
#include "harness/harness.h"
#include "test_server.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the headers above first */
#include <arpa/inet.h>
#include <cmocka.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* postern-resolver and postern-dial themselves, in their cages, with the test as the relay that asks them. */
static bool as_root;

struct run {
	struct harness *h;
	struct link *relay;
	struct test_server server;
	int listener, fd;
	char path[64], conf[2048];

	bool answered;
	enum outcome outcome;
	char text[256], records[512];
};

static void begin(struct run *r, enum role role, const char *program)
{
	struct harness_spec spec = {role, program, r->conf, NULL, 0, as_root};
	char why[512] = "";

	r->h = harness_start(&spec, why, sizeof(why));
	if (r->h == NULL)
		fail_msg("%s", why);
}

/* ---- the resolver ---- */

static void configure_resolver(struct run *r, const char *resolver, const char *dnssec)
{
	snprintf(r->conf, sizeof(r->conf),
		 "hostname here.example.test\nresolver \"%s\"\ndnssec %s\ntransport mx { smtp mx; tls off }\nroute { "
		 "relay mx }\n",
		 resolver, dnssec);
}

static void keep_records(struct run *r, struct slice rest)
{
	struct buf out = buf_make(sizeof(r->records));
	struct rec_mx_host rec;

	while (rec_mx_host_next(&rest, &rec))
		buf_addf(&out, "%u %.*s %.*s,", (unsigned)rec.preference, SLICE_ARG(rec.name),
			 SLICE_ARG(rec.address));
	snprintf(r->records, sizeof(r->records), "%s", buf_text(&out));
	buf_free(&out);
}

static void on_answer(struct ipc_message *m, void *arg)
{
	struct run *r = arg;

	r->answered = true;
	if (m == NULL)
		return;
	r->outcome = m->type == IPC_MX_ANSWER ? m->body.MX_ANSWER.outcome : m->body.HOST_ANSWER.outcome;
	keep_records(r, m->type == IPC_MX_ANSWER ? m->body.MX_ANSWER.mx_host_records
						 : m->body.HOST_ANSWER.mx_host_records);
}

static void ask(struct run *r, enum ipc_type type, const char *name)
{
	const struct msg_MX_ASK mx = {slice_of(name)};
	const struct msg_HOST_ASK host = {slice_of(name)};

	r->answered = false;
	r->outcome = OC_COUNT;
	r->records[0] = '\0';
	link_ask(r->relay, type, type == IPC_MX_ASK ? (const void *)&mx : (const void *)&host, LINK_ASK_MS, on_answer,
		 r);
	assert_true(harness_until(r->h, &r->answered));
}

static void check(struct run *r, enum ipc_type type, const char *name, enum outcome outcome, const char *records)
{
	ask(r, type, name);
	if (r->outcome != outcome || strcmp(r->records, records) != 0)
		fail_msg("%s: %s %s", name, outcome_info(r->outcome)->name, r->records);
}

static int start_resolver(void **state)
{
	struct run *r = mem_new(1, sizeof(*r));

	*state = r;
	test_server_open(&r->server);
	return 0;
}

static void run_resolver(struct run *r, const char *dnssec)
{
	configure_resolver(r, r->server.forwarder, dnssec);
	begin(r, ROLE_RESOLVER, RESOLVER);
	r->relay = harness_peer(r->h, ROLE_RELAY, 0, NULL, NULL);
	test_server_start(&r->server, harness_loop(r->h));
}

static int stop_resolver(void **state)
{
	struct run *r = *state;

	test_server_stop(&r->server);
	harness_stop(&r->h);
	close(r->server.fd);
	free(r);
	return 0;
}

static void check_names(struct run *r)
{
	check(r, IPC_MX_ASK, "example.test", OC_DONE, "10 mx1.example.test 198.51.100.7,");
	check(r, IPC_HOST_ASK, "mx1.example.test", OC_DONE, "0 mx1.example.test 198.51.100.7,");
	check(r, IPC_MX_ASK, "nowhere.test", OC_NO_SUCH_DOMAIN, "");
	check(r, IPC_MX_ASK, "fail.example.test", OC_DNS_UNKNOWN, "");
	check(r, IPC_MX_ASK, "[192.0.2.1]", OC_DONE, "0 [192.0.2.1] 192.0.2.1,");
	check(r, IPC_HOST_ASK, "localhost", OC_DONE, "0 localhost 127.0.0.1,0 localhost ::1,");
}

static void test_without_dnssec(void **state)
{
	struct run *r = *state;

	run_resolver(r, "off");
	check_names(r);
	check(r, IPC_MX_ASK, "example.com", OC_NO_SUCH_DOMAIN, "");
}

/* The server passes no DNSSEC on: what was asked meanwhile is answered when that is known. */
static void test_dnssec_where_it_can_be_had(void **state)
{
	struct run *r = *state;

	run_resolver(r, "auto");
	check_names(r);
	check(r, IPC_MX_ASK, "example.com", OC_NO_SUCH_DOMAIN, "");
}

static void test_dnssec_required(void **state)
{
	struct run *r = *state;

	run_resolver(r, "require");
	check(r, IPC_MX_ASK, "example.com", OC_DNS_UNKNOWN, "");
	check(r, IPC_MX_ASK, "example.test", OC_DONE,
	      "10 mx1.example.test 198.51.100.7,"); /* test. is nobody's to sign */
}

static void test_a_reload(void **state)
{
	struct run *r = *state;
	char why[512];

	run_resolver(r, "require");
	check(r, IPC_MX_ASK, "example.com", OC_DNS_UNKNOWN, "");
	configure_resolver(r, r->server.forwarder, "off");
	assert_true(harness_reload(r->h, r->conf, NULL, 0, why, sizeof(why)));
	check(r, IPC_MX_ASK, "example.com", OC_NO_SUCH_DOMAIN, "");
	check_names(r);
}

/* ---- dial ---- */

static void configure_dial(struct run *r, unsigned port)
{
	snprintf(r->conf, sizeof(r->conf),
		 "hostname here.example.test\npostmaster boss@example.test\nconnect_timeout 2s\n"
		 "transport open { smtp \"127.0.0.1:%u\"; tls off; allow-local yes }\n" /* 0 */
		 "transport guarded { smtp \"127.0.0.1:%u\"; tls off }\n" /* 1 */
		 "transport store { lmtp \"%s\" }\n" /* 2 */
		 "transport closed { smtp \"127.0.0.1:1\"; tls off; allow-local yes }\n" /* 3 */
		 "table none { \"nobody\" }\n"
		 "route { deliver store if recipient in none; relay guarded if recipient in none; relay closed if "
		 "recipient in none;"
		 " relay open }\n",
		 port, port, r->path);
}

static void on_dialled(struct ipc_message *m, void *arg)
{
	struct run *r = arg;

	r->answered = true;
	if (m == NULL)
		return;
	r->outcome = m->body.DIALLED.outcome;
	r->fd = m->fd;
	m->fd = -1;
	assert_true(slice_copy(m->body.DIALLED.text, r->text, sizeof(r->text)));
}

static void dial(struct run *r, uint64_t generation, uint64_t target, const char *address)
{
	const struct msg_DIAL_ASK question = {generation, target, slice_of(address), 1000};

	r->answered = false;
	r->outcome = OC_COUNT;
	r->fd = -1;
	link_ask(r->relay, IPC_DIAL_ASK, &question, LINK_ASK_MS, on_dialled, r);
	assert_true(harness_until(r->h, &r->answered));
}

static void check_refused(struct run *r, uint64_t generation, uint64_t target, const char *address, const char *text)
{
	dial(r, generation, target, address);
	assert_int_equal(r->fd, -1);
	assert_int_equal(outcome_kind(r->outcome), KIND_TEMP);
	if (strstr(r->text, text) == NULL)
		fail_msg("%s", r->text);
}

static void check_connected(struct run *r, uint64_t target, int listener)
{
	int peer;
	char byte;

	dial(r, harness_generation(r->h), target, "");
	assert_int_equal(r->outcome, OC_DONE);
	assert_true(r->fd >= 0);
	peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_int_equal(write(peer, "x", 1), 1);
	while (read(r->fd, &byte, 1) != 1)
		continue;
	close(peer);
	close(r->fd);
}

static unsigned listen_inet(struct run *r)
{
	struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(here);

	r->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(r->listener, (const struct sockaddr *)&here, len), 0);
	assert_int_equal(listen(r->listener, 5), 0);
	assert_int_equal(getsockname(r->listener, (struct sockaddr *)&here, &len), 0);
	return ntohs(here.sin_port);
}

static int listen_unix(struct run *r)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(r->path, sizeof(r->path), "/tmp/test-dial-%d", (int)getpid());
	(void)unlink(r->path);
	assert_true(slice_copy(slice_of(r->path), un.sun_path, sizeof(un.sun_path)));
	assert_int_equal(bind(fd, (const struct sockaddr *)&un, sizeof(un)), 0);
	assert_int_equal(chmod(r->path, 0666), 0);
	assert_int_equal(listen(fd, 5), 0);
	return fd;
}

static void test_dial(void **state)
{
	struct run r = {.fd = -1};
	int store = listen_unix(&r);
	unsigned port = listen_inet(&r);

	(void)state;
	configure_dial(&r, port);
	begin(&r, ROLE_DIAL, DIAL);
	r.relay = harness_peer(r.h, ROLE_RELAY, 0, NULL, NULL);
	check_connected(&r, 0, r.listener);
	check_connected(&r, 2, store);
	check_refused(&r, 1, 1, "", "allow-local");
	check_refused(&r, 1, 3, "", "Connection refused");
	check_refused(&r, 1, 0, "127.0.0.2", "not an address");
	check_refused(&r, 1, 2, "127.0.0.1", "path");
	check_refused(&r, 1, 9, "127.0.0.1", "no destination");
	check_refused(&r, 99, 0, "", "generation");
	close(store);
	check_refused(&r, 1, 2, "", "Connection refused");
	harness_stop(&r.h);
	close(r.listener);
	unlink(r.path);
}

static int play(bool root)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_without_dnssec, start_resolver, stop_resolver),
		cmocka_unit_test_setup_teardown(test_dnssec_where_it_can_be_had, start_resolver, stop_resolver),
		cmocka_unit_test_setup_teardown(test_dnssec_required, start_resolver, stop_resolver),
		cmocka_unit_test_setup_teardown(test_a_reload, start_resolver, stop_resolver),
		cmocka_unit_test(test_dial),
	};

	as_root = root;
	return cmocka_run_group_tests_name(root ? "as root" : "as the caller", tests, NULL, NULL);
}

int main(void)
{
	int failures = play(false);

	if (geteuid() == 0)
		failures += play(true);
	return failures;
}
