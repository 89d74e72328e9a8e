/*
 * The real postern-queue, as an ordinary user and in its cage; everybody else is played.  Each test is a story.
 */
#include "routing.h"
#include "test_play.h"

#include "base/id.h"
#include "base/mem.h"
#include "ipc/flags.h"
#include "mail/directive.h"
#include "mail/dsn.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define CONF(settings)                                                                                                             \
	"hostname mx.example.test\n"                                                                                               \
	"spool /var/spool/postern\n" settings "\n"                                                                                 \
	"trusted 127.0.0.0/8\n"                                                                                                    \
	"credentials \"/etc/postern/credentials\"\n"                                                                               \
	"listen 127.0.0.1:2525 { role mx }\n"                                                                                      \
	"route { relay out }\n"                                                                                                    \
	"transport home { maildir \"/var/mail/{domain}/{local}/\" user mail }\n"                                                   \
	"transport out { smtp \"smtp.example:587\" tls required login isp }\n"                                                     \
	"retry { every 15m until 2h  then from 1h by 1.5 until 16h  then every 6h until 4d }\n"

static const char conf[] = CONF("spool_reserve 0");

static const char body[] = "From: a@x.test\r\nSubject: hello\r\n\r\nbody\r\n";
static const struct route_reply home = {.transport = "home", .nexthop = "/var/mail/x/bob"};
static const struct route_reply away = {.transport = "out", .nexthop = "smtp.example:587", .leaves = 1};
static const struct route_reply domain_of_ours = {.transport = "out", .nexthop = "smtp.example:587", .leaves = 1, .relay_domain = 1};
static const struct route_reply unknown = {.outcome = OC_LOOKUP_UNKNOWN};
static const struct route_reply refused = {.outcome = OC_NO_MAILBOX};

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

/* A message for bob at home, taken. */
static uint64_t accept_one(struct play *p, uint64_t draft, const char *sender)
{
	play_draft(p, 1, draft, sender, "bob@x.test", body);
	play_route(p, "bob@x.test", false, &home);
	return play_committed(p, OC_DONE, 0);
}

static void deliver(struct play *p, enum part agent)
{
	for (size_t i = 0; i < job.count; i++)
		play_verdict(p, agent, &job, i, OC_DONE, "delivered");
	play_job_end(p, agent, &job);
}

static void defer(struct play *p, enum part agent, const char *text)
{
	for (size_t i = 0; i < job.count; i++)
		play_verdict(p, agent, &job, i, OC_REMOTE_TEMP, text);
	play_job_end(p, agent, &job);
}

static void assert_in(const char *text, const char *needle)
{
	if (strstr(text, needle) == NULL)
		fail_msg("\"%s\" is not in:\n%s", needle, text);
}

static void test_a_message_is_taken_and_delivered(void **state)
{
	struct play *p = *state;
	uint64_t id = accept_one(p, 1, "a@x.test");
	char name[ID_CHARS + 1];

	play_job(p, PART_LOCAL, &job);
	assert_int_equal(job.id, id);
	assert_int_equal(job.count, 1);
	assert_string_equal(job.recipients[0], "bob@x.test");
	assert_string_equal(job.transport, "home");
	assert_string_equal(job.nexthop, "/var/mail/x/bob");
	id_text(id, name);
	assert_in(job.text, "Received: from client.example ([192.0.2.1])\r\n\tby mx.example.test with ESMTP\r\n\tid ");
	assert_in(job.text, name);
	assert_in(job.text, "for <bob@x.test>;");
	assert_in(job.text, body);
	play_wait_files(p, "new", 1);
	deliver(p, PART_LOCAL);
	play_wait_list(p, "");
	play_drain(p);
	play_wait_files(p, "new", 0);
	play_wait_files(p, "cur", 0);
}

static void test_a_large_body_has_its_own_descriptor(void **state)
{
	struct play *p = *state;
	struct ipc_message *m;

	play_tell(p, PART_SMTPD, IPC_DRAFT_OPEN, &(struct msg_DRAFT_OPEN){.session = 1, .draft = 4, .sender = slice_of("a@x.test")});
	play_tell(p, PART_SMTPD, IPC_DRAFT_RCPT,
		  &(struct msg_DRAFT_RCPT){.session = 1, .draft = 4, .recipient = slice_of("bob@x.test")});
	play_ask(p, PART_SMTPD, IPC_DRAFT_FILE_ASK, 3, &(struct msg_DRAFT_FILE_ASK){1, 4});
	m = play_hear(p, PART_SMTPD, IPC_DRAFT_FILE);
	assert_int_equal(m->body.DRAFT_FILE.outcome, OC_DONE);
	assert_int_equal(fcntl(m->fd, F_GETFL) & O_ACCMODE, O_WRONLY);
	assert_int_equal(pwrite(m->fd, body, sizeof(body) - 1, (off_t)m->body.DRAFT_FILE.offset), sizeof(body) - 1);
	play_wait_files(p, "draft", 1);
	(void)close(m->fd);
	play_tell(p, PART_SMTPD, IPC_DRAFT_SEAL, &(struct msg_DRAFT_SEAL){1, 4, sizeof(body) - 1});
	play_ask(p, PART_SMTPD, IPC_DRAFT_COMMIT, 4, &(struct msg_DRAFT_COMMIT){.session = 1, .draft = 4});
	play_route(p, "bob@x.test", false, &home);
	(void)play_committed(p, OC_DONE, 0);
	play_job(p, PART_LOCAL, &job);
	assert_in(job.text, body);
	play_wait_files(p, "draft", 0);
	play_wait_files(p, "new", 1);
	deliver(p, PART_LOCAL);
	play_wait_list(p, "");
}

static void test_a_writer_that_stays_is_no_250(void **state)
{
	struct play *p = *state;
	struct ipc_message *m;
	int fd;

	play_tell(p, PART_SMTPD, IPC_DRAFT_OPEN, &(struct msg_DRAFT_OPEN){.session = 1, .draft = 4, .sender = slice_of("a@x.test")});
	play_tell(p, PART_SMTPD, IPC_DRAFT_RCPT,
		  &(struct msg_DRAFT_RCPT){.session = 1, .draft = 4, .recipient = slice_of("bob@x.test")});
	play_ask(p, PART_SMTPD, IPC_DRAFT_FILE_ASK, 3, &(struct msg_DRAFT_FILE_ASK){1, 4});
	m = play_hear(p, PART_SMTPD, IPC_DRAFT_FILE);
	fd = m->fd;
	assert_int_equal(pwrite(fd, body, sizeof(body) - 1, (off_t)m->body.DRAFT_FILE.offset), sizeof(body) - 1);
	play_tell(p, PART_SMTPD, IPC_DRAFT_SEAL, &(struct msg_DRAFT_SEAL){1, 4, sizeof(body) - 1});
	play_ask(p, PART_SMTPD, IPC_DRAFT_COMMIT, 4, &(struct msg_DRAFT_COMMIT){.session = 1, .draft = 4});
	play_route(p, "bob@x.test", false, &home);
	(void)play_committed(p, OC_IO_ERROR, 451);
	(void)close(fd);
	play_wait_files(p, "draft", 0);
	play_wait_files(p, "new", 0);
}

struct guard_case {
	const char *client;
	bool login;
	const struct route_reply *route;
	enum outcome outcome;
	uint64_t code;
};

static const struct guard_case guard_cases[] = {
	{"192.0.2.1", false, &away, OC_POLICY_REJECT, 550},
	{"192.0.2.1", false, &domain_of_ours, OC_DONE, 0},
	{"127.0.0.1", false, &away, OC_DONE, 0},
	{"192.0.2.1", true, &away, OC_DONE, 0},
	{"192.0.2.1", false, &unknown, OC_ROUTE_UNKNOWN, 451},
	{"192.0.2.1", false, &refused, OC_POLICY_REJECT, 550},
};

