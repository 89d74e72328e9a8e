#include "send_report.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "ipc/flags.h"
#include "mail/dsn.h"
#include "submit.h"

#include <errno.h>
#include <stdio.h>

#define BOUNDARY_BYTES 12

struct report_task {
	struct crew_task task;
	struct queue *q;
	struct message *m;
	enum report_kind kind;
	void (*then)(struct queue *q, struct message *m, bool durable);
	struct submission sub;
	bool whole; /* the message itself goes back, if it can */
	size_t room;
	char *start; /* owned; `room` bytes: the original's body, or its beginning */
	ssize_t got;
	int err;
};

static void end_report(struct report_task *t, bool durable)
{
	void (*then)(struct queue *q, struct message *m, bool durable) = t->then;
	struct queue *q = t->q;
	struct message *m = t->m;

	submission_clear(&t->sub);
	free(t->start);
	free(t);
	then(q, m, durable);
}

static void on_submitted(struct submission *sub, void *arg)
{
	struct report_task *t = arg;
	bool durable = outcome_kind(sub->outcome) == KIND_OK;

	if (durable)
		LOG(LEVEL_INFO, "report-made", KV_ID(sub->mail.id), KV_NUM("delay", t->kind == REPORT_DELAY),
		    KV_TEXT("to", t->m->file.mail.sender));
	else
		LOG(LEVEL_WARN, "report-not-made", KV_ID(t->m->id), KV_STR("text", sub->text));
	end_report(t, durable);
}

/* What the sender is to be told of a recipient; REPORT_ACTIONS: nothing. */
static enum report_action action_of(struct message *m, size_t i, enum report_kind kind)
{
	char slot = *message_slot(m, i);
	bool failed = m->rcpts[i].step == STEP_FAILED;

	if (kind == REPORT_DELAY)
		return slot_is_open(slot) && !failed && dsn_wants(m->file.mail.rcpts[i].notify, DSN_DELAY) ? REPORT_DELAYED
													    : REPORT_ACTIONS;
	if (slot_is_open(slot))
		return failed ? REPORT_FAILED : REPORT_ACTIONS;
	switch ((enum spool_slot)slot) {
	case SLOT_DELIVERED_OWED:
		return REPORT_DELIVERED;
	case SLOT_RELAYED_OWED:
		return REPORT_RELAYED;
	case SLOT_EXPANDED_OWED:
		return REPORT_EXPANDED;
	case SLOT_WAITING:
	case SLOT_WARNED:
	case SLOT_LET_GO:
	case SLOT_LET_GO_WARNED:
	case SLOT_DELIVERED:
	case SLOT_REPORTED:
	case SLOT_FAILED:
	case SLOT_REMOVED:
		break;
	}
	return REPORT_ACTIONS;
}

/* Where nobody said anything, or what was said is not known any more. */
static const struct reply silence[REPORT_ACTIONS] = {
	[REPORT_FAILED] = {.dsn = "5.0.0", .text = "not delivered"},
	[REPORT_DELAYED] = {.dsn = "4.0.0", .text = "not delivered yet"},
	[REPORT_RELAYED] = {.dsn = "2.0.0", .text = "passed on"},
	[REPORT_DELIVERED] = {.dsn = "2.0.0", .text = "delivered"},
	[REPORT_EXPANDED] = {.dsn = "2.0.0", .text = "passed on to its members"},
};

static void describe(struct message *m, size_t i, enum report_action action, struct report_rcpt *out)
{
	const struct reply *reply = m->rcpts[i].reply != NULL ? m->rcpts[i].reply : &silence[action];
	const struct spool_rcpt *rcpt = &m->file.mail.rcpts[i];

	*out = (struct report_rcpt){
		.action = action,
		.address = rcpt->address,
		.original = rcpt->original,
		.orcpt = rcpt->orcpt,
		.dsn = slice_of(reply->dsn),
		.code = reply->code,
		.text = slice_of(reply->text),
		.remote = slice_of(reply->remote),
		.attempt_s = reply->at_s,
	};
	if (action == REPORT_DELAYED && reply == &silence[action] && m->last[0] != '\0')
		out->text = slice_of(m->last);
}

/* What is worse first: it must not be beyond what is listed. */
static size_t describe_all(const struct report_task *t, struct report_rcpt *out)
{
	struct message *m = t->m;
	size_t count = 0;

	for (enum report_action a = 0; a < REPORT_ACTIONS; a++)
		for (size_t i = 0; i < m->file.mail.rcpt_count; i++)
			if (action_of(m, i, t->kind) == a)
				describe(m, i, a, &out[count++]);
	return count;
}

