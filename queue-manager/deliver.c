#include "deliver.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "expand.h"
#include "ipc/flags.h"
#include "waiting.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define LOST_SOON_TRIES 4u
/* Longer than any one recipient can honestly take (RFC 5321 §4.5.3.2, several hosts in turn). */
#define JOB_SILENT_MS (2u * 3600u * 1000u)
#define JOBS_LOOK_MS 60000u
#define NO_AGENT_AGAIN_S 5
#define LOCAL_BATCH_MAX 100u

/* ---- destinations ---- */

static struct slice transport_name(const char *destination)
{
	struct slice rest = slice_of(destination), name = slice_empty();

	(void)slice_cut(&rest, ' ', &name);
	return name;
}

static struct slice nexthop(const char *destination)
{
	return slice_from(slice_of(destination), transport_name(destination).len + 1);
}

const struct conf_transport *deliver_transport(struct queue *q, const char *destination)
{
	return conf_transport_find(queue_conf(q), transport_name(destination));
}

bool deliver_is_local(struct queue *q, const char *destination)
{
	const struct conf_transport *t = deliver_transport(q, destination);

	return t != NULL && conf_transport_is_local(t);
}

size_t deliver_batch_max(struct queue *q, const char *destination)
{
	const struct conf_transport *t = deliver_transport(q, destination);

	return t == NULL || conf_transport_is_local(t) || t->recipients == 0 ? LOCAL_BATCH_MAX : t->recipients;
}

#define WAITING_MAX 3000u
#define WAITING_TOTAL 10000u
#define WAITING_LOW 20u
#define REFILL_AT 1000u /* fewer than a page of waiting.c */
#define DEAD_AFTER 4u
#define DEAD_FIRST_MS 60000u
#define DEAD_MOST_MS (15u * 60000u)

static struct sched_limits limits_of(const struct conf *conf)
{
	return (struct sched_limits){
		.jobs_max = (unsigned)conf->set.jobs_max,
		.window_start = (unsigned)conf->set.destination_window_start,
		.window_max = (unsigned)conf->set.destination_window_max,
		.waiting_max = WAITING_MAX,
		.waiting_total = WAITING_TOTAL,
		.waiting_low = WAITING_LOW,
		.refill_at = REFILL_AT,
		.dead_after = DEAD_AFTER,
		.dead_first_ms = DEAD_FIRST_MS,
		.dead_most_ms = DEAD_MOST_MS,
	};
}

static void on_pump(void *arg);
static void on_jobs_look(void *arg);

void deliver_start(struct queue *q)
{
	const struct sched_limits limits = limits_of(queue_conf(q));

	q->sched = sched_new(&limits);
	if (q->sched == NULL)
		log_fatal("scheduler", ENOMEM);
	q->pump_soon = soon_new(q->loop, on_pump, q);
	q->jobs_timer = timer_new(q->loop, on_jobs_look, q);
}

void deliver_limits(struct queue *q)
{
	const struct sched_limits limits = limits_of(queue_conf(q));

	sched_limit(q->sched, &limits);
}

/* ---- a job's end ---- */

static void grant_end(struct queue *q, struct batch *b)
{
	if (b->granted)
		(void)service_tell(q->service, ROLE_AUTHD, IPC_JOB_REVOKE, &(struct msg_JOB_REVOKE){b->job});
	b->granted = false;
}

static struct batch *batch_of(struct sched_item *item)
{
	return (struct batch *)(void *)item; /* its first member */
}

static void batch_end(struct queue *q, struct batch *b, enum sched_result result)
{
	grant_end(q, b);
	if (b->job != 0) {
		map_take_u64(q->jobs, b->job);
		q->relay_jobs[b->agent]--;
	}
	sched_done(q->sched, &b->item, result, clock_mono_ms());
	message_batch_ended(q, b);
	deliver_pump(q);
}

/* It could not even be handed over: our own trouble, tried again soon, and no try of the message's. */
static void batch_not_started(struct queue *q, struct batch *b)
{
	message_postpone(b->message, clock_wall_s() + NO_AGENT_AGAIN_S);
	batch_end(q, b, SCHED_NEITHER);
}

/* ---- starting ---- */

struct choice {
	struct queue *q;
	struct link *link;
};

static unsigned *jobs_of(struct queue *q, const struct link *link)
{
	return &q->relay_jobs[link_instance(link) % QUEUE_RELAYS_MAX];
}