/* Whatever the worker says: without an attested right nothing leaves this host. */
static void test_relay_guard(void **state)
{
	struct play *p = *state;

	for (size_t i = 0; i < ARRAY_LEN(guard_cases); i++) {
		const struct guard_case *c = &guard_cases[i];

		play_session(p, 100 + i, PART_SMTPD, c->client);
		if (c->login)
			play_tell(p, PART_AUTHD, IPC_SESSION_LOGIN, &(struct msg_SESSION_LOGIN){100 + i, slice_of("alice")});
		/* the worker's own word for a login counts for nothing */
		play_draft(p, 100 + i, 1, "a@x.test", "bob@far.test", body);
		play_route(p, "bob@far.test", false, c->route);
		(void)play_committed(p, c->outcome, c->code);
		if (c->outcome == OC_DONE) {
			struct ipc_message *m = play_hear(p, PART_AUTHD, IPC_JOB_GRANT);
			uint64_t granted = m->body.JOB_GRANT.job;

			assert_int_equal(m->body.JOB_GRANT.relay, 3);
			play_job(p, PART_RELAY, &job);
			assert_int_equal(job.job, granted);
			deliver(p, PART_RELAY);
			assert_int_equal(play_hear(p, PART_AUTHD, IPC_JOB_REVOKE)->body.JOB_REVOKE.job, granted);
		}
	}
	play_wait_list(p, "");
	play_wait_files(p, "new", 0);
}

static void test_a_session_of_another_worker(void **state)
{
	struct play *p = *state;

	play_session(p, 2, PART_OTHER_SMTPD, "192.0.2.2");
	play_tell(p, PART_SMTPD, IPC_DRAFT_OPEN, &(struct msg_DRAFT_OPEN){.session = 2, .draft = 1});
	play_hear_end(p, PART_SMTPD);
	assert_int_equal(play_hear(p, PART_MASTER, IPC_PEER_BROKE_RULES)->body.PEER_BROKE_RULES.instance, 1);
	/* the honest one goes on */
	play_tell(p, PART_OTHER_SMTPD, IPC_DRAFT_OPEN, &(struct msg_DRAFT_OPEN){.session = 2, .draft = 1});
	play_wait_list(p, "");
}

/* What was said before the end was known is passed over; what is asked is answered; the link lives. */
static void test_a_session_that_has_ended(void **state)
{
	struct play *p = *state;

	(void)accept_one(p, 1, "a@x.test");
	play_job(p, PART_LOCAL, &job);
	deliver(p, PART_LOCAL);
	play_wait_list(p, "");
	play_tell(p, PART_GATE, IPC_SESSION_CLOSE, &(struct msg_SESSION_CLOSE){1});
	play_wait_list(p, ""); /* it has been heard */
	play_tell(p, PART_SMTPD, IPC_DRAFT_ABORT, &(struct msg_DRAFT_ABORT){1, 1});
	play_draft(p, 1, 2, "a@x.test", "bob@x.test", body);
	(void)play_committed(p, OC_UNAVAILABLE, 451);
	play_session(p, 3, PART_SMTPD, "192.0.2.1");
	play_draft(p, 3, 1, "a@x.test", "bob@x.test", body);
	play_route(p, "bob@x.test", false, &home);
	(void)play_committed(p, OC_DONE, 0);
}

/* The gate is replaced; sessions of the old one go on. */
static void test_a_session_outlives_its_gate(void **state)
{
	struct play *p = *state;

	play_wait_list(p, ""); /* the session has been heard of */
	play_link(p, PART_GATE);
	play_wait_list(p, "");
	(void)accept_one(p, 1, "a@x.test");
	play_job(p, PART_LOCAL, &job);
	deliver(p, PART_LOCAL);
	play_wait_list(p, "");
}

static const struct {
	const char *name;
	enum ipc_type type;
} out_of_order[] = {
	{"a recipient without a draft", IPC_DRAFT_RCPT},
	{"data without a draft", IPC_DRAFT_DATA},
	{"a commit without a seal", IPC_DRAFT_COMMIT},
	{"a seal without a draft", IPC_DRAFT_SEAL},
};

static void test_out_of_order(void **state)
{
	struct play *p = *state;

	for (size_t i = 0; i < ARRAY_LEN(out_of_order); i++) {
		/* session, draft: the first fields of all of these */
		union {
			struct msg_DRAFT_RCPT rcpt;
			struct msg_DRAFT_DATA data;
			struct msg_DRAFT_COMMIT commit;
			struct msg_DRAFT_SEAL seal;
		} m = {{0}};

		m.seal = (struct msg_DRAFT_SEAL){1, 9, 0};
		if (out_of_order[i].type == IPC_DRAFT_RCPT)
			m.rcpt = (struct msg_DRAFT_RCPT){1, 9, 0, slice_of("a@b"), slice_empty()};
		if (out_of_order[i].type == IPC_DRAFT_DATA)
			m.data = (struct msg_DRAFT_DATA){1, 9, slice_of("x")};
		if (out_of_order[i].type == IPC_DRAFT_COMMIT)
			m.commit = (struct msg_DRAFT_COMMIT){.session = 1, .draft = 9};
		play_ask(p, PART_SMTPD, out_of_order[i].type, 0, &m);
		play_hear_end(p, PART_SMTPD);
		play_hear(p, PART_MASTER, IPC_PEER_BROKE_RULES);
		play_link(p, PART_SMTPD);
	}
}

static void test_control_characters_are_refused(void **state)
{
	struct play *p = *state;

	play_draft(p, 1, 1, "a\r\nX: y@x.test", "bob@x.test", body);
	(void)play_committed(p, OC_BAD_ADDRESS, 553);
	play_tell(p, PART_SMTPD, IPC_DRAFT_OPEN, &(struct msg_DRAFT_OPEN){.session = 1, .draft = 2, .sender = slice_of("a@x.test")});
	play_tell(p, PART_SMTPD, IPC_DRAFT_RCPT,
		  &(struct msg_DRAFT_RCPT){.session = 1, .draft = 2, .recipient = slice_of("bob\n@x.test")});
	play_tell(p, PART_SMTPD, IPC_DRAFT_SEAL, &(struct msg_DRAFT_SEAL){1, 2, 0});
	play_ask(p, PART_SMTPD, IPC_DRAFT_COMMIT, 4, &(struct msg_DRAFT_COMMIT){.session = 1, .draft = 2});
	(void)play_committed(p, OC_BAD_ADDRESS, 553);
	printf("ROW N10 draft-control-characters pass\n");
}

static void test_a_permanent_failure_is_reported(void **state)
{
	struct play *p = *state;
	uint64_t id = accept_one(p, 1, "a@x.test");

	play_job(p, PART_LOCAL, &job);
	play_verdict(p, PART_LOCAL, &job, 0, OC_REMOTE_PERM, "the remote's very words");
	play_job_end(p, PART_LOCAL, &job);
	play_route(p, "a@x.test", false, &home);
	play_job(p, PART_LOCAL, &job);
	assert_true(job.id != id);
	assert_string_equal(job.sender, "");
	assert_string_equal(job.recipients[0], "a@x.test");
	assert_in(job.text, "mx.remote.test said: 550 the remote's very words");
	assert_in(job.text, "Final-Recipient: rfc822;bob@x.test");
	assert_in(job.text, "Subject: hello\r\n");
	assert_null(strstr(job.text, "\r\nbody\r\n"));
	assert_null(strstr(job.text, p->folder));
	deliver(p, PART_LOCAL);
	play_wait_list(p, "");
}

