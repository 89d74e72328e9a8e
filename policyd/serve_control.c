#include "policyd.h"

#include "explain.h"

#include <stdio.h>

/* What the operator asks: who may ask it at all was decided by the gate (smtpd/gate_verb.c). */

static void tell(struct link *link, uint64_t request, enum outcome oc, struct slice text, struct slice cursor, struct slice rows)
{
	const struct msg_CONTROL_ANSWER answer = {oc, text, cursor, rows};

	link_answer(link, request, IPC_CONTROL_ANSWER, &answer, -1);
}

static void tell_page(struct link *link, uint64_t request, const struct explain *e)
{
	char cursor[24] = "";

	if (e->full)
		snprintf(cursor, sizeof(cursor), "%zu", e->next);
	tell(link, request, OC_DONE, slice_empty(), slice_of(cursor), buf_slice(&e->rows));
}

/* Each page is a run of its own: nothing is kept for somebody who may never ask for the next. */
static bool explain_route(struct policyd *p, struct link *link, uint64_t request, const struct msg_CONTROL_ASK *ask)
{
	struct generation *g = service_generation(p->service);
	struct lookups lookups = policyd_lookups(p, g);
	struct buf why = buf_make(1024);
	struct explain_question question;
	struct explain e;
	uint64_t skip = 0;
	bool pending = false;

	(void)slice_u64(ask->cursor, SIZE_MAX, &skip);
	e = explain_begin(g->conf, p->tables, (size_t)skip);
	if (!explain_read(g->conf, ask->control_field_records, &question, &why))
		tell(link, request, OC_BAD_INPUT, buf_slice(&why), slice_empty(), slice_empty());
	else if (explain_run(&e, &question, &lookups) == ROUTE_PENDING)
		pending = true;
	else
		tell_page(link, request, &e);
	explain_free(&e);
	buf_free(&why);
	return !pending;
}

static const struct {
	const char *verb;
	bool (*serve)(struct policyd *p, struct link *link, uint64_t request, const struct msg_CONTROL_ASK *ask);
} verbs[] = {{"route.explain", explain_route}, {"table.test", serve_table}};

bool serve_control(struct policyd *p, struct link *link, uint64_t request, const struct ipc_message *m)
{
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (slice_eq(m->body.CONTROL_ASK.verb, slice_of(verbs[i].verb)))
			return verbs[i].serve(p, link, request, &m->body.CONTROL_ASK);
	tell(link, request, OC_NOT_FOUND, slice_of("postern-policyd has no such verb"), slice_empty(), slice_empty());
	return true;
}
