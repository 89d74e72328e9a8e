/*
 * What the sender is told, and what he asked for (RFC 3461): the real postern-queue, everybody else played.  The stories share
 * one, and each leaves an empty queue; where the clock must not be ahead, it has one of its own.
 */
#include "test_play.h"

#include "base/id.h"
#include "base/mem.h"
#include "ipc/flags.h"
#include "mail/dsn.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static const char conf[] = "hostname mx.example.test\n"
			   "spool /var/spool/postern\n"
			   "spool_reserve 0\n"
			   "trusted 192.0.2.0/24\n"
			   "return_full_max 1K\n"
			   "listen 127.0.0.1:2525 { role mx }\n"
			   "route { relay out }\n"
			   "transport home { maildir \"/var/mail/{domain}/{local}/\" user mail }\n"
			   "transport out { smtp \"smtp.example:587\" tls off }\n"
			   "retry { every 15m until 2h  then every 6h until 4d }\n";

static const char body[] = "From: a@x.test\r\nSubject: hello\r\n\r\nbody\r\n";
static const struct route_reply home = {.transport = "home", .nexthop = "/var/mail/x/bob"};
static const struct route_reply away = {.transport = "out", .nexthop = "smtp.example:587", .leaves = 1};
static const struct route_reply unknown = {.outcome = OC_LOOKUP_UNKNOWN};

static struct job job; /* large */

static int start(void **state)
{
	struct play *p = play_new();

	*state = p;
	play_start(p, conf);
	play_session(p, 1, PART_SMTPD, "192.0.2.1");
	return 0;
}

static int stop(void **state)
{
	play_free(*state);
	return 0;
}

static void restart(struct play *p)
{
	play_kill(p);
	play_start(p, conf);
	play_session(p, 1, PART_SMTPD, "192.0.2.1");
}

static void assert_in(const char *text, const char *needle)
{
	if (strstr(text, needle) == NULL)
		fail_msg("\"%s\" is not in:\n%s", needle, text);
}

static void assert_not_in(const char *text, const char *needle)
{
	if (strstr(text, needle) != NULL)
		fail_msg("\"%s\" is in:\n%s", needle, text);
}

static const struct msg_DRAFT_OPEN *from(const char *sender)
{
	static struct msg_DRAFT_OPEN open_;

	open_ = (struct msg_DRAFT_OPEN){.sender = slice_of(sender),
					.helo = slice_of("client.example"),
					.protocol = slice_of("ESMTP"),
					.tls = slice_empty(),
					.envid = slice_of("QQ314159"),
					.auth = slice_empty()};
	return &open_;
}

/* A message from a@x.test for bob, taken, and its first job. */
static uint64_t begin(struct play *p, uint64_t notify, const struct route_reply *route)
{
	const struct draft_rcpt bob = {"bob@x.test", "rfc822;Bob+x@x.test", notify};
	uint64_t id;

	play_draft_of(p, 1, from("a@x.test"), &bob, 1, body);
	play_route(p, "bob@x.test", false, route);
	id = play_committed(p, OC_DONE, 0);
	play_job(p, route == &home ? PART_LOCAL : PART_RELAY, &job);
	assert_int_equal(job.id, id);
	return id;
}

static void end_with(struct play *p, enum part agent, enum outcome outcome, const char *text)
{
	for (size_t i = 0; i < job.count; i++)
		play_verdict(p, agent, &job, i, outcome, text);
	play_job_end(p, agent, &job);
}

static void end_taken(struct play *p, enum part agent, uint64_t handover)
{
	for (size_t i = 0; i < job.count; i++)
		play_taken(p, agent, &job, i, handover);
	play_job_end(p, agent, &job);
}

/* A report to the sender comes, from nobody, and asks for none about itself; it is left in `job`. */
static void hear_report(struct play *p)
{
	play_route(p, "a@x.test", false, &home);
	play_job(p, PART_LOCAL, &job);
	assert_string_equal(job.sender, "");
	assert_int_equal(job.count, 1);
	assert_string_equal(job.recipients[0], "a@x.test");
	assert_int_equal(job.notify[0], DSN_NEVER);
	assert_in(job.text, "Original-Envelope-Id: QQ314159\r\n");
}

