#include "report.h"

#include "base/clock.h"
#include "received.h"
#include "test.h"
#include "text.h"

#include <stdio.h>

static const struct report_rcpt rcpts[] = {
	{.address = {"bob@example.test", 16},
	 .original = {"list@example.test", 17},
	 .orcpt = {"rfc822;list@example.test", 24},
	 .dsn = {"5.1.1", 5},
	 .code = 550,
	 .text = {"no such user\r\nX-Evil: 1\0\xff", 25},
	 .remote = {"mx.example.net", 14},
	 .attempt_s = 1699999990},
	{.address = {"j\xc3\xb6rg@example.test", 18},
	 .original = {"", 0},
	 .orcpt = {"utf-8;j\xc3\xb6rg+x@example.test", 26},
	 .dsn = {"5.0.0", 5},
	 .code = 0,
	 .text = {"words", 5},
	 .remote = {"", 0}},
};

static struct report sample(enum report_action action)
{
	static struct report_rcpt both[2];

	for (size_t i = 0; i < 2; i++) {
		both[i] = rcpts[i];
		both[i].action = action;
	}
	return (struct report){
		.id = 1,
		.about = 2,
		.hostname = slice_of("mx.example.test"),
		.sender = slice_of("alice@example.org"),
		.envid = slice_of("QQ314159"),
		.now_s = 1700000000,
		.arrived_s = 1699990000,
		.expires_s = 1700400000,
		.boundary = slice_of("0123456789abcdef"),
		.original = slice_of("From: alice@example.org\r\nSubject: hello\r\n\tthere\r\n"),
		.rcpts = both,
		.rcpt_count = 2,
	};
}

static const char failed_golden[] =
	"Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n"
	"From: Mail Delivery System <MAILER-DAEMON@mx.example.test>\r\n"
	"To: <alice@example.org>\r\n"
	"Subject: Undelivered mail returned to sender\r\n"
	"Message-ID: <0000000000001@mx.example.test>\r\n"
	"Auto-Submitted: auto-replied\r\n"
	"MIME-Version: 1.0\r\n"
	"Content-Type: multipart/report; report-type=delivery-status;\r\n"
	"\tboundary=\"0123456789abcdef\"\r\n"
	"\r\n"
	"--0123456789abcdef\r\n"
	"Content-Type: text/plain; charset=us-ascii\r\n"
	"\r\n"
	"This is the mail system at mx.example.test.\r\n"
	"\r\n"
	"Your message could not be delivered to the recipients below.\r\n"
	"This is final: it will not be tried again.\r\n"
	"\r\n"
	"<list@example.test>:\r\n"
	"    mx.example.net said: 550 no such user??X-Evil: 1??\r\n"
	"\r\n"
	"<j??rg@example.test>:\r\n"
	"    words\r\n"
	"\r\n"
	"The message was number 0000000000002 here.\r\n"
	"\r\n"
	"--0123456789abcdef\r\n"
	"Content-Type: message/delivery-status\r\n"
	"\r\n"
	"Original-Envelope-Id: QQ314159\r\n"
	"Reporting-MTA: dns;mx.example.test\r\n"
	"Arrival-Date: Tue, 14 Nov 2023 19:26:40 +0000\r\n"
	"\r\n"
	"Original-Recipient: rfc822;list@example.test\r\n"
	"Final-Recipient: rfc822;bob@example.test\r\n"
	"Action: failed\r\n"
	"Status: 5.1.1\r\n"
	"Remote-MTA: dns;mx.example.net\r\n"
	"Diagnostic-Code: smtp;550 no such user??X-Evil: 1??\r\n"
	"Last-Attempt-Date: Tue, 14 Nov 2023 22:13:10 +0000\r\n"
	"\r\n"
	"Original-Recipient: utf-8;j\\x{F6}rg\\x{2B}x@example.test\r\n"
	"Final-Recipient: utf-8;j\\x{F6}rg@example.test\r\n"
	"Action: failed\r\n"
	"Status: 5.0.0\r\n"
	"\r\n"
	"--0123456789abcdef\r\n"
	"Content-Type: text/rfc822-headers\r\n"
	"\r\n"
	"From: alice@example.org\r\n"
	"Subject: hello\r\n"
	"\tthere\r\n"
	"\r\n"
	"--0123456789abcdef--\r\n";

static void test_failed(void **state)
{
	struct report r = sample(REPORT_FAILED);
	struct buf out = buf_make(1u << 20);

	(void)state;
	assert_true(report_add(&out, &r));
	assert_string_equal(buf_text(&out), failed_golden);
	buf_free(&out);
}

