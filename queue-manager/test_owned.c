/*
 * The real postern-queue against an smtpd and a relay that were taken over.  Whatever they say, they get what their sessions and
 * jobs have, or lose their link; the queue lives on, and so do the others.
 */
#include "test_play.h"

#include "base/id.h"
#include "base/mem.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static const char conf[] = "hostname mx.example.test\n"
			   "spool /var/spool/postern\n"
			   "spool_reserve 0\n"
			   "trusted 127.0.0.0/8\n"
			   "credentials \"/etc/postern/credentials\"\n"
			   "listen 127.0.0.1:2525 { role mx }\n"
			   "route { relay out }\n"
			   "transport home { maildir \"/var/mail/{domain}/{local}/\" user mail }\n"
			   "transport out { smtp \"smtp.example:587\" tls required login isp }\n";

static const char body[] = "From: a@x.test\r\nSubject: hello\r\n\r\nbody\r\n";
static const struct route_reply home = {.transport = "home", .nexthop = "/var/mail/x/bob"};
static const struct route_reply away = {.transport = "out", .nexthop = "smtp.example:587", .leaves = 1};

static struct job job; /* large */

#define OURS 10u /* a session of the worker that was taken over */
#define THEIRS 11u /* one of another, whose client is trusted */

static int start(void **state)
{
	struct play *p = play_new();

	*state = p;
	play_start(p, conf);
	play_session(p, OURS, PART_SMTPD, "192.0.2.1");
	play_session(p, THEIRS, PART_OTHER_SMTPD, "127.0.0.1");
	play_wait_list(p, "");
	return 0;
}

static int stop(void **state)
{
	play_free(*state);
	return 0;
}

static void open_draft(struct play *p, enum part worker, uint64_t session, uint64_t draft)
{
	play_tell(p, worker, IPC_DRAFT_OPEN,
		  &(struct msg_DRAFT_OPEN){.session = session, .draft = draft, .sender = slice_of("a@x.test")});
	play_tell(p, worker, IPC_DRAFT_RCPT,
		  &(struct msg_DRAFT_RCPT){.session = session, .draft = draft, .recipient = slice_of("bob@x.test")});
}

static void assert_cut(struct play *p, enum part liar)
{
	play_hear_end(p, liar);
	(void)play_hear(p, PART_MASTER, IPC_PEER_BROKE_RULES);
}

/* ---- sessions of others ---- */

union about_a_draft { /* session and draft are the first fields of all of these */
	struct msg_DRAFT_OPEN open;
	struct msg_DRAFT_RCPT rcpt;
	struct msg_DRAFT_DATA data;
	struct msg_DRAFT_FILE_ASK file;
	struct msg_DRAFT_SEAL seal;
	struct msg_DRAFT_COMMIT commit;
	struct msg_DRAFT_ABORT abort_;
	struct msg_DRAFT_STATUS_ASK status;
};

static const struct {
	enum ipc_type type;
	union about_a_draft body;
} about_others[] = {
	{IPC_DRAFT_OPEN, {.open = {.session = THEIRS, .draft = 2}}},
	{IPC_DRAFT_RCPT, {.rcpt = {.session = THEIRS, .draft = 1, .recipient = {"eve@far.test", 12}}}},
	{IPC_DRAFT_DATA, {.data = {.session = THEIRS, .draft = 1, .data = {"more", 4}}}},
	{IPC_DRAFT_FILE_ASK, {.file = {THEIRS, 1}}},
	{IPC_DRAFT_SEAL, {.seal = {THEIRS, 1, 0}}},
	{IPC_DRAFT_COMMIT, {.commit = {.session = THEIRS, .draft = 1}}},
	{IPC_DRAFT_ABORT, {.abort_ = {THEIRS, 1}}},
	{IPC_DRAFT_STATUS_ASK, {.status = {THEIRS, 1, 1}}},
};

