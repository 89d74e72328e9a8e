#include "policyd.h"

#include "base/clock.h"
#include "base/log.h"
#include "conf/conf.h"
#include "ipc/flags.h"
#include "limit.h"
#include "policy.h"

#include <stdio.h>

#define NO_UID UINT64_MAX

/* The queue hears of a login from authd before the worker does, and so do we: it may just not have been read yet.  What is read
 * then may end the session: NULL. */
struct attested_session *policyd_hear_of_login(struct policyd *p, struct attested_session *session)
{
	struct link *authd = service_link(p->service, ROLE_AUTHD, SERVICE_ANY);
	uint64_t number = session->number;

	if (session->login[0] != '\0' || authd == NULL)
		return session;
	link_drain(authd);
	return attested_find(p->sessions, number);
}

static bool may_relay(const struct attested_session *s)
{
	if (s->role == LISTENER_LOCAL)
		return s->uid != NO_UID;
	return s->login[0] != '\0' || conf_is_trusted(s->generation->conf, slice_of(s->client));
}

static void set_text(struct facts *f, enum fact_id id, struct slice text)
{
	f->value[id].text = text;
}

/* Names nobody vouches for are nobody's. */
static void set_client_certificate(struct facts *f, const struct msg_POLICY_ASK *ask)
{
	struct slice names = ask->tls_client_verified ? ask->tls_client_names : slice_empty(), rest = names, first = slice_empty();

	(void)slice_cut(&rest, ' ', &first);
	set_text(f, FACT_TLS_CLIENT_FINGERPRINT, ask->tls_client_fingerprint);
	set_text(f, FACT_TLS_CLIENT_NAME, first);
	set_text(f, FACT_TLS_CLIENT_NAMES, names);
	f->value[FACT_TLS_CLIENT_VERIFIED].number = ask->tls_client_verified != 0;
}

static void set_listener(struct facts *f, const struct attested_session *s)
{
	const struct conf *conf = s->generation->conf;
	const struct conf_listener *l = s->listener < conf->listener_count ? &conf->listeners[s->listener] : NULL;

	facts_set_listener(f, conf, s->role, slice_of(l == NULL ? "" : l->called), slice_of(l == NULL ? "" : l->hostname));
}

struct facts policyd_session_facts(const struct attested_session *s)
{
	struct facts f = facts_make();

	set_text(&f, FACT_CLIENT, slice_of(s->client));
	set_listener(&f, s);
	set_text(&f, FACT_LISTENER_ADDRESS, slice_of(s->local));
	f.value[FACT_LISTENER_PORT].number = s->local_port;
	set_text(&f, FACT_LOGIN, slice_of(s->login));
	return f;
}

/* Client, listener and login are the attested ones; the rest is what the worker says of its own session. */
static struct facts gather(const struct attested_session *s, const struct msg_POLICY_ASK *ask)
{
	struct facts f = policyd_session_facts(s);

	f.value[FACT_CLIENT_EARLY].number = (ask->flags & POLICY_EARLY) != 0;
	f.value[FACT_CLIENT_PIPELINED].number = (ask->flags & POLICY_PIPELINED) != 0;
	set_text(&f, FACT_TLS_VERSION, ask->tls_version);
	set_text(&f, FACT_TLS_CIPHER, ask->tls_cipher);
	set_text(&f, FACT_TLS_SNI, ask->tls_sni);
	set_client_certificate(&f, ask);
	set_text(&f, FACT_HELO_NAME, ask->helo);
	set_text(&f, FACT_SENDER, ask->sender);
	set_text(&f, FACT_RECIPIENT, ask->recipient);
	f.value[FACT_SIZE].number = ask->size;
	f.value[FACT_RECIPIENT_COUNT].number = ask->recipient_count;
	return f;
}

/* What one message was tagged with ends with it.  A policyd that is new to the session takes what the worker says was set before: else
 * a session that was refused would be none any more. */
static void begin_question(struct policy_session *own, const struct msg_POLICY_ASK *ask)
{
	struct slice rest = ask->tags, word;

	if (ask->transaction != own->transaction)
		tags_end_message(&own->tags);
	while (!own->is_known && slice_word(&rest, &word))
		(void)tags_add(&own->tags, word);
	own->transaction = ask->transaction;
	own->is_known = true;
}

