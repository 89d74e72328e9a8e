#include "conn.h"

#include "base/log.h"
#include "base/mem.h"
#include "ipc/flags.h"
#include "service/service.h"

#include <stdlib.h>

#define LOGIN_MS 30000u

struct ticket {
	LIST_ENTRY(ticket) peers;
	struct conn *conn; /* NULL: gone */
	conn_answer_fn *fn;
};

static void on_answer(struct ipc_message *m, void *arg)
{
	struct ticket *t = arg;
	struct conn *c = t->conn;
	conn_answer_fn *fn = t->fn;

	if (c != NULL)
		LIST_REMOVE(t, peers);
	free(t);
	if (c == NULL)
		return;
	fn(c, m);
	conn_run(c);
}

void conn_ask(struct conn *c, enum role role, enum ipc_type type, const void *body,
	      uint64_t timeout_ms, conn_answer_fn *fn)
{
	struct ports *p = &c->worker->ports;
	struct ticket *t = mem_new(1, sizeof(*t));

	if (t == NULL)
		log_fatal("question", 0);
	t->conn = c;
	t->fn = fn;
	LIST_INSERT_HEAD(&c->tickets, t, peers);
	p->ask(p->arg, role, type, body, timeout_ms, on_answer, t);
}

void conn_forget_asks(struct conn *c)
{
	struct ticket *t;

	while ((t = LIST_FIRST(&c->tickets)) != NULL) {
		LIST_REMOVE(t, peers);
		t->conn = NULL;
	}
}

/* ---- policy ---- */

static uint64_t recipients_so_far(const struct session *s)
{
	if (s->transaction == NULL)
		return 0;
	return s->transaction->recipient_count + (s->stage == STAGE_RCPT ? 1 : 0);
}

static uint64_t size_so_far(const struct session *s)
{
	if (s->transaction == NULL)
		return 0;
	return s->stage == STAGE_DATA ? s->transaction->body_bytes : s->transaction->size_declared;
}

static bool take_effects(struct session *s, struct slice records)
{
	struct rec_effect effect;

	while (rec_effect_next(&records, &effect))
		if (!session_effect(s, effect.kind, effect.text))
			return false;
	return records.len == 0;
}

static void on_policy(struct conn *c, struct ipc_message *m)
{
	struct session_verdict v = session_verdict_of(OC_LOOKUP_UNKNOWN);

	/* A policyd that started anew knows nothing of the login, and its answer would be a refusal. */
	if (m != NULL && !c->login_lost) {
		const struct msg_POLICY_ANSWER *a = &m->body.POLICY_ANSWER;

		v = (struct session_verdict){a->outcome, a->code,     a->dsn,	    a->text,
					     a->rule,	 a->delay_ms, a->close != 0};
		if (!take_effects(&c->session, a->effects_records)) {
			v = session_verdict_of(OC_UNAVAILABLE);
			v.rule = a->rule;
		}
	}
	c->asked = false;
	session_policy_answered(&c->session, &v);
}

bool ask_policy(struct conn *c)
{
	const struct session *s = &c->session;
	const struct transaction *t = s->transaction;
	const struct tls_peer *client = s->tls.client;
	bool about_header = t != NULL && s->stage == STAGE_DATA && t->watches_from;
	bool about_rcpt = t != NULL && s->stage == STAGE_RCPT;
	struct buf tags = session_all_tags(s);
	const struct msg_POLICY_ASK ask = {
		.session = s->place.number,
		.generation = c->generation->number,
		.stage = s->stage,
		.flags = (s->early ? POLICY_EARLY : 0u) | (s->pipelined ? POLICY_PIPELINED : 0u) |
			 (about_header && (t->from_unclear || t->header.loose) ? POLICY_FROM_UNCLEAR : 0u),
		.helo = slice_of(session_helo(s)),
		.sender = t == NULL ? slice_empty() : mail_address_text(&t->sender),
		.recipient = about_rcpt ? mail_address_text(&t->candidate) : slice_empty(),
		.recipient_count = recipients_so_far(s),
		.size = size_so_far(s),
		.tls_version = slice_of(s->tls.version),
		.tls_cipher = slice_of(s->tls.cipher),
		.tls_sni = slice_of(s->tls.sni),
		.tags = buf_slice(&tags),
		.tls_client_verified = client != NULL && client->verified,
		.tls_client_fingerprint = slice_of(client == NULL ? "" : client->fingerprint),
		.tls_client_names = slice_of(client == NULL ? "" : client->names),
		.from = about_header ? buf_slice(&t->from) : slice_empty(),
		.from_sender = slice_of(about_header ? t->from_sender : ""),
		.transaction = t == NULL ? 0 : s->transactions,
	};

	conn_ask(c, ROLE_POLICYD, IPC_POLICY_ASK, &ask, LINK_ASK_MS, on_policy);
	buf_free(&tags);
	return false;
}

/* ---- rewriting ---- */