/* It is delivered, and then there is nothing: no further report, no message. */
static void end_report(struct play *p)
{
	end_with(p, PART_LOCAL, OC_DONE, "delivered");
	play_wait_list(p, "");
}

static void test_success_of_a_final_delivery(void **state)
{
	struct play *p = *state;

	(void)begin(p, DSN_SUCCESS, &home);
	end_taken(p, PART_LOCAL, HANDOVER_DELIVERED);
	hear_report(p);
	assert_in(job.text, "Subject: Mail delivered\r\n");
	assert_in(job.text, "\r\nOriginal-Recipient: rfc822;Bob+x@x.test\r\nFinal-Recipient: rfc822;bob@x.test\r\n"
			    "Action: delivered\r\nStatus: 2.1.5\r\n");
	assert_in(job.text, "\r\nLast-Attempt-Date: ");
	assert_not_in(job.text, "Diagnostic-Code");
	end_report(p);
}

static void test_success_at_a_host_without_dsn(void **state)
{
	struct play *p = *state;

	(void)begin(p, DSN_SUCCESS | DSN_FAILURE, &away);
	end_taken(p, PART_RELAY, HANDOVER_RELAYED);
	hear_report(p);
	assert_in(job.text, "Action: relayed\r\nStatus: 2.1.5\r\nRemote-MTA: dns;mx.remote.test\r\n");
	end_report(p);
}

static void test_success_that_another_host_tells(void **state)
{
	struct play *p = *state;

	(void)begin(p, DSN_SUCCESS, &away);
	assert_int_equal(job.notify[0], DSN_SUCCESS);
	assert_string_equal(job.envid, "QQ314159");
	end_taken(p, PART_RELAY, HANDOVER_PASSED_ON);
	play_wait_list(p, "");
}

/* An agent that was taken over says nonsense: the sender hears rather once too often. */
static void test_an_unknown_handover(void **state)
{
	struct play *p = *state;

	(void)begin(p, DSN_SUCCESS, &away);
	end_taken(p, PART_RELAY, 77);
	hear_report(p);
	assert_in(job.text, "Action: relayed\r\n");
	end_report(p);
}

static void test_success_that_nobody_asked_for(void **state)
{
	static const uint64_t notifies[] = {0, DSN_FAILURE, DSN_FAILURE | DSN_DELAY, DSN_NEVER};
	struct play *p = *state;

	for (size_t i = 0; i < ARRAY_LEN(notifies); i++) {
		(void)begin(p, notifies[i], &home);
		end_taken(p, PART_LOCAL, HANDOVER_DELIVERED);
		play_wait_list(p, "");
	}
}

/* The null sender is told nothing, whatever it asked for. */
static void test_the_null_sender_is_not_told(void **state)
{
	const struct draft_rcpt list = {"list@x.test", "", DSN_SUCCESS};
	struct play *p = *state;

	play_draft_of(p, 1, from(""), &list, 1, body);
	play_route_to(p, "list@x.test", false, &home, "bob@x.test eve@x.test");
	(void)play_committed(p, OC_DONE, 0);
	play_job(p, PART_LOCAL, &job);
	end_taken(p, PART_LOCAL, HANDOVER_DELIVERED);
	play_wait_list(p, "");
}

static void test_failures_that_nobody_wants_to_hear_of(void **state)
{
	static const uint64_t notifies[] = {DSN_NEVER, DSN_SUCCESS, DSN_DELAY, DSN_SUCCESS | DSN_DELAY};
	struct play *p = *state;

	for (size_t i = 0; i < ARRAY_LEN(notifies); i++) {
		(void)begin(p, notifies[i], &home);
		end_with(p, PART_LOCAL, OC_REMOTE_PERM, "no");
		play_wait_list(p, "");
		play_wait_files(p, "new", 0);
		play_wait_files(p, "hold", 0);
		play_wait_files(p, "cur", 0);
	}
}

