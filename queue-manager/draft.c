#include "draft.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "disk.h"
#include "ending.h"
#include "ipc/flags.h"
#include "mail/address.h"
#include "mail/dsn.h"
#include "room.h"
#include "sent.h"
#include "submit.h"
#include "text.h"

#include <stdio.h>
#include <sys/queue.h>
#include <unistd.h>

#define DRAFTS_PER_SESSION 4u
#define SESSIONS_MAX 2000000u
#define BODY_IN_MEMORY_MAX (64u << 10)
#define DRAFTS_MAX (256u << 20) /* bytes of bodies and recipients, all drafts together */
#define STATUS_MAX 64u /* looks into the spool for DRAFT_STATUS_ASK, at a time */
#define NO_UID UINT64_MAX

enum draft_state { DRAFT_OPEN, DRAFT_FILED, DRAFT_SEALED, DRAFT_COMMITTING };

struct session {
	uint64_t number, worker, listener, role, uid;
	struct generation *generation; /* held */
	char client[65], local[65];
	uint64_t local_port;
	char login[256];
	LIST_HEAD(, draft) drafts;
	unsigned draft_count;
	bool closed; /* goes with its last draft */
	bool orphan; /* the gate that attested it is gone: it goes with its worker */
};

struct draft {
	LIST_ENTRY(draft) peers;
	struct session *session;
	uint64_t number;
	enum draft_state state;
	struct link *link; /* borrowed; NULL: the worker has gone */
	uint64_t request; /* DRAFT_COMMIT or DRAFT_FILE_ASK, to be answered */
	bool opening; /* a file task is under way */
	bool unwanted; /* to be freed when that is over */
	size_t counted; /* its part of `draft_bytes` */
	struct submission sub;
};

/* ---- sessions that have ended: what their workers said before they knew is no lie ---- */

#define ENDED_MAX 16384u

struct ended {
	uint64_t session, worker;
};

static void remember_end(struct queue *q, const struct session *s)
{
	struct ended *e = mem_new(1, sizeof(*e));
	struct ended *oldest = q->ended_ring[q->ended_next];

	if (oldest != NULL)
		map_take_u64(q->ended, oldest->session);
	free(oldest);
	q->ended_ring[q->ended_next] = NULL;
	if (e == NULL || !map_put_u64(q->ended, s->number, e)) {
		free(e);
		return;
	}
	*e = (struct ended){s->number, s->worker};
	q->ended_ring[q->ended_next] = e;
	q->ended_next = (q->ended_next + 1) % ENDED_MAX;
}

static bool has_ended(const struct queue *q, uint64_t session, uint64_t worker)
{
	const struct ended *e = map_find_u64(q->ended, session);

	return e != NULL && e->worker == worker;
}

void draft_start(struct queue *q)
{
	q->ended = map_new(ENDED_MAX);
	q->ended_ring = mem_new(ENDED_MAX, sizeof(*q->ended_ring));
	if (q->ended == NULL || q->ended_ring == NULL)
		log_fatal("sessions", 0);
}

/* ---- sessions ---- */

static void session_free(struct queue *q, struct session *s)
{
	map_take_u64(q->sessions, s->number);
	remember_end(q, s);
	generation_release(q->service, &s->generation);
	free(s);
}

