#include "policyd.h"

#include "base/log.h"
#include "rewrite.h"

static void tell(struct link *link, uint64_t request, enum outcome oc, struct slice rule, struct slice records)
{
	const struct msg_REWRITE_ANSWER answer = {oc, rule, records};

	link_answer(link, request, IPC_REWRITE_ANSWER, &answer, -1);
}

/* All addresses, or the first that stands in the way. */
static enum rewrite_outcome run_all(const struct conf *conf, const struct facts *facts, struct slice records,
				    const struct lookups *lookups, struct buf *out, struct rewriting *last)
{
	struct rec_rewrite_address asked;

	for (uint64_t i = 0; rec_rewrite_address_next(&records, &asked); i++) {
		enum rewrite_outcome outcome;

		if (asked.field >= REWRITE_FIELDS)
			continue;
		outcome = rewrite_run(conf, facts, (enum rewrite_field)asked.field, asked.address, lookups, last);
		if (outcome == REWRITE_UNKNOWN || outcome == REWRITE_PENDING)
			return outcome;
		if (outcome == REWRITE_NEW && !rec_rewritten_add(out, &(struct rec_rewritten){i, slice_of(last->address)}))
			return REWRITE_UNKNOWN;
	}
	return REWRITE_SAME;
}

static bool serve_session(struct policyd *p, struct link *link, uint64_t request, const struct msg_REWRITE_ASK *ask,
			  const struct attested_session *session)
{
	struct lookups lookups = policyd_lookups(p, session->generation);
	struct buf records = buf_make(120000);
	struct facts facts = policyd_session_facts(session);
	struct rewriting last = {.rule = ""};
	enum rewrite_outcome outcome;

	facts.value[FACT_SENDER].text = ask->sender;
	outcome = run_all(session->generation->conf, &facts, ask->rewrite_address_records, &lookups, &records, &last);
	if (outcome == REWRITE_UNKNOWN) {
		p->unknown++;
		LOG(LEVEL_WARN, "rewrite-unknown", KV_SESSION(ask->session), KV_STR("rule", last.rule), KV_STR("cause", last.cause));
	}
	if (outcome != REWRITE_PENDING)
		tell(link, request, outcome == REWRITE_UNKNOWN ? OC_LOOKUP_UNKNOWN : OC_DONE, slice_of(last.rule),
		     outcome == REWRITE_UNKNOWN ? slice_empty() : buf_slice(&records));
	buf_free(&records);
	return outcome != REWRITE_PENDING;
}

bool serve_rewrite(struct policyd *p, struct link *link, uint64_t request, const struct ipc_message *m)
{
	const struct msg_REWRITE_ASK *ask = &m->body.REWRITE_ASK;
	struct attested_session *session;

	switch (attested_check(p->sessions, link, ask->session, &session)) {
	case ATTESTED_YES:
		session = policyd_hear_of_login(p, session);
		if (session != NULL && session->generation->conf->rewrite != NULL)
			return serve_session(p, link, request, ask, session);
		tell(link, request, session == NULL ? OC_UNAVAILABLE : OC_DONE, slice_empty(), slice_empty());
		break;
	case ATTESTED_NOT_YET:
		tell(link, request, OC_UNAVAILABLE, slice_empty(), slice_empty());
		break;
	case ATTESTED_NO:
		break;
	}
	return true;
}
