#include "conn.h"

#include "base/log.h"
#include "base/mem.h"
#include "ipc/flags.h"
#include "service/service.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define FILE_MS 30000u
#define TLS_TEXT_MAX 500u /* as DRAFT_OPEN carries it */
/* The client waits 10 minutes (RFC 5321 §4.5.3.2.6), but not every client has read that. */
#define COMMIT_MS 60000u

static bool tell(struct conn *c, enum ipc_type type, const void *body)
{
	struct ports *p = &c->worker->ports;

	return p->tell(p->arg, ROLE_QUEUE, type, body);
}

/* The queue that was told of this draft is the one there is. */
static bool is_known(const struct conn *c)
{
	return c->draft.queue_lost == c->worker->lost[ROLE_QUEUE];
}

static void close_file(struct draft *d)
{
	if (d->fd != -1)
		close(d->fd);
	d->fd = -1;
}

void draft_drop(struct conn *c)
{
	close_file(&c->draft);
	c->draft.state = DRAFT_NONE;
}

bool draft_is_over(const struct conn *c)
{
	const struct session *s = &c->session;

	return c->draft.state != DRAFT_NONE &&
	       (s->transaction == NULL || s->transactions != c->draft.transaction);
}

void draft_abort(struct conn *c)
{
	const struct msg_DRAFT_ABORT aborted = {c->session.place.number, c->draft.number};

	if (c->draft.state != DRAFT_NONE && is_known(c))
		(void)tell(c, IPC_DRAFT_ABORT, &aborted);
	draft_drop(c);
}

/* ---- opening ---- */

/* For the comment in Received (RFC 3848 says only "S"). */
static void tls_text(const struct session *s, struct buf *out)
{
	const struct tls_peer *client = s->tls.client;
	struct slice names = slice_of(client == NULL ? "" : client->names), first = slice_empty();

	if (!s->tls.active)
		return;
	buf_addf(out, "%s %s %u bits", s->tls.version, s->tls.cipher, s->tls.bits);
	if (s->tls.sni[0] != '\0')
		buf_addf(out, ", asked for %s", s->tls.sni);
	if (client == NULL)
		return;
	(void)slice_cut(&names, ' ', &first);
	if (client->verified && first.len > 0)
		buf_addf(out, ", verified client %.*s", SLICE_ARG(slice_sub(first, 0, 100)));
	else
		buf_addf(out, ", %sclient sha256 %s", client->verified ? "verified " : "unverified ", client->fingerprint);
}

/* A body that is not all here yet needs what the client said it would, and what was seen. */
static uint64_t needs_of(const struct transaction *t)
{
	uint64_t declared = (t->body_8bit ? (uint64_t)JOB_8BIT : 0) |
			    (t->smtputf8 && !header_is_ended(&t->header) ? (uint64_t)JOB_SMTPUTF8 : 0);

	return transaction_needs(t) | (transaction_is_over(t) ? 0 : declared);
}

static bool tell_open(struct conn *c)
{
	const struct session *s = &c->session;
	const struct transaction *t = s->transaction;
	struct buf tls = buf_make(TLS_TEXT_MAX);
	bool told;
	struct msg_DRAFT_OPEN open = {
		.session = s->place.number,
		.draft = c->draft.number,
		.flags = needs_of(t),
		.size = transaction_is_over(t) ? t->body_bytes : t->size_declared,
		.sender = mail_address_text(&t->sender),
		.helo = slice_of(s->helo),
		.protocol = slice_of(session_protocol(s)),
		.envid = slice_of(t->envid),
		.ret = t->ret,
		.auth = slice_of(t->auth),
	};

	tls_text(s, &tls);
	open.tls = buf_slice(&tls);
	told = tell(c, IPC_DRAFT_OPEN, &open);
	buf_free(&tls);
	return told;
}

static bool tell_recipients(struct conn *c)
{
	const struct session *s = &c->session;
	struct transaction_recipient r;
	size_t at = 0;

	while (transaction_next_recipient(s->transaction, &at, &r)) {
		const struct msg_DRAFT_RCPT rcpt = {s->place.number, c->draft.number, r.notify, r.address, r.orcpt};

		if (!tell(c, IPC_DRAFT_RCPT, &rcpt))
			return false;
	}
	return true;
}

/* On failure the draft may be half open there: it is given up. */
static bool open_draft(struct conn *c)
{
	c->draft.number++;
	c->draft.transaction = c->session.transactions;
	c->draft.queue_lost = c->worker->lost[ROLE_QUEUE];
	c->draft.fd = -1;
	return tell_open(c) && tell_recipients(c);
}

/* ---- a large body ---- */

static enum outcome outcome_of_errno(int err)
{
	return err == ENOSPC || err == EDQUOT || err == EFBIG ? OC_SPOOL_FULL : OC_IO_ERROR;
}

static enum outcome write_piece(struct draft *d, struct slice piece)
{
	while (piece.len > 0) {
		ssize_t n = pwrite(d->fd, piece.at, piece.len, (off_t)d->offset);

		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			return outcome_of_errno(n == 0 ? ENOSPC : errno);
		d->offset += (uint64_t)n;
		piece = slice_from(piece, (size_t)n);
	}
	return OC_DONE;
}

