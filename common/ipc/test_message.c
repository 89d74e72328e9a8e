#include "ipc/message.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the headers above first */
#include <cmocka.h>

static void test_admission(void **state)
{
	static const struct {
		const char *name;
		enum role self, peer;
		struct ipc_head head;
		size_t fds;
		enum ipc_verdict want;
	} cases[] = {
		{"smtpd may ask authd", ROLE_AUTHD, ROLE_SMTPD, {IPC_AUTH_START, 0, 100, 1}, 0, IPC_ADMIT},
		{"the queue may not", ROLE_AUTHD, ROLE_QUEUE, {IPC_AUTH_START, 0, 100, 1}, 0, IPC_FORGED},
		{"not to the queue", ROLE_QUEUE, ROLE_SMTPD, {IPC_AUTH_START, 0, 100, 1}, 0, IPC_FORGED},
		{"no stray descriptor", ROLE_AUTHD, ROLE_SMTPD, {IPC_AUTH_START, 0, 100, 1}, 1, IPC_MALFORMED},
		{"too long", ROLE_AUTHD, ROLE_SMTPD, {IPC_AUTH_START, 0, 10701, 1}, 0, IPC_MALFORMED},
		{"no such type", ROLE_AUTHD, ROLE_SMTPD, {IPC_COUNT, 0, 1, 1}, 0, IPC_MALFORMED},
		{"no such flag", ROLE_AUTHD, ROLE_SMTPD, {IPC_AUTH_START, 2, 1, 1}, 0, IPC_MALFORMED},
		{"an answer to nothing", ROLE_SMTPD, ROLE_AUTHD, {IPC_AUTH_RESULT, 1, 10, 0}, 0, IPC_MALFORMED},
		{"a worker cannot name a login", ROLE_QUEUE, ROLE_SMTPD, {IPC_SESSION_LOGIN, 0, 10, 0}, 0, IPC_FORGED},
		{"a worker cannot open a session", ROLE_QUEUE, ROLE_SMTPD, {IPC_SESSION_OPEN, 0, 10, 0}, 0, IPC_FORGED},
		{"a job needs its file", ROLE_RELAY, ROLE_QUEUE, {IPC_JOB_START, 0, 10, 0}, 0, IPC_MALFORMED},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		enum ipc_verdict got = ipc_admit(cases[i].self, cases[i].peer, &cases[i].head, cases[i].fds);

		if (got != cases[i].want)
			fail_msg("%s: got %d", cases[i].name, (int)got);
	}
	print_message("ROW I01 admission pass\n");
}

static struct buf sample(void)
{
	struct msg_DRAFT_RCPT rcpt = {7, 8, 9, slice_of("bob@example.test"), slice_of("rfc822;bob")};
	struct buf b = buf_make(4096);

	assert_true(ipc_encode(IPC_DRAFT_RCPT, &rcpt, &b));
	return b;
}

static void test_round_trip(void **state)
{
	struct buf b = sample();
	struct ipc_message m;

	(void)state;
	assert_true(ipc_decode(IPC_DRAFT_RCPT, buf_slice(&b), &m));
	assert_int_equal(m.body.DRAFT_RCPT.session, 7);
	assert_int_equal(m.body.DRAFT_RCPT.notify, 9);
	assert_true(slice_eq(m.body.DRAFT_RCPT.recipient, slice_of("bob@example.test")));
	assert_true(slice_eq(m.body.DRAFT_RCPT.orcpt, slice_of("rfc822;bob")));
	buf_free(&b);
}

static void test_every_truncation_fails(void **state)
{
	struct buf b = sample();
	struct ipc_message m;

	(void)state;
	for (size_t n = 0; n < b.len; n++)
		assert_false(ipc_decode(IPC_DRAFT_RCPT, slice_make(b.at, n), &m));
	assert_true(buf_add_char(&b, 'x'));
	assert_false(ipc_decode(IPC_DRAFT_RCPT, buf_slice(&b), &m));
	buf_free(&b);
}

/* A changed byte is either refused or gives fields within their bounds. */
static void test_every_byte_changed(void **state)
{
	struct buf b = sample();
	struct ipc_message m;

	(void)state;
	for (size_t n = 0; n < b.len; n++) {
		for (int v = 0; v < 256; v++) {
			char was = b.at[n];

			b.at[n] = (char)v;
			if (ipc_decode(IPC_DRAFT_RCPT, buf_slice(&b), &m)) {
				assert_true(m.body.DRAFT_RCPT.recipient.len <= 512);
				assert_ptr_equal(memchr(m.body.DRAFT_RCPT.recipient.at, 0,
							m.body.DRAFT_RCPT.recipient.len), NULL);
			}
			b.at[n] = was;
		}
	}
	buf_free(&b);
	print_message("ROW I02 every-byte pass\n");
}

static void test_fields_are_never_cut(void **state)
{
	char long_text[600] = "";
	struct msg_DRAFT_RCPT rcpt = {1, 1, 0, slice_make(long_text, 513), slice_empty()};
	struct buf b = buf_make(4096);

	(void)state;
	memset(long_text, 'a', sizeof(long_text));
	assert_false(ipc_encode(IPC_DRAFT_RCPT, &rcpt, &b));
	rcpt.recipient = slice_make("a\0b", 3);
	assert_false(ipc_encode(IPC_DRAFT_RCPT, &rcpt, &b));
	assert_int_equal(b.len, 0);
	buf_free(&b);
}

static void test_records(void **state)
{
	struct rec_mx_host a = {10, slice_of("mx1.example.test"), slice_of("192.0.2.1")}, got;
	struct buf b = buf_make(4096);
	struct slice rest;

	(void)state;
	assert_true(rec_mx_host_add(&b, &a));
	a.preference = 20;
	assert_true(rec_mx_host_add(&b, &a));
	rest = buf_slice(&b);
	assert_true(rec_mx_host_next(&rest, &got));
	assert_int_equal(got.preference, 10);
	assert_true(rec_mx_host_next(&rest, &got));
	assert_int_equal(got.preference, 20);
	assert_false(rec_mx_host_next(&rest, &got));
	assert_int_equal(rest.len, 0);
	rest = slice_make(b.at, b.len - 1);
	assert_true(rec_mx_host_next(&rest, &got));
	assert_false(rec_mx_host_next(&rest, &got));
	assert_true(rest.len > 0);
	buf_free(&b);
}

static void test_secrets_and_descriptors_are_marked(void **state)
{
	(void)state;
	assert_true(ipc_is_secret(IPC_AUTH_START));
	assert_true(ipc_is_secret(IPC_CREDENTIAL));
	assert_false(ipc_is_secret(IPC_AUTH_RESULT));
	assert_true(ipc_takes_fds(ROLE_SMTPD, ROLE_GATE));
	assert_false(ipc_takes_fds(ROLE_AUTHD, ROLE_SMTPD));
	assert_false(ipc_takes_fds(ROLE_KEYD, ROLE_SMTPD));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_admission),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_every_truncation_fails),
		cmocka_unit_test(test_every_byte_changed),
		cmocka_unit_test(test_fields_are_never_cut),
		cmocka_unit_test(test_records),
		cmocka_unit_test(test_secrets_and_descriptors_are_marked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
