#include "relay.h"

#include "base/log.h"
#include "base/mem.h"
#include "ipc/flags.h"

#include <stdio.h>
#include <unistd.h>

/* ---- taking one on ---- */

/* Texts are copied one behind the other into store, which has room for all of them. */
static struct slice keep(struct job *j, size_t *at, struct slice text)
{
	char *to = j->store + *at;

	memcpy(to, text.at, text.len);
	*at += text.len;
	return slice_make(to, text.len);
}

static size_t count_records(struct slice rest)
{
	struct rec_job_recipient rec;
	size_t count = 0;

	while (rec_job_recipient_next(&rest, &rec))
		count++;
	return rest.len == 0 ? count : 0;
}

static bool keep_recipients(struct job *j, size_t *at, struct slice records)
{
	struct slice rest = keep(j, at, records);
	struct rec_job_recipient rec;

	j->mail.recipient_count = count_records(rest);
	j->mail.recipients = mem_new(j->mail.recipient_count + 1, sizeof(*j->mail.recipients));
	if (j->mail.recipients == NULL)
		return false;
	for (size_t i = 0; rec_job_recipient_next(&rest, &rec); i++) {
		j->mail.recipients[i].address = rec.recipient;
		j->mail.recipients[i].original = rec.original;
		j->mail.recipients[i].orcpt = rec.orcpt;
		j->mail.recipients[i].notify = rec.notify;
		j->mail.recipients[i].slot = rec.slot;
	}
	return j->mail.recipient_count > 0;
}

static bool keep_texts(struct job *j, const struct msg_JOB_START *start)
{
	size_t at = 0, size = start->nexthop.len + start->prepend.len + start->sender.len + start->envid.len +
			      start->job_recipient_records.len;

	j->store = mem_new(size + 1, 1);
	if (j->store == NULL)
		return false;
	j->nexthop = keep(j, &at, start->nexthop);
	j->prepend = keep(j, &at, start->prepend);
	j->mail.sender = keep(j, &at, start->sender);
	j->mail.envid = keep(j, &at, start->envid);
	return keep_recipients(j, &at, start->job_recipient_records);
}

static bool find_transport(struct job *j, const struct msg_JOB_START *start)
{
	struct generation *g = generation_find(j->relay->service, start->generation);

	if (g == NULL || g->conf == NULL)
		return false;
	j->generation = generation_hold(g);
	j->transport = conf_transport_find(g->conf, start->transport);
	return j->transport != NULL && !conf_transport_is_local(j->transport);
}

static void end_unstarted(struct link *queue, const struct msg_JOB_START *start)
{
	struct slice rest = start->job_recipient_records;
	struct rec_job_recipient rec;

	while (rec_job_recipient_next(&rest, &rec)) {
		const struct msg_JOB_RECIPIENT said = {start->job,     rec.slot,
						       OC_UNAVAILABLE, 0,
						       slice_empty(),  slice_empty(),
						       slice_empty(),  slice_of("the job cannot be begun"),
						       HANDOVER_DELIVERED};

		link_tell(queue, IPC_JOB_RECIPIENT, &said, -1);
	}
	link_tell(queue, IPC_JOB_END, &(struct msg_JOB_END){start->job}, -1);
}

struct job *job_new(struct relay *r, struct link *queue, struct ipc_message *m)
{
	const struct msg_JOB_START *start = &m->body.JOB_START;
	struct job *j = r->job_count >= RELAY_JOBS_MAX ? NULL : mem_new(1, sizeof(*j));

	if (j != NULL) {
		r->job_count++;
		j->relay = r;
		j->queue = queue;
		j->number = start->job;
		j->id = start->id;
		j->fd = m->fd;
		m->fd = -1;
		j->offset = start->offset;
		j->length = start->length;
		j->mail.has_8bit = (start->flags & JOB_8BIT) != 0;
		j->mail.is_binary = (start->flags & JOB_BINARY) != 0;
		j->mail.has_utf8 = (start->flags & JOB_SMTPUTF8) != 0;
		j->mail.size = start->length + start->prepend.len;
		j->mail.ret = start->ret;
	}
	if (j != NULL && find_transport(j, start) && keep_texts(j, start))
		return j;
	LOG(LEVEL_WARN, "job-not-begun", KV_ID(start->id), KV_TEXT("transport", start->transport),
	    KV_NUM("jobs", r->job_count));
	end_unstarted(queue, start);
	if (j != NULL)
		job_free(&j);
	return NULL;
}