static struct session *session_new(struct queue *q, const struct msg_SESSION_OPEN *open)
{
	struct session *s = mem_new(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->number = open->session;
	s->worker = open->worker;
	s->role = open->role;
	s->uid = open->uid;
	LIST_INIT(&s->drafts);
	s->local_port = open->local_port;
	if (!slice_copy(open->client, s->client, sizeof(s->client)) || !slice_copy(open->local, s->local, sizeof(s->local)) || !map_put_u64(q->sessions, s->number, s)) {
		free(s);
		return NULL;
	}
	s->generation = generation_of_session(q->service, open, &s->listener);
	return s;
}

void draft_on_session_open(struct queue *q, struct link *link, struct ipc_message *m)
{
	const struct msg_SESSION_OPEN *open = &m->body.SESSION_OPEN;

	if (open->session > q->newest_session)
		q->newest_session = open->session;
	if (map_find_u64(q->sessions, open->session) != NULL) {
		link_break(link, "a session opened twice");
		return;
	}
	if (session_new(q, open) == NULL) /* its worker will be told 451: the session is not known */
		LOG(LEVEL_WARN, "session-not-kept", KV_SESSION(open->session));
}

static void draft_free(struct queue *q, struct draft *d)
{
	struct session *s = d->session;

	LIST_REMOVE(d, peers);
	s->draft_count--;
	q->draft_bytes -= d->counted;
	submission_clear(&d->sub);
	free(d);
	if (s->closed && s->draft_count == 0)
		session_free(q, s);
}

struct drop_task {
	struct crew_task task;
	struct spool *spool;
	uint64_t id;
};

static void run_drop(struct crew_task *task)
{
	struct drop_task *t = (struct drop_task *)(void *)task;

	spool_draft_remove(t->spool, t->id);
}

static void on_dropped(struct crew_task *task)
{
	free(task);
}

static void drop_file(struct queue *q, uint64_t id)
{
	struct drop_task *t = mem_new(1, sizeof(*t));

	if (t == NULL)
		return; /* swept at the next start */
	*t = (struct drop_task){{NULL, NULL, run_drop, on_dropped}, q->spool, id};
	crew_give(q->writers, id, &t->task);
}

/* What is being committed goes on without its worker; what a task works on goes when that is over. */
static void draft_abandon(struct queue *q, struct draft *d)
{
	if (d->state == DRAFT_COMMITTING) {
		d->link = NULL;
		return;
	}
	if (d->opening) {
		d->link = NULL;
		d->unwanted = true;
		return;
	}
	if (d->sub.in_file)
		drop_file(q, d->sub.mail.id);
	draft_free(q, d);
}

static void session_end(struct queue *q, struct session *s)
{
	struct draft *d = LIST_FIRST(&s->drafts), *next;

	s->closed = true;
	if (d == NULL) {
		session_free(q, s);
		return;
	}
	for (; d != NULL; d = next) { /* the last one takes the session with it */
		next = LIST_NEXT(d, peers);
		draft_abandon(q, d);
	}
}

void draft_on_session_close(struct queue *q, struct link *link, struct ipc_message *m)
{
	struct session *s = map_find_u64(q->sessions, m->body.SESSION_CLOSE.session);

	(void)link;
	if (s != NULL && !s->closed)
		session_end(q, s);
}

static void drain_role(struct queue *q, enum role role)
{
	struct link *link = service_link(q->service, role, SERVICE_ANY);

	if (link != NULL)
		link_drain(link);
}

/* What the gate said of it may still wait in its link.  Other sessions may end here. */
static struct session *session_known(struct queue *q, uint64_t number)
{
	struct session *s = map_find_u64(q->sessions, number);

