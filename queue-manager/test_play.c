#include "test_play.h"

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"
#include "conf/bundle.h"
#include "ipc/flags.h"
#include "os/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct {
	enum role role;
	uint64_t instance;
} cast[PART_COUNT] = {
	[PART_MASTER] = {ROLE_MASTER, 0},	[PART_GATE] = {ROLE_GATE, 0},	  [PART_SMTPD] = {ROLE_SMTPD, 1},
	[PART_OTHER_SMTPD] = {ROLE_SMTPD, 2},	[PART_POLICYD] = {ROLE_POLICYD, 0}, [PART_AUTHD] = {ROLE_AUTHD, 0},
	[PART_LOCAL] = {ROLE_LOCAL, 0},		[PART_RELAY] = {ROLE_RELAY, 3},
};

static void run_rm(const char *folder)
{
	pid_t child = fork();

	if (child == 0) {
		execlp("rm", "rm", "-rf", folder, (char *)NULL);
		_exit(1);
	}
	(void)waitpid(child, NULL, 0);
}

struct play *play_new(void)
{
	struct play *p = mem_new(1, sizeof(*p));

	assert_non_null(p);
	(void)snprintf(p->folder, sizeof(p->folder), "/tmp/postern-queue-XXXXXX");
	assert_non_null(mkdtemp(p->folder));
	for (size_t i = 0; i < PART_COUNT; i++)
		p->parts[i].fd = -1;
	return p;
}

static void close_part(struct play *p, enum part part)
{
	if (p->parts[part].fd != -1)
		(void)close(p->parts[part].fd);
	p->parts[part].fd = -1;
	free(p->parts[part].space);
	p->parts[part].space = NULL;
}

void play_free(struct play *p)
{
	if (p->child != 0)
		play_kill(p);
	run_rm(p->folder);
	free(p);
}

/* Our end blocks, ten seconds at most. */
static int make_part(struct play *p, enum part part)
{
	const struct timeval most = {.tv_sec = 10};
	int pair[2];

	close_part(p, part);
	assert_true(link_pair(pair));
	assert_int_equal(fcntl(pair[0], F_SETFL, fcntl(pair[0], F_GETFL) & ~O_NONBLOCK), 0);
	assert_int_equal(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &most, sizeof(most)), 0);
	p->parts[part] = LINK_NOW(pair[0], cast[part].role, ROLE_QUEUE, mem_new(1, LINK_PACKET_MAX));
	assert_non_null(p->parts[part].space);
	return pair[1];
}

void play_link(struct play *p, enum part part)
{
	int theirs = make_part(p, part);
	const struct msg_LINK_ATTACH attach = {cast[part].role, cast[part].instance, 1};

	assert_true(link_tell_now(p->parts[PART_MASTER].fd, IPC_LINK_ATTACH, 0, false, &attach, theirs));
	(void)close(theirs);
}

static void hand_over(struct play *p, const char *conf)
{
	struct buf bundle = buf_make(BUNDLE_BYTES_MAX);
	int master = p->parts[PART_MASTER].fd, root = open(p->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), file;

	assert_true(bundle_add(&bundle, slice_of("test.conf"), slice_of(conf)));
	file = os_memfd_sealed("conf", buf_slice(&bundle));
	assert_true(root >= 0 && file >= 0);
	assert_true(link_tell_now(master, IPC_CAGE, 0, false, &(struct msg_CAGE){.uid = getuid(), .gid = getgid(), .require = slice_empty(), .cage_fact_records = slice_empty()}, root));
	assert_true(link_tell_now(master, IPC_GENERATION_OPEN, 0, false, &(struct msg_GENERATION_OPEN){1, LEVEL_INFO, slice_empty()}, file));
	play_ask(p, PART_MASTER, IPC_GENERATION_CHECK, 5, &(struct msg_GENERATION_CHECK){1});
	assert_int_equal(play_hear(p, PART_MASTER, IPC_GENERATION_CHECKED)->body.GENERATION_CHECKED.outcome, OC_DONE);
	play_hear(p, PART_MASTER, IPC_READY);
	(void)close(root);
	(void)close(file);
	buf_free(&bundle);
}