/* Deferred, tried again five hours later, and deferred again. */
static void wait_five_hours(struct play *p, uint64_t notify)
{
	(void)begin(p, notify, &home);
	end_with(p, PART_LOCAL, OC_REMOTE_TEMP, "come back");
	play_wait_list(p, " waiting ");
	play_turn_clock(p, 5 * 3600);
	play_route(p, "bob@x.test", true, &home);
	play_job(p, PART_LOCAL, &job);
	end_with(p, PART_LOCAL, OC_REMOTE_TEMP, "still not");
}

static void expire(struct play *p)
{
	play_wait_list(p, "bob@x.test 2 ");
	play_turn_clock(p, 5 * 86400);
	play_route(p, "bob@x.test", true, &home);
	play_job(p, PART_LOCAL, &job);
	end_with(p, PART_LOCAL, OC_REMOTE_TEMP, "not even now");
}

static void test_no_delay_warning(void **state)
{
	struct play *p = *state;

	wait_five_hours(p, DSN_NEVER);
	expire(p);
	play_wait_list(p, "");
}

static void test_a_failure_without_a_warning(void **state)
{
	struct play *p = *state;

	wait_five_hours(p, DSN_FAILURE);
	expire(p);
	hear_report(p);
	assert_in(job.text, "Action: failed\r\nStatus: 4.4.7\r\n");
	end_report(p);
}

static void test_a_warning_without_a_failure(void **state)
{
	struct play *p = *state;

	wait_five_hours(p, DSN_DELAY);
	hear_report(p);
	assert_in(job.text, "Action: delayed\r\n");
	assert_in(job.text, "\r\nLast-Attempt-Date: ");
	assert_in(job.text, "\r\nWill-Retry-Until: ");
	end_with(p, PART_LOCAL, OC_DONE, "delivered");
	expire(p);
	play_wait_list(p, "");
}

/* RFC 3461 §5.2.7.2 (c). */
static void test_an_address_that_stands_for_several(void **state)
{
	const struct draft_rcpt list = {"list@x.test", "rfc822;list", DSN_SUCCESS | DSN_FAILURE};
	struct play *p = *state;

	play_draft_of(p, 1, from("a@x.test"), &list, 1, body);
	play_route_to(p, "list@x.test", false, &home, "bob@x.test eve@x.test");
	(void)play_committed(p, OC_DONE, 0);
	play_job(p, PART_LOCAL, &job);
	assert_int_equal(job.count, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(job.notify[i], DSN_FAILURE);
		assert_string_equal(job.orcpt[i], "rfc822;list");
	}
	end_taken(p, PART_LOCAL, HANDOVER_DELIVERED);
	hear_report(p);
	assert_in(job.text, "Original-Recipient: rfc822;list\r\nFinal-Recipient: rfc822;list@x.test\r\nAction: expanded\r\n");
	assert_not_in(job.text, "bob@x.test");
	end_report(p);
}

/* §5.2.7.1. */
static void test_an_address_that_stands_for_another(void **state)
{
	const struct draft_rcpt alias = {"robert@x.test", "", DSN_SUCCESS};
	struct play *p = *state;

	play_draft_of(p, 1, from("a@x.test"), &alias, 1, body);
	play_route_to(p, "robert@x.test", false, &home, "bob@x.test");
	(void)play_committed(p, OC_DONE, 0);
	play_job(p, PART_LOCAL, &job);
	assert_int_equal(job.notify[0], DSN_SUCCESS);
	end_taken(p, PART_LOCAL, HANDOVER_DELIVERED);
	hear_report(p);
	assert_in(job.text, "<robert@x.test>:\r\n");
	assert_in(job.text, "Final-Recipient: rfc822;bob@x.test\r\nAction: delivered\r\n");
	end_report(p);
}