static void consider(struct link *link, void *arg)
{
	struct choice *choice = arg;

	if (choice->link == NULL || *jobs_of(choice->q, link) < *jobs_of(choice->q, choice->link))
		choice->link = link;
}

/* The instance with the fewest jobs. */
static struct link *agent_for(struct queue *q, const struct conf_transport *t)
{
	struct choice choice = {q, NULL};

	if (conf_transport_is_local(t))
		return service_link(q->service, ROLE_LOCAL, SERVICE_ANY);
	service_each_link(q->service, ROLE_RELAY, consider, &choice);
	return choice.link;
}

static bool add_records(const struct batch *b, struct buf *out)
{
	const struct message *m = b->message;

	for (size_t i = 0; i < b->count; i++) {
		const struct spool_rcpt *r = &m->file.mail.rcpts[b->slots[i]];
		const struct rec_job_recipient record = {b->slots[i], r->notify, r->address,  r->original,
							 r->orcpt,    r->directive, r->argument};

		if (!rec_job_recipient_add(out, &record))
			return false;
	}
	return buf_ok(out);
}

/* authd learns of the right before the relay can ask. */
static void grant(struct queue *q, struct batch *b, const struct conf_transport *t)
{
	struct link *authd = service_link(q->service, ROLE_AUTHD, SERVICE_ANY);
	const struct msg_JOB_GRANT right = {b->job, link_instance(b->link), slice_of(t->name)};

	if (t->login == NULL || authd == NULL)
		return;
	b->granted = link_tell(authd, IPC_JOB_GRANT, &right, -1);
	link_flush(authd);
}

/* Takes `fd`. */
static bool tell_agent(struct queue *q, struct batch *b, const struct conf_transport *t, int fd)
{
	const struct spool_mail *mail = &b->message->file.mail;
	struct buf records = buf_make(65536);
	struct msg_JOB_START start = {
		.job = b->job,
		.id = b->message->id,
		.generation = service_generation(q->service)->number,
		.transport = slice_of(t->name),
		.nexthop = nexthop(b->destination),
		.flags = mail->flags | (mail->raw != 0 ? (uint64_t)JOB_BINARY : 0),
		.offset = mail->body_offset,
		.length = mail->body_length,
		.sender = mail->sender,
		.envid = mail->envid,
		.ret = mail->ret,
		.prepend = mail->prepend,
	};
	bool ok = add_records(b, &records);

	start.job_recipient_records = buf_slice(&records);
	if (ok)
		ok = link_tell(b->link, IPC_JOB_START, &start, fd);
	else
		(void)close(fd);
	buf_free(&records);
	return ok;
}

/* A program or a file never becomes an address at another host, whatever its transport's name stands for now. */
static bool may_go_by(const struct batch *b, const struct conf_transport *t)
{
	for (size_t i = 0; i < b->count; i++)
		if (b->message->file.mail.rcpts[b->slots[i]].bound_to.len > 0 && !conf_transport_is_local(t))
			return false;
	return true;
}

/* Takes `fd`. */
static void hand_over(struct queue *q, struct batch *b, int fd)
{
	const struct conf_transport *t = deliver_transport(q, b->destination);

	b->link = t == NULL || !may_go_by(b, t) ? NULL : agent_for(q, t);
	b->job = ++q->last_job;
	if (b->link == NULL || !map_put_u64(q->jobs, b->job, b)) {
		(void)close(fd);
		b->job = 0;
		batch_not_started(q, b);
		return;
	}
	b->agent = (unsigned)(link_instance(b->link) % QUEUE_RELAYS_MAX);
	q->relay_jobs[b->agent]++;
	b->heard_ms = clock_mono_ms();
	if (!timer_is_set(q->jobs_timer))
		timer_set(q->jobs_timer, JOBS_LOOK_MS);
	grant(q, b, t);
	if (!tell_agent(q, b, t, fd))
		batch_not_started(q, b);
}

struct open_task {
	struct crew_task task;
	struct queue *q;
	struct batch *batch;
	uint64_t id;
	enum spool_folder folder;
	int fd, err;
};

static void run_open(struct crew_task *task)
{
	struct open_task *t = (struct open_task *)(void *)task;

	t->fd = spool_open_read(t->q->spool, t->id, t->folder);
	t->err = t->fd == -1 ? errno : 0;
}