static void test_delayed(void **state)
{
	struct report r = sample(REPORT_DELAYED);
	struct buf out = buf_make(1u << 20);

	(void)state;
	assert_true(report_add(&out, &r));
	assert_true(slice_find(buf_slice(&out), slice_of("\r\nAction: delayed\r\n")) != SLICE_NONE);
	assert_true(slice_find(buf_slice(&out), slice_of("\r\nWill-Retry-Until: Sun, 19 Nov 2023 13:20:00 +0000\r\n")) !=
		    SLICE_NONE);
	assert_true(slice_find(buf_slice(&out), slice_of("Subject: Delayed mail")) != SLICE_NONE);
	buf_free(&out);
}

static const struct report_rcpt outcomes[] = {
	{REPORT_FAILED, {"bob@example.test", 16}, {"", 0}, {"", 0}, {"5.1.1", 5}, 550, {"no such mailbox here", 20}, {"", 0}, 0},
	{REPORT_RELAYED, {"you@example.net", 15}, {"", 0}, {"", 0}, {"2.0.0", 5}, 250, {"queued", 6}, {"mx.example.net", 14}, 1699999990},
	{REPORT_DELIVERED, {"carol@example.test", 18}, {"", 0}, {"rfc822;c", 8}, {"2.0.0", 5}, 250, {"delivered to mailbox", 20}, {"", 0}, 0},
	{REPORT_EXPANDED, {"all@example.test", 16}, {"", 0}, {"", 0}, {"2.0.0", 5}, 0, {"passed on to its members", 24}, {"", 0}, 0},
};

static const char outcomes_golden[] =
	"Subject: Undelivered mail returned to sender\r\n"
	"Message-ID: <0000000000001@mx.example.test>\r\n"
	"Auto-Submitted: auto-replied\r\n"
	"MIME-Version: 1.0\r\n"
	"Content-Transfer-Encoding: 8bit\r\n"
	"Content-Type: multipart/report; report-type=delivery-status;\r\n"
	"\tboundary=\"0123456789abcdef\"\r\n"
	"\r\n"
	"--0123456789abcdef\r\n"
	"Content-Type: text/plain; charset=us-ascii\r\n"
	"\r\n"
	"This is the mail system at mx.example.test.\r\n"
	"\r\n"
	"Your message could not be delivered to the recipients below.\r\n"
	"This is final: it will not be tried again.\r\n"
	"\r\n"
	"<bob@example.test>:\r\n"
	"    550 no such mailbox here\r\n"
	"\r\n"
	"Your message was passed on to a mail system that gives no word of its\r\n"
	"delivery, for the recipients below. You hear from it only if it fails.\r\n"
	"\r\n"
	"<you@example.net>:\r\n"
	"    mx.example.net said: 250 queued\r\n"
	"\r\n"
	"Your message was delivered to the recipients below.\r\n"
	"\r\n"
	"<carol@example.test>:\r\n"
	"    250 delivered to mailbox\r\n"
	"\r\n"
	"The addresses below stand for several recipients. Your message goes to all\r\n"
	"of them; you are told of those whom it cannot reach.\r\n"
	"\r\n"
	"<all@example.test>:\r\n"
	"    passed on to its members\r\n"
	"\r\n"
	"The message was number 0000000000002 here.\r\n"
	"\r\n"
	"--0123456789abcdef\r\n"
	"Content-Type: message/delivery-status\r\n"
	"\r\n"
	"Original-Envelope-Id: QQ314159\r\n"
	"Reporting-MTA: dns;mx.example.test\r\n"
	"Arrival-Date: Tue, 14 Nov 2023 19:26:40 +0000\r\n"
	"\r\n"
	"Final-Recipient: rfc822;bob@example.test\r\n"
	"Action: failed\r\n"
	"Status: 5.1.1\r\n"
	"Diagnostic-Code: x-postern;550 no such mailbox here\r\n"
	"\r\n"
	"Final-Recipient: rfc822;you@example.net\r\n"
	"Action: relayed\r\n"
	"Status: 2.0.0\r\n"
	"Remote-MTA: dns;mx.example.net\r\n"
	"Last-Attempt-Date: Tue, 14 Nov 2023 22:13:10 +0000\r\n"
	"\r\n"
	"Original-Recipient: rfc822;c\r\n"
	"Final-Recipient: rfc822;carol@example.test\r\n"
	"Action: delivered\r\n"
	"Status: 2.0.0\r\n"
	"\r\n"
	"Final-Recipient: rfc822;all@example.test\r\n"
	"Action: expanded\r\n"
	"Status: 2.0.0\r\n"
	"\r\n"
	"--0123456789abcdef\r\n"
	"Content-Type: message/rfc822\r\n"
	"Content-Transfer-Encoding: 8bit\r\n"
	"\r\n"
	"Subject: hello\r\n"
	"\r\n"
	"J\xc3\xb6rg\r\n"
	"\r\n"
	"--0123456789abcdef--\r\n";

