#include "expand.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "deliver.h"
#include "ipc/flags.h"
#include "mail/directive.h"
#include "mail/dsn.h"
#include "mail/header_names.h"
#include "message.h"
#include "room.h"
#include "submit.h"

#include <errno.h>

#define RECIPIENTS_MAX 1100u /* of one message: what a forward file may name, and a few */

struct expansion {
	struct crew_task task;
	struct queue *q;
	struct link *link; /* borrowed, while links hold; NULL: of a list, which the queue itself makes */
	uint64_t request, parent;
	size_t slot; /* of the list, in its parent */
	struct spool_body from;
	struct slice without; /* in the submission's pool */
	struct submission sub;
	size_t members;
	bool is_mail, is_list;
	int err;
};

/* The agent may have gone meanwhile: then nobody waits. */
static bool still_asks(const struct expansion *e)
{
	return e->link != NULL && service_link(e->q->service, ROLE_LOCAL, SERVICE_ANY) == e->link && !link_is_broken(e->link);
}

static void answer(struct queue *q, struct link *link, uint64_t request, enum outcome outcome, uint64_t id, struct slice text)
{
	(void)q;
	link_answer(link, request, IPC_JOB_EXPANDED, &(struct msg_JOB_EXPANDED){outcome, id, slice_sub(text, 0, 400)}, -1);
}

static void list_end(struct expansion *e);

static void expansion_end(struct expansion *e)
{
	bool done = outcome_kind(e->sub.outcome) == KIND_OK;

	if (done)
		LOG(LEVEL_INFO, "expanded", KV_ID(e->parent), KV_NUM("mail", e->is_mail), KV_NUM("list", e->is_list),
		    KV_NUM("recipients", e->sub.target_count), KV_TEXT("sender", e->sub.mail.sender),
		    KV_NUM("discarded", e->sub.discarded));
	else
		LOG(LEVEL_WARN, "not-expanded", KV_ID(e->parent), KV_STR("text", e->sub.text));
	if (e->is_list)
		list_end(e);
	else if (still_asks(e))
		answer(e->q, e->link, e->request, e->sub.outcome, e->sub.mail.id, slice_of(done ? "" : e->sub.text));
	submission_clear(&e->sub);
	free(e);
}

static void on_submitted(struct submission *sub, void *arg)
{
	(void)sub;
	expansion_end(arg);
}

/* ---- what it takes over ---- */