static void on_open(struct crew_task *task)
{
	struct open_task *t = (struct open_task *)(void *)task;

	if (t->fd != -1) {
		hand_over(t->q, t->batch, t->fd);
	} else {
		queue_trouble("spool-not-readable", t->id, t->err);
		batch_not_started(t->q, t->batch);
	}
	free(t);
}

static void start_batch(struct queue *q, struct batch *b)
{
	struct message *m = b->message;
	struct open_task *t;
	int fd = m->read_fd;

	m->read_fd = -1;
	if (fd != -1) {
		hand_over(q, b, fd);
		return;
	}
	t = mem_new(1, sizeof(*t));
	if (t == NULL) {
		batch_not_started(q, b);
		return;
	}
	*t = (struct open_task){{NULL, NULL, run_open, on_open}, q, b, m->id, m->folder, -1, 0};
	crew_give(q->writers, m->id, &t->task);
}

static void on_pump(void *arg)
{
	struct queue *q = arg;
	struct sched_item *item;

	while (!q->draining && (item = sched_next(q->sched)) != NULL)
		start_batch(q, batch_of(item));
	/* What waits for a destination that has died goes back to the index, so nothing of it stays in memory. */
	while ((item = sched_take_dead(q->sched)) != NULL)
		message_batch_ended(q, batch_of(item));
	if (!q->draining) {
		expand_pump(q);
		waiting_refill(q);
	}
}

void deliver_pump(struct queue *q)
{
	soon_call(q->pump_soon);
}

/* ---- verdicts ---- */

/* Trouble of the destination as a whole, not of one recipient. */
static bool is_site_failure(enum outcome outcome, uint64_t code)
{
	static const enum outcome outcomes[] = {OC_CONNECT_FAILED, OC_CONNECTION_LOST, OC_REMOTE_PROTOCOL, OC_REMOTE_TLS,
						OC_REMOTE_LOGIN,   OC_DNS_UNKNOWN,     OC_TIMEOUT};

	for (size_t i = 0; i < ARRAY_LEN(outcomes); i++)
		if (outcomes[i] == outcome)
			return true;
	return outcome_kind(outcome) == KIND_TEMP && code == 421;
}

static size_t index_of_slot(const struct batch *b, uint64_t slot)
{
	for (size_t i = 0; i < b->count; i++)
		if (b->slots[i] == slot)
			return i;
	return b->count;
}

/* The job, if this link has it and the slot is its own and still open.  NULL: the link has been cut. */
static struct batch *job_of(struct queue *q, struct link *link, uint64_t job)
{
	struct batch *b = map_find_u64(q->jobs, job);

	if (b == NULL || b->link != link) {
		link_break(link, "a job that is not its own");
		return NULL;
	}
	return b;
}

static void fill_reply(struct reply *reply, const struct msg_JOB_RECIPIENT *said)
{
	const struct outcome_info *info = outcome_info(said->outcome);
	struct slice dsn = said->dsn.len > 0 ? said->dsn : slice_of(info->dsn);
	struct slice text = said->text.len > 0 ? said->text : slice_of(info->text);

	*reply = (struct reply){.outcome = said->outcome, .code = said->code != 0 ? said->code : info->smtp};
	reply->handover = said->handover;
	reply->at_s = clock_wall_s();
	(void)slice_copy(slice_sub(dsn, 0, sizeof(reply->dsn) - 1), reply->dsn, sizeof(reply->dsn));
	(void)slice_copy(slice_sub(text, 0, sizeof(reply->text) - 1), reply->text, sizeof(reply->text));
	(void)slice_copy(slice_sub(said->remote, 0, sizeof(reply->remote) - 1), reply->remote, sizeof(reply->remote));
}

static void log_verdict(const struct batch *b, size_t slot, const struct reply *reply, struct slice detail)
{
	static const char *const events[] = {[KIND_OK] = "delivered", [KIND_TEMP] = "deferred", [KIND_PERM] = "failed"};
	const struct message *m = b->message;

	LOG(LEVEL_INFO, events[outcome_kind(reply->outcome)], KV_ID(m->id),
	    KV_TEXT("recipient", m->file.mail.rcpts[slot].address), KV_STR("destination", b->destination),
	    KV_STR("outcome", outcome_info(reply->outcome)->name), KV_NUM("code", reply->code), KV_STR("dsn", reply->dsn),
	    KV_STR("text", reply->text), KV_STR("remote", reply->remote), KV_TEXT("detail", detail),
	    KV_NUM("age", message_age_s(m)));
}