	if (s != NULL || map_find_u64(q->ended, number) != NULL)
		return s;
	drain_role(q, ROLE_GATE);
	return map_find_u64(q->sessions, number);
}

void draft_on_session_login(struct queue *q, struct link *link, struct ipc_message *m)
{
	struct session *s = session_known(q, m->body.SESSION_LOGIN.session);

	(void)link;
	if (s != NULL && !s->closed)
		(void)slice_copy(m->body.SESSION_LOGIN.login, s->login, sizeof(s->login));
}

struct gone {
	struct queue *q;
	uint64_t worker;
	struct link *link;
};

static bool drop_drafts_of(struct slice key, void *value, void *arg)
{
	struct gone *gone = arg;
	struct session *s = value;
	struct draft *d, *next;

	(void)key;
	for (d = LIST_FIRST(&s->drafts); d != NULL; d = next) {
		bool last = s->closed && s->draft_count == 1;

		next = LIST_NEXT(d, peers);
		if (d->link == gone->link)
			draft_abandon(gone->q, d);
		if (last)
			break;
	}
	return true;
}

/* A new gate knows nothing of the sessions of the old one; their connections live on in the workers. */
static bool orphan_session(struct slice key, void *value, void *arg)
{
	struct session *s = value;

	(void)key;
	(void)arg;
	s->orphan = true;
	return true;
}

static bool end_orphan(struct slice key, void *value, void *arg)
{
	struct gone *gone = arg;
	struct session *s = value;

	(void)key;
	if (s->orphan && !s->closed && s->worker == gone->worker)
		session_end(gone->q, s);
	return true;
}

#define INTRODUCED_MS 10000u

/* A gate tells a new queue of all its sessions; their workers may be faster. */
void draft_link_up(struct queue *q, const struct link *link)
{
	if (link_peer(link) != ROLE_GATE)
		return;
	q->introduced_until_ms = clock_mono_ms() + INTRODUCED_MS;
	q->newest_session = 0;
}

void draft_link_down(struct queue *q, struct link *link)
{
	struct gone gone = {q, link_instance(link), link};

	if (link_peer(link) == ROLE_SMTPD) {
		map_each(q->sessions, drop_drafts_of, &gone);
		map_each(q->sessions, end_orphan, &gone);
	}
	if (link_peer(link) == ROLE_GATE)
		map_each(q->sessions, orphan_session, NULL);
}

/* ---- drafts ---- */

/* No such session here, and yet its worker may be honest: it has just ended, or the gate (which counts upwards) has not told of it
 * yet, or tells all again. */
static bool may_be_honest(const struct queue *q, const struct link *link, uint64_t number)
{
	return number > q->newest_session || has_ended(q, number, link_instance(link)) ||
	       clock_mono_ms() < q->introduced_until_ms;
}

/* The session, if it is this worker's.  NULL: it has ended (and what is said of it is passed over), is not told of yet, or the
 * link has been cut. */
static struct session *session_of(struct queue *q, struct link *link, uint64_t number)
{
	struct session *s = session_known(q, number);

	if (s == NULL && may_be_honest(q, link, number))
		return NULL;
	if (s == NULL || s->worker != link_instance(link)) {
		link_break(link, "a session that was not given to it");
		return NULL;
	}
	return s->closed ? NULL : s;
}

static struct draft *draft_find(struct session *s, uint64_t number)
{
	struct draft *d;

	LIST_FOREACH(d, &s->drafts, peers)
		if (d->number == number)
			return d;
	return NULL;
}

#define IN(state) (1u << (state))

/* The draft, if it may be spoken of now.  NULL: as above. */
static struct draft *draft_of(struct queue *q, struct link *link, uint64_t session, uint64_t number, unsigned allowed)
{
	struct session *s = session_of(q, link, session);
	struct draft *d = s == NULL ? NULL : draft_find(s, number);

	if (s != NULL && (d == NULL || (IN(d->state) & allowed) == 0 || d->opening)) {
		link_break(link, "a draft that is not in that state");
		return NULL;
	}
	return d;
}

static bool is_trusted(const struct session *s)
{
	return s->role == LISTENER_LOCAL || s->login[0] != '\0' ||
	       (s->client[0] != '\0' && conf_is_trusted(s->generation->conf, slice_of(s->client)));
}

/* authd tells the login before it tells the worker; its word may wait in its link.  What is heard with it may be the end of
 * this very session, so that is looked up again. */
static struct session *look_for_login(struct queue *q, struct link *link, struct session *s)
{
	uint64_t number = s->number;