static int64_t expires_s(const struct queue *q, const struct message *m)
{
	const struct conf_retry *r = &service_conf(q->service)->retry;

	return r->count == 0 ? 0 : (int64_t)(m->file.mail.arrived_ms / 1000 + r->steps[r->count - 1].until_s);
}

static void make_boundary(char out[2 * BOUNDARY_BYTES + 1])
{
	unsigned char raw[BOUNDARY_BYTES];

	mem_random(raw, sizeof(raw));
	for (size_t i = 0; i < sizeof(raw); i++)
		(void)snprintf(out + 2 * i, 3, "%02x", raw[i]);
}

/* RFC 3461 §4.3: the whole message only goes back with a failure, and what is binary, too big, no proper text or has a
 * header in UTF-8 never. */
static bool wants_whole(const struct report_task *t)
{
	const struct spool_mail *mail = &t->m->file.mail;

	if (t->kind != REPORT_OUTCOMES || mail->ret != DSN_RET_FULL || (mail->flags & JOB_SMTPUTF8) != 0 || mail->raw != 0 ||
	    mail->body_length > queue_conf(t->q)->set.return_full_max)
		return false;
	for (size_t i = 0; i < mail->rcpt_count; i++)
		if (action_of(t->m, i, t->kind) == REPORT_FAILED)
			return true;
	return false;
}

static void set_original(const struct report_task *t, struct report *report)
{
	struct slice read = slice_make(t->start, t->got > 0 ? (size_t)t->got : 0);

	report->whole = t->whole && read.len == t->m->file.mail.body_length && report_may_be_whole(read);
	report->original = report->whole ? read : report_headers_of(read);
}

static bool write_body(struct report_task *t)
{
	struct message *m = t->m;
	struct report_rcpt *rcpts = mem_new(m->file.mail.rcpt_count, sizeof(*rcpts));
	char boundary[2 * BOUNDARY_BYTES + 1];
	struct report report = {
		.id = t->sub.mail.id,
		.about = m->id,
		.hostname = slice_of(queue_conf(t->q)->set.hostname),
		.sender = m->file.mail.sender,
		.envid = m->file.mail.envid,
		.now_s = clock_wall_s(),
		.arrived_s = (int64_t)(m->file.mail.arrived_ms / 1000),
		.expires_s = expires_s(t->q, m),
		.rcpts = rcpts,
	};
	bool ok;

	if (rcpts == NULL)
		return false;
	report.rcpt_count = describe_all(t, rcpts);
	set_original(t, &report);
	make_boundary(boundary);
	report.boundary = slice_of(boundary);
	if (report_is_8bit(&report))
		t->sub.mail.flags |= JOB_8BIT;
	ok = report_add(&t->sub.body, &report);
	free(rcpts);
	return ok;
}

static void run_read(struct crew_task *task)
{
	struct report_task *t = (struct report_task *)(void *)task;

	t->got = spool_read_body(t->q->spool, &t->m->file.mail, t->m->folder, t->start, t->room);
	t->err = t->got == -1 ? errno : 0;
}

static void on_read(struct crew_task *task)
{
	struct report_task *t = (struct report_task *)(void *)task;
	struct submission *sub = &t->sub;
	const struct asked_rcpt to = {.address = t->m->file.mail.sender, .orcpt = slice_empty(), .notify = DSN_NEVER};

	if (t->got == -1) /* told without the headers rather than not at all */
		queue_trouble("spool-not-readable", t->m->id, t->err);
	sub->own = true;
	sub->generation = generation_hold(service_generation(t->q->service));
	sub->mail.id = spool_id_next(&t->q->ids, clock_wall_ms());
	sub->mail.parent = t->m->id;
	sub->mail.role = LISTENER_LOCAL;
	sub->done = on_submitted;
	sub->arg = t;
	if (!write_body(t) || !submission_add_rcpt(sub, &to))
		submission_fail(sub, OC_NO_MEMORY, NULL);
	submission_commit(sub);
}

void send_report(struct queue *q, struct message *m, enum report_kind kind,
		 void (*then)(struct queue *q, struct message *m, bool durable))
{
	struct report_task *t = mem_new(1, sizeof(*t));

	m->state = MESSAGE_REPORTING;
	if (t == NULL)
		log_fatal("report", ENOMEM);
	*t = (struct report_task){{NULL, NULL, run_read, on_read}, .q = q, .m = m, .kind = kind, .then = then};
	submission_init(&t->sub, q);
	t->whole = wants_whole(t);
	t->room = t->whole ? (size_t)m->file.mail.body_length : REPORT_HEADERS_MAX;
	t->start = mem_new(1, t->room + 1);
	if (t->start == NULL)
		log_fatal("report", ENOMEM);
	crew_give(q->writers, m->id, &t->task);
}