static void test_outcomes_and_the_whole_message(void **state)
{
	struct report r = sample(REPORT_FAILED);
	struct buf out = buf_make(1u << 20);
	const char *subject;

	(void)state;
	r.rcpts = outcomes;
	r.rcpt_count = sizeof(outcomes) / sizeof(outcomes[0]);
	r.original = slice_of("Subject: hello\r\n\r\nJ\xc3\xb6rg\r\n");
	r.whole = true;
	assert_true(report_is_8bit(&r));
	assert_true(report_add(&out, &r));
	subject = strstr(buf_text(&out), "Subject: ");
	assert_non_null(subject);
	assert_string_equal(subject, outcomes_golden);
	buf_free(&out);
}

static void test_subject_is_the_worst(void **state)
{
	static const char *const subjects[] = {"Undelivered mail", "Mail passed on\r\n", "Mail delivered", "Mail passed on to several"};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct report r = sample(REPORT_FAILED);
		struct buf out = buf_make(1u << 20);

		r.rcpts = outcomes + i;
		r.rcpt_count = 4 - i;
		assert_true(report_add(&out, &r));
		assert_false(report_is_8bit(&r));
		assert_true(slice_starts(slice_from(buf_slice(&out), slice_find(buf_slice(&out), slice_of("Subject: ")) + 9),
					 slice_of(subjects[i])));
		buf_free(&out);
	}
}

static void test_what_may_be_returned_whole(void **state)
{
	static char line[1002];

	(void)state;
	assert_true(report_may_be_whole(slice_of("A: b\r\n\r\nbody\r\n")) && report_may_be_whole(slice_of("")));
	assert_false(report_may_be_whole(slice_of("A: b\r\n\r\nbody")));
	assert_false(report_may_be_whole(slice_of("A: b\n\r\n")) || report_may_be_whole(slice_of("A: \rb\r\n")));
	assert_false(report_may_be_whole(slice_make("A\0\r\n", 4)));
	memset(line, 'x', sizeof(line));
	memcpy(line + 998, "\r\n", 2);
	assert_true(report_may_be_whole(slice_make(line, 1000)));
	memcpy(line + 998, "x\r\n", 3);
	assert_false(report_may_be_whole(slice_make(line, 1001)));
}

/* Whatever stands in the fields: lines of at most 998, ASCII, CRLF, and the parts stay the four they are. */
static void assert_well_formed(struct buf *out)
{
	struct slice rest = buf_slice(out), line;
	size_t boundaries = 0;

	assert_true(text_is_ascii(rest));
	while (slice_cut(&rest, '\n', &line)) {
		assert_true(line.len > 0 && line.at[line.len - 1] == '\r' && line.len <= 999);
		assert_int_equal(slice_index(slice_sub(line, 0, line.len - 1), '\r'), SLICE_NONE);
		boundaries += slice_starts(line, slice_of("--0123456789abcdef"));
	}
	assert_int_equal(boundaries, 4);
}

static void test_hostile_texts(void **state)
{
	struct report r = sample(REPORT_FAILED);
	struct buf evil = buf_make(1u << 20);
	struct report_rcpt one = rcpts[0];

	(void)state;
	for (unsigned i = 0; i < 60000; i++)
		buf_add_char(&evil, (char)(i * 7 % 256));
	r.rcpts = &one;
	r.rcpt_count = 1;
	r.hostname = r.sender = r.envid = one.address = one.original = one.orcpt = one.dsn = one.text = one.remote =
		buf_slice(&evil);
	for (unsigned variant = 0; variant < 3; variant++) {
		struct buf out = buf_make(1u << 20);
		char lines[4096];

		memset(lines, variant == 0 ? 'x' : variant == 1 ? (char)0xe9 : '=', sizeof(lines));
		memcpy(lines + sizeof(lines) - 2, "\r\n", 2);
		memcpy(lines, "A: b \r\n", 7);
		r.original = slice_make(lines, sizeof(lines));
		assert_true(report_add(&out, &r));
		assert_well_formed(&out);
		buf_free(&out);
	}
	buf_free(&evil);
	printf("ROW N10 report-fields pass\n");
}

/* A header that no session would have taken, but a spool may hold: its line ends and controls come back quoted. */
static void test_bare_line_ends_are_quoted(void **state)
{
	static const char *const originals[] = {"S\n.\r\n", "\n\r\n", "A: b\n\nC: d\r\n", "A: b\rC: d\r\n", "A: b\r\r\n"};

	(void)state;
	for (size_t i = 0; i < sizeof(originals) / sizeof(originals[0]); i++) {
		struct report r = sample(REPORT_FAILED);
		struct buf out = buf_make(1u << 20);

		r.original = report_headers_of(slice_of(originals[i]));
		assert_true(r.original.len > 0 && report_add(&out, &r));
		assert_true(slice_find(buf_slice(&out), slice_of("Encoding: quoted-printable")) != SLICE_NONE);
		assert_well_formed(&out);
		buf_free(&out);
	}
}