static void on_rewrite(struct conn *c, struct ipc_message *m)
{
	const struct msg_REWRITE_ANSWER *a = m == NULL || c->login_lost ? NULL : &m->body.REWRITE_ANSWER;

	c->asked = false;
	session_rewritten(&c->session, a == NULL ? OC_LOOKUP_UNKNOWN : a->outcome,
			  a == NULL ? slice_empty() : a->rewritten_records);
}

bool ask_rewrite(struct conn *c)
{
	const struct session *s = &c->session;
	const struct msg_REWRITE_ASK ask = {
		.session = s->place.number,
		.generation = c->generation->number,
		.sender = mail_address_text(&s->transaction->sender),
		.rewrite_address_records = buf_slice(&s->transaction->rewrite.records),
	};

	conn_ask(c, ROLE_POLICYD, IPC_REWRITE_ASK, &ask, LINK_ASK_MS, on_rewrite);
	return false;
}

/* ---- logins ---- */

/* Both are told of a login by authd, and only once. */
static uint64_t witnesses_lost(const struct worker *w)
{
	return w->lost[ROLE_QUEUE] + w->lost[ROLE_POLICYD];
}

static void on_login(struct conn *c, struct ipc_message *m)
{
	bool known = m != NULL && c->login_witness == witnesses_lost(c->worker);
	struct session_login answer = {OC_AUTH_UNAVAILABLE, slice_empty(), slice_empty(), slice_empty()};

	if (known) {
		const struct msg_AUTH_RESULT *r = &m->body.AUTH_RESULT;

		answer = (struct session_login){r->outcome, r->login, r->reason, r->challenge};
	}
	c->asked = false;
	c->dialogue = answer.outcome == OC_AUTH_CONTINUE;
	session_login_answered(&c->session, &answer);
}

/* Its fingerprint and its names, where a trusted certificate vouches for them. */
static void known_by(const struct session *s, struct buf *out)
{
	const struct tls_peer *client = s->tls.client;

	if (s->sasl.mechanism == MECHANISM_EXTERNAL && client != NULL && client->verified)
		(void)buf_addf(out, client->names[0] == '\0' ? "%s" : "%s %s", client->fingerprint, client->names);
}

static void start_dialogue(struct conn *c)
{
	const struct session *s = &c->session;
	struct buf certificate = buf_make(sizeof(s->tls.client->fingerprint) + sizeof(s->tls.client->names));
	struct msg_AUTH_START start = {
		.session = s->place.number,
		.generation = c->generation->number,
		.mechanism = s->sasl.mechanism,
		.has_response = s->sasl.has_initial,
		.response = buf_slice(&s->sasl.response),
		.exporter = slice_make(s->tls.exporter, s->tls.exporter_len),
		.end_point = slice_make(s->tls.end_point, s->tls.end_point_len),
	};

	known_by(s, &certificate);
	start.certificate = slice_of(buf_text(&certificate));
	conn_ask(c, ROLE_AUTHD, IPC_AUTH_START, &start, LOGIN_MS, on_login);
	buf_free(&certificate);
}

bool ask_login(struct conn *c)
{
	const struct msg_AUTH_NEXT next = {c->session.place.number, buf_slice(&c->session.sasl.response)};

	c->login_witness = witnesses_lost(c->worker);
	if (c->session.sasl.open)
		conn_ask(c, ROLE_AUTHD, IPC_AUTH_NEXT, &next, LOGIN_MS, on_login);
	else
		start_dialogue(c);
	return false;
}

void drop_dialogue(struct conn *c)
{
	struct ports *p = &c->worker->ports;
	const struct msg_AUTH_CANCEL cancel = {c->session.place.number};

	c->dialogue = false;
	(void)p->tell(p->arg, ROLE_AUTHD, IPC_AUTH_CANCEL, &cancel);
}

/* ---- XCLIENT ---- */

static void on_client(struct conn *c, struct ipc_message *m)
{
	const struct msg_CLIENT *a = m == NULL ? NULL : &m->body.CLIENT;

	c->asked = false;
	if (a != NULL && a->outcome == OC_DONE && c->listener != NULL) {
		c->session.place.trusted = conf_is_trusted(c->generation->conf, a->client);
		c->session.place.takes_logins = conf_takes_logins(c->listener, a->client);
	}
	if (a == NULL)
		session_client_answered(&c->session, OC_UNAVAILABLE, 0, slice_empty(), 0);
	else
		session_client_answered(&c->session, a->outcome, a->session, a->client, a->client_port);
}

bool ask_client(struct conn *c)
{
	const struct session_claim *claim = c->session.claimed;
	const struct msg_CLIENT_ASK ask = {
		.session = c->session.place.number,
		.client = slice_of(claim->client),
		.client_port = claim->client_port,
		.local = slice_of(claim->local),
		.local_port = claim->local_port,
	};

	conn_ask(c, ROLE_GATE, IPC_CLIENT_ASK, &ask, LINK_ASK_MS, on_client);
	return false;
}