/* A report about a report is never made: it is kept, and dropped after its time. */
static void test_an_undeliverable_report_is_held_then_dropped(void **state)
{
	struct play *p = *state;

	(void)accept_one(p, 1, "");
	play_job(p, PART_LOCAL, &job);
	play_verdict(p, PART_LOCAL, &job, 0, OC_REMOTE_PERM, "no");
	play_job_end(p, PART_LOCAL, &job);
	play_wait_list(p, " hold ");
	play_wait_files(p, "hold", 1);
	play_turn_clock(p, 5 * 86400);
	play_wait_list(p, "");
	play_wait_files(p, "hold", 0);
}

static void test_a_temporary_failure_is_tried_again(void **state)
{
	struct play *p = *state;
	uint64_t id = accept_one(p, 1, "a@x.test");

	play_job(p, PART_LOCAL, &job);
	defer(p, PART_LOCAL, "come back");
	play_wait_list(p, " waiting a@x.test bob@x.test 1 mx.remote.test: 451 4.0.0 come back");
	play_wait_files(p, "cur", 1);
	play_turn_clock(p, 16 * 60);
	play_route(p, "bob@x.test", true, &home);
	play_job(p, PART_LOCAL, &job);
	assert_int_equal(job.id, id);
	deliver(p, PART_LOCAL);
	play_wait_list(p, "");
	play_wait_files(p, "cur", 0);
}

static const struct route_reply program = {.transport = "home", .nexthop = "/var/mail/x/bob", .directive = DIRECTIVE_PIPE,
					   .argument = {"/bin/x\0y", 9}};

static void assert_program(void)
{
	assert_int_equal(job.count, 1);
	assert_int_equal(job.directives[0], DIRECTIVE_PIPE);
	assert_memory_equal(job.arguments[0], "/bin/x\0y", 9);
	assert_string_equal(job.nexthop, "/var/mail/x/bob");
}

/* It is not asked for again, and no other transport gets it, also of the same name. */
static void test_a_program_stays_at_its_transport(void **state)
{
	static const char elsewhere[] = "hostname mx.example.test\nspool /var/spool/postern\nspool_reserve 0\n"
					"listen 127.0.0.1:2525 { role mx }\nroute { relay home }\n"
					"transport home { smtp \"smtp.example:587\" }\n"
					"retry { every 15m until 4d }\n";
	struct play *p = *state;

	play_draft(p, 1, 1, "a@x.test", "bob@x.test robert@x.test", body);
	play_route(p, "bob@x.test", false, &home);
	play_route_to(p, "robert@x.test", false, &program, "bob@x.test");
	(void)play_committed(p, OC_DONE, 0);
	play_job(p, PART_LOCAL, &job);
	assert_int_equal(job.count, 2);
	play_verdict(p, PART_LOCAL, &job, 0, OC_DONE, "delivered");
	play_verdict(p, PART_LOCAL, &job, 1, OC_REMOTE_TEMP, "come back");
	play_job_end(p, PART_LOCAL, &job);
	play_wait_list(p, " waiting ");
	play_turn_clock(p, 16 * 60);
	play_job(p, PART_LOCAL, &job);
	assert_program();
	defer(p, PART_LOCAL, "come back");
	play_wait_list(p, " 2 mx.remote.test: 451 ");
	play_drain(p);
	play_start(p, elsewhere);
	play_turn_clock(p, 3600);
	play_wait_list(p, "its transport is not in the configuration any more");
	play_drain(p);
	play_start(p, conf);
	play_turn_clock(p, 2 * 3600);
	play_job(p, PART_LOCAL, &job);
	assert_program();
	deliver(p, PART_LOCAL);
	play_wait_list(p, "");
}

/* The operator's word is there after a kill: for all that was there when he said it, and for one message by its number.  A program, whose
 * route is never asked again, is kept as well. */
static void test_let_go_is_for_good(void **state)
{
	static const struct route_reply program_later = {.transport = "home", .nexthop = "/var/mail/x/bob", .directive = DIRECTIVE_PIPE,
							 .argument = {"/bin/x\0y", 9}, .queue_only = 1};
	static const struct route_reply later = {.transport = "out", .nexthop = "smtp.example:587", .relay_domain = 1, .queue_only = 1};
	struct play *p = *state;
	char name[ID_CHARS + 1];

	play_draft(p, 1, 1, "a@x.test", "bob@x.test", body);
	play_route(p, "bob@x.test", false, &program_later);
	id_text(play_committed(p, OC_DONE, 0), name);
	play_draft(p, 1, 2, "me@x.test", "far@y.test", body);
	play_route(p, "far@y.test", false, &later);
	(void)play_committed(p, OC_DONE, 0);
	play_wait_list(p, " a@x.test bob@x.test 0 kept until");
	play_wait_list(p, " me@x.test far@y.test 0 kept until");
	play_kill(p);
	play_start(p, conf);
	play_turn_clock(p, 2 * 3600);
	play_route(p, "far@y.test", true, &later);
	play_wait_list(p, " a@x.test bob@x.test 0 kept until");
	assert_int_equal(play_control(p, "queue.retry", name), OC_DONE);
	assert_int_equal(p->heard.body.CONTROL_ANSWER.text.len, 0);
	play_job(p, PART_LOCAL, &job);
	assert_program();
	defer(p, PART_LOCAL, "come back");
	play_wait_list(p, " bob@x.test 1 mx.remote.test: 451 ");
	play_kill(p);
	play_start(p, conf);
	play_turn_clock(p, 6 * 3600); /* of this run: rows were written in hours to come */
	play_route(p, "far@y.test", true, &later);
	play_job(p, PART_LOCAL, &job);
	assert_program();
	deliver(p, PART_LOCAL);
	play_wait_list(p, " far@y.test 0 kept until");
	assert_int_equal(play_control(p, "queue.retry", "all"), OC_DONE);
	play_route(p, "far@y.test", true, &later);
	play_job(p, PART_RELAY, &job);
	defer(p, PART_RELAY, "come back");
	play_wait_list(p, " far@y.test 1 mx.remote.test: 451 ");
	play_kill(p);
	play_start(p, conf);
	play_turn_clock(p, 12 * 3600);
	play_route(p, "far@y.test", true, &later);
	play_job(p, PART_RELAY, &job);
	assert_string_equal(job.recipients[0], "far@y.test");
	deliver(p, PART_RELAY);
	play_session(p, 1, PART_SMTPD, "192.0.2.1");
	play_draft(p, 1, 3, "me@x.test", "further@y.test", body);
	play_route(p, "further@y.test", false, &later);
	(void)play_committed(p, OC_DONE, 0);
	play_wait_list(p, " further@y.test 0 kept until");
}

static void ask_expand(struct play *p, uint64_t request, const struct rec_expansion *to, size_t count)
{
	struct buf records = buf_make(80000);
	struct msg_JOB_EXPAND ask = {.job = job.job,
				     .slot = job.slots[0],
				     .prepend = slice_of("X-New: yes\r\n"),
				     .without = slice_of("X-None\nSubject")};

	for (size_t i = 0; i < count; i++)
		assert_true(rec_expansion_add(&records, &to[i]));
	ask.expansion_records = buf_slice(&records);
	play_ask(p, PART_LOCAL, IPC_JOB_EXPAND, request, &ask);
	buf_free(&records);
}