/* A trusted client's session is as far away as anybody's: nothing is added to its draft, taken from it, or sent in its name. */
static void test_drafts_of_others(void **state)
{
	struct play *p = *state;

	open_draft(p, PART_OTHER_SMTPD, THEIRS, 1);
	play_wait_list(p, "");
	for (size_t i = 0; i < ARRAY_LEN(about_others); i++) {
		play_ask(p, PART_SMTPD, about_others[i].type, 5, &about_others[i].body);
		assert_cut(p, PART_SMTPD);
		play_link(p, PART_SMTPD);
		printf("ROW I01 others-session-%s pass\n", ipc_type_name(about_others[i].type));
	}
	play_tell(p, PART_OTHER_SMTPD, IPC_DRAFT_DATA, &(struct msg_DRAFT_DATA){THEIRS, 1, slice_of(body)});
	play_tell(p, PART_OTHER_SMTPD, IPC_DRAFT_SEAL, &(struct msg_DRAFT_SEAL){THEIRS, 1, sizeof(body) - 1});
	play_ask(p, PART_OTHER_SMTPD, IPC_DRAFT_COMMIT, 6, &(struct msg_DRAFT_COMMIT){.session = THEIRS, .draft = 1});
	play_route(p, "bob@x.test", false, &home);
	assert_int_equal(play_hear(p, PART_OTHER_SMTPD, IPC_COMMITTED)->body.COMMITTED.outcome, OC_DONE);
	play_job(p, PART_LOCAL, &job);
	assert_int_equal(job.count, 1);
	assert_non_null(strstr(job.text, "\r\n\r\nbody\r\n"));
	assert_null(strstr(job.text, "more"));
}

/* A number that the gate has not told yet is no lie, and no session either. */
static void test_a_session_to_come(void **state)
{
	struct play *p = *state;

	play_turn_clock(p, 20); /* past the time in which a gate tells all again */
	play_draft(p, 9999, 1, "a@x.test", "bob@x.test", body);
	(void)play_committed(p, OC_UNAVAILABLE, 451);
	play_tell(p, PART_SMTPD, IPC_DRAFT_OPEN, &(struct msg_DRAFT_OPEN){.session = 3, .draft = 1});
	assert_cut(p, PART_SMTPD);
	printf("ROW A10 session-number-guessed pass\n");
}

/* ---- out of order ---- */

static void test_after_the_commit(void **state)
{
	static const enum ipc_type late[] = {IPC_DRAFT_RCPT, IPC_DRAFT_DATA, IPC_DRAFT_FILE_ASK, IPC_DRAFT_SEAL, IPC_DRAFT_COMMIT};
	struct play *p = *state;

	for (size_t i = 0; i < ARRAY_LEN(late); i++) {
		union about_a_draft m = {.seal = {OURS, 1 + i, sizeof(body) - 1}};

		if (late[i] == IPC_DRAFT_RCPT)
			m.rcpt = (struct msg_DRAFT_RCPT){OURS, 1 + i, 0, slice_of("eve@far.test"), slice_empty()};
		if (late[i] == IPC_DRAFT_DATA)
			m.data = (struct msg_DRAFT_DATA){OURS, 1 + i, slice_of("more")};
		if (late[i] == IPC_DRAFT_COMMIT)
			m.commit = (struct msg_DRAFT_COMMIT){.session = OURS, .draft = 1 + i};
		play_draft(p, OURS, 1 + i, "a@x.test", "bob@x.test", body);
		play_ask(p, PART_SMTPD, late[i], 7, &m);
		assert_cut(p, PART_SMTPD);
		play_link(p, PART_SMTPD);
		/* What was committed goes on: the message is what it was then. */
		play_route(p, "bob@x.test", false, &home);
		play_job(p, PART_LOCAL, &job);
		assert_int_equal(job.count, 1);
		assert_null(strstr(job.text, "more"));
		play_verdict(p, PART_LOCAL, &job, 0, OC_DONE, "delivered");
		play_job_end(p, PART_LOCAL, &job);
		printf("ROW I01 after-commit-%s pass\n", ipc_type_name(late[i]));
	}
	play_wait_list(p, "");
}

static int ask_file(struct play *p, uint64_t draft, uint64_t *offset_out)
{
	struct ipc_message *m;

	open_draft(p, PART_SMTPD, OURS, draft);
	play_ask(p, PART_SMTPD, IPC_DRAFT_FILE_ASK, 3, &(struct msg_DRAFT_FILE_ASK){OURS, draft});
	m = play_hear(p, PART_SMTPD, IPC_DRAFT_FILE);
	assert_int_equal(m->body.DRAFT_FILE.outcome, OC_DONE);
	*offset_out = m->body.DRAFT_FILE.offset;
	return m->fd;
}

static const struct {
	const char *name;
	int64_t truncate_by; /* the file ends that far behind (before) what was announced */
	uint64_t length;
} lengths[] = {
	{"longer", 7, sizeof(body) - 1},
	{"shorter", -7, sizeof(body) - 1},
	{"beyond-all", 0, UINT64_MAX},
	{"wraps", -((int64_t)sizeof(body) - 1) - 10, (uint64_t)-10},
};