void play_start(struct play *p, const char *conf)
{
	int theirs = make_part(p, PART_MASTER);

	p->child = fork();
	assert_true(p->child >= 0);
	if (p->child == 0) {
		if (theirs == 3 ? fcntl(3, F_SETFD, 0) == -1 : dup2(theirs, 3) == -1)
			_exit(1);
		/* The leak checker cannot work in a cage. */
		(void)setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
		execl(POSTERN_QUEUE, POSTERN_QUEUE, (char *)NULL);
		_exit(1);
	}
	(void)close(theirs);
	hand_over(p, conf);
	for (enum part part = PART_GATE; part < PART_COUNT; part++)
		play_link(p, part);
}

static void close_all(struct play *p)
{
	for (enum part part = PART_MASTER; part < PART_COUNT; part++)
		close_part(p, part);
	p->child = 0;
}

void play_kill(struct play *p)
{
	int status;

	(void)kill(p->child, SIGKILL);
	assert_int_equal(waitpid(p->child, &status, 0), p->child);
	close_all(p);
}

void play_drain(struct play *p)
{
	int status;

	play_tell(p, PART_MASTER, IPC_DRAIN, &(struct msg_DRAIN){2000});
	assert_int_equal(waitpid(p->child, &status, 0), p->child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	close_all(p);
}

void play_turn_clock(struct play *p, uint64_t seconds)
{
	play_tell(p, PART_MASTER, IPC_CLOCK_TURN, &(struct msg_CLOCK_TURN){seconds * 1000});
}

/* What a story does not mention is empty, and never NULL. */
static const void *filled(enum ipc_type type, const void *body, struct ipc_message *space)
{
	switch (type) {
#define U64(n)
#define OUTCOME(n)
#define TEXT(n, max)                                                                               \
	if (b->n.at == NULL)                                                                       \
		b->n = slice_empty();
#define BYTES(n, max) TEXT(n, max)
#define SECRET(n, max) TEXT(n, max)
#define MSG(name, from, to, fds, max, resend, fields)                                              \
	case IPC_##name: {                                                                         \
		struct msg_##name *b = &space->body.name;                                          \
		memcpy(b, body, sizeof(*b));                                                       \
		fields return b;                                                                   \
	}
#define REC(name, max, fields)
#include "ipc/messages.def"
#undef U64
#undef OUTCOME
#undef TEXT
#undef BYTES
#undef SECRET
#undef MSG
#undef REC
	case IPC_COUNT:
		break;
	}
	return NULL;
}

static void say(struct play *p, enum part part, enum ipc_type type, uint64_t request, bool is_answer, const void *body)
{
	struct ipc_message space;

	assert_true(link_tell_now(p->parts[part].fd, type, request, is_answer, filled(type, body, &space), -1));
}

void play_tell(struct play *p, enum part part, enum ipc_type type, const void *body)
{
	say(p, part, type, 0, false, body);
}

void play_ask(struct play *p, enum part part, enum ipc_type type, uint64_t request, const void *body)
{
	say(p, part, type, request, false, body);
}

void play_answer(struct play *p, enum part part, enum ipc_type type, const void *body)
{
	say(p, part, type, p->heard.request, true, body);
}

struct ipc_message *play_hear(struct play *p, enum part part, enum ipc_type type)
{
	if (!link_receive_now(&p->parts[part], &p->heard))
		fail_msg("%s heard nothing, instead of %s (%s)", role_name(cast[part].role), ipc_type_name(type),
			 strerror(errno));
	if (p->heard.type != type)
		fail_msg("%s heard %s, instead of %s", role_name(cast[part].role), ipc_type_name(p->heard.type),
			 ipc_type_name(type));
	return &p->heard;
}

