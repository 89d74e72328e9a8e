#include "send_report.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
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
	char *start; /* owned: of the original's body */
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
		LOG(LEVEL_INFO, "report-made", KV_ID(sub->mail.id), KV_NUM("delay", t->kind == REPORT_DELAYED),
		    KV_TEXT("to", t->m->file.mail.sender));
	else
		LOG(LEVEL_WARN, "report-not-made", KV_ID(t->m->id), KV_STR("text", sub->text));
	end_report(t, durable);
}

static bool is_about(struct message *m, size_t i, enum report_kind kind)
{
	return slot_is_open(*message_slot(m, i)) && (kind == REPORT_DELAYED || m->rcpts[i].step == STEP_FAILED);
}

static void describe(struct message *m, size_t i, enum report_kind kind, struct report_rcpt *out)
{
	static const struct reply silence = {.dsn = "4.0.0", .text = "not delivered yet"};
	const struct reply *reply = m->rcpts[i].reply != NULL ? m->rcpts[i].reply : &silence;
	const struct spool_rcpt *rcpt = &m->file.mail.rcpts[i];

	*out = (struct report_rcpt){
		.address = rcpt->address,
		.original = rcpt->original,
		.orcpt = rcpt->orcpt,
		.dsn = slice_of(reply->dsn),
		.code = reply->code,
		.text = slice_of(reply->text),
		.remote = slice_of(reply->remote),
	};
	if (kind == REPORT_DELAYED && reply == &silence && m->last[0] != '\0')
		out->text = slice_of(m->last);
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

static bool write_body(struct report_task *t)
{
	struct message *m = t->m;
	size_t total = m->file.mail.rcpt_count, count = 0;
	struct report_rcpt *rcpts = mem_new(total, sizeof(*rcpts));
	char boundary[2 * BOUNDARY_BYTES + 1];
	struct report report = {
		.kind = t->kind,
		.id = t->sub.mail.id,
		.about = m->id,
		.hostname = slice_of(queue_conf(t->q)->set.hostname),
		.sender = m->file.mail.sender,
		.envid = m->file.mail.envid,
		.now_s = clock_wall_s(),
		.arrived_s = (int64_t)(m->file.mail.arrived_ms / 1000),
		.expires_s = expires_s(t->q, m),
		.headers = report_headers_of(slice_make(t->start, t->got > 0 ? (size_t)t->got : 0)),
		.rcpts = rcpts,
	};
	bool ok;

	if (rcpts == NULL)
		return false;
	for (size_t i = 0; i < total; i++)
		if (is_about(m, i, t->kind))
			describe(m, i, t->kind, &rcpts[count++]);
	make_boundary(boundary);
	report.boundary = slice_of(boundary);
	report.rcpt_count = count;
	ok = report_add(&t->sub.body, &report);
	free(rcpts);
	return ok;
}

static void run_read(struct crew_task *task)
{
	struct report_task *t = (struct report_task *)(void *)task;

	t->got = spool_read_body(t->q->spool, &t->m->file.mail, t->m->folder, t->start, REPORT_HEADERS_MAX);
	t->err = t->got == -1 ? errno : 0;
}

static void on_read(struct crew_task *task)
{
	struct report_task *t = (struct report_task *)(void *)task;
	struct submission *sub = &t->sub;
	const struct asked_rcpt to = {t->m->file.mail.sender, slice_empty(), 0};

	if (t->got == -1) /* told without the headers rather than not at all */
		queue_trouble("spool-not-readable", t->m->id, t->err);
	sub->own = true;
	sub->generation = generation_hold(service_generation(t->q->service));
	sub->mail.id = spool_id_next(&t->q->ids, clock_wall_ms());
	sub->mail.parent = t->m->id;
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
	*t = (struct report_task){{NULL, run_read, on_read}, .q = q, .m = m, .kind = kind, .then = then};
	submission_init(&t->sub, q);
	t->start = mem_new(1, REPORT_HEADERS_MAX);
	if (t->start == NULL)
		log_fatal("report", ENOMEM);
	crew_give(q->writers, m->id, &t->task);
}