static bool take_texts(struct submission *sub, const struct spool_mail *from)
{
	const struct {
		struct slice text;
		struct slice *into;
	} rows[] = {
		{from->sender, &sub->mail.sender},     {from->envid, &sub->mail.envid},	      {from->login, &sub->mail.login},
		{from->client, &sub->mail.client},     {from->listener, &sub->mail.listener}, {from->hostname, &sub->mail.hostname},
		{from->ancestors, &sub->mail.ancestors}, {from->helo, &sub->mail.helo},	      {from->protocol, &sub->mail.protocol},
		{from->local, &sub->mail.local},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (!pool_copy(&sub->pool, rows[i].text, rows[i].into))
			return false;
	sub->mail.local_port = from->local_port;
	sub->mail.role = from->role;
	sub->mail.flags = from->flags;
	sub->mail.raw = from->raw;
	sub->mail.ret = from->ret;
	sub->mail.session = from->session;
	return true;
}

static size_t count_lines(struct slice text)
{
	struct slice one;
	size_t count = 0;

	while (slice_cut(&text, '\n', &one))
		count++;
	return count;
}

/* MAIL_LOOP: it has come by too many addresses. */
static enum outcome add_ancestor(struct submission *sub, struct slice address)
{
	struct buf text = buf_make(ANCESTORS_BYTES_MAX);
	bool fits = count_lines(sub->mail.ancestors) < ANCESTORS_MAX && buf_add_slice(&text, sub->mail.ancestors) &&
		    (text.len == 0 || buf_add_char(&text, '\n')) && buf_add_slice(&text, address);
	enum outcome outcome = fits ? OC_DONE : text.no_memory ? OC_NO_MEMORY : OC_MAIL_LOOP;

	if (fits && !pool_copy(&sub->pool, buf_slice(&text), &sub->mail.ancestors))
		outcome = OC_NO_MEMORY;
	buf_free(&text);
	return outcome;
}

static bool make_lines(struct submission *sub, struct slice before, struct slice added)
{
	struct buf lines = buf_make(SPOOL_TEXT_MAX);
	bool ok = buf_add_slice(&lines, before) && buf_add_slice(&lines, added) && pool_copy(&sub->pool, buf_slice(&lines), &sub->uninvited);

	buf_free(&lines);
	return ok;
}

/* Of a message that nobody has looked at nothing is known of its copies. */
static bool take_header_names(struct submission *sub, struct slice from, struct slice without, struct slice prepend)
{
	struct header_names names = header_names_make();
	bool ok = true;

	if (from.len > 0) {
		header_names_add_all(&names, from, without);
		header_names_add_header(&names, prepend);
		ok = pool_copy(&sub->pool, header_names_text(&names), &sub->mail.header_names);
	}
	header_names_free(&names);
	return ok;
}

/* RFC 3461 §5.2.7: passed on whole where there is one; else members do not ask for success, for that is told here. */
static uint64_t notify_of(const struct expansion *e, const struct spool_rcpt *rcpt)
{
	return e->members > 1 ? dsn_notify_of_member(rcpt->notify) : rcpt->notify;
}

static bool add_recipient(struct expansion *e, const struct batch *b, const struct spool_rcpt *rcpt, const struct rec_expansion *r)
{
	const struct asked_rcpt asked = {.address = r->recipient, .orcpt = rcpt->orcpt, .notify = notify_of(e, rcpt)};
	struct spool_rcpt here = {.address = rcpt->address,
				  .original = rcpt->original,
				  .orcpt = rcpt->orcpt,
				  .notify = notify_of(e, rcpt),
				  .directive = r->directive,
				  .argument = r->argument};
	struct directive directive;

	if (r->here == 0)
		return submission_add_rcpt(&e->sub, &asked);
	/* Who sends to a list is for routes to say. */
	return r->directive != DIRECTIVE_LIST && directive_decode(r->directive, r->argument, &directive) && submission_add_ready(&e->sub, &here, slice_of(b->destination));
}

/* False: malformed, or more than it may be. */
static bool add_recipients(struct expansion *e, const struct batch *b, const struct spool_rcpt *rcpt, struct slice records)
{
	struct slice rest = records;
	struct rec_expansion r;
	size_t count = 0;

	while (rec_expansion_next(&rest, &r))
		e->members++;
	while (rec_expansion_next(&records, &r))
		if (++count > RECIPIENTS_MAX || !add_recipient(e, b, rcpt, &r))
			return false;
	return records.len == 0 && count > 0;
}

static struct expansion *expansion_new(struct queue *q, struct link *link, uint64_t request, const struct message *parent)
{
	struct expansion *e = mem_new(1, sizeof(*e));

	if (e == NULL)
		log_fatal("expansion", ENOMEM);
	e->q = q;
	e->link = link;
	e->request = request;
	e->parent = parent->id;
	submission_init(&e->sub, q);
	e->sub.made_here = e->sub.may_leave = true;
	e->sub.generation = generation_hold(service_generation(q->service));
	e->sub.mail.id = spool_id_next(&q->ids, clock_wall_ms());
	e->sub.done = on_submitted;
	e->sub.arg = e;
	return e;
}

/* ---- the same message, for others ---- */

static void run_copy(struct crew_task *task)
{
	struct expansion *e = (struct expansion *)(void *)task;

	e->err = spool_draft_copy(e->q->spool, &e->from, e->sub.mail.id, buf_slice(&e->sub.head), e->without, &e->sub.mail.body_length);
}

static void on_copied(struct crew_task *task)
{
	struct expansion *e = (struct expansion *)(void *)task;

	e->sub.in_file = e->err == 0;
	if (e->err != 0) {
		queue_trouble("spool-draft-failed", e->sub.mail.id, e->err);
		submission_fail(&e->sub, e->err == ENOSPC || e->err == EDQUOT ? OC_SPOOL_FULL : OC_IO_ERROR, NULL);
	}
	submission_commit(&e->sub);
}

static void begin_copy(struct expansion *e, bool prepared)
{
	if (!prepared) {
		submission_fail(&e->sub, OC_NO_MEMORY, NULL);
		expansion_end(e);
		return;
	}
	e->task = (struct crew_task){NULL, NULL, run_copy, on_copied};
	crew_give(e->q->writers, e->parent, &e->task);
}

/* All that does not depend on who makes it. */
static bool prepare_copy(struct expansion *e, const struct message *parent, struct slice address, struct slice prepend)
{
	const struct spool_mail *from = &parent->file.mail;
	enum outcome added;

	if (!room_for(e->q, from->body_length)) {
		submission_fail(&e->sub, OC_SPOOL_FULL, NULL);
		return false;
	}
	if (!take_texts(&e->sub, from) || !make_lines(&e->sub, from->prepend, prepend) ||
	    !take_header_names(&e->sub, from->header_names, e->without, prepend)) {
		submission_fail(&e->sub, OC_NO_MEMORY, NULL);
		return false;
	}
	added = add_ancestor(&e->sub, address);
	if (added != OC_DONE) {
		submission_fail(&e->sub, added, NULL);
		return false;
	}
	e->from = (struct spool_body){from->id, parent->folder, from->body_offset, from->body_length};
	return true;
}

static bool prepare(struct expansion *e, const struct batch *b, const struct spool_rcpt *rcpt, const struct msg_JOB_EXPAND *ask)
{
	if (!pool_copy(&e->sub.pool, ask->without, &e->without) || !prepare_copy(e, b->message, rcpt->address, ask->prepend))
		return false;
	e->sub.mail.hold = ask->hold != 0;
	e->sub.let_go = message_is_let_go(e->q, b->message, ask->slot);
	if (!add_recipients(e, b, rcpt, ask->expansion_records)) {
		submission_fail(&e->sub, OC_BAD_INPUT, "what it was expanded to was not understood");
		return false;
	}
	return spool_encode_head(&e->sub.mail, &e->sub.head);
}

void expand_on_expand(struct queue *q, struct link *link, struct ipc_message *m)
{
	const struct msg_JOB_EXPAND *ask = &m->body.JOB_EXPAND;
	struct batch *b = deliver_job_of(q, link, ask->job, ask->slot);
	struct expansion *e;

	if (b == NULL)
		return;
	e = expansion_new(q, link, m->request, b->message);
	begin_copy(e, prepare(e, b, &b->message->file.mail.rcpts[ask->slot], ask));
}

/* ---- lists ---- */

#define LISTS_AT_ONCE 4u

/* One that waits for its turn; its message stays in memory, for it counts as busy. */
struct list_turn {
	STAILQ_ENTRY(list_turn) next;
	uint64_t message;
	size_t slot;
};

void expand_start(struct queue *q)
{
	STAILQ_INIT(&q->lists);
}

static bool is_list_to_try(struct message *m, size_t i)
{
	return m->file.mail.rcpts[i].directive == DIRECTIVE_LIST && m->rcpts[i].step == STEP_IDLE && slot_is_open(*message_slot(m, i));
}

bool expand_has_lists(struct message *m)
{
	for (size_t i = 0; i < m->file.mail.rcpt_count; i++)
		if (is_list_to_try(m, i))
			return true;
	return false;
}

void expand_lists(struct queue *q, struct message *m)
{
	for (size_t i = 0; i < m->file.mail.rcpt_count; i++) {
		struct list_turn *turn = is_list_to_try(m, i) ? mem_new(1, sizeof(*turn)) : NULL;

		if (turn == NULL)
			continue; /* without memory it is left for the next round */
		turn->message = m->id;
		turn->slot = i;
		STAILQ_INSERT_TAIL(&q->lists, turn, next);
		m->rcpts[i].step = STEP_BUSY;
		m->busy++;
	}
	deliver_pump(q);
}

static void list_done(struct queue *q, struct message *m)
{
	m->busy--;
	if (m->busy == 0)
		message_settle(q, m);
}

/* A route that is lost makes it wait; only a circle ends it (the queue's README, 5). */
static enum outcome list_outcome(const struct submission *sub)
{
	bool stays = outcome_kind(sub->outcome) != KIND_PERM || sub->outcome == OC_MAIL_LOOP;

	return stays ? sub->outcome : OC_ROUTE_UNKNOWN;
}

/* Placed with who sends it on is final delivery (RFC 3461 §5.2.7.3): `delivered`, where success was asked for. */
static void list_end(struct expansion *e)
{
	struct queue *q = e->q;
	struct message *m = map_find_u64(q->messages, e->parent);
	enum outcome outcome = list_outcome(&e->sub);
	const struct outcome_info *info = outcome_info(outcome);
	struct reply reply = {.outcome = outcome, .code = info->smtp, .handover = HANDOVER_DELIVERED, .at_s = clock_wall_s()};
	bool done = outcome_kind(outcome) == KIND_OK;

	q->lists_running--;
	deliver_pump(q);
	if (m == NULL) /* forgotten, at the end of the process */
		return;
	(void)slice_copy(slice_of(done ? "2.0.0" : info->dsn), reply.dsn, sizeof(reply.dsn));
	(void)slice_copy(slice_sub(slice_of(done ? "passed on to its members" : e->sub.text), 0, sizeof(reply.text) - 1), reply.text,
			 sizeof(reply.text));
	message_verdict(q, m, e->slot, &reply);
	list_done(q, m);
}

/* Nothing of what the sender asked for goes with it (§5.2.7.3 (b)). */
static bool prepare_list(struct expansion *e, const struct message *m)
{
	const struct spool_mail *from = &m->file.mail;
	const struct spool_rcpt *list = &from->rcpts[e->slot];
	const struct conf *conf = queue_conf(e->q);
	struct submission *sub = &e->sub;
	bool copied = prepare_copy(e, m, list->address, slice_empty());

	sub->is_list = true;
	sub->let_go = message_is_let_go(e->q, m, e->slot);
	sub->list_sender = sub->mail.sender;
	sub->mail.envid = slice_empty();
	sub->mail.ret = DSN_RET_UNSAID;
	sub->may_leave = from->role == LISTENER_LOCAL || from->login.len > 0 || (from->client.len > 0 && conf_is_trusted(conf, from->client));
	return copied && pool_copy(&sub->pool, list->argument, &sub->mail.sender) &&
	       submission_add_rcpt(sub, &(struct asked_rcpt){.address = list->address, .orcpt = slice_empty()}) &&
	       spool_encode_head(&sub->mail, &sub->head);
}

static void start_list(struct queue *q, struct message *m, size_t slot)
{
	struct expansion *e = expansion_new(q, NULL, 0, m);

	q->lists_running++;
	e->is_list = true;
	e->slot = slot;
	begin_copy(e, prepare_list(e, m));
}

/* What the operator wants held or gone does not begin. */
static void take_turn(struct queue *q, const struct list_turn *turn)
{
	struct message *m = map_find_u64(q->messages, turn->message);

	if (m == NULL)
		return;
	if (m->wish != WISH_HOLD && m->wish != WISH_REMOVE) {
		start_list(q, m, turn->slot);
		return;
	}
	m->rcpts[turn->slot].step = STEP_IDLE;
	list_done(q, m);
}

void expand_pump(struct queue *q)
{
	while (q->lists_running < LISTS_AT_ONCE && !STAILQ_EMPTY(&q->lists)) {
		struct list_turn *turn = STAILQ_FIRST(&q->lists);

		STAILQ_REMOVE_HEAD(&q->lists, next);
		take_turn(q, turn);
		free(turn);
	}
}

/* ---- mail of the owner's own ---- */

static bool add_crlf(struct slice text, struct buf *out)
{
	struct slice line;

	while (slice_cut(&text, '\n', &line)) {
		if (line.len > 0 && line.at[line.len - 1] == '\r')
			line.len--;
		buf_add_slice(out, line);
		buf_add_text(out, "\r\n");
	}
	return buf_ok(out);
}

static bool has_8bit(struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.at[i] > 0x7f)
			return true;
	return false;
}