void play_hear_end(struct play *p, enum part part)
{
	errno = 0;
	assert_false(link_receive_now(&p->parts[part], &p->heard));
	assert_true(errno != EAGAIN && errno != EWOULDBLOCK);
}

/* ---- sentences ---- */

void play_session(struct play *p, uint64_t session, enum part worker, const char *client)
{
	const struct msg_SESSION_OPEN open_ = {
		.session = session,
		.worker = cast[worker].instance,
		.generation = 1,
		.role = 0,
		.uid = UINT64_MAX,
		.client = slice_of(client),
	};

	play_tell(p, PART_GATE, IPC_SESSION_OPEN, &open_);
}

static void finish_draft(struct play *p, uint64_t session, uint64_t draft, const char *body)
{
	play_tell(p, PART_SMTPD, IPC_DRAFT_DATA, &(struct msg_DRAFT_DATA){session, draft, slice_of(body)});
	play_tell(p, PART_SMTPD, IPC_DRAFT_SEAL, &(struct msg_DRAFT_SEAL){session, draft, strlen(body)});
	play_ask(p, PART_SMTPD, IPC_DRAFT_COMMIT, 77 + draft, &(struct msg_DRAFT_COMMIT){session, draft, 0, slice_empty(), slice_empty(), slice_empty(),
										      slice_of(":subject:x-marked:")});
}

void play_draft(struct play *p, uint64_t session, uint64_t draft, const char *sender, const char *rcpts, const char *body)
{
	struct slice rest = slice_of(rcpts), rcpt;
	const struct msg_DRAFT_OPEN open_ = {
		.session = session,
		.draft = draft,
		.sender = slice_of(sender),
		.helo = slice_of("client.example"),
		.protocol = slice_of("ESMTP"),
	};

	play_tell(p, PART_SMTPD, IPC_DRAFT_OPEN, &open_);
	while (slice_word(&rest, &rcpt))
		play_tell(p, PART_SMTPD, IPC_DRAFT_RCPT, &(struct msg_DRAFT_RCPT){session, draft, 0, rcpt, slice_empty()});
	finish_draft(p, session, draft, body);
}

void play_draft_of(struct play *p, uint64_t draft, const struct msg_DRAFT_OPEN *given, const struct draft_rcpt *rcpts, size_t count,
		   const char *body)
{
	struct msg_DRAFT_OPEN open_ = *given;

	open_.session = 1;
	open_.draft = draft;
	play_tell(p, PART_SMTPD, IPC_DRAFT_OPEN, &open_);
	for (size_t i = 0; i < count; i++)
		play_tell(p, PART_SMTPD, IPC_DRAFT_RCPT,
			  &(struct msg_DRAFT_RCPT){1, draft, rcpts[i].notify, slice_of(rcpts[i].address), slice_of(rcpts[i].orcpt)});
	finish_draft(p, 1, draft, body);
}

void play_route(struct play *p, const char *recipient, bool final, const struct route_reply *reply)
{
	play_route_to(p, recipient, final, reply, recipient);
}

void play_answer_route(struct play *p, const struct route_reply *reply, const char *targets)
{
	struct msg_ROUTE_ANSWER answer = {.outcome = reply->outcome};
	struct buf records = buf_make(4096);
	struct slice rest = slice_of(targets), target;

	while (reply->outcome == OC_DONE && reply->transport != NULL && slice_word(&rest, &target))
		assert_true(rec_route_target_add(&records, &(struct rec_route_target){
								   .recipient = target,
								   .transport = slice_of(reply->transport),
								   .nexthop = slice_of(reply->nexthop),
								   .leaves = reply->leaves,
								   .relay_domain = reply->relay_domain,
								   .hold = reply->hold,
								   .queue_only = reply->queue_only,
								   .rule = slice_of("test.conf:1"),
								   .directive = reply->directive,
								   .argument = slice_make(reply->argument.at, reply->argument.len),
							   }));
	if (outcome_kind(reply->outcome) == KIND_PERM) {
		answer.code = 550;
		answer.dsn = slice_of("5.1.1");
		answer.text = slice_of("no such user here");
	}
	answer.route_target_records = buf_slice(&records);
	play_answer(p, PART_POLICYD, IPC_ROUTE_ANSWER, &answer);
	buf_free(&records);
}