/* The length that was sealed is the file's, or there is no message; where the head has been cut off, neither. */
static void test_sealed_lengths(void **state)
{
	struct play *p = *state;

	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		uint64_t offset;
		int fd = ask_file(p, 1 + i, &offset);
		struct ipc_message *m;

		assert_int_equal(pwrite(fd, body, sizeof(body) - 1, (off_t)offset), sizeof(body) - 1);
		assert_int_equal(ftruncate(fd, (off_t)offset + (off_t)sizeof(body) - 1 + lengths[i].truncate_by), 0);
		(void)close(fd);
		play_tell(p, PART_SMTPD, IPC_DRAFT_SEAL, &(struct msg_DRAFT_SEAL){OURS, 1 + i, lengths[i].length});
		play_ask(p, PART_SMTPD, IPC_DRAFT_COMMIT, 4, &(struct msg_DRAFT_COMMIT){.session = OURS, .draft = 1 + i});
		if (lengths[i].length < 1000) /* else refused before a route is asked for */
			play_route(p, "bob@x.test", false, &home);
		m = play_hear(p, PART_SMTPD, IPC_COMMITTED);
		assert_int_not_equal(outcome_kind(m->body.COMMITTED.outcome), KIND_OK);
		printf("ROW I01 sealed-length-%s pass\n", lengths[i].name);
	}
	assert_int_equal(play_files(p, "draft") + play_files(p, "new"), 0);
}

/* The head in the file is not what a worker wrote over it, but what the gate attested. */
static void test_a_head_that_was_written_over(void **state)
{
	struct play *p = *state;
	char lie[64];
	uint64_t offset;
	int fd = ask_file(p, 1, &offset);

	memset(lie, 'x', sizeof(lie));
	assert_int_equal(pwrite(fd, lie, sizeof(lie), 0), sizeof(lie));
	assert_int_equal(pwrite(fd, body, sizeof(body) - 1, (off_t)offset), sizeof(body) - 1);
	(void)close(fd);
	play_tell(p, PART_SMTPD, IPC_DRAFT_SEAL, &(struct msg_DRAFT_SEAL){OURS, 1, sizeof(body) - 1});
	play_ask(p, PART_SMTPD, IPC_DRAFT_COMMIT, 4, &(struct msg_DRAFT_COMMIT){.session = OURS, .draft = 1});
	play_route(p, "bob@x.test", false, &home);
	(void)play_committed(p, OC_DONE, 0);
	play_kill(p); /* what a restart reads is the file */
	play_start(p, conf);
	play_route(p, "bob@x.test", true, &home);
	play_job(p, PART_LOCAL, &job);
	assert_non_null(strstr(job.text, "([192.0.2.1])"));
	assert_string_equal(job.sender, "a@x.test");
	printf("ROW I01 head-written-over pass\n");
}

/* ---- relaying ---- */

static const char *const no_addresses[] = {
	"eve@far.test> x@relay.test", "eve%far.test@relay.test", "\"eve@far.test\"@relay.test", "eve@far.test,bob@relay.test",
	"@far.test:eve@relay.test",   "far.test!eve@relay.test", "<eve@far.test>",		"eve@far.test\r\nDATA",
};

/* An address that another host would read otherwise than our routes do. */
static void test_addresses_that_are_none(void **state)
{
	struct play *p = *state;

	for (size_t i = 0; i < ARRAY_LEN(no_addresses); i++) {
		open_draft(p, PART_SMTPD, OURS, 1 + i);
		play_tell(p, PART_SMTPD, IPC_DRAFT_RCPT,
			  &(struct msg_DRAFT_RCPT){.session = OURS, .draft = 1 + i, .recipient = slice_of(no_addresses[i])});
		play_tell(p, PART_SMTPD, IPC_DRAFT_SEAL, &(struct msg_DRAFT_SEAL){OURS, 1 + i, 0});
		play_ask(p, PART_SMTPD, IPC_DRAFT_COMMIT, 4, &(struct msg_DRAFT_COMMIT){.session = OURS, .draft = 1 + i});
		(void)play_committed(p, OC_BAD_ADDRESS, 553);
	}
	play_draft(p, OURS, 90, "a@x.test> SIZE=1 AUTH=<", "bob@x.test", body);
	(void)play_committed(p, OC_BAD_ADDRESS, 553);
	printf("ROW I01 relay-by-address pass\n");
}