/* What a delivery makes of a recipient is in the spool before that slot may be closed. */
static void test_an_expansion(void **state)
{
	const struct rec_expansion to[] = {
		{0, slice_of("carol@y.test"), DIRECTIVE_NONE, slice_empty()},
		{1, slice_empty(), DIRECTIVE_FOLDER, slice_of("Copies")},
	};
	struct play *p = *state;
	struct job parent;
	uint64_t child;

	(void)accept_one(p, 1, "a@x.test");
	play_job(p, PART_LOCAL, &job);
	parent = job;
	ask_expand(p, 7, to, ARRAY_LEN(to));
	play_route(p, "carol@y.test", false, &away);
	child = play_hear(p, PART_LOCAL, IPC_JOB_EXPANDED)->body.JOB_EXPANDED.id;
	assert_int_not_equal(child, parent.id);
	play_wait_files(p, "new", 2);
	play_job(p, PART_RELAY, &job);
	assert_int_equal(job.id, child);
	assert_string_equal(job.recipients[0], "carol@y.test");
	assert_string_equal(job.sender, "a@x.test");
	assert_in(job.text, "X-New: yes\r\nFrom: a@x.test\r\n\r\nbody\r\n");
	assert_null(strstr(job.text, "Subject:"));
	deliver(p, PART_RELAY);
	play_job(p, PART_LOCAL, &job);
	assert_int_equal(job.id, child);
	assert_int_equal(job.directives[0], DIRECTIVE_FOLDER);
	assert_string_equal(job.recipients[0], "bob@x.test");
	deliver(p, PART_LOCAL);
	job = parent;
	deliver(p, PART_LOCAL);
	play_wait_list(p, "");
}

/* What was let go, and is made into another message by its delivery, is not kept again. */
static void test_what_was_let_go_is_expanded(void **state)
{
	static const struct route_reply away_later = {.transport = "out", .nexthop = "smtp.example:587", .leaves = 1, .queue_only = 1};
	const struct rec_expansion to = {0, slice_of("carol@y.test"), DIRECTIVE_NONE, slice_empty()};
	struct play *p = *state;
	struct job parent;

	(void)accept_one(p, 1, "a@x.test");
	play_job(p, PART_LOCAL, &job);
	defer(p, PART_LOCAL, "come back");
	play_wait_list(p, " waiting a@x.test bob@x.test 1 ");
	assert_int_equal(play_control(p, "queue.retry", "all"), OC_DONE);
	play_route(p, "bob@x.test", true, &home);
	play_job(p, PART_LOCAL, &job);
	parent = job;
	ask_expand(p, 7, &to, 1);
	play_route(p, "carol@y.test", false, &away_later);
	assert_int_not_equal(play_hear(p, PART_LOCAL, IPC_JOB_EXPANDED)->body.JOB_EXPANDED.id, 0);
	play_job(p, PART_RELAY, &job);
	deliver(p, PART_RELAY);
	job = parent;
	deliver(p, PART_LOCAL);
	play_wait_list(p, "");
}

/* Addresses that were expanded on the way are told to who routes, and only so many are. */
static void test_an_expansion_knows_its_ancestors(void **state)
{
	const struct rec_expansion back = {0, slice_of("bob@x.test"), DIRECTIVE_NONE, slice_empty()};
	struct play *p = *state;

	(void)accept_one(p, 1, "a@x.test");
	for (size_t i = 0; i < ANCESTORS_MAX; i++) {
		struct ipc_message *m;
		struct buf records = buf_make(1000);
		struct job parent;

		play_job(p, PART_LOCAL, &job);
		parent = job;
		ask_expand(p, 7, &back, 1);
		m = play_hear(p, PART_POLICYD, IPC_ROUTE_ASK);
		assert_true(ancestors_have(m->body.ROUTE_ASK.ancestors, slice_of("bob@x.test")));
		assert_true(slice_eq(m->body.ROUTE_ASK.header_names, slice_of(":x-marked:x-new:")));
		assert_true(rec_route_target_add(&records, &(struct rec_route_target){.recipient = slice_of("bob@x.test"),
										      .transport = slice_of("home"),
										      .nexthop = slice_of("/var/mail/x/bob"),
										      .rule = slice_of("t:1")}));
		play_answer(p, PART_POLICYD, IPC_ROUTE_ANSWER,
			    &(struct msg_ROUTE_ANSWER){.outcome = OC_DONE, .route_target_records = buf_slice(&records)});
		buf_free(&records);
		assert_int_equal(play_hear(p, PART_LOCAL, IPC_JOB_EXPANDED)->body.JOB_EXPANDED.outcome, OC_DONE);
		play_verdict(p, PART_LOCAL, &parent, 0, OC_DONE, "expanded");
		play_job_end(p, PART_LOCAL, &parent);
	}
	play_job(p, PART_LOCAL, &job);
	ask_expand(p, 7, &back, 1);
	assert_int_equal(play_hear(p, PART_LOCAL, IPC_JOB_EXPANDED)->body.JOB_EXPANDED.outcome, OC_MAIL_LOOP);
	deliver(p, PART_LOCAL);
	play_wait_list(p, "");
}

static const struct route_reply list = {
	.transport = "", .nexthop = "", .directive = DIRECTIVE_LIST, .argument = {"owner-all@x.test", 16}};

/* The members of a list as policyd says them; what was asked is as the queue knows it. */
static void play_members(struct play *p, const char *sender, const struct route_reply *reply, const char *members)
{
	const struct msg_ROUTE_ASK *ask = &play_hear(p, PART_POLICYD, IPC_ROUTE_ASK)->body.ROUTE_ASK;

	assert_int_equal(ask->mode, ROUTE_MODE_LIST);
	assert_true(slice_eq(ask->recipient, slice_of("all@x.test")));
	assert_true(slice_eq(ask->sender, slice_of(sender)));
	assert_true(slice_eq(ask->owner, slice_of("owner-all@x.test")));
	assert_true(ancestors_have(ask->ancestors, slice_of("all@x.test")));
	play_answer_route(p, reply, members);
}

/* To its members by its owner, in the spool before the list is closed; what was asked for stays with who asked. */
static void test_a_list_with_an_owner(void **state)
{
	struct play *p = *state;
	uint64_t parent, child;

	play_draft_of(p, 1, &(struct msg_DRAFT_OPEN){.sender = slice_of("a@x.test"), .helo = slice_of("c"), .protocol = slice_of("ESMTP"),
						     .tls = slice_empty(), .auth = slice_empty(), .envid = slice_of("q"), .ret = DSN_RET_FULL},
		      &(struct draft_rcpt){"all@x.test", "rfc822;all@x.test", DSN_SUCCESS}, 1, body);
	play_route(p, "all@x.test", false, &list);
	parent = play_committed(p, OC_DONE, 0);
	play_members(p, "a@x.test", &domain_of_ours, "carol@y.test dave@y.test");
	play_job(p, PART_RELAY, &job);
	child = job.id;
	assert_int_not_equal(child, parent);
	assert_int_equal(job.count, 2);
	assert_string_equal(job.sender, "owner-all@x.test");
	assert_string_equal(job.envid, "");
	assert_string_equal(job.orcpt[0], "");
	assert_int_equal(job.ret, DSN_RET_UNSAID);
	assert_int_equal(job.notify[0], 0);
	assert_in(job.text, "Subject: hello\r\n\r\nbody\r\n");
	/* A member that refuses it is its owner's affair, the list itself was reached. */
	play_route(p, "a@x.test", false, &home);
	play_job(p, PART_LOCAL, &job);
	assert_string_equal(job.sender, "");
	assert_in(job.text, "Action: delivered\r\n");
	assert_in(job.text, "Final-Recipient: rfc822;all@x.test\r\n");
	deliver(p, PART_LOCAL);
}

/* Not known, or not kept, is tried again; and again from the beginning, for it is in no file yet. */
static void test_a_list_that_has_to_wait(void **state)
{
	struct play *p = *state;

	play_draft(p, 1, 1, "a@x.test", "all@x.test", body);
	play_route(p, "all@x.test", false, &list);
	(void)play_committed(p, OC_DONE, 0);
	play_members(p, "a@x.test", &unknown, "");
	play_wait_list(p, " all@x.test 1 451 ");
	play_turn_clock(p, 16 * 60);
	play_members(p, "a@x.test", &refused, "");
	play_wait_list(p, " all@x.test 2 451 ");
	play_kill(p);
	play_start(p, conf);
	play_turn_clock(p, 3600);
	play_members(p, "a@x.test", &home, "bob@x.test");
	play_job(p, PART_LOCAL, &job);
	assert_string_equal(job.sender, "owner-all@x.test");
	deliver(p, PART_LOCAL);
	play_wait_list(p, "");
}