void play_route_to(struct play *p, const char *recipient, bool final, const struct route_reply *reply, const char *targets)
{
	const struct ipc_message *m = play_hear(p, PART_POLICYD, IPC_ROUTE_ASK);

	if (!slice_eq(m->body.ROUTE_ASK.recipient, slice_of(recipient)))
		fail_msg("asked for %.*s, not %s", SLICE_ARG(m->body.ROUTE_ASK.recipient), recipient);
	assert_int_equal(m->body.ROUTE_ASK.mode, final ? ROUTE_MODE_FINAL : ROUTE_MODE_WHOLE);
	play_answer_route(p, reply, targets);
}

uint64_t play_committed(struct play *p, enum outcome outcome, uint64_t code)
{
	const struct msg_COMMITTED *c = &play_hear(p, PART_SMTPD, IPC_COMMITTED)->body.COMMITTED;

	assert_int_equal(c->outcome, outcome);
	assert_int_equal(c->code, code);
	return c->id;
}

static void read_text(const struct msg_JOB_START *start, int fd, char *out, size_t size)
{
	size_t at = start->prepend.len;
	ssize_t got;

	assert_true(at + start->length < size);
	memcpy(out, start->prepend.at, at);
	assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	got = pread(fd, out + at, start->length, (off_t)start->offset);
	assert_int_equal(got, start->length);
	out[at + start->length] = '\0';
}

void play_job(struct play *p, enum part agent, struct job *out)
{
	struct ipc_message *m = play_hear(p, agent, IPC_JOB_START);
	const struct msg_JOB_START *start = &m->body.JOB_START;
	struct slice records = start->job_recipient_records;
	struct rec_job_recipient rcpt;

	*out = (struct job){.job = start->job, .id = start->id};
	while (rec_job_recipient_next(&records, &rcpt)) {
		assert_true(out->count < 64);
		out->slots[out->count] = rcpt.slot;
		out->notify[out->count] = rcpt.notify;
		out->directives[out->count] = rcpt.directive;
		assert_true(rcpt.argument.len < sizeof(out->arguments[0]));
		memcpy(out->arguments[out->count], rcpt.argument.at, rcpt.argument.len);
		assert_true(slice_copy(rcpt.orcpt, out->orcpt[out->count], sizeof(out->orcpt[0])));
		assert_true(slice_copy(rcpt.recipient, out->recipients[out->count++], 128));
	}
	assert_int_equal(records.len, 0);
	out->ret = start->ret;
	assert_true(slice_copy(start->envid, out->envid, sizeof(out->envid)));
	assert_true(slice_copy(start->sender, out->sender, sizeof(out->sender)));
	assert_true(slice_copy(start->transport, out->transport, sizeof(out->transport)));
	assert_true(slice_copy(start->nexthop, out->nexthop, sizeof(out->nexthop)));
	read_text(start, m->fd, out->text, sizeof(out->text));
	(void)close(m->fd);
}

void play_verdict(struct play *p, enum part agent, const struct job *job, size_t i, enum outcome outcome, const char *text)
{
	const struct outcome_info *info = outcome_info(outcome);
	const struct msg_JOB_RECIPIENT said = {
		.job = job->job,
		.slot = job->slots[i],
		.outcome = outcome,
		.code = info->smtp,
		.dsn = slice_of(info->dsn),
		.text = slice_of(text),
		.remote = slice_of("mx.remote.test"),
	};

	play_tell(p, agent, IPC_JOB_RECIPIENT, &said);
}

void play_taken(struct play *p, enum part agent, const struct job *job, size_t i, uint64_t handover)
{
	const struct msg_JOB_RECIPIENT said = {
		.job = job->job,
		.slot = job->slots[i],
		.outcome = OC_DONE,
		.code = 250,
		.dsn = slice_of("2.1.5"),
		.text = slice_of("taken"),
		.remote = slice_of("mx.remote.test"),
		.handover = handover,
	};

	play_tell(p, agent, IPC_JOB_RECIPIENT, &said);
}