/* Whatever it says of itself: login, rule, tags, protocol. */
static void test_a_worker_vouches_for_itself(void **state)
{
	struct play *p = *state;

	play_tell(p, PART_SMTPD, IPC_DRAFT_OPEN,
		  &(struct msg_DRAFT_OPEN){.session = OURS, .draft = 1, .sender = slice_of("a@x.test"),
					   .helo = slice_of("localhost ([127.0.0.1])"), .protocol = slice_of("ESMTPSA"),
					   .auth = slice_of("alice@example.test")});
	play_tell(p, PART_SMTPD, IPC_DRAFT_RCPT,
		  &(struct msg_DRAFT_RCPT){.session = OURS, .draft = 1, .recipient = slice_of("eve@far.test")});
	play_tell(p, PART_SMTPD, IPC_DRAFT_SEAL, &(struct msg_DRAFT_SEAL){OURS, 1, 0});
	play_ask(p, PART_SMTPD, IPC_DRAFT_COMMIT, 4,
		 &(struct msg_DRAFT_COMMIT){.session = OURS, .draft = 1, .tags = slice_of("authenticated"), .rule = slice_of("accept")});
	play_route(p, "eve@far.test", false, &away);
	(void)play_committed(p, OC_POLICY_REJECT, 550);
	/* It cannot even say that there was a login. */
	play_tell(p, PART_SMTPD, IPC_SESSION_LOGIN, &(struct msg_SESSION_LOGIN){OURS, slice_of("alice@example.test")});
	assert_cut(p, PART_SMTPD);
	assert_int_equal(play_files(p, "new") + play_files(p, "hold"), 0);
	printf("ROW I01 relay-by-word pass\n");
}

/* ---- others' mail ---- */

static enum outcome ask_status(struct play *p, enum part worker, uint64_t session, uint64_t id)
{
	play_ask(p, worker, IPC_DRAFT_STATUS_ASK, 12, &(struct msg_DRAFT_STATUS_ASK){session, 1, id});
	return play_hear(p, worker, IPC_DRAFT_STATUS)->body.DRAFT_STATUS.outcome;
}

static void test_whether_others_mail_is_there(void **state)
{
	struct play *p = *state;
	uint64_t id;

	play_draft(p, OURS, 1, "a@x.test", "bob@x.test", body);
	play_route(p, "bob@x.test", false, &home);
	id = play_committed(p, OC_DONE, 0);
	assert_int_equal(ask_status(p, PART_SMTPD, OURS, id), OC_DONE);
	assert_int_equal(ask_status(p, PART_OTHER_SMTPD, THEIRS, id), OC_NOT_FOUND);
	assert_int_equal(ask_status(p, PART_OTHER_SMTPD, THEIRS, id + 1), OC_NOT_FOUND);
	printf("ROW I01 others-message-status pass\n");
}

/* ---- memory ---- */

#define PIECE 65536u
#define MANY 1100u /* sessions with four bodies each: more than all drafts may hold */

static void test_more_than_all_drafts_may_hold(void **state)
{
	static char piece[PIECE];
	struct play *p = *state;
	struct ipc_message *m;

	memset(piece, 'a', sizeof(piece));
	for (uint64_t i = 0; i < MANY; i++) {
		play_session(p, 100 + i, PART_SMTPD, "192.0.2.1");
		for (uint64_t d = 0; d < 4; d++) {
			play_tell(p, PART_SMTPD, IPC_DRAFT_OPEN, &(struct msg_DRAFT_OPEN){.session = 100 + i, .draft = d});
			play_tell(p, PART_SMTPD, IPC_DRAFT_DATA, &(struct msg_DRAFT_DATA){100 + i, d, {piece, PIECE}});
		}
	}
	play_tell(p, PART_SMTPD, IPC_DRAFT_SEAL, &(struct msg_DRAFT_SEAL){100 + MANY - 1, 3, PIECE});
	play_ask(p, PART_SMTPD, IPC_DRAFT_COMMIT, 4, &(struct msg_DRAFT_COMMIT){.session = 100 + MANY - 1, .draft = 3});
	m = play_hear(p, PART_SMTPD, IPC_COMMITTED);
	assert_int_equal(m->body.COMMITTED.outcome, OC_BUSY);
	/* What it held is free again when it ends. */
	play_link(p, PART_SMTPD);
	play_wait_list(p, "");
	play_draft(p, OURS, 1, "a@x.test", "bob@x.test", body);
	play_route(p, "bob@x.test", false, &home);
	(void)play_committed(p, OC_DONE, 0);
	printf("ROW R06 drafts-in-memory pass\n");
}