static const char *tagged(unsigned i)
{
	static char address[32];

	snprintf(address, sizeof(address), "all+%u@x.test", i);
	return address;
}

/* By whatever case and tag it was asked for, its members hear once; a tag that is kept is another list.  What differs in case alone is
 * asked for once. */
static void test_a_list_by_many_spellings(void **state)
{
	static const char keeping[] = CONF("spool_reserve 0\nsub_address \"+\"\nsub_address_kept yes");
	static const struct route_reply loud = {.transport = "", .nexthop = "", .directive = DIRECTIVE_LIST, .argument = {"owner-ALL@x.test", 16}};
	struct play *p = *state;

	play_draft(p, 1, 1, "a@x.test", "all@x.test ALL@x.test all+1@x.test", body);
	play_route(p, "all@x.test", false, &list);
	play_route(p, "all+1@x.test", false, &loud);
	(void)play_committed(p, OC_DONE, 0);
	play_members(p, "a@x.test", &home, "bob@x.test");
	play_job(p, PART_LOCAL, &job);
	deliver(p, PART_LOCAL);
	play_wait_list(p, "");
	play_drain(p);
	play_start(p, keeping);
	play_session(p, 1, PART_SMTPD, "192.0.2.1");
	play_draft(p, 1, 1, "a@x.test", "all@x.test ALL@x.test all+1@x.test ALL+1@x.test", body);
	play_route(p, "all@x.test", false, &list);
	play_route(p, "all+1@x.test", false, &loud);
	(void)play_committed(p, OC_DONE, 0);
	play_members(p, "a@x.test", &home, "bob@x.test");
	assert_true(slice_eq(play_hear(p, PART_POLICYD, IPC_ROUTE_ASK)->body.ROUTE_ASK.recipient, slice_of("all+1@x.test")));
	play_answer_route(p, &home, "bob+1@x.test");
	for (size_t i = 0; i < 2; i++) {
		play_job(p, PART_LOCAL, &job);
		deliver(p, PART_LOCAL);
	}
	play_wait_list(p, "");
	/* Any number of tags is no way to as many messages to all its members. */
	play_draft(p, 1, 2, "a@x.test", "all+1@x.test all+2@x.test all+3@x.test all+4@x.test all+5@x.test all+6@x.test all+7@x.test", body);
	for (unsigned i = 1; i <= 7; i++)
		play_route(p, tagged(i), false, i % 2 == 0 ? &loud : &list);
	(void)play_committed(p, OC_DONE, 0);
	for (unsigned i = 1; i <= 5; i++) {
		const struct msg_ROUTE_ASK *ask = &play_hear(p, PART_POLICYD, IPC_ROUTE_ASK)->body.ROUTE_ASK;

		assert_int_equal(ask->mode, ROUTE_MODE_LIST);
		assert_true(slice_eq(ask->recipient, slice_of(tagged(i))));
		play_answer_route(p, &home, "bob@x.test");
		play_job(p, PART_LOCAL, &job);
		deliver(p, PART_LOCAL);
	}
	play_wait_list(p, "");
}

/* What is kept free is for reports. */
static void test_a_list_without_room(void **state)
{
	static const char full[] = CONF("spool_reserve 1T");
	struct play *p = *state;

	play_draft(p, 1, 1, "a@x.test", "all@x.test", body);
	play_route(p, "all@x.test", false, &list);
	(void)play_committed(p, OC_DONE, 0);
	play_members(p, "a@x.test", &unknown, "");
	play_wait_list(p, " all@x.test 1 451 ");
	play_drain(p);
	play_start(p, full);
	play_turn_clock(p, 16 * 60);
	play_wait_list(p, " all@x.test 2 452 4.3.1 ");
	play_drain(p);
	play_start(p, conf);
	play_turn_clock(p, 3600);
	play_members(p, "a@x.test", &home, "bob@x.test");
	play_job(p, PART_LOCAL, &job);
	deliver(p, PART_LOCAL);
	play_wait_list(p, "");
}

/* An agent may not say who sends. */
static void test_a_list_that_an_agent_asks_for(void **state)
{
	const struct rec_expansion to = {1, slice_empty(), DIRECTIVE_LIST, slice_of("boss@x.test")};
	struct play *p = *state;

	(void)accept_one(p, 1, "a@x.test");
	play_job(p, PART_LOCAL, &job);
	ask_expand(p, 7, &to, 1);
	assert_int_equal(play_hear(p, PART_LOCAL, IPC_JOB_EXPANDED)->body.JOB_EXPANDED.outcome, OC_BAD_INPUT);
	deliver(p, PART_LOCAL);
	play_wait_list(p, "");
}

static void answer_page(struct play *p, const char *address, uint64_t cursor)
{
	struct buf records = buf_make(1000);

	assert_true(rec_route_target_add(&records, &(struct rec_route_target){.recipient = slice_of(address), .transport = slice_of("home"),
									      .nexthop = slice_of("/var/mail/x/bob"), .rule = slice_of("t:1")}));
	play_answer(p, PART_POLICYD, IPC_ROUTE_ANSWER,
		    &(struct msg_ROUTE_ANSWER){.outcome = OC_DONE, .route_target_records = buf_slice(&records), .cursor = cursor});
	buf_free(&records);
}

static void hear_more(struct play *p, uint64_t cursor)
{
	assert_int_equal(play_hear(p, PART_POLICYD, IPC_ROUTE_MORE_ASK)->body.ROUTE_MORE_ASK.cursor, cursor);
}

/* An answer in pages is one answer; where one of them does not come, there is none. */
static void test_an_answer_in_pages(void **state)
{
	struct play *p = *state;

	play_draft(p, 1, 1, "a@x.test", "all@x.test", body);
	(void)play_hear(p, PART_POLICYD, IPC_ROUTE_ASK);
	answer_page(p, "bob@x.test", 7);
	hear_more(p, 7);
	answer_page(p, "carol@x.test", 8);
	hear_more(p, 8);
	answer_page(p, "dave@x.test", 0);
	(void)play_committed(p, OC_DONE, 0);
	play_job(p, PART_LOCAL, &job);
	assert_int_equal(job.count, 3);
	assert_string_equal(job.recipients[2], "dave@x.test");
	deliver(p, PART_LOCAL);
	play_draft(p, 1, 2, "a@x.test", "all@x.test", body);
	(void)play_hear(p, PART_POLICYD, IPC_ROUTE_ASK);
	answer_page(p, "bob@x.test", 9);
	hear_more(p, 9);
	play_answer_route(p, &unknown, "");
	(void)play_committed(p, OC_ROUTE_UNKNOWN, 451);
	play_draft(p, 1, 3, "a@x.test", "all@x.test", body);
	(void)play_hear(p, PART_POLICYD, IPC_ROUTE_ASK);
	answer_page(p, "bob@x.test", 10);
	hear_more(p, 10);
	play_answer(p, PART_POLICYD, IPC_ROUTE_ANSWER, &(struct msg_ROUTE_ANSWER){.outcome = OC_DONE, .cursor = 11}); /* nothing, and on: never ends */
	(void)play_committed(p, OC_ROUTE_UNKNOWN, 451);
	play_wait_files(p, "new", 0);
	play_wait_list(p, "");
}

#define ASKED_FOR 9u
#define PAGE_BYTES 60000u

static void answer_large_page(struct play *p, uint64_t cursor)
{
	static char page[PAGE_BYTES];

	play_answer(p, PART_POLICYD, IPC_ROUTE_ANSWER,
		    &(struct msg_ROUTE_ANSWER){.outcome = OC_DONE, .route_target_records = slice_make(page, sizeof(page)), .cursor = cursor});
}

