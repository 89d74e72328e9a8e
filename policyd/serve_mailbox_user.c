#include "policyd.h"

#include "base/log.h"
#include "mailbox_user.h"

/* As whom local delivers: a name, or that nobody knows it now; never somebody else instead. */

static void say_unknown(struct policyd *p, const struct msg_MAILBOX_USER_ASK *ask, const char *table, const char *why)
{
	p->unknown++;
	LOG(LEVEL_WARN, "mailbox-user-unknown", KV_TEXT("recipient", ask->recipient), KV_TEXT("transport", ask->transport),
	    KV_STR("table", table), KV_STR("why", why));
}

bool serve_mailbox_user(struct policyd *p, struct link *link, uint64_t request, const struct ipc_message *m)
{
	const struct msg_MAILBOX_USER_ASK *ask = &m->body.MAILBOX_USER_ASK;
	struct generation *g = generation_find(p->service, ask->generation);
	const struct conf_transport *t;
	struct msg_MAILBOX_USER told = {OC_LOOKUP_UNKNOWN, slice_empty()};
	struct mailbox_user user;
	char why[MAILBOX_USER_WHY_MAX] = "there is no such transport any more, or it asks no table";
	struct lookups lookups;
	enum answer answer;

	/* The table of a configuration that has gone is asked by the one in force. */
	if (g == NULL || g->conf == NULL)
		g = service_generation(p->service);
	lookups = policyd_lookups(p, g);
	t = conf_transport_find(g->conf, ask->transport);
	answer = t == NULL || t->user_table == NULL ? ANSWER_UNKNOWN : mailbox_user_find(g->conf, t, ask->recipient, &lookups, &user, why);
	if (answer == ANSWER_PENDING)
		return false;
	if (answer == ANSWER_YES)
		told = (struct msg_MAILBOX_USER){OC_DONE, user.by_table ? slice_of(user.name) : slice_empty()};
	else if (answer == ANSWER_NO)
		told.outcome = OC_NOT_FOUND;
	if (answer != ANSWER_YES)
		say_unknown(p, ask, t == NULL || t->user_table == NULL ? "" : t->user_table->name, why);
	link_answer(link, request, IPC_MAILBOX_USER, &told, -1);
	return true;
}