/* The owner's address is among its ancestors: two whose filters write to each other get each other's mail once, in the inbox. */
static bool add_owner(struct expansion *e, const struct spool_mail *about, struct slice owner)
{
	enum outcome added = pool_copy(&e->sub.pool, about->ancestors, &e->sub.mail.ancestors) ? add_ancestor(&e->sub, owner) : OC_NO_MEMORY;

	if (added != OC_DONE)
		submission_fail(&e->sub, added, NULL);
	return added == OC_DONE;
}

static bool prepare_mail(struct expansion *e, const struct spool_mail *about, struct slice owner, const struct msg_JOB_MAIL *ask)
{
	struct slice rest = ask->recipients, one;
	size_t count = 0;

	if (!add_owner(e, about, owner))
		return false;

	while (slice_cut(&rest, '\n', &one))
		if (++count > RECIPIENTS_MAX ||
		    !submission_add_rcpt(&e->sub, &(struct asked_rcpt){.address = one, .orcpt = slice_empty(), .notify = DSN_NEVER}))
			return false;
	e->sub.mail.role = LISTENER_LOCAL;
	e->sub.mail.flags = has_8bit(ask->text) ? (uint64_t)JOB_8BIT : 0;
	return count > 0 && pool_copy(&e->sub.pool, ask->sender, &e->sub.mail.sender) &&
	       pool_copy(&e->sub.pool, about->hostname, &e->sub.mail.hostname) && add_crlf(ask->text, &e->sub.body);
}

void expand_on_mail(struct queue *q, struct link *link, struct ipc_message *m)
{
	const struct msg_JOB_MAIL *ask = &m->body.JOB_MAIL;
	struct batch *b = deliver_job_of(q, link, ask->job, ask->slot);
	struct expansion *e;
	struct slice owner;

	if (b == NULL)
		return;
	owner = b->message->file.mail.rcpts[ask->slot].address;
	if (ask->sender.len > 0 && !slice_eq_nocase(ask->sender, owner)) {
		link_break(link, "mail in the name of another than its owner");
		return;
	}
	e = expansion_new(q, link, m->request, b->message);
	e->is_mail = true;
	if (!prepare_mail(e, &b->message->file.mail, owner, ask)) {
		submission_fail(&e->sub, OC_NO_MEMORY, NULL);
		expansion_end(e);
		return;
	}
	submission_commit(&e->sub);
}