void play_job_end(struct play *p, enum part agent, const struct job *job)
{
	play_tell(p, agent, IPC_JOB_END, &(struct msg_JOB_END){job->job});
}

/* ---- the operator ---- */

static void ask_control(struct play *p, const char *verb, const char *id, struct slice cursor)
{
	struct buf fields = buf_make(4096);
	struct msg_CONTROL_ASK ask = {.uid = getuid(), .verb = slice_of(verb), .cursor = cursor};

	assert_true(rec_control_field_add(&fields, &(struct rec_control_field){slice_of("id"), slice_of(id)}));
	ask.control_field_records = buf_slice(&fields);
	play_ask(p, PART_GATE, IPC_CONTROL_ASK, 9, &ask);
	buf_free(&fields);
	play_hear(p, PART_GATE, IPC_CONTROL_ANSWER);
}

enum outcome play_control(struct play *p, const char *verb, const char *id)
{
	ask_control(p, verb, id, slice_empty());
	return p->heard.body.CONTROL_ANSWER.outcome;
}

static void add_row(struct buf *out, struct slice fields)
{
	static const char *const shown[] = {"id", "state", "sender", "recipients", "tries", "last"};
	struct rec_control_field field;

	while (rec_control_field_next(&fields, &field))
		for (size_t i = 0; i < ARRAY_LEN(shown); i++)
			if (slice_eq(field.key, slice_of(shown[i])))
				buf_addf(out, "%.*s ", SLICE_ARG(field.value));
	buf_add_char(out, '\n');
}

void play_list(struct play *p, char *out, size_t size)
{
	struct buf text = buf_make(size - 1);
	char cursor[64] = "";

	do {
		struct slice rows;
		struct rec_control_row row;

		ask_control(p, "queue.list", "", slice_of(cursor));
		assert_int_equal(p->heard.body.CONTROL_ANSWER.outcome, OC_DONE);
		rows = p->heard.body.CONTROL_ANSWER.control_row_records;
		assert_true(slice_copy(p->heard.body.CONTROL_ANSWER.cursor, cursor, sizeof(cursor)));
		while (rec_control_row_next(&rows, &row))
			add_row(&text, row.control_field_records);
	} while (cursor[0] != '\0');
	(void)slice_copy(buf_slice(&text), out, size);
	buf_free(&text);
}

void play_wait_list(struct play *p, const char *needle)
{
	static char text[1u << 20];
	uint64_t until = clock_mono_ms() + 10000;

	do {
		play_list(p, text, sizeof(text));
		if (needle[0] == '\0' ? text[0] == '\0' : strstr(text, needle) != NULL)
			return;
		(void)usleep(5000); /* the only thing to wait for is another process's list */
	} while (clock_mono_ms() < until);
	fail_msg("\"%s\" is not in the list:\n%s", needle, text);
}

static size_t count_files(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	size_t count = 0;

	if (dir == NULL)
		return 0;
	while ((e = readdir(dir)) != NULL) {
		char beneath[400];

		if (e->d_name[0] == '.')
			continue;
		(void)snprintf(beneath, sizeof(beneath), "%s/%s", path, e->d_name);
		count += e->d_type == DT_DIR ? count_files(beneath) : 1;
	}
	(void)closedir(dir);
	return count;
}

size_t play_files(const struct play *p, const char *folder)
{
	char path[200];

	(void)snprintf(path, sizeof(path), "%s/%s", p->folder, folder);
	return count_files(path);
}

void play_wait_files(const struct play *p, const char *folder, size_t count)
{
	uint64_t until = clock_mono_ms() + 10000;

	while (play_files(p, folder) != count && clock_mono_ms() < until)
		(void)usleep(5000);
	assert_int_equal(play_files(p, folder), count);
}