/* However many are asked for at once: what is beyond the memory for all of them is refused for now, and given back. */
static void test_pages_beyond_the_memory(void **state)
{
	struct play *p = *state;
	size_t pages = ROUTING_BYTES_MAX / PAGE_BYTES + 1;

	play_draft(p, 1, 1, "a@x.test", "1@x.test 2@x.test 3@x.test 4@x.test 5@x.test 6@x.test 7@x.test 8@x.test 9@x.test", body);
	for (size_t i = 0; i < ASKED_FOR; i++) {
		(void)play_hear(p, PART_POLICYD, IPC_ROUTE_ASK);
		answer_large_page(p, i + 1);
	}
	/* All but the one that was too much ask once more. */
	for (size_t i = ASKED_FOR; i < pages + ASKED_FOR - 1; i++) {
		(void)play_hear(p, PART_POLICYD, IPC_ROUTE_MORE_ASK);
		answer_large_page(p, i + 1);
	}
	(void)play_committed(p, OC_BUSY, outcome_info(OC_BUSY)->smtp);
	play_draft(p, 1, 2, "a@x.test", "all@x.test", body);
	(void)play_hear(p, PART_POLICYD, IPC_ROUTE_ASK);
	answer_page(p, "bob@x.test", 1);
	hear_more(p, 1);
	answer_page(p, "carol@x.test", 0);
	(void)play_committed(p, OC_DONE, 0);
	play_job(p, PART_LOCAL, &job);
	assert_int_equal(job.count, 2);
	deliver(p, PART_LOCAL);
	play_wait_list(p, "");
}

static void test_mail_of_a_filter(void **state)
{
	struct play *p = *state;
	struct job parent;

	(void)accept_one(p, 1, "a@x.test");
	play_job(p, PART_LOCAL, &job);
	parent = job;
	play_ask(p, PART_LOCAL, IPC_JOB_MAIL, 9,
		 &(struct msg_JOB_MAIL){job.job, job.slots[0], slice_empty(), slice_of("a@x.test"), slice_of("Subject: away\n\nI am away\n")});
	play_route(p, "a@x.test", false, &away);
	assert_int_equal(play_hear(p, PART_LOCAL, IPC_JOB_EXPANDED)->body.JOB_EXPANDED.outcome, OC_DONE);
	play_job(p, PART_RELAY, &job);
	assert_string_equal(job.sender, "");
	assert_string_equal(job.text, "Subject: away\r\n\r\nI am away\r\n");
	deliver(p, PART_RELAY);
	job = parent;
	deliver(p, PART_LOCAL);
	play_wait_list(p, "");
}

/* Two filters that write to each other: the second's mail comes to who wrote first, not to his filter. */
static void test_mail_of_a_filter_knows_its_owner(void **state)
{
	struct play *p = *state;
	struct ipc_message *m;

	(void)accept_one(p, 1, "a@x.test");
	play_job(p, PART_LOCAL, &job);
	play_ask(p, PART_LOCAL, IPC_JOB_MAIL, 9,
		 &(struct msg_JOB_MAIL){job.job, job.slots[0], slice_of("Bob@x.test"), slice_of("a@x.test"), slice_of("Subject: s\n\nx\n")});
	m = play_hear(p, PART_POLICYD, IPC_ROUTE_ASK);
	assert_true(ancestors_have(m->body.ROUTE_ASK.ancestors, slice_of("bob@x.test")));
	assert_true(slice_eq(m->body.ROUTE_ASK.header_names, slice_of(":subject:")));
	play_answer(p, PART_POLICYD, IPC_ROUTE_ANSWER, &(struct msg_ROUTE_ANSWER){.outcome = OC_ROUTE_UNKNOWN});
	(void)play_hear(p, PART_LOCAL, IPC_JOB_EXPANDED);
}

static enum outcome has_sent(struct play *p, const char *address)
{
	play_ask(p, PART_POLICYD, IPC_SENT_ASK, 3, &(struct msg_SENT_ASK){slice_of(address)});
	return play_hear(p, PART_POLICYD, IPC_SENT)->body.SENT.outcome;
}

static void accept_from(struct play *p, uint64_t session, const char *sender)
{
	play_draft(p, session, 1, sender, "bob@x.test", body);
	play_route(p, "bob@x.test", false, &home);
	(void)play_committed(p, OC_DONE, 0);
	play_job(p, PART_LOCAL, &job);
}

/* Only whom gate or authd vouch for, and not what a filter writes in somebody's name. */
static void test_who_has_sent(void **state)
{
	static const char asking[] = CONF("spool_reserve 0\nsub-address \"+\"\n"
					  "policy rcpt { reject \"no\" if sender is null and not recipient.has-sent }");
	struct play *p = *state;
	struct job parent;

	assert_int_equal(has_sent(p, "a@x.test"), OC_LOOKUP_UNKNOWN); /* no rule asks */
	play_kill(p);
	play_start(p, asking);
	play_session(p, 1, PART_SMTPD, "192.0.2.1");
	play_session(p, 2, PART_SMTPD, "127.0.0.1");
	accept_from(p, 1, "stranger@x.test");
	deliver(p, PART_LOCAL);
	accept_from(p, 2, "User+tag@x.test");
	parent = job;
	play_ask(p, PART_LOCAL, IPC_JOB_MAIL, 9,
		 &(struct msg_JOB_MAIL){job.job, job.slots[0], slice_of("bob@x.test"), slice_of("a@x.test"), slice_of("Subject: s\n\nx\n")});
	play_route(p, "a@x.test", false, &away);
	assert_int_equal(play_hear(p, PART_LOCAL, IPC_JOB_EXPANDED)->body.JOB_EXPANDED.outcome, OC_DONE);
	play_job(p, PART_RELAY, &job);
	deliver(p, PART_RELAY);
	job = parent;
	deliver(p, PART_LOCAL);
	play_wait_list(p, "");
	assert_int_equal(has_sent(p, "USER+other@X.test"), OC_DONE);
	assert_int_equal(has_sent(p, "stranger@x.test"), OC_LOOKUP_UNKNOWN); /* and not "no": it has just begun */
	assert_int_equal(has_sent(p, "no address"), OC_LOOKUP_UNKNOWN);
	play_kill(p);
	play_start(p, asking);
	assert_int_equal(has_sent(p, "user@x.test"), OC_DONE);
	play_turn_clock(p, 33 * 86400);
	assert_int_equal(has_sent(p, "user@x.test"), OC_NOT_FOUND); /* too long ago */
	assert_int_equal(has_sent(p, "stranger@x.test"), OC_NOT_FOUND);
	assert_int_equal(has_sent(p, "bob@x.test"), OC_NOT_FOUND);
}

static void test_mail_in_anothers_name(void **state)
{
	struct play *p = *state;

	(void)accept_one(p, 1, "a@x.test");
	play_job(p, PART_LOCAL, &job);
	play_ask(p, PART_LOCAL, IPC_JOB_MAIL, 9,
		 &(struct msg_JOB_MAIL){job.job, job.slots[0], slice_of("boss@x.test"), slice_of("a@x.test"), slice_of("Subject: s\n\nx\n")});
	play_hear_end(p, PART_LOCAL);
}

/* Of a slot that is not its own, or is closed, an agent may not say anything. */
static void test_an_expansion_of_anothers_slot(void **state)
{
	const struct rec_expansion to = {0, slice_of("carol@y.test"), DIRECTIVE_NONE, slice_empty()};
	struct play *p = *state;

	(void)accept_one(p, 1, "a@x.test");
	play_job(p, PART_LOCAL, &job);
	job.slots[0]++;
	ask_expand(p, 7, &to, 1);
	play_hear_end(p, PART_LOCAL);
}