static void test_many_recipients_are_bounded(void **state)
{
	static struct report_rcpt many[1500];
	struct report r = sample(REPORT_FAILED);
	struct buf out = buf_make(REPORT_BYTES_MAX);

	(void)state;
	for (size_t i = 0; i < 1500; i++)
		many[i] = rcpts[1];
	r.rcpts = many;
	r.rcpt_count = 1500;
	assert_true(report_add(&out, &r));
	assert_true(slice_find(buf_slice(&out), slice_of("... and 500 more.")) != SLICE_NONE);
	buf_free(&out);
	printf("ROW H06 one-bounded-report pass\n");
}

static const struct {
	const char *body, *headers;
} header_cases[] = {
	{"A: b\r\nC: d\r\n\r\nbody\r\n", "A: b\r\nC: d\r\n"},
	{"A: b\r\nC: d", "A: b\r\n"}, /* cut: whole lines only */
	{"\r\nbody\r\n", ""},
	{"", ""},
};

static void test_headers_of(void **state)
{
	static char big[REPORT_HEADERS_MAX * 2];

	(void)state;
	for (size_t i = 0; i < sizeof(header_cases) / sizeof(header_cases[0]); i++)
		assert_true(slice_eq(report_headers_of(slice_of(header_cases[i].body)), slice_of(header_cases[i].headers)));
	for (size_t i = 0; i + 8 <= sizeof(big); i += 8)
		memcpy(big + i, "A: bcd\r\n", 8);
	assert_int_equal(report_headers_of(slice_make(big, sizeof(big))).len, REPORT_HEADERS_MAX);
}

static const struct {
	const char *text;
	size_t len;
	bool ok;
} block_cases[] = {
	{"", 0, true},
	{"X-A: b\r\n", 8, true},
	{"X-A: b\r\n\tc\r\n", 12, true},
	{" folded first\r\n", 15, false},
	{"X-A: b", 6, false},
	{"X-A: b\r\n\r\nbody\r\n", 16, false},
	{"X-A: b\r\n \r\n", 11, false},
	{"no name\r\n", 9, false},
	{": empty\r\n", 9, false},
	{"X-A: b\nX-B: c\r\n", 15, false},
	{"X-A: b\rX-B: c\r\n", 15, false},
	{"X-A: b\0c\r\n", 10, false},
};

static void test_header_blocks(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(block_cases) / sizeof(block_cases[0]); i++)
		assert_int_equal(text_is_header_block(slice_make(block_cases[i].text, block_cases[i].len)), block_cases[i].ok);
}

static void test_received(void **state)
{
	struct spool_mail mail = {.id = 33, .arrived_ms = 1700000000000};
	struct buf out = buf_make(1u << 16);

	(void)state;
	mail.helo = slice_of("client.example");
	mail.client = slice_of("2001:db8::1");
	mail.protocol = slice_of("ESMTPS");
	mail.tls = slice_of("TLSv1.3 with cipher X");
	assert_true(received_add(&out, &mail, slice_of("mx.example.test"), slice_of("bob@example.test"), false));
	assert_string_equal(buf_text(&out), "Received: from client.example ([IPv6:2001:db8::1])\r\n"
					    "\tby mx.example.test with ESMTPS\r\n"
					    "\t(TLSv1.3 with cipher X)\r\n"
					    "\tid 0000000000011\r\n"
					    "\tfor <bob@example.test>;\r\n"
					    "\tTue, 14 Nov 2023 22:13:20 +0000\r\n");
	buf_clear(&out);
	mail.helo = slice_make("a\r\nX: (b)\0", 10);
	mail.client = mail.tls = mail.protocol = slice_empty();
	mail.uid_plus_1 = 1001;
	assert_true(received_add(&out, &mail, slice_of("mx"), slice_of("b\r\nX: y"), false));
	assert_string_equal(buf_text(&out), "Received: from a??X:??b?? (uid 1000)\r\n"
					    "\tby mx with SMTP\r\n"
					    "\tid 0000000000011;\r\n"
					    "\tTue, 14 Nov 2023 22:13:20 +0000\r\n");
	assert_true(text_is_header_block(buf_slice(&out)));
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_failed),
		cmocka_unit_test(test_delayed),
		cmocka_unit_test(test_outcomes_and_the_whole_message),
		cmocka_unit_test(test_subject_is_the_worst),
		cmocka_unit_test(test_what_may_be_returned_whole),
		cmocka_unit_test(test_hostile_texts),
		cmocka_unit_test(test_bare_line_ends_are_quoted),
		cmocka_unit_test(test_many_recipients_are_bounded),
		cmocka_unit_test(test_headers_of),
		cmocka_unit_test(test_header_blocks),
		cmocka_unit_test(test_received),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
