#include "policyd.h"

#include "base/log.h"
#include "route.h"

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
	return f;
}

static void tell(struct policyd *p, struct link *link, uint64_t request, const struct route_result *r)
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
	question = (struct route_question){.conf = g->conf, .facts = &facts, .lookups = &lookups, .final = ask->final != 0};
	route_run(&question, &r);
	pending = r.outcome == ROUTE_PENDING;
	if (!pending)
		tell(p, link, request, &r);
	route_result_free(&r);
	return !pending;
}
