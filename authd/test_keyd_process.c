/* The real postern-keyd in its cage; the gate is played here. */
#include "harness/harness.h"

#include "conf/conf.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the headers above first */
#include <cmocka.h>
#include <unistd.h>

static const char conf[] = "hostname mx.example.test\n"
			   "postmaster boss@example.test\n"
			   "listen 127.0.0.1:2525 { role mx  tls off }\n"
			   "transport home { maildir \"~/Maildir/\" }\n"
			   "route { deliver home }\n";

static void attest(struct harness *h, struct link *gate, uint64_t session, uint64_t worker)
{
	const struct msg_SESSION_OPEN open = {.session = session, .worker = worker, .generation = harness_generation(h), .role = LISTENER_MX,
					      .uid = UINT64_MAX, .client = slice_of("192.0.2.1"), .local = slice_of("192.0.2.2")};

	assert_true(link_tell(gate, IPC_SESSION_OPEN, &open, -1));
	link_flush(gate);
	harness_settle(h);
}

/* As the others do who are told of sessions: what such a gate attests is believed no longer. */
static void test_a_session_of_two_workers(void **state)
{
	const struct harness_spec spec = {ROLE_KEYD, KEYD, conf, NULL, 0, getuid() == 0};
	char why[512] = "";
	struct harness *h = harness_start(&spec, why, sizeof(why));
	struct link *gate;

	(void)state;
	if (h == NULL)
		fail_msg("%s", why);
	gate = harness_peer(h, ROLE_GATE, 0, NULL, NULL);
	attest(h, gate, 1, 5);
	attest(h, gate, 1, 5);
	attest(h, gate, 2, 6);
	assert_false(harness_is_broken(h, gate));
	attest(h, gate, 1, 6);
	assert_true(harness_is_broken(h, gate));
	assert_int_equal(harness_accused(h), ROLE_GATE);
	print_message("ROW I01 session-twice-keyd pass\n");
	harness_stop(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_session_of_two_workers)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