/* An agent that died, or ends, is our fault, and a new one is there soon: the first rounds need not wait for the retry rule.  They are
 * counted, so that a message which kills every agent it meets comes to wait like any other. */
static void come_back_soon(struct message *m)
{
	if (m->tries >= LOST_SOON_TRIES)
		return;
	message_postpone(m, clock_wall_s() + (1 << m->tries));
	m->tries += !m->counted;
	m->counted = true;
}

static void take_verdict(struct queue *q, struct batch *b, size_t slot, const struct reply *reply, struct slice detail)
{
	b->open--;
	b->heard_ms = clock_mono_ms();
	if (!message_is_own_trouble(reply->outcome)) {
		if (is_site_failure(reply->outcome, reply->code))
			b->site_failed = true;
		else
			b->worked = true;
	}
	if (reply->outcome == OC_SHUTTING_DOWN)
		come_back_soon(b->message);
	log_verdict(b, slot, reply, detail);
	message_verdict(q, b->message, slot, reply);
}

struct batch *deliver_job_of(struct queue *q, struct link *link, uint64_t job, uint64_t slot)
{
	struct batch *b = job_of(q, link, job);

	if (b != NULL && (index_of_slot(b, slot) == b->count || b->message->rcpts[slot].step != STEP_BUSY)) {
		link_break(link, "a recipient that is not in its job");
		return NULL;
	}
	return b;
}

void deliver_on_recipient(struct queue *q, struct link *link, struct ipc_message *m)
{
	const struct msg_JOB_RECIPIENT *said = &m->body.JOB_RECIPIENT;
	struct batch *b = deliver_job_of(q, link, said->job, said->slot);
	struct reply reply;

	if (b == NULL)
		return;
	fill_reply(&reply, said);
	take_verdict(q, b, (size_t)said->slot, &reply, said->detail);
}

/* Silence about a recipient is no verdict. */
static void close_open_slots(struct queue *q, struct batch *b, const char *why)
{
	struct reply reply = {.outcome = OC_UNAVAILABLE, .code = 451, .dsn = "4.3.0"};

	(void)snprintf(reply.text, sizeof(reply.text), "%s", why);
	for (size_t i = 0; i < b->count; i++)
		if (b->message->rcpts[b->slots[i]].step == STEP_BUSY)
			take_verdict(q, b, b->slots[i], &reply, slice_empty());
}

static enum sched_result result_of(const struct batch *b)
{
	if (b->worked)
		return SCHED_GOOD;
	return b->site_failed ? SCHED_BAD : SCHED_NEITHER;
}

void deliver_on_end(struct queue *q, struct link *link, struct ipc_message *m)
{
	struct batch *b = job_of(q, link, m->body.JOB_END.job);

	if (b == NULL)
		return;
	close_open_slots(q, b, "the delivery agent gave no verdict");
	batch_end(q, b, result_of(b));
}

struct lost {
	struct link *link;
	struct batch *found;
};

static bool find_lost(struct slice key, void *value, void *arg)
{
	struct lost *lost = arg;
	struct batch *b = value;

	(void)key;
	if (b->link == lost->link)
		lost->found = b;
	return lost->found == NULL;
}

void deliver_link_down(struct queue *q, struct link *link)
{
	struct lost lost = {link, NULL};

	for (;;) {
		lost.found = NULL;
		map_each(q->jobs, find_lost, &lost);
		if (lost.found == NULL)
			return;
		if (lost.found->open > 0)
			come_back_soon(lost.found->message);
		close_open_slots(q, lost.found, "the delivery agent ended in mid-delivery");
		batch_end(q, lost.found, result_of(lost.found));
	}
}

/* ---- agents that do not die, and say nothing ---- */

static bool end_silent(struct slice key, void *value, void *arg)
{
	struct batch *b = value;
	const uint64_t *now_ms = arg;

	(void)key;
	if (*now_ms - b->heard_ms >= JOB_SILENT_MS)
		link_break(b->link, "a job without a word for two hours");
	return true;
}

/* The link's end, which comes from the loop, gives its jobs back. */
static void on_jobs_look(void *arg)
{
	struct queue *q = arg;
	uint64_t now_ms = clock_mono_ms();

	map_each(q->jobs, end_silent, &now_ms);
	if (map_count(q->jobs) > 0)
		timer_set(q->jobs_timer, JOBS_LOOK_MS);
}