/* A list with itself and an address twice: one delivery, told of as either asked, and the expansion once. */
static void test_members_that_were_asked_for_twice(void **state)
{
	static const struct draft_rcpt rcpts[] = {{"list@x.test", "", DSN_SUCCESS}, {"bob@x.test", "", DSN_FAILURE}};
	struct play *p = *state;

	play_draft_of(p, 1, from("a@x.test"), rcpts, 2, body);
	play_route_to(p, "list@x.test", false, &home, "list@x.test bob@x.test");
	play_route(p, "bob@x.test", false, &home);
	(void)play_committed(p, OC_DONE, 0);
	play_job(p, PART_LOCAL, &job);
	assert_int_equal(job.count, 2);
	assert_string_equal(job.recipients[0], "list@x.test");
	assert_int_equal(job.notify[0], DSN_NEVER);
	assert_string_equal(job.recipients[1], "bob@x.test");
	assert_int_equal(job.notify[1], DSN_FAILURE);
	end_with(p, PART_LOCAL, OC_REMOTE_PERM, "no");
	hear_report(p);
	assert_in(job.text, "Final-Recipient: rfc822;bob@x.test\r\nAction: failed\r\n");
	assert_in(job.text, "Final-Recipient: rfc822;list@x.test\r\nAction: expanded\r\n");
	end_report(p);
}

/* ---- one report for a message's outcomes, and what goes back in it ---- */

static void two_outcomes(struct play *p, uint64_t ret, const char *text)
{
	static const struct draft_rcpt rcpts[] = {{"bob@x.test", "", DSN_SUCCESS}, {"eve@x.test", "", 0}};
	struct msg_DRAFT_OPEN open_ = *from("a@x.test");

	open_.ret = ret;
	play_draft_of(p, 1, &open_, rcpts, 2, text);
	play_route(p, "bob@x.test", false, &home);
	play_route(p, "eve@x.test", false, &home);
	(void)play_committed(p, OC_DONE, 0);
	play_job(p, PART_LOCAL, &job);
	play_taken(p, PART_LOCAL, &job, 0, HANDOVER_DELIVERED);
	play_verdict(p, PART_LOCAL, &job, 1, OC_REMOTE_PERM, "no");
	play_job_end(p, PART_LOCAL, &job);
	hear_report(p);
	assert_in(job.text, "Final-Recipient: rfc822;bob@x.test\r\nAction: delivered\r\n");
	assert_in(job.text, "Final-Recipient: rfc822;eve@x.test\r\nAction: failed\r\n");
}

static void test_what_goes_back(void **state)
{
	static const struct {
		uint64_t ret;
		const char *text;
		bool whole;
	} cases[] = {
		{DSN_RET_UNSAID, body, false},
		{DSN_RET_HDRS, body, false},
		{DSN_RET_FULL, body, true},
		{DSN_RET_FULL, "Subject: hello\r\n\r\nbody\r\nJ\xc3\xb6rg\r\n", true},
	};
	struct play *p = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		two_outcomes(p, cases[i].ret, cases[i].text);
		assert_in(job.text, "\r\nSubject: hello\r\n");
		assert_in(job.text, cases[i].whole ? "Content-Type: message/rfc822\r\n" : "Content-Type: text/rfc822-headers\r\n");
		if (cases[i].whole)
			assert_in(job.text, "\r\n\r\nbody\r\n");
		else
			assert_not_in(job.text, "\r\nbody\r\n");
		end_report(p);
	}
}

static void test_too_much_to_go_back(void **state)
{
	struct buf text = buf_make(4096);
	struct play *p = *state;

	buf_add_text(&text, "Subject: hello\r\n\r\n");
	while (text.len < 1100)
		buf_add_text(&text, "much of it\r\n");
	two_outcomes(p, DSN_RET_FULL, buf_text(&text));
	assert_in(job.text, "Content-Type: text/rfc822-headers\r\n");
	assert_not_in(job.text, "much of it");
	end_report(p);
	buf_free(&text);
	printf("ROW H06 ret-full-capped pass\n");
}