	if (s->login[0] != '\0' || s->role == LISTENER_LOCAL)
		return s;
	drain_role(q, ROLE_AUTHD);
	return session_of(q, link, number);
}

/* What rules may ask of it later, whatever the configuration says by then. */
static bool copy_listener(const struct session *s, struct pool *pool, struct spool_mail *mail)
{
	const struct conf *conf = s->generation->conf;
	const struct conf_listener *l = s->listener < conf->listener_count ? &conf->listeners[s->listener] : NULL;

	return l == NULL || (pool_copy(pool, slice_of(l->called), &mail->listener) && pool_copy(pool, slice_of(l->hostname), &mail->hostname));
}

/* Where mail of strangers comes in too, theirs is not withheld. */
static bool withholds_client(const struct session *s)
{
	const struct conf *conf = s->generation->conf;

	return s->login[0] != '\0' && s->listener < conf->listener_count && conf->listeners[s->listener].withholds_client;
}

static bool copy_envelope(struct draft *d, const struct msg_DRAFT_OPEN *open)
{
	struct spool_mail *mail = &d->sub.mail;
	struct pool *pool = &d->sub.pool;
	struct session *s = d->session;

	d->sub.withholds_client = withholds_client(s);
	mail->session = s->number;
	mail->generation = s->generation->number;
	mail->role = s->role;
	mail->uid_plus_1 = s->role == LISTENER_LOCAL && s->uid != NO_UID ? s->uid + 1 : 0;
	mail->flags = open->flags & (JOB_8BIT | JOB_SMTPUTF8);
	mail->local_port = s->local_port;
	mail->raw = (open->flags & JOB_BINARY) != 0;
	mail->ret = open->ret;
	return copy_listener(s, pool, mail) && pool_copy(pool, open->sender, &mail->sender) && pool_copy(pool, open->helo, &mail->helo) &&
	       pool_copy(pool, open->protocol, &mail->protocol) && pool_copy(pool, open->tls, &mail->tls) &&
	       pool_copy(pool, open->envid, &mail->envid) && pool_copy(pool, open->auth, &mail->auth) &&
	       pool_copy(pool, slice_of(s->client), &mail->client) && pool_copy(pool, slice_of(s->local), &mail->local) && pool_copy(pool, slice_of(s->login), &mail->login);
}

/* No honest worker lets these through; they would be lines of their own, or further parameters, in a command somewhere later. */
static bool envelope_is_clean(const struct msg_DRAFT_OPEN *open)
{
	const struct slice texts[] = {open->sender, open->helo, open->protocol, open->tls, open->auth};
	struct mail_address sender;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (text_has_control(texts[i]))
			return false;
	if (!dsn_envid_is_valid(open->envid) || open->ret > DSN_RET_HDRS)
		return false;
	return mail_address_parse(open->sender, MAIL_ALLOW_NULL | MAIL_ALLOW_UTF8, &sender) == MAIL_OK;
}

static bool recipient_is_clean(const struct msg_DRAFT_RCPT *rcpt)
{
	struct mail_address a;

	return dsn_orcpt_is_valid(rcpt->orcpt) && dsn_notify_is_valid(rcpt->notify) &&
	       mail_address_parse(rcpt->recipient, MAIL_ALLOW_POSTMASTER | MAIL_ALLOW_UTF8, &a) == MAIL_OK &&
	       !mail_address_is_routed(&a);
}

/* What a draft holds is counted; the ceiling is that of all together. */
static void count_memory(struct queue *q, struct draft *d)
{
	const struct submission *sub = &d->sub;
	size_t now = sub->body.len + sub->pool.bytes + sub->asked_cap * sizeof(struct asked_rcpt);

	q->draft_bytes += now - d->counted;
	d->counted = now;
}

static bool has_memory(struct queue *q, struct draft *d, size_t more)
{
	if (q->draft_bytes + more <= DRAFTS_MAX)
		return true;
	submission_fail(&d->sub, OC_BUSY, NULL);
	return false;
}

static void check_room(struct queue *q, struct draft *d, uint64_t size)
{
	if (q->draining)
		submission_fail(&d->sub, OC_SHUTTING_DOWN, NULL);
	else if (outcome_kind(d->sub.outcome) == KIND_OK && !disk_accepts(q))
		submission_fail(&d->sub, OC_IO_ERROR, NULL);
	else if (!room_for(q, size))
		submission_fail(&d->sub, OC_SPOOL_FULL, NULL);
	if (size > d->session->generation->conf->set.message_size_max)
		submission_fail(&d->sub, OC_TOO_BIG, NULL);
}

void draft_on_open(struct queue *q, struct link *link, struct ipc_message *m)
{
	const struct msg_DRAFT_OPEN *open = &m->body.DRAFT_OPEN;
	struct session *s = session_of(q, link, open->session);
	struct draft *d;

	if (s != NULL)
		s = look_for_login(q, link, s);
	if (s == NULL)
		return;
	if (draft_find(s, open->draft) != NULL || s->draft_count >= DRAFTS_PER_SESSION) {
		link_break(link, "too many drafts");
		return;
	}
	d = mem_new(1, sizeof(*d));
	if (d == NULL)
		log_fatal("draft", 0);
	d->session = s;
	d->number = open->draft;
	d->link = link;
	submission_init(&d->sub, q);
	d->sub.generation = generation_hold(s->generation);
	d->sub.may_leave = is_trusted(s);
	LIST_INSERT_HEAD(&s->drafts, d, peers);
	s->draft_count++;
	if (!envelope_is_clean(open))
		submission_fail(&d->sub, OC_BAD_ADDRESS, "an envelope with what is no address");
	else if (has_memory(q, d, sizeof(*open)) && !copy_envelope(d, open))
		submission_fail(&d->sub, OC_NO_MEMORY, NULL);
	count_memory(q, d);
	check_room(q, d, open->size);
}

void draft_on_rcpt(struct queue *q, struct link *link, struct ipc_message *m)
{
	const struct msg_DRAFT_RCPT *rcpt = &m->body.DRAFT_RCPT;
	struct draft *d = draft_of(q, link, rcpt->session, rcpt->draft, IN(DRAFT_OPEN));

	if (d == NULL)
		return;
	if (!recipient_is_clean(rcpt))
		submission_fail(&d->sub, OC_BAD_ADDRESS, "an envelope with what is no address");
	else if (d->sub.asked_count >= d->session->generation->conf->set.recipients_max)
		submission_fail(&d->sub, OC_BUSY, "too many recipients");
	else if (has_memory(q, d, rcpt->recipient.len + rcpt->orcpt.len) &&
		 !submission_add_rcpt(&d->sub, &(struct asked_rcpt){.address = rcpt->recipient, .orcpt = rcpt->orcpt, .notify = rcpt->notify}))
		submission_fail(&d->sub, OC_NO_MEMORY, NULL);
	count_memory(q, d);
}

void draft_on_data(struct queue *q, struct link *link, struct ipc_message *m)
{
	const struct msg_DRAFT_DATA *data = &m->body.DRAFT_DATA;
	struct draft *d = draft_of(q, link, data->session, data->draft, IN(DRAFT_OPEN));

	if (d == NULL)
		return;
	if (d->sub.body.len + data->data.len > BODY_IN_MEMORY_MAX) {
		link_break(link, "more data than a draft in memory takes");
		return;
	}
	if (has_memory(q, d, data->data.len) && !buf_add_slice(&d->sub.body, data->data))
		submission_fail(&d->sub, OC_NO_MEMORY, NULL);
	count_memory(q, d);
}

/* ---- a body in a file ---- */

struct file_task {
	struct crew_task task;
	struct queue *q;
	struct draft *draft;
	uint64_t id;
	struct slice head; /* borrowed from the draft */
	int fd, err;
	enum outcome outcome;
};

static void run_file(struct crew_task *task)
{
	struct file_task *f = (struct file_task *)(void *)task;

	f->outcome = spool_draft_open(f->q->spool, f->id, f->head, &f->fd, &f->err);
}

static void answer_file(struct draft *d, enum outcome outcome, int fd)
{
	const struct msg_DRAFT_FILE answer = {outcome, d->sub.head.len};

	if (d->link != NULL)
		link_answer(d->link, d->request, IPC_DRAFT_FILE, &answer, fd);
	else if (fd != -1)
		(void)close(fd);
}

static void on_file(struct crew_task *task)
{
	struct file_task *f = (struct file_task *)(void *)task;
	struct draft *d = f->draft;

	d->opening = false;
	d->sub.in_file = f->outcome == OC_DONE;
	if (f->outcome != OC_DONE) {
		queue_trouble("spool-draft-failed", f->id, f->err);
		disk_failed(f->q, f->err);
		submission_fail(&d->sub, f->outcome, NULL);
	}
	answer_file(d, f->outcome, f->fd);
	d->state = DRAFT_FILED;
	if (d->unwanted)
		draft_abandon(f->q, d);
	free(f);
}

void draft_on_file_ask(struct queue *q, struct link *link, struct ipc_message *m)
{
	const struct msg_DRAFT_FILE_ASK *ask = &m->body.DRAFT_FILE_ASK;
	struct draft *d = draft_of(q, link, ask->session, ask->draft, IN(DRAFT_OPEN));
	struct file_task *f;

	if (d == NULL) {
		link_answer(link, m->request, IPC_DRAFT_FILE, &(struct msg_DRAFT_FILE){OC_UNAVAILABLE, 0}, -1);
		return;
	}
	if (d->sub.body.len > 0) {
		link_break(link, "a draft in memory and in a file");
		return;
	}
	d->request = m->request;
	d->sub.mail.id = spool_id_next(&q->ids, (int64_t)d->sub.mail.arrived_ms);
	f = mem_new(1, sizeof(*f));
	if (f == NULL || outcome_kind(d->sub.outcome) != KIND_OK || !spool_encode_head(&d->sub.mail, &d->sub.head)) {
		free(f);
		submission_fail(&d->sub, OC_NO_MEMORY, NULL);
		answer_file(d, d->sub.outcome, -1);
		return;
	}
	*f = (struct file_task){{NULL, NULL, run_file, on_file}, q, d, d->sub.mail.id, buf_slice(&d->sub.head), -1, 0, OC_DONE};
	d->opening = true;
	crew_give(q->writers, f->id, &f->task);
}

void draft_on_seal(struct queue *q, struct link *link, struct ipc_message *m)
{
	const struct msg_DRAFT_SEAL *seal = &m->body.DRAFT_SEAL;
	struct draft *d = draft_of(q, link, seal->session, seal->draft, IN(DRAFT_OPEN) | IN(DRAFT_FILED));

	if (d == NULL)
		return;
	if (d->sub.in_file)
		d->sub.mail.body_length = seal->length;
	else if (seal->length != d->sub.body.len && outcome_kind(d->sub.outcome) == KIND_OK)
		submission_fail(&d->sub, OC_IO_ERROR, "the body is not of the length that was announced");
	check_room(q, d, seal->length);
	d->state = DRAFT_SEALED;
}

/* ---- commit ---- */

static void answer_committed(struct draft *d)
{
	const struct submission *sub = &d->sub;
	const struct msg_COMMITTED committed = {
		.outcome = sub->outcome,
		.id = sub->mail.id,
		.code = sub->code,
		.dsn = slice_of(sub->dsn),
		.text = slice_of(sub->text),
		.rule = slice_of(sub->rule),
	};

	if (d->link != NULL)
		link_answer(d->link, d->request, IPC_COMMITTED, &committed, -1);
}

static void answer_not_committed(struct link *link, uint64_t request)
{
	const struct outcome_info *info = outcome_info(OC_UNAVAILABLE);
	const struct msg_COMMITTED committed = {OC_UNAVAILABLE, 0, info->smtp, slice_of(info->dsn), slice_of(info->text),
						slice_empty()};

	link_answer(link, request, IPC_COMMITTED, &committed, -1);
}

static void on_committed(struct submission *sub, void *arg)
{
	struct draft *d = arg;

	if (outcome_kind(sub->outcome) != KIND_OK)
		LOG(LEVEL_INFO, "not-accepted", KV_SESSION(d->session->number), KV_TEXT("sender", sub->mail.sender),
		    KV_STR("outcome", outcome_info(sub->outcome)->name), KV_STR("text", sub->text),
		    KV_STR("rule", sub->rule));
	answer_committed(d);
	draft_free(sub->q, d);
}

void draft_on_commit(struct queue *q, struct link *link, struct ipc_message *m)
{
	const struct msg_DRAFT_COMMIT *commit = &m->body.DRAFT_COMMIT;
	struct draft *d = draft_of(q, link, commit->session, commit->draft, IN(DRAFT_SEALED));

	if (d == NULL) {
		answer_not_committed(link, m->request);
		return;
	}
	d->request = m->request;
	d->state = DRAFT_COMMITTING;
	d->sub.mail.hold = commit->hold != 0;
	if (!text_is_header_block(commit->prepend))
		submission_fail(&d->sub, OC_IO_ERROR, "header lines that are none");
	if (d->sub.asked_count == 0)
		submission_fail(&d->sub, OC_BAD_INPUT, "no recipients");
	if (!pool_copy(&d->sub.pool, commit->tags, &d->sub.mail.tags) ||
	    !pool_copy(&d->sub.pool, commit->rule, &d->sub.mail.rule) ||
	    !pool_copy(&d->sub.pool, commit->prepend, &d->sub.uninvited) ||
	    !pool_copy(&d->sub.pool, commit->header_names, &d->sub.mail.header_names))
		submission_fail(&d->sub, OC_NO_MEMORY, NULL);
	if (d->sub.may_leave && outcome_kind(d->sub.outcome) == KIND_OK)
		sent_note(q, d->sub.mail.sender);
	d->sub.done = on_committed;
	d->sub.arg = d;
	submission_commit(&d->sub);
}

void draft_on_abort(struct queue *q, struct link *link, struct ipc_message *m)
{
	const struct msg_DRAFT_ABORT *abort_ = &m->body.DRAFT_ABORT;
	struct session *s = session_of(q, link, abort_->session);
	struct draft *d = s == NULL ? NULL : draft_find(s, abort_->draft);

	if (d != NULL)
		draft_abandon(q, d);
}

/* ---- after a broken link: is it ours? ---- */

struct status_task {
	struct crew_task task;
	struct queue *q;
	uint64_t session, instance, request, id;
	enum spool_load load;
	bool is_its_own; /* came in that session: nobody hears of others' mail */
};

static void run_status(struct crew_task *task)
{
	struct status_task *t = (struct status_task *)(void *)task;
	struct spool_loaded loaded;
	int err;

	t->load = spool_load(t->q->spool, t->id, &loaded, &err);
	t->is_its_own = t->load == LOAD_OK && loaded.mail.session == t->session;
	if (t->is_its_own && spool_make_durable(t->q->spool, t->id, loaded.folder) != 0) /* its queue may have died before it was */
		t->load = LOAD_ERROR;
	spool_loaded_free(&loaded);
}

static void on_status(struct crew_task *task)
{
	static const enum outcome outcomes[] = {
		[LOAD_OK] = OC_DONE,		     [LOAD_NOT_THERE] = OC_NOT_FOUND, [LOAD_UNFINISHED] = OC_NOT_FOUND,
		[LOAD_CORRUPT] = OC_UNAVAILABLE,     [LOAD_NEWER] = OC_UNAVAILABLE,   [LOAD_ERROR] = OC_UNAVAILABLE,
	};
	struct status_task *t = (struct status_task *)(void *)task;
	struct link *link = service_link(t->q->service, ROLE_SMTPD, t->instance);
	bool anothers = t->load == LOAD_OK && !t->is_its_own, is_none = anothers || ending_is_under_way(t->q, t->id);
	const struct msg_DRAFT_STATUS status = {is_none ? OC_NOT_FOUND : outcomes[t->load], t->id};

	t->q->status_asked--;
	if (link != NULL)
		link_answer(link, t->request, IPC_DRAFT_STATUS, &status, -1);
	free(t);
}

void draft_on_status_ask(struct queue *q, struct link *link, struct ipc_message *m)
{
	const struct msg_DRAFT_STATUS_ASK *ask = &m->body.DRAFT_STATUS_ASK;
	struct status_task *t;

	if (session_of(q, link, ask->session) == NULL || q->status_asked >= STATUS_MAX) {
		link_answer(link, m->request, IPC_DRAFT_STATUS, &(struct msg_DRAFT_STATUS){OC_UNAVAILABLE, ask->id}, -1);
		return;
	}
	t = mem_new(1, sizeof(*t));
	if (t == NULL)
		log_fatal("draft status", 0);
	*t = (struct status_task){.task = {NULL, NULL, run_status, on_status},
				  .q = q,
				  .session = ask->session,
				  .instance = link_instance(link),
				  .request = m->request,
				  .id = ask->id,
				  .load = LOAD_ERROR};
	q->status_asked++;
	crew_give(q->writers, ask->id, &t->task);
}