void job_free(struct job **jp)
{
	struct job *j = *jp;
	struct relay *r = j->relay;

	*jp = NULL;
	r->job_count--;
	if (j->fd >= 0)
		close(j->fd);
	if (j->generation != NULL)
		generation_release(r->service, &j->generation);
	free(j->mail.recipients);
	free(j->store);
	free(j);
	relay_stop_if_done(r);
}

/* ---- ending one ---- */

/* A status code fits its outcome: 552 to RCPT, which means "too many", may have come with a 5 (RFC 5321 §4.5.3.1.10). */
static const char *dsn_for(const struct client_verdict *v)
{
	static const char classes[] = {[KIND_OK] = '2', [KIND_TEMP] = '4', [KIND_PERM] = '5'};

	return v->reply.dsn[0] == classes[outcome_kind(v->outcome)] ? v->reply.dsn : "";
}

static uint64_t code_for(const struct client_verdict *v)
{
	bool fits = outcome_kind(v->outcome) != KIND_TEMP || reply_class(&v->reply) != 5;

	return fits ? v->reply.code : outcome_info(v->outcome)->smtp;
}

/* The remote's own words alone; words of ours with the host they are about. */
static void add_text(struct buf *out, const struct client_verdict *v, const struct job_end *end)
{
	if (v->reply.code != 0 || end->host[0] == '\0')
		buf_add_text(out, v->reply.text);
	else
		buf_addf(out, "%s: %s (%s)", end->host, v->reply.text, v->phase);
}

/* An LMTP server keeps no queue: what it has taken is delivered (RFC 2033 §4.2). */
static enum job_handover handover_of(const struct job *j, const struct client_recipient *to)
{
	if (to->passed_on)
		return HANDOVER_PASSED_ON;
	return j->transport != NULL && j->transport->kind == TRANSPORT_LMTP ? HANDOVER_DELIVERED : HANDOVER_RELAYED;
}

static void tell(const struct job *j, const struct client_recipient *to, const struct client_verdict *v,
		 const struct job_end *end)
{
	struct buf text = buf_make(1024), detail = buf_make(512);
	struct msg_JOB_RECIPIENT said = {.job = j->number, .slot = to->slot, .outcome = v->outcome};

	add_text(&text, v, end);
	if (end->host[0] != '\0')
		buf_addf(&detail, "%s, %s%s%s", end->host, v->phase, end->tls[0] != '\0' ? ", " : "", end->tls);
	said.code = code_for(v);
	said.dsn = slice_of(dsn_for(v));
	said.text = buf_slice(&text);
	said.remote = slice_of(v->reply.code != 0 ? end->remote : "");
	said.detail = buf_slice(&detail);
	said.handover = handover_of(j, to);
	link_tell(j->queue, IPC_JOB_RECIPIENT, &said, -1);
	buf_free(&text);
	buf_free(&detail);
}

void job_finish(struct job **jp, const struct job_end *end)
{
	static const struct client_verdict none = {.decided = true, .outcome = OC_UNAVAILABLE, .phase = ""};
	struct job *j = *jp;
	const struct client_verdict *failure = end->failure != NULL && end->failure->decided ? end->failure : &none;

	for (size_t i = 0; j->queue != NULL && i < j->mail.recipient_count; i++) {
		const struct client_recipient *to = &j->mail.recipients[i];

		tell(j, to, to->verdict.decided ? &to->verdict : failure, end);
	}
	if (j->queue != NULL)
		link_tell(j->queue, IPC_JOB_END, &(struct msg_JOB_END){j->number}, -1);
	job_free(jp);
}

void job_fail(struct job **jp, enum outcome outcome, const char *why)
{
	struct client_verdict v = {.decided = true, .outcome = outcome, .phase = ""};

	reply_sanitise(slice_of(why), v.reply.text, sizeof(v.reply.text));
	job_finish(jp, &(struct job_end){&v, "", "", ""});
}