/* Routes that are not known, or refuse now what was accepted: it waits. */
static void test_a_route_lost_later_is_no_bounce(void **state)
{
	struct play *p = *state;

	(void)accept_one(p, 1, "a@x.test");
	play_job(p, PART_LOCAL, &job);
	defer(p, PART_LOCAL, "come back");
	play_wait_list(p, " waiting ");
	play_turn_clock(p, 16 * 60);
	play_route(p, "bob@x.test", true, &refused);
	play_wait_list(p, "bob@x.test 2 451 4.3.0 no route now");
	play_wait_files(p, "cur", 1);
}

static void test_delay_warning_then_expiry(void **state)
{
	struct play *p = *state;

	(void)accept_one(p, 1, "a@x.test");
	play_job(p, PART_LOCAL, &job);
	defer(p, PART_LOCAL, "come back");
	play_wait_list(p, " waiting ");
	play_turn_clock(p, 5 * 3600);
	play_route(p, "bob@x.test", true, &home);
	play_job(p, PART_LOCAL, &job);
	defer(p, PART_LOCAL, "still not");
	play_route(p, "a@x.test", false, &home); /* the warning's */
	play_job(p, PART_LOCAL, &job);
	assert_in(job.text, "Action: delayed");
	assert_in(job.text, "still not");
	deliver(p, PART_LOCAL);
	play_wait_list(p, "bob@x.test 2 ");
	play_turn_clock(p, 5 * 86400);
	play_route(p, "bob@x.test", true, &home);
	play_job(p, PART_LOCAL, &job);
	defer(p, PART_LOCAL, "not even now");
	play_route(p, "a@x.test", false, &home);
	play_job(p, PART_LOCAL, &job);
	assert_in(job.text, "Action: failed");
	assert_in(job.text, "Status: 4.4.7");
	assert_in(job.text, "not even now");
	deliver(p, PART_LOCAL);
	play_wait_list(p, "");
}

static void restart(struct play *p)
{
	play_kill(p);
	play_start(p, conf);
	play_session(p, 1, PART_SMTPD, "192.0.2.1");
}

/* After 250 a kill at any time loses nothing. */
static void test_kill_after_commit(void **state)
{
	struct play *p = *state;
	uint64_t id = accept_one(p, 1, "a@x.test");

	restart(p);
	play_route(p, "bob@x.test", true, &home);
	play_job(p, PART_LOCAL, &job);
	assert_int_equal(job.id, id);
	assert_in(job.text, body);
	restart(p); /* in mid-delivery */
	play_route(p, "bob@x.test", true, &home);
	play_job(p, PART_LOCAL, &job);
	deliver(p, PART_LOCAL);
	play_wait_list(p, "");
	play_wait_files(p, "new", 0); /* the list is empty a little earlier: a kill before that has it tried once more */
	restart(p);
	play_wait_list(p, "");
	play_wait_files(p, "new", 0);
}

/* What one recipient has got it never gets again, whatever is lost but the file. */
static void test_recipient_state_survives(void **state)
{
	struct play *p = *state;
	char path[200];

	play_draft(p, 1, 1, "a@x.test", "bob@x.test eve@x.test", body);
	play_route(p, "bob@x.test", false, &home);
	play_route(p, "eve@x.test", false, &home);
	(void)play_committed(p, OC_DONE, 0);
	play_job(p, PART_LOCAL, &job);
	assert_int_equal(job.count, 2);
	play_verdict(p, PART_LOCAL, &job, 0, OC_DONE, "delivered");
	play_verdict(p, PART_LOCAL, &job, 1, OC_MAILBOX_FULL, "full");
	play_job_end(p, PART_LOCAL, &job);
	play_wait_list(p, " waiting ");
	play_kill(p);
	(void)snprintf(path, sizeof(path), "%s/index.db", p->folder);
	assert_int_equal(unlink(path), 0);
	(void)snprintf(path, sizeof(path), "%s/index.db-wal", p->folder);
	(void)unlink(path);
	play_start(p, conf);
	play_route(p, "eve@x.test", true, &home);
	play_job(p, PART_LOCAL, &job);
	assert_int_equal(job.count, 1);
	assert_string_equal(job.recipients[0], "eve@x.test");
	deliver(p, PART_LOCAL);
	play_wait_list(p, "");
}

static void test_an_index_that_is_no_database(void **state)
{
	struct play *p = *state;
	char path[200];
	int fd;

	(void)accept_one(p, 1, "a@x.test");
	play_job(p, PART_LOCAL, &job);
	defer(p, PART_LOCAL, "later");
	play_wait_list(p, " waiting ");
	play_kill(p);
	(void)snprintf(path, sizeof(path), "%s/index.db", p->folder);
	fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	assert_true(write(fd, "this is no database, and never was one.....", 43) == 43);
	(void)close(fd);
	(void)snprintf(path, sizeof(path), "%s/index.db-wal", p->folder);
	(void)unlink(path);
	play_start(p, conf);
	play_route(p, "bob@x.test", true, &home);
	play_job(p, PART_LOCAL, &job);
	deliver(p, PART_LOCAL);
	play_wait_list(p, "");
}

static void test_an_agent_that_dies_is_a_temporary_failure(void **state)
{
	struct play *p = *state;

	(void)accept_one(p, 1, "a@x.test");
	play_job(p, PART_LOCAL, &job);
	play_link(p, PART_LOCAL); /* the old end is closed */
	play_wait_list(p, " waiting a@x.test bob@x.test 1 451 4.3.0 the delivery agent ended");
	play_wait_files(p, "cur", 1);
}

static void test_an_agent_may_not_speak_of_others_jobs(void **state)
{
	struct play *p = *state;

	(void)accept_one(p, 1, "a@x.test");
	play_job(p, PART_LOCAL, &job);
	play_verdict(p, PART_RELAY, &job, 0, OC_REMOTE_PERM, "mine!");
	play_hear_end(p, PART_RELAY);
	assert_int_equal(play_hear(p, PART_MASTER, IPC_PEER_BROKE_RULES)->body.PEER_BROKE_RULES.role, ROLE_RELAY);
	deliver(p, PART_LOCAL);
	play_wait_list(p, "");
}

static void test_the_operator(void **state)
{
	struct play *p = *state;
	char name[ID_CHARS + 1];

	id_text(accept_one(p, 1, "a@x.test"), name);
	play_job(p, PART_LOCAL, &job);
	assert_int_equal(play_control(p, "queue.retry", name), OC_DONE); /* noted, and not yet so */
	assert_true(slice_starts(p->heard.body.CONTROL_ANSWER.text, slice_of("it is being tried: ")));
	defer(p, PART_LOCAL, "later");
	play_route(p, "bob@x.test", true, &home);
	play_job(p, PART_LOCAL, &job);
	defer(p, PART_LOCAL, "later");
	play_wait_list(p, " waiting ");
	assert_int_equal(play_control(p, "queue.show", name), OC_DONE);
	assert_true(slice_find(p->heard.body.CONTROL_ANSWER.control_row_records, slice_of("bob@x.test")) != SLICE_NONE);
	assert_true(slice_find(p->heard.body.CONTROL_ANSWER.control_row_records, slice_of("later")) != SLICE_NONE);
	assert_int_equal(play_control(p, "queue.hold", name), OC_DONE);
	assert_int_equal(p->heard.body.CONTROL_ANSWER.text.len, 0);
	assert_int_equal(play_files(p, "hold"), 1); /* at once */
	play_wait_list(p, " hold ");
	play_wait_files(p, "hold", 1);
	play_turn_clock(p, 5 * 86400); /* it stays */
	assert_int_equal(play_control(p, "queue.retry", "all"), OC_DONE);
	restart(p);
	play_wait_list(p, " hold ");
	assert_int_equal(play_control(p, "queue.release", name), OC_DONE);
	play_route(p, "bob@x.test", true, &home);
	play_job(p, PART_LOCAL, &job);
	defer(p, PART_LOCAL, "later");
	play_wait_list(p, " waiting ");
	assert_int_equal(play_control(p, "queue.retry", name), OC_DONE);
	play_route(p, "bob@x.test", true, &home);
	play_job(p, PART_LOCAL, &job);
	defer(p, PART_LOCAL, "later");
	play_wait_list(p, " waiting ");
	assert_int_equal(play_control(p, "queue.retry", "all"), OC_DONE);
	play_route(p, "bob@x.test", true, &home);
	play_job(p, PART_LOCAL, &job);
	defer(p, PART_LOCAL, "later");
	play_wait_list(p, " waiting ");
	assert_int_equal(play_control(p, "queue.remove", name), OC_DONE);
	play_wait_list(p, "");
	assert_int_equal(play_control(p, "queue.show", name), OC_NOT_FOUND);
	assert_int_equal(play_control(p, "queue.remove", name), OC_NOT_FOUND);
	assert_int_equal(play_control(p, "queue.hold", "nonsense"), OC_BAD_INPUT);
	assert_int_equal(play_control(p, "queue.sing", name), OC_BAD_INPUT);
	play_drain(p);
	play_wait_files(p, "cur", 0);
	play_wait_files(p, "hold", 0);
}