/* RFC 3461 §4.3: where nothing failed only the headers go back. */
static void test_nothing_whole_goes_back_for_a_success(void **state)
{
	const struct draft_rcpt bob = {"bob@x.test", "", DSN_SUCCESS};
	struct msg_DRAFT_OPEN open_ = *from("a@x.test");
	struct play *p = *state;

	open_.ret = DSN_RET_FULL;
	play_draft_of(p, 1, &open_, &bob, 1, body);
	play_route(p, "bob@x.test", false, &home);
	(void)play_committed(p, OC_DONE, 0);
	play_job(p, PART_LOCAL, &job);
	end_taken(p, PART_LOCAL, HANDOVER_DELIVERED);
	hear_report(p);
	assert_in(job.text, "Content-Type: text/rfc822-headers\r\n");
	end_report(p);
}

/* ---- nothing is lost ---- */

/* Of a message with one recipient that has not left new/. */
static char slot_in_file(const struct play *p, uint64_t id)
{
	char path[300], name[ID_CHARS + 1], slot = 0;
	int fd;

	id_text(id, name);
	(void)snprintf(path, sizeof(path), "%s/new/%c/%c/%s", p->folder, name[ID_CHARS - 2], name[ID_CHARS - 1], name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0 && lseek(fd, -49, SEEK_END) > 0 && read(fd, &slot, 1) == 1);
	(void)close(fd);
	return slot;
}

/* Delivered, and the report that is owed not made yet: after a kill there is a report, and no second delivery. */
static void test_a_report_that_is_owed_survives_a_kill(void **state)
{
	struct play *p = *state;
	uint64_t id = begin(p, DSN_SUCCESS, &home);

	end_taken(p, PART_LOCAL, HANDOVER_DELIVERED);
	(void)play_hear(p, PART_POLICYD, IPC_ROUTE_ASK); /* the report's, never answered */
	for (unsigned i = 0; i < 1000 && slot_in_file(p, id) != 'S'; i++)
		(void)usleep(10000);
	assert_int_equal(slot_in_file(p, id), 'S');
	restart(p);
	hear_report(p);
	assert_in(job.text, "Action: delivered\r\nStatus: 2.0.0\r\n");
	end_report(p);
	play_wait_files(p, "new", 0);
	play_wait_files(p, "cur", 0);
}

static void test_an_expansion_that_is_owed_survives_a_kill(void **state)
{
	const struct draft_rcpt list = {"list@x.test", "", DSN_SUCCESS};
	struct play *p = *state;

	play_draft_of(p, 1, from("a@x.test"), &list, 1, body);
	play_route_to(p, "list@x.test", false, &home, "bob@x.test eve@x.test");
	(void)play_committed(p, OC_DONE, 0);
	play_job(p, PART_LOCAL, &job);
	restart(p);
	play_route(p, "bob@x.test", true, &home);
	play_route(p, "eve@x.test", true, &home);
	play_job(p, PART_LOCAL, &job);
	assert_int_equal(job.count, 2);
	end_taken(p, PART_LOCAL, HANDOVER_DELIVERED);
	hear_report(p);
	assert_in(job.text, "Action: expanded\r\n");
	end_report(p);
}

/* Nobody knows now where the sender is: the report is made later, and what was delivered is not delivered again. */
static void test_a_report_that_cannot_be_made_now(void **state)
{
	struct play *p = *state;

	(void)begin(p, DSN_SUCCESS, &home);
	end_taken(p, PART_LOCAL, HANDOVER_DELIVERED);
	play_route(p, "a@x.test", false, &unknown);
	play_wait_list(p, " waiting ");
	play_turn_clock(p, 6 * 60);
	hear_report(p);
	assert_in(job.text, "Action: delivered\r\n");
	end_report(p);
}

