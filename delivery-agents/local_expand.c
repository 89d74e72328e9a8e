#include "local.h"

#include "base/log.h"
#include "base/mem.h"
#include "ipc/flags.h"

#include <errno.h>

/*
 * What a mailbox worker wants done that is not a delivery: mails, one after the other, then the expansion; each durable at the queue before
 * the next is asked for, and all of them before the verdict.  The texts are the worker's, and not looked into.
 *
 *	worker: MAILBOX_MAIL... MAILBOX_EXPAND --> JOB_MAIL... JOB_EXPAND --all durable--> delivered
 */
#define EXPAND_MS 120000u

struct wanted_mail {
	STAILQ_ENTRY(wanted_mail) next;
	bool null_sender;
	struct slice recipients, text; /* behind it */
	char texts[];
};

struct expanding {
	struct delivery *d; /* owned until its end */
	struct wanted mails; /* owned */
	uint64_t hold, count; /* recipients of the expansion */
	struct slice prepend, without, records; /* behind it */
	char texts[];
};

static struct slice keep(char **at, struct slice text)
{
	char *to = *at;

	memcpy(to, text.at, text.len);
	*at += text.len;
	return slice_make(to, text.len);
}

void wanted_init(struct wanted *w)
{
	STAILQ_INIT(&w->mails);
	w->count = 0;
}

void wanted_free(struct wanted *w)
{
	struct wanted_mail *m;

	while ((m = STAILQ_FIRST(&w->mails)) != NULL) {
		STAILQ_REMOVE_HEAD(&w->mails, next);
		free(m);
	}
	w->count = 0;
}

bool wanted_add(struct wanted *w, const struct msg_MAILBOX_MAIL *b)
{
	struct wanted_mail *m = w->count >= WANTED_MAX ? NULL : mem_new(1, sizeof(*m) + b->recipients.len + b->text.len);
	char *at;

	if (m == NULL)
		return false;
	at = m->texts;
	m->null_sender = b->null_sender != 0;
	m->recipients = keep(&at, b->recipients);
	m->text = keep(&at, b->text);
	STAILQ_INSERT_TAIL(&w->mails, m, next);
	w->count++;
	return true;
}

static void expanding_end(struct expanding *e, enum outcome outcome, struct slice text)
{
	struct delivery *d = e->d;

	wanted_free(&e->mails);
	if (outcome == OC_DONE)
		d->handover = e->count > 1 ? HANDOVER_EXPANDED : HANDOVER_PASSED_ON;
	if (outcome == OC_DONE && e->count == 0)
		d->handover = HANDOVER_DELIVERED;
	delivery_end(d, outcome, text, slice_empty());
	free(e);
}

static void ask_next(struct expanding *e);

static void on_mail(struct ipc_message *m, void *arg)
{
	struct expanding *e = arg;
	enum outcome outcome = m == NULL ? OC_UNAVAILABLE : m->body.JOB_EXPANDED.outcome;

	/* An answer that nobody may get is no reason to keep the message. */
	if (outcome_kind(outcome) == KIND_TEMP)
		expanding_end(e, outcome, m == NULL ? slice_of("the queue manager did not answer") : m->body.JOB_EXPANDED.text);
	else
		ask_next(e);
}

static void on_expanded(struct ipc_message *m, void *arg)
{
	struct expanding *e = arg;
	enum outcome outcome = m == NULL ? OC_UNAVAILABLE : m->body.JOB_EXPANDED.outcome;

	if (outcome_kind(outcome) == KIND_OK)
		expanding_end(e, OC_DONE, slice_of("passed on as its owner wishes"));
	else
		expanding_end(e, outcome, m == NULL ? slice_of("the queue manager did not answer") : m->body.JOB_EXPANDED.text);
}

static void ask_mail(struct expanding *e, struct wanted_mail *mail)
{
	const struct delivery *d = e->d;
	const struct msg_JOB_MAIL ask = {d->job->number, d->slot, mail->null_sender ? slice_empty() : slice_of(d->recipient), mail->recipients,
					 mail->text};

	service_ask(d->job->local->service, ROLE_QUEUE, IPC_JOB_MAIL, &ask, EXPAND_MS, on_mail, e);
}

static void ask_next(struct expanding *e)
{
	const struct delivery *d = e->d;
	struct wanted_mail *mail = STAILQ_FIRST(&e->mails.mails);
	const struct msg_JOB_EXPAND ask = {d->job->number, d->slot, e->hold, e->prepend, e->without, e->records};

	if (d->job->orphan) {
		expanding_end(e, OC_UNAVAILABLE, slice_of("the queue manager ended"));
	} else if (mail != NULL) {
		STAILQ_REMOVE_HEAD(&e->mails.mails, next);
		ask_mail(e, mail);
		free(mail);
	} else if (e->count > 0) {
		service_ask(d->job->local->service, ROLE_QUEUE, IPC_JOB_EXPAND, &ask, EXPAND_MS, on_expanded, e);
	} else {
		expanding_end(e, OC_DONE, slice_of("done with as its owner wishes"));
	}
}

static bool count_records(struct slice records, uint64_t *count_out)
{
	struct rec_expansion r;
	struct directive directive;

	*count_out = 0;
	while (rec_expansion_next(&records, &r)) {
		/* Who sends to a list is not for a user to say. */
		if (!directive_decode(r.directive, r.argument, &directive) || directive.kind == DIRECTIVE_LIST)
			return false;
		++*count_out;
	}
	return records.len == 0;
}

bool delivery_expand(struct delivery *d, struct wanted *mails, const struct msg_MAILBOX_EXPAND *b)
{
	struct expanding *e;
	uint64_t count;
	char *at;

	if (!count_records(b->expansion_records, &count))
		return false;
	e = mem_new(1, sizeof(*e) + b->prepend.len + b->without.len + b->expansion_records.len);
	if (e == NULL)
		log_fatal("expansion", ENOMEM);
	at = e->texts;
	e->d = d;
	e->hold = b->hold;
	e->count = count;
	e->prepend = keep(&at, b->prepend);
	e->without = keep(&at, b->without);
	e->records = keep(&at, b->expansion_records);
	wanted_init(&e->mails);
	STAILQ_CONCAT(&e->mails.mails, &mails->mails);
	e->mails.count = mails->count;
	mails->count = 0;
	ask_next(e);
	return true;
}