static void stored(struct conn *c, enum outcome outcome)
{
	if (outcome != OC_DONE) {
		LOG(LEVEL_WARN, "draft-failed", KV_SESSION(c->session.place.number),
		    KV_STR("outcome", outcome_info(outcome)->name));
		draft_abort(c);
	}
	c->asked = false;
	session_stored(&c->session, outcome);
}

static bool store_piece(struct conn *c)
{
	const struct transaction *t = c->session.transaction;

	if (!is_known(c))
		stored(c, OC_UNAVAILABLE);
	else if (t->store_outcome != OC_DONE)
		stored(c, t->store_outcome);
	else
		stored(c, write_piece(&c->draft, buf_slice(&t->piece)));
	return true;
}

static void on_file(struct conn *c, struct ipc_message *m)
{
	struct draft *d = &c->draft;

	if (d->state != DRAFT_FILING)
		return;
	if (m == NULL || m->body.DRAFT_FILE.outcome != OC_DONE || m->fd == -1) {
		c->session.leaving = c->session.leaving ||
				     m == NULL; /* the queue may be left with a draft of ours */
		stored(c, m == NULL || m->body.DRAFT_FILE.outcome == OC_DONE
				  ? OC_UNAVAILABLE
				  : m->body.DRAFT_FILE.outcome);
		return;
	}
	d->fd = m->fd;
	m->fd = -1;
	d->offset = m->body.DRAFT_FILE.offset;
	d->state = DRAFT_FILED;
	store_piece(c);
}

static bool open_file(struct conn *c)
{
	const struct msg_DRAFT_FILE_ASK ask = {c->session.place.number, c->draft.number + 1};

	c->draft.state = DRAFT_FILING;
	if (!open_draft(c)) {
		stored(c, OC_UNAVAILABLE);
		return true;
	}
	conn_ask(c, ROLE_QUEUE, IPC_DRAFT_FILE_ASK, &ask, FILE_MS, on_file);
	return false;
}

bool draft_store(struct conn *c)
{
	if (c->draft.state == DRAFT_FILED)
		return store_piece(c);
	if (c->session.transaction->store_outcome == OC_DONE)
		return open_file(c);
	stored(c, c->session.transaction->store_outcome); /* it failed before: the rest is only read */
	return true;
}

/* ---- commit ---- */

static void committed(struct conn *c, const struct session_verdict *v, uint64_t id)
{
	c->asked = false;
	c->worker->accepted_messages += v->outcome == OC_DONE;
	session_committed(&c->session, v, id);
}

static void on_committed(struct conn *c, struct ipc_message *m)
{
	struct session_verdict v = session_verdict_of(OC_UNAVAILABLE);
	uint64_t id = 0;

	if (m != NULL) {
		const struct msg_COMMITTED *b = &m->body.COMMITTED;

		v = (struct session_verdict){b->outcome, b->code, b->dsn, b->text, b->rule, 0, false};
		id = b->id;
	}
	draft_drop(c);
	c->session.leaving = c->session.leaving || m == NULL;
	committed(c, &v, id);
}

static bool fail_commit(struct conn *c, enum outcome outcome)
{
	const struct session_verdict v = session_verdict_of(outcome);

	draft_abort(c);
	committed(c, &v, 0);
	return true;
}

static bool tell_small_body(struct conn *c, struct slice piece)
{
	const struct msg_DRAFT_DATA data = {c->session.place.number, c->draft.number, piece};

	return piece.len == 0 || tell(c, IPC_DRAFT_DATA, &data);
}

/* All in memory, or the last piece of what is in the file. */
static enum outcome hand_over_body(struct conn *c)
{
	struct slice piece = buf_slice(&c->session.transaction->piece);
	enum outcome outcome;

	if (c->draft.state != DRAFT_FILED) {
		c->draft.state = DRAFT_COMMITTING;
		return open_draft(c) && tell_small_body(c, piece) ? OC_DONE : OC_UNAVAILABLE;
	}
	if (!is_known(c))
		return OC_UNAVAILABLE;
	outcome = write_piece(&c->draft, piece);
	close_file(&c->draft);
	c->draft.state = DRAFT_COMMITTING;
	return outcome;
}

static void ask_commit(struct conn *c)
{
	const struct session *s = &c->session;
	struct buf tags = session_all_tags(s);
	struct header_names *names = &s->transaction->names;
	struct msg_DRAFT_COMMIT commit = {
		.session = s->place.number,
		.draft = c->draft.number,
		.hold = s->transaction->hold,
		.rule = slice_of(s->transaction->rule),
		.prepend = buf_slice(&s->transaction->prepend),
	};

	header_names_add_header(names, commit.prepend);
	commit.tags = buf_slice(&tags);
	commit.header_names = header_names_text(names);
	conn_ask(c, ROLE_QUEUE, IPC_DRAFT_COMMIT, &commit, COMMIT_MS, on_committed);
	buf_free(&tags);
}

bool draft_commit(struct conn *c)
{
	const struct transaction *t = c->session.transaction;
	enum outcome outcome = hand_over_body(c);
	const struct msg_DRAFT_SEAL seal = {c->session.place.number, c->draft.number,
					    t->stored_bytes + t->piece.len};

	if (outcome == OC_DONE && !tell(c, IPC_DRAFT_SEAL, &seal))
		outcome = OC_UNAVAILABLE;
	if (outcome != OC_DONE)
		return fail_commit(c, outcome);
	ask_commit(c);
	return false;
}