/* ---- an agent ---- */

enum lie { LIE_TWICE, LIE_OTHER_SLOT, LIE_FAR_SLOT, LIE_OTHER_JOB, LIE_ENDED_JOB, LIES };

static const char *const lies[LIES] = {
	[LIE_TWICE] = "verdict-twice",	   [LIE_OTHER_SLOT] = "slot-of-another-job", [LIE_FAR_SLOT] = "no-such-slot",
	[LIE_OTHER_JOB] = "no-such-job",   [LIE_ENDED_JOB] = "ended-job",
};

static void tell_lie(struct play *p, enum lie lie, uint64_t other)
{
	struct job told = job;

	if (lie == LIE_TWICE || lie == LIE_ENDED_JOB)
		play_verdict(p, PART_LOCAL, &job, 0, OC_DONE, "delivered");
	if (lie == LIE_ENDED_JOB)
		play_job_end(p, PART_LOCAL, &job);
	if (lie == LIE_OTHER_SLOT)
		told.slots[0] = 1;
	if (lie == LIE_FAR_SLOT)
		told.slots[0] = UINT64_MAX;
	if (lie == LIE_OTHER_JOB)
		told.job = other;
	play_verdict(p, PART_LOCAL, &told, 0, OC_REMOTE_PERM, "no");
}

/* A permanent failure counts only once, from who has the job, about a recipient of it. */
static void test_verdicts_that_are_not_its_own(void **state)
{
	struct play *p = *state;

	for (enum lie lie = LIE_TWICE; lie < LIES; lie++) {
		play_draft(p, OURS, 1 + lie, "a@x.test", "bob@x.test", body);
		play_route(p, "bob@x.test", false, &home);
		(void)play_committed(p, OC_DONE, 0);
		play_job(p, PART_LOCAL, &job);
		tell_lie(p, lie, job.job + 1000);
		assert_cut(p, PART_LOCAL);
		play_link(p, PART_LOCAL);
		if (lie != LIE_TWICE && lie != LIE_ENDED_JOB) { /* no bounce: it comes again */
			play_turn_clock(p, 20);
			play_route(p, "bob@x.test", true, &home);
			play_job(p, PART_LOCAL, &job);
			assert_string_equal(job.sender, "a@x.test");
			play_verdict(p, PART_LOCAL, &job, 0, OC_DONE, "delivered");
			play_job_end(p, PART_LOCAL, &job);
		}
		play_wait_list(p, "");
		printf("ROW I01 agent-%s pass\n", lies[lie]);
	}
}

/* What it says is shown to the sender as one line of text. */
static void test_words_that_would_be_lines(void **state)
{
	struct play *p = *state;

	play_draft(p, OURS, 1, "a@x.test", "bob@x.test", body);
	play_route(p, "bob@x.test", false, &home);
	(void)play_committed(p, OC_DONE, 0);
	play_job(p, PART_LOCAL, &job);
	play_verdict(p, PART_LOCAL, &job, 0, OC_REMOTE_PERM, "no\r\nX-Injected: yes\r\n\r\n--boundary\r\nContent-Type: text/html\r\n");
	play_job_end(p, PART_LOCAL, &job);
	play_route(p, "a@x.test", false, &home);
	play_job(p, PART_LOCAL, &job);
	assert_string_equal(job.sender, "");
	assert_null(strstr(job.text, "\nX-Injected"));
	assert_null(strstr(job.text, "\n--boundary"));
	assert_non_null(strstr(job.text, "X-Injected: yes"));
	printf("ROW I01 agent-report-injection pass\n");
}

#define STORY(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORY(test_drafts_of_others),
		STORY(test_a_session_to_come),
		STORY(test_after_the_commit),
		STORY(test_sealed_lengths),
		STORY(test_a_head_that_was_written_over),
		STORY(test_addresses_that_are_none),
		STORY(test_a_worker_vouches_for_itself),
		STORY(test_whether_others_mail_is_there),
		STORY(test_more_than_all_drafts_may_hold),
		STORY(test_verdicts_that_are_not_its_own),
		STORY(test_words_that_would_be_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