/* The longest values, and octets of every kind that may be in them, over a restart. */
static void test_what_was_asked_for_is_kept(void **state)
{
	static char envid[DSN_ENVID_MAX + 1], orcpt[DSN_ORCPT_MAX + 1];
	static const size_t lengths[] = {8, 255, DSN_ORCPT_MAX};
	struct play *p = *state;

	for (size_t i = 0; i < DSN_ENVID_MAX; i++)
		envid[i] = (char)(' ' + i % 95);
	for (size_t k = 0; k < ARRAY_LEN(lengths); k++) {
		struct draft_rcpt bob = {"bob@x.test", orcpt, DSN_SUCCESS | DSN_DELAY};
		struct msg_DRAFT_OPEN open_ = *from("a@x.test");

		open_.envid = slice_of(envid);
		open_.ret = DSN_RET_HDRS;
		memset(orcpt, 0, sizeof(orcpt));
		memcpy(orcpt, "x-y;", 4);
		for (size_t i = 4; i < lengths[k]; i++)
			orcpt[i] = (char)(' ' + i % 95);
		play_draft_of(p, k + 1, &open_, &bob, 1, body);
		play_route(p, "bob@x.test", false, &away);
		(void)play_committed(p, OC_DONE, 0);
		play_job(p, PART_RELAY, &job);
		end_with(p, PART_RELAY, OC_REMOTE_TEMP, "come back");
		play_wait_list(p, " waiting ");
		restart(p); /* which turns the clock back, as far as it was turned here */
		play_turn_clock(p, (k + 1) * 20 * 60);
		play_route(p, "bob@x.test", true, &away);
		play_job(p, PART_RELAY, &job);
		assert_string_equal(job.envid, envid);
		assert_string_equal(job.orcpt[0], orcpt);
		assert_int_equal(job.notify[0], DSN_SUCCESS | DSN_DELAY);
		assert_int_equal(job.ret, DSN_RET_HDRS);
		end_taken(p, PART_RELAY, HANDOVER_PASSED_ON);
		play_wait_list(p, "");
	}
	printf("ROW N21 dsn-fields-over-a-restart pass\n");
}

/* What no honest worker says. */
static void test_values_that_are_none(void **state)
{
	static const struct {
		const char *envid, *orcpt;
		uint64_t ret, notify;
	} cases[] = {
		{"a\nb", "", 0, 0},	{"a\rb", "", 0, 0},	   {"\xc3\xb6", "", 0, 0},
		{"", "rfc822;a\nb", 0, 0}, {"", "rfc822;a\rb", 0, 0}, {"", "rfc822;\xc3\xb6", 0, 0},
		{"", "utf-8;\xff", 0, 0},	{"", "no type", 0, 0},	   {"", "", 3, 0},
		{"", "", 0, 16},	{"", "", 0, DSN_NEVER | DSN_SUCCESS},
	};
	struct play *p = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct msg_DRAFT_OPEN open_ = *from("a@x.test");
		const struct draft_rcpt bob = {"bob@x.test", cases[i].orcpt, cases[i].notify};

		open_.envid = slice_of(cases[i].envid);
		open_.ret = cases[i].ret;
		play_draft_of(p, i + 1, &open_, &bob, 1, body);
		(void)play_committed(p, OC_BAD_ADDRESS, 553);
	}
	printf("ROW N10 draft-notification-values pass\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_success_of_a_final_delivery),
		cmocka_unit_test(test_success_at_a_host_without_dsn),
		cmocka_unit_test(test_success_that_another_host_tells),
		cmocka_unit_test(test_an_unknown_handover),
		cmocka_unit_test(test_success_that_nobody_asked_for),
		cmocka_unit_test(test_the_null_sender_is_not_told),
		cmocka_unit_test(test_failures_that_nobody_wants_to_hear_of),
		cmocka_unit_test(test_no_delay_warning),
		cmocka_unit_test(test_a_failure_without_a_warning),
		cmocka_unit_test(test_a_warning_without_a_failure),
		cmocka_unit_test(test_an_address_that_stands_for_several),
		cmocka_unit_test(test_an_address_that_stands_for_another),
		cmocka_unit_test(test_members_that_were_asked_for_twice),
		cmocka_unit_test(test_what_goes_back),
		cmocka_unit_test(test_too_much_to_go_back),
		cmocka_unit_test(test_nothing_whole_goes_back_for_a_success),
		cmocka_unit_test(test_a_report_that_is_owed_survives_a_kill),
		cmocka_unit_test(test_an_expansion_that_is_owed_survives_a_kill),
		cmocka_unit_test(test_a_report_that_cannot_be_made_now),
		cmocka_unit_test_setup_teardown(test_what_was_asked_for_is_kept, start, stop),
		cmocka_unit_test(test_values_that_are_none),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