/* Accepted at RCPT, refused at commit: of a stranger, whose sender may be invented, all is refused and nobody is sent a report. */
static void test_some_refused_to_a_stranger(void **state)
{
	struct play *p = *state;

	play_draft(p, 1, 1, "a@x.test", "bob@x.test eve@x.test", body);
	play_route(p, "bob@x.test", false, &home);
	play_route(p, "eve@x.test", false, &refused);
	(void)play_committed(p, OC_POLICY_REJECT, 550);
	play_wait_list(p, "");
	play_wait_files(p, "new", 0);
}

/* Of who is ours: the others get it, the sender hears of it. */
static void test_some_refused_at_commit(void **state)
{
	struct play *p = *state;

	play_session(p, 9, PART_SMTPD, "127.0.0.1");
	play_draft(p, 9, 1, "a@x.test", "bob@x.test eve@x.test", body);
	play_route(p, "bob@x.test", false, &home);
	play_route(p, "eve@x.test", false, &refused);
	(void)play_committed(p, OC_DONE, 0);
	play_job(p, PART_LOCAL, &job);
	assert_int_equal(job.count, 1);
	deliver(p, PART_LOCAL);
	play_route(p, "a@x.test", false, &home);
	play_job(p, PART_LOCAL, &job);
	assert_in(job.text, "no such user here");
	assert_in(job.text, "Final-Recipient: rfc822;eve@x.test");
	deliver(p, PART_LOCAL);
	play_wait_list(p, "");
}

static void test_duplicates_are_one(void **state)
{
	struct play *p = *state;

	play_draft_of(p, 1, &(struct msg_DRAFT_OPEN){.sender = slice_of("a@x.test"), .helo = slice_of("c"), .protocol = slice_of("ESMTP"),
						     .tls = slice_empty(), .auth = slice_empty(), .envid = slice_empty()},
		      (const struct draft_rcpt[]){{"bob@x.test", "", DSN_NEVER}, {"carol@x.test", "", 0}, {"BOB@x.test", "", DSN_FAILURE}, {"bob@x.test", "", DSN_DELAY}},
		      4, body);
	play_route(p, "bob@x.test", false, &home);
	play_route(p, "carol@x.test", false, &home);
	(void)play_committed(p, OC_DONE, 0);
	play_job(p, PART_LOCAL, &job);
	assert_int_equal(job.count, 2);
	assert_string_equal(job.recipients[0], "bob@x.test");
	assert_int_equal(job.notify[0], DSN_FAILURE | DSN_DELAY);
	deliver(p, PART_LOCAL);
	play_wait_list(p, "");
}

static void test_discarded_by_rule(void **state)
{
	struct play *p = *state;
	const struct route_reply nowhere = {.outcome = OC_DONE};

	play_draft(p, 1, 1, "a@x.test", "bob@x.test", body);
	play_route(p, "bob@x.test", false, &nowhere);
	(void)play_committed(p, OC_DONE, 0);
	play_wait_list(p, "");
}

static void test_a_worker_that_dies_leaves_nothing(void **state)
{
	struct play *p = *state;

	play_tell(p, PART_SMTPD, IPC_DRAFT_OPEN, &(struct msg_DRAFT_OPEN){.session = 1, .draft = 4, .sender = slice_of("a@x.test")});
	play_ask(p, PART_SMTPD, IPC_DRAFT_FILE_ASK, 3, &(struct msg_DRAFT_FILE_ASK){1, 4});
	(void)close(play_hear(p, PART_SMTPD, IPC_DRAFT_FILE)->fd);
	play_wait_files(p, "draft", 1);
	play_link(p, PART_SMTPD);
	play_wait_list(p, "");
	play_drain(p);
	play_wait_files(p, "draft", 0);
}

static void test_what_does_not_parse_is_set_aside(void **state)
{
	struct play *p = *state;
	char path[200], name[ID_CHARS + 1];
	int fd;

	id_text(accept_one(p, 1, "a@x.test"), name);
	play_kill(p);
	(void)snprintf(path, sizeof(path), "%s/new/%c/%c/%s", p->folder, name[11], name[12], name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0 && pwrite(fd, "\xff", 1, 100) == 1);
	(void)close(fd);
	play_start(p, conf);
	play_wait_files(p, "corrupt", 1);
	play_wait_list(p, "");
	play_drain(p);
	play_wait_files(p, "new", 0);
}

#define STORY(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORY(test_a_message_is_taken_and_delivered),
		STORY(test_a_large_body_has_its_own_descriptor),
		STORY(test_a_writer_that_stays_is_no_250),
		STORY(test_relay_guard),
		STORY(test_a_session_of_another_worker),
		STORY(test_a_session_that_has_ended),
		STORY(test_a_session_outlives_its_gate),
		STORY(test_out_of_order),
		STORY(test_control_characters_are_refused),
		STORY(test_a_permanent_failure_is_reported),
		STORY(test_an_undeliverable_report_is_held_then_dropped),
		STORY(test_a_temporary_failure_is_tried_again),
		STORY(test_a_program_stays_at_its_transport),
		STORY(test_an_expansion),
		STORY(test_what_was_let_go_is_expanded),
		STORY(test_let_go_is_for_good),
		STORY(test_an_expansion_knows_its_ancestors),
		STORY(test_an_answer_in_pages),
		STORY(test_pages_beyond_the_memory),
		STORY(test_a_list_with_an_owner),
		STORY(test_a_list_that_has_to_wait),
		STORY(test_a_list_by_many_spellings),
		STORY(test_a_list_without_room),
		STORY(test_a_list_that_an_agent_asks_for),
		STORY(test_mail_of_a_filter),
		STORY(test_mail_of_a_filter_knows_its_owner),
		STORY(test_who_has_sent),
		STORY(test_mail_in_anothers_name),
		STORY(test_an_expansion_of_anothers_slot),
		STORY(test_a_route_lost_later_is_no_bounce),
		STORY(test_delay_warning_then_expiry),
		STORY(test_kill_after_commit),
		STORY(test_recipient_state_survives),
		STORY(test_an_index_that_is_no_database),
		STORY(test_an_agent_that_dies_is_a_temporary_failure),
		STORY(test_an_agent_may_not_speak_of_others_jobs),
		STORY(test_the_operator),
		STORY(test_some_refused_to_a_stranger),
		STORY(test_some_refused_at_commit),
		STORY(test_duplicates_are_one),
		STORY(test_discarded_by_rule),
		STORY(test_a_worker_that_dies_leaves_nothing),
		STORY(test_what_does_not_parse_is_set_aside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