static void tell(struct policyd *p, struct link *link, uint64_t request, const struct policy_answer *a)
{
	struct msg_POLICY_ANSWER answer = {
		.outcome = a->oc,
		.code = a->code,
		.dsn = slice_of(a->dsn),
		.text = slice_of(a->text),
		.rule = slice_of(a->rule),
		.delay_ms = a->delay_ms,
		.close = a->close,
		.effects_records = buf_slice(&a->effects),
	};

	(void)p;
	link_answer(link, request, IPC_POLICY_ANSWER, &answer, -1);
}

static void log_unknown(struct policyd *p, const struct msg_POLICY_ASK *ask, const struct policy_answer *a)
{
	if (a->cause[0] == '\0')
		return;
	p->unknown++;
	LOG(LEVEL_WARN, "policy-unknown", KV_SESSION(ask->session), KV_STR("stage", rules_place_name((unsigned)ask->stage)),
	    KV_STR("rule", a->rule), KV_STR("cause", a->cause));
}

static struct policy_request request_of(const struct attested_session *s, const struct msg_POLICY_ASK *ask)
{
	const struct policy_session *own = s->own;
	struct policy_request r = {
		.stage = (enum conf_stage)ask->stage,
		.facts = gather(s, ask),
		.tags = &own->tags,
		.may_relay = may_relay(s),
		.owner = {slice_of(s->login), s->role == LISTENER_LOCAL ? s->uid : OWNER_NO_UID},
		.from = ask->from,
		.from_sender = ask->from_sender,
		.from_unclear = (ask->flags & POLICY_FROM_UNCLEAR) != 0,
	};

	r.is_bound = owner_is_bound(s->generation->conf, s->role, s->listener, &r.owner);
	return r;
}

/* It was full, but may hold more by now, as its table says. */
static bool has_more_room(const struct conf *conf, const struct policy_answer *a, const struct lookups *lookups, const struct quota_limit *was)
{
	const struct conf_transport *t = conf_transport_find(conf, slice_of(a->transport));
	struct quota_limit now;
	char why[LIMIT_WHY_MAX];

	return t != NULL && t->quota_table != NULL && limit_find(conf, t, slice_of(a->mailbox), lookups, &now, why) == ANSWER_YES &&
	       quota_limit_is_wider(&now, was);
}

/* Known from the last delivery: better told now than by a report after days. */
static void refuse_if_full(const struct policyd *p, const struct conf *conf, const struct lookups *lookups, struct policy_answer *a)
{
	const struct outcome_info *info = outcome_info(OC_MAILBOX_FULL);
	struct quota_limit was;

	if (a->pending || a->oc != OC_DONE || a->transport[0] == '\0' ||
	    !full_has(p->full, slice_of(a->transport), slice_of(a->nexthop), clock_mono_ms(), &was) || has_more_room(conf, a, lookups, &was))
		return;
	a->oc = OC_MAILBOX_FULL;
	a->code = info->smtp;
	snprintf(a->dsn, sizeof(a->dsn), "%s", info->dsn);
	snprintf(a->text, sizeof(a->text), "%s", info->text);
}

static bool serve_session(struct policyd *p, struct link *link, uint64_t request, const struct msg_POLICY_ASK *ask,
			  struct attested_session *session)
{
	struct policy_session *own = session->own;
	struct lookups lookups = policyd_lookups(p, session->generation);
	struct policy_request r;
	struct policy_answer a;

	begin_question(own, ask);
	r = request_of(session, ask);
	policy_run(session->generation->conf, &r, &lookups, &a);
	refuse_if_full(p, session->generation->conf, &lookups, &a);
	if (!a.pending) {
		policy_set_tags(&a, &own->tags);
		log_unknown(p, ask, &a);
		tell(p, link, request, &a);
	}
	policy_answer_free(&a);
	return !a.pending;
}

static void answer_not_yet(struct policyd *p, struct link *link, uint64_t request)
{
	struct policy_answer a = {.oc = OC_UNAVAILABLE, .effects = buf_make(0)};

	tell(p, link, request, &a);
}

bool serve_policy(struct policyd *p, struct link *link, uint64_t request, const struct ipc_message *m)
{
	const struct msg_POLICY_ASK *ask = &m->body.POLICY_ASK;
	struct attested_session *session;

	if (ask->stage >= STAGE_COUNT) {
		link_break(link, "there is no such stage");
		return true;
	}
	switch (attested_check(p->sessions, link, ask->session, &session)) {
	case ATTESTED_YES:
		session = policyd_hear_of_login(p, session);
		if (session != NULL)
			return serve_session(p, link, request, ask, session);
		answer_not_yet(p, link, request);
		break;
	case ATTESTED_NOT_YET:
		answer_not_yet(p, link, request);
		break;
	case ATTESTED_NO:
		break;
	}
	return true;
}
