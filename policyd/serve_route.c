#include "policyd.h"

#include "base/log.h"
#include "ipc/flags.h"
#include "owner.h"
#include "pages.h"
#include "route.h"

#include <stdio.h>

static struct facts gather(const struct conf *conf, const struct msg_ROUTE_ASK *ask)
{
	struct facts f = facts_make();

	facts_set_listener(&f, conf, ask->role, ask->listener, ask->hostname);
	f.value[FACT_CLIENT].text = ask->client;
	f.value[FACT_LOGIN].text = ask->login;
	f.value[FACT_SENDER].text = ask->sender;
	f.value[FACT_RECIPIENT].text = ask->recipient;
	f.value[FACT_SIZE].number = ask->size;
	f.ancestors = ask->ancestors;
	f.header_names = ask->header_names;
	f.value[FACT_LISTENER_ADDRESS].text = ask->local;
	f.value[FACT_LISTENER_PORT].number = ask->local_port;
	/* A client came to somewhere: it was written by a Postern that did not keep where. */
	f.no_listener = ask->client.len > 0 && ask->local.len == 0;
	return f;
}

/* A worker that was taken over could leave MAIL out: the login is attested, and the queue says what it is about to keep. */
static bool is_bound(const struct conf *conf, const struct msg_ROUTE_ASK *ask)
{
	/* What a rule of ours has written there is no lie (docs/security.md, Known limits). */
	/* So is what the queue made of a message: whose that is was looked at when it came. */
	if (ask->mode != ROUTE_MODE_WHOLE || ask->ancestors.len > 0 || ask->login.len == 0 || ask->sender.len == 0 ||
	    (rewrite_fields(conf->rewrite) & 1u << REWRITE_ENVELOPE_FROM) != 0)
		return false;
	for (size_t i = 0; i < conf->listener_count; i++)
		if (conf->listeners[i].senders == SENDERS_ANY && slice_eq(ask->listener, slice_of(conf->listeners[i].called)))
			return false;
	return true;
}

/* True: the answer is in `out`. */
static bool refuses_sender(const struct conf *conf, const struct facts *facts, const struct msg_ROUTE_ASK *ask,
			   const struct lookups *lookups, struct route_result *out)
{
	static const struct {
		enum route_outcome outcome;
		enum outcome oc;
	} answers[] = {[ANSWER_NO] = {ROUTE_REFUSED, OC_NOT_OWN_SENDER}, [ANSWER_UNKNOWN] = {ROUTE_DEFERRED, OC_ROUTE_UNKNOWN},
		       [ANSWER_PENDING] = {ROUTE_PENDING, OC_ROUTE_UNKNOWN}};
	const struct owner owner = {ask->login, OWNER_NO_UID};
	enum answer has = is_bound(conf, ask) ? owner_has(conf, facts, &owner, ask->sender, lookups) : ANSWER_YES;
	const struct outcome_info *info;

	if (has == ANSWER_YES)
		return false;
	memset(out, 0, sizeof(*out));
	out->outcome = answers[has].outcome;
	out->oc = answers[has].oc;
	info = outcome_info(out->oc);
	out->code = info->smtp;
	snprintf(out->dsn, sizeof(out->dsn), "%s", info->dsn);
	snprintf(out->text, sizeof(out->text), "%s", info->text);
	snprintf(out->cause, sizeof(out->cause), "whose the sender's address is");
	return true;
}

/* What is more than one answer holds is kept for who asks for it; TEMP where that cannot be. */
static void keep_rest(struct policyd *p, struct link *link, struct route_result *r, struct msg_ROUTE_ANSWER *answer)
{
	struct slice page = route_page(buf_slice(&r->records));

	if (page.len == r->records.len)
		return;
	answer->route_target_records = page;
	answer->cursor = pages_open(p->pages, link, &r->records, page.len);
	if (answer->cursor != 0)
		return;
	*answer = (struct msg_ROUTE_ANSWER){.outcome = OC_BUSY, .code = outcome_info(OC_BUSY)->smtp, .dsn = slice_of(outcome_info(OC_BUSY)->dsn),
					    .text = slice_of("too many long lists at a time"), .rule = slice_empty(),
					    .route_target_records = slice_empty()};
	LOG(LEVEL_WARN, "route-unknown", KV_STR("rule", ""), KV_STR("cause", "too many long lists at a time"));
}

void serve_more(struct policyd *p, struct link *link, uint64_t request, const struct msg_ROUTE_MORE_ASK *ask)
{
	const struct outcome_info *info = outcome_info(OC_ROUTE_UNKNOWN);
	struct msg_ROUTE_ANSWER answer = {.outcome = OC_DONE, .dsn = slice_empty(), .text = slice_empty(), .rule = slice_empty()};
	struct slice page;

	if (pages_next(p->pages, link, ask->cursor, &page, &answer.cursor)) {
		answer.route_target_records = page;
		link_answer(link, request, IPC_ROUTE_ANSWER, &answer, -1);
		pages_end(p->pages);
		return;
	}
	answer = (struct msg_ROUTE_ANSWER){OC_ROUTE_UNKNOWN, info->smtp, slice_of(info->dsn), slice_of("the list is not kept any more"),
					   slice_empty(), slice_empty(), 0};
	link_answer(link, request, IPC_ROUTE_ANSWER, &answer, -1);
}

static void tell(struct policyd *p, struct link *link, uint64_t request, struct route_result *r)
{
	struct msg_ROUTE_ANSWER answer = {
		.outcome = r->oc,
		.code = r->code,
		.dsn = slice_of(r->dsn),
		.text = slice_of(r->text),
		.rule = slice_of(r->rule),
		.route_target_records = r->outcome == ROUTE_TARGETS ? buf_slice(&r->records) : slice_empty(),
	};

	if (r->outcome == ROUTE_DEFERRED) {
		p->unknown++;
		LOG(LEVEL_WARN, "route-unknown", KV_STR("rule", r->rule), KV_STR("cause", r->cause));
	}
	if (r->outcome == ROUTE_TARGETS)
		keep_rest(p, link, r, &answer);
	link_answer(link, request, IPC_ROUTE_ANSWER, &answer, -1);
}

bool serve_route(struct policyd *p, struct link *link, uint64_t request, const struct ipc_message *m)
{
	const struct msg_ROUTE_ASK *ask = &m->body.ROUTE_ASK;
	struct generation *g = generation_find(p->service, ask->generation);
	struct lookups lookups;
	struct facts facts;
	struct route_question question;
	struct route_result r;
	bool pending;

	/* A message outlives the generation it came in under. */
	if (g == NULL || g->conf == NULL)
		g = service_generation(p->service);
	lookups = policyd_lookups(p, g);
	facts = gather(g->conf, ask);
	question = (struct route_question){
		.conf = g->conf,
		.facts = &facts,
		.lookups = &lookups,
		.final = ask->mode == ROUTE_MODE_FINAL,
		.keeps_lists = true,
		.is_list = ask->mode == ROUTE_MODE_LIST,
		.owner = ask->owner,
	};
	if (!refuses_sender(g->conf, &facts, ask, &lookups, &r))
		route_run(&question, &r);
	pending = r.outcome == ROUTE_PENDING;
	if (!pending)
		tell(p, link, request, &r);
	route_result_free(&r);
	return !pending;
}
