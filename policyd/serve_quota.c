#include "policyd.h"

#include "base/log.h"
#include "limit.h"

/* How much a mailbox may hold, for local: never less, and never more, than is known. */

static void say_unknown(struct policyd *p, const struct msg_QUOTA_ASK *ask, const char *table, const char *why)
{
	p->unknown++;
	LOG(LEVEL_WARN, "quota-unknown", KV_TEXT("recipient", ask->recipient), KV_TEXT("transport", ask->transport), KV_STR("table", table),
	    KV_STR("why", why));
}

bool serve_quota(struct policyd *p, struct link *link, uint64_t request, const struct ipc_message *m)
{
	const struct msg_QUOTA_ASK *ask = &m->body.QUOTA_ASK;
	struct generation *g = generation_find(p->service, ask->generation);
	const struct conf_transport *t;
	struct msg_QUOTA told = {.outcome = OC_LOOKUP_UNKNOWN};
	struct quota_limit limit;
	char why[LIMIT_WHY_MAX];
	struct lookups lookups;
	enum answer answer;

	/* The table of a configuration that has gone is asked by the one in force. */
	if (g == NULL || g->conf == NULL)
		g = service_generation(p->service);
	lookups = policyd_lookups(p, g);
	t = conf_transport_find(g->conf, ask->transport);
	answer = t == NULL ? ANSWER_UNKNOWN : limit_find(g->conf, t, ask->recipient, &lookups, &limit, why);
	if (answer == ANSWER_PENDING)
		return false;
	if (answer == ANSWER_YES)
		told = (struct msg_QUOTA){OC_DONE, limit.bytes, limit.messages};
	else
		say_unknown(p, ask, t == NULL || t->quota_table == NULL ? "" : t->quota_table->name, t == NULL ? "there is no such transport" : why);
	link_answer(link, request, IPC_QUOTA, &told, -1);
	return true;
}
